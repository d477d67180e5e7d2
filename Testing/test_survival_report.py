"""``iith survival``: numbers against R on real tables, the folder it writes, hostile text, and bad input."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from RadiogenomicReportLib.clinical.column_mapping import load_mapping
from RadiogenomicReportLib.clinical.patient_table import read_patient_table
from RadiogenomicReportLib.cohort.page import page_html
from RadiogenomicReportLib.cohort.survival_analysis import analyze_survival
from RadiogenomicReportLib.cohort.survival_page import all_of
from RadiogenomicReportLib.cohort.survival_plan import SurvivalPlan
from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.errors import InputError
from support.data import require_data

QUICK = {"folds": 5, "repeats": 1, "bootstrap": 20}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>$\\frac{1}{2}$"


def cohort_csv(
    path, n: int = 150, seed: int = 3, level: str = "b", columns: str = "patient,score,size,arm,os_days,os_event"
):
    """Simulated patients whose hazard rises with score and arm."""
    rng = np.random.default_rng(seed)
    score, size, arm = rng.normal(size=n), rng.uniform(5, 60, n), rng.integers(0, 2, n)
    event_time = rng.exponential(1500 / np.exp(0.8 * score + 0.5 * arm))
    censored = rng.uniform(400, 3500, n)
    rows = [columns.split(",")]
    for k in range(n):
        time, event = min(event_time[k], censored[k]), int(event_time[k] <= censored[k])
        rows.append(
            [f"SECRET-{k}", f"{score[k]:.4f}", f"{size[k]:.1f}", level if arm[k] else "a", f"{time + 1:.0f}", event]
        )
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return path


@pytest.fixture(scope="module")
def duke_result():
    """Duke's tables with log volume as a score: the settings of which R printed the numbers below."""
    table = read_patient_table(
        [require_data("duke", "outcomes.csv"), require_data("duke", "imaging_features.csv.gz")], load_mapping("duke")
    )
    plan = SurvivalPlan(
        score="log_volume", covariates=("enhancing_fraction", "age", "hr", "her2"), subgroups=("hr",), **QUICK
    )
    return analyze_survival(table, plan)


@pytest.fixture(scope="module")
def duke(duke_result):
    return duke_result.content


def test_duke_patients_and_cox_model_are_those_of_r(duke):
    assert (duke["patients"]["n"], duke["patients"]["n_events"]) == (908, 118)
    assert duke["patients"]["median_follow_up_years"] == pytest.approx(1495 / 365.25)
    model = duke["cox"]["multivariable"]
    expected = {
        "log_volume": (0.4838102429, 0.06270189276, 1.20000712e-14),
        "enhancing_fraction": (1.3833713812, 0.67220633878, 3.95943126e-02),
        "age": (0.0156445015, 0.00830895402, 5.97209041e-02),
        "hr": (-0.4973839105, 0.19750690372, 1.17918977e-02),
        "her2": (-0.4798894522, 0.25384604253, 5.86945374e-02),
    }
    for row in model["rows"]:
        coefficient, error, p = expected[row["term"]]
        assert row["coefficient"] == pytest.approx(coefficient, rel=1e-6)
        assert row["standard_error"] == pytest.approx(error, rel=1e-6)
        assert row["p"] == pytest.approx(p, rel=1e-4)
    assert model["concordance"] == pytest.approx(0.7191521375, abs=1e-9)
    assert model["likelihood_ratio"] == pytest.approx(2 * (751.833246371 - 713.623725637), abs=1e-6)
    # cox.zph, km scale
    hazards = [row["proportional_p"] for row in model["rows"]]
    assert hazards == pytest.approx([0.2062571628, 0.8967855819, 0.2345287876, 0.0030518634, 0.0491323], abs=1e-6)
    assert model["proportional_p"] == pytest.approx(0.0056017903, abs=1e-7)


def test_duke_curves_are_those_of_survfit_and_survdiff(duke):
    groups = duke["groups"]
    assert groups["names"] == ["low", "intermediate", "high"]
    assert groups["log_rank"]["chi_square"] == pytest.approx(44.21239082, abs=1e-7)
    assert groups["log_rank"]["observed"] == (17, 32, 69)
    assert groups["log_rank"]["expected"] == pytest.approx([40.2892848, 41.1064949, 36.6042203], abs=1e-6)
    expected = {
        ("low", 3): (205, 0.959115237, 0.927323323, 0.977169924),
        ("low", 5): (69, 0.901973609, 0.834446321, 0.942884780),
        ("intermediate", 3): (210, 0.918513098, 0.877635079, 0.946151588),
        ("intermediate", 5): (83, 0.859057710, 0.799113585, 0.902201554),
        ("high", 3): (179, 0.817903504, 0.765957084, 0.859382190),
        ("high", 5): (61, 0.705726333, 0.635767640, 0.764758403),
    }
    for curve in groups["curves"]:
        for at in curve["at"]:
            at_risk, *values = expected[curve["group"], round(at["years"])]
            assert at["at_risk"] == at_risk
            assert [at["survival"], at["low"], at["high"]] == pytest.approx(values, abs=1e-8)


def test_duke_subgroups_and_interaction_are_those_of_r(duke):
    rows = duke["subgroups"][0]["rows"]
    found = {r["level"]: (r["row"]["coefficient"], r["row"]["standard_error"]) for r in rows}
    assert found["no"] == pytest.approx((0.68903488, 0.156171884), rel=1e-5)
    assert found["yes"] == pytest.approx((0.679486252, 0.123900758), rel=1e-5)
    assert duke["subgroups"][0]["interaction"]["p"] == pytest.approx(0.75432, abs=1e-5)


def test_duke_nomogram_predicts_what_survfit_predicts(duke_result):
    """R: survfit(model, newdata) of the first three patients at 3 and 5 years. R's baseline uses Efron's ties, the
    nomogram's Breslow's, hence the tolerance."""
    expected = {3: (0.900789431, 0.957742849, 0.918460242), 5: (0.821442992, 0.921935879, 0.852040814)}
    totals = duke_result.points[:3].sum(axis=1)
    for axis in duke_result.content["nomogram"]["survival"]:
        first, last = axis["ticks"][0], axis["ticks"][-1]
        ends = [np.log(-np.log(t["survival"])) for t in (first, last)]
        slope = (ends[1] - ends[0]) / (last["total"] - first["total"])
        found = np.exp(-np.exp(ends[0] + slope * (totals - first["total"])))
        assert found == pytest.approx(expected[round(axis["years"])], abs=1e-4)


def test_duke_score_adds_to_the_covariates(duke):
    added = duke["performance"]["added_value"]
    assert added["c_difference"]["low"] > 0
    assert all(row["idi"]["value"] > 0 for row in added["reclassification"])
    for row in added["reclassification"]:
        assert row["nri"]["value"] == pytest.approx(2 * row["nri_half"]["value"], abs=0.05)


def test_ispy1_early_change_of_the_longest_diameter_in_one_command(tmp_path, capsys):
    workbook = require_data("ispy1", "I-SPY_1_All_Patient_Clinical_and_Outcome_Data.xlsx")
    out = tmp_path / "out"
    arguments = ["survival", str(workbook), "--columns", "ispy1", "--model", "ld_early_change", "--covariates"]
    arguments += ["ld_baseline,hr,her2", "--cut", "median", "--folds", "5", "--repeats", "1", "--bootstrap", "20"]
    assert main([*arguments, "--out", str(out)]) == 0
    content = json.loads((out / "survival.json").read_text(encoding="utf-8"))
    assert content["patients"]["n"] > 200
    assert content["cox"]["univariable"][0]["n"] == 210
    assert "adds nothing proven" in capsys.readouterr().err


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A whole run on simulated patients with hostile text in a column name and in a level."""
    folder = tmp_path_factory.mktemp("survival")
    columns = f"patient,score,size {HOSTILE},arm,os_days,os_event"
    path = cohort_csv(folder / "cohort.csv", level=HOSTILE, columns=columns)
    arguments = ["survival", str(path), "--model", "score", "--covariates", f"arm,size {HOSTILE}", "--subgroups", "arm"]
    arguments += ["--horizons", "2,4", "--folds", "5", "--repeats", "1", "--bootstrap", "20", "--title", HOSTILE]
    assert main([*arguments, "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_the_folder_holds_report_numbers_and_figures(report):
    names = {p.relative_to(report).as_posix() for p in report.rglob("*") if p.is_file()}
    figures = ("kaplan-meier", "forest", "time-roc", "calibration", "decision-curve", "nomogram", "subgroups")
    assert {f"figures/{n}.{end}" for n in figures for end in ("svg", "png")} <= names
    content = json.loads((report / "survival.json").read_text(encoding="utf-8"))
    assert content["schema"] == "iith-survival/1"
    assert content["provenance"]["tables"][0]["sha256"]
    with (report / "tables" / "cox_multivariable.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row, kept in zip(rows, content["cox"]["multivariable"]["rows"], strict=True):
        assert float(row["hazard_ratio"]) == kept["hazard_ratio"]
    with (report / "tables" / "patients.csv").open(newline="", encoding="utf-8") as stream:
        patients = list(csv.DictReader(stream))
    assert len(patients) == content["patients"]["n"]
    points = sum(float(v) for k, v in patients[0].items() if k.startswith("points: "))
    assert float(patients[0]["total points"]) == pytest.approx(points)


def test_no_patient_is_named_and_hostile_text_is_text(report):
    for file in report.rglob("*"):
        if file.suffix in (".html", ".json", ".csv", ".svg"):
            assert "SECRET" not in file.read_text(encoding="utf-8")
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    assert "default-src 'none'" in html


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_chromium_shows_the_page_without_an_error(report, tmp_path, width):
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    command += [
        f"--window-size={width},900",
        f"--user-data-dir={tmp_path}",
        "--dump-dom",
        f"file://{report}/report.html",
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in found.stderr
    assert found.stdout.count("<img ") == 7
    assert "<script" not in found.stdout


def test_the_page_depends_on_the_numbers_alone(report):
    content = json.loads((report / "survival.json").read_text(encoding="utf-8"))
    page, _ = all_of(content)
    assert page_html(page, content["research_use"]) == (report / "report.html").read_text(encoding="utf-8")


def test_groups_given_by_a_column_and_a_score_with_a_cut(tmp_path):
    table = read_patient_table([cohort_csv(tmp_path / "c.csv")])
    by_arm = analyze_survival(table, SurvivalPlan(group="arm", horizons_years=(3.0,), **QUICK)).content
    assert by_arm["groups"]["names"] == ["a", "b"]
    assert by_arm["groups"]["rule"] == "given by arm"
    by_cut = analyze_survival(table, SurvivalPlan(score="score", cut="0.5", horizons_years=(3.0,), **QUICK)).content
    score = table.variable("score").values
    assert [c["n"] for c in by_cut["groups"]["curves"]] == [int((score <= 0.5).sum()), int((score > 0.5).sum())]
    main_model = by_cut["performance"]["discrimination"][0]
    assert main_model["predictions"] == "the score as given"
    assert main_model["c"] == pytest.approx(main_model["c_apparent"], abs=1e-9)
    youden = analyze_survival(table, SurvivalPlan(score="score", cut="youden", horizons_years=(3.0,), **QUICK)).content
    assert any("optimistic" in w for w in youden["warnings"])


BAD_RUNS = {
    "nothing to analyze": ([], "exactly one of --model, --score and --group"),
    "two things": (["--model", "score", "--group", "arm"], "exactly one of --model, --score and --group"),
    "named twice": (["--model", "score", "--covariates", "score"], "'score' is named twice"),
    "unknown variable": (["--model", "nothing"], "no variable or column 'nothing'"),
    "half an outcome": (["--model", "score", "--outcome-time", "os_days"], "both --outcome-time and --event"),
    "no such cut": (["--model", "score", "--cut", "best"], "'best' is no cut"),
    "number as cut of a model": (["--model", "score", "--cut", "0.5"], "fits a --score"),
    "empty group": (["--score", "score", "--cut", "99"], "No patient falls into the group 'high'"),
    "horizon beyond follow-up": (["--model", "score", "--horizons", "40"], "longest follow-up"),
    "horizon of 0": (["--model", "score", "--horizons", "0"], "Horizons are years above 0"),
    "bad folds": (["--model", "score", "--folds", "1"], "2 to 50 folds"),
    "event that is a time": (["--model", "score", "--outcome-time", "os_days", "--event", "size"], "not yes or no"),
    "groups that are numbers": (["--group", "size"], "takes 2 to 6 groups"),
    "a copy of a variable": (["--model", "score,copy"], "repeat each other"),
    "a constant variable": (["--model", "constant"], "same value in all patients"),
    "mapping that is none": (["--model", "score", "--columns", "nobody"], "no column mapping 'nobody'"),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_bad_runs_say_one_line_and_write_nothing(tmp_path, capsys, case):
    more, message = BAD_RUNS[case]
    path = cohort_csv(tmp_path / "c.csv", n=60)
    lines = path.read_text(encoding="utf-8").splitlines()
    score = [line.split(",")[1] for line in lines[1:]]
    lines = [lines[0] + ",copy,constant", *(f"{line},{s},1" for line, s in zip(lines[1:], score, strict=True))]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert main(["survival", str(path), *more, "--out", str(tmp_path / "out")]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line not in ("iith survival: Cox models",)]
    assert len(error) == 1
    assert re.search(re.escape(message), error[0])
    assert [p.name for p in tmp_path.iterdir()] == ["c.csv"]


def test_a_folder_with_other_files_is_left_alone(tmp_path, capsys):
    path, out = cohort_csv(tmp_path / "c.csv", n=60), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert main(["survival", str(path), "--model", "score", "--out", str(out), "--overwrite"]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert (out / "mine.txt").read_text() == "mine"


def test_too_few_events_are_refused(tmp_path):
    path = cohort_csv(tmp_path / "c.csv", n=12)
    with pytest.raises(InputError, match="at least 20 patients, 5 events"):
        analyze_survival(read_patient_table([path]), SurvivalPlan(model=("score",)))
