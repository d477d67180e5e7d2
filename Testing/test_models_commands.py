"""``iith train``, ``iith score`` and ``iith models`` as a user runs them, on simulated patients."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from IITHModuleLib.model_file import load_model, shipped_models
from IITHModuleLib.resources import resource_path
from IITHModuleLib.training import run as training_run
from RadiogenomicReportLib.command_line.main import main

CASE_VALUES = {
    "ftv_mm3": {"value": 41000.0, "unit": "mm3", "source": "measured", "reason": None},
    "lesion_volume_mm3": {"value": 3856.0, "unit": "mm3", "source": "measured", "reason": None},
    "enhancing_fraction": {"value": None, "unit": "1", "source": "measured", "reason": "made by the FTV rule"},
    "age_years": {"value": 51.0, "unit": "years", "source": "DICOM header", "reason": None},
}


@pytest.fixture
def result(tmp_path) -> Path:
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "case.json").write_text(json.dumps({"schema": "iith-case/1", "case_values": CASE_VALUES}))
    return folder


def protocol(tmp_path: Path, like: str, **changes) -> Path:
    """A small protocol for the simulated table, made from a shipped one."""
    name = {"logistic": "pcr-ispy2-v1", "cox": "rfs-duke-v1"}[like]
    content = json.loads(resource_path("Protocols", f"{name}.json").read_text())
    content |= {"id": f"simulated-{like}", "keep": [], "external": [], "tables": {}}
    content["resampling"] |= {"repeats": 2, "bootstrap": 10}
    names = ("ftv_mm3", "hr") if like == "logistic" else ("lesion_volume_mm3", "hr")
    content["values"] = {n: {"take": "column", "column": n} for n in names}
    features = [{"name": names[0], "transform": "log"}, {"name": "hr", "transform": "identity"}]
    content["forms"] = [{"name": "simulated", "features": features, "comparisons": []}]
    content["outcome"] |= {"event": "event"} | ({"time_days": "days"} if like == "cox" else {})
    path = tmp_path / f"{like}.json"
    path.write_text(json.dumps(content | changes))
    return path


@pytest.fixture
def simulated_table(tmp_path) -> Path:
    """600 simulated patients: log odds 0.8 z(log volume) - 0.6 HR, hazards with the same coefficients."""
    rng = np.random.default_rng(31)
    z, hr = rng.normal(size=600), rng.integers(0, 2, 600)
    volume, effect = np.exp(8 + 1.5 * z), 0.8 * z - 0.6 * hr
    event = rng.binomial(1, 1 / (1 + np.exp(-effect)))
    death = rng.exponential(2500 / np.exp(effect))
    last = rng.uniform(800, 4000, 600)
    path = tmp_path / "simulated.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient_id", "ftv_mm3", "lesion_volume_mm3", "hr", "event", "days", "died"])
        for k in range(600):
            days, died = min(death[k], last[k]), int(death[k] <= last[k])
            writer.writerow([f"simulated-{k}", volume[k], volume[k], hr[k], event[k], days, died])
    return path


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("kind", ["logistic", "cox"])
def test_training_recovers_the_simulated_effects(tmp_path, capsys, simulated_table, kind):
    outcome = {"name": "simulated outcome", "definition": "Simulated.", "event": "event"}
    if kind == "cox":
        outcome |= {"event": "died", "time_days": "days", "horizons_years": [2]}
    plan = protocol(tmp_path, kind, outcome=outcome)
    out = tmp_path / "model"
    code, text, _ = run(capsys, "train", plan, simulated_table, simulated_table, "--out", out)
    assert code == 0
    assert "not tested on patients of another source" in text
    form = load_model(out).forms[0]
    for feature, per_unit in zip(form.features, (0.8 / 1.5, -0.6), strict=True):
        error = form.covariance[-2:, -2:].diagonal()[form.features.index(feature)] ** 0.5
        assert abs(feature.coefficient - per_unit * feature.sd) < 3 * error
    assert "has not been tested on patients of another source" in (out / "MODEL_CARD.md").read_text()
    assert "/tmp" not in (out / "model.json").read_text()
    assert str(tmp_path) not in (out / "MODEL_CARD.md").read_text()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_an_existing_model_is_replaced_only_when_asked(tmp_path, capsys, simulated_table):
    plan, out = protocol(tmp_path, "logistic"), tmp_path / "model"
    arguments = ["train", plan, simulated_table, simulated_table, "--out", out]
    assert run(capsys, *arguments)[0] == 0
    before = (out / "model.json").read_bytes()
    code, _, error = run(capsys, *arguments)
    assert code == 2
    assert "--overwrite" in error
    assert run(capsys, *arguments, "--overwrite")[0] == 0
    assert (out / "model.json").read_bytes() == before


def test_a_folder_that_is_no_model_is_never_replaced(tmp_path, capsys, simulated_table):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    plan = protocol(tmp_path, "logistic")
    code, _, error = run(capsys, "train", plan, simulated_table, simulated_table, "--out", precious, "--overwrite")
    assert code == 2
    assert "not a model folder" in error
    assert (precious / "thesis.txt").read_text() == "mine"


def test_a_training_run_that_fails_late_leaves_nothing(tmp_path, capsys, simulated_table, monkeypatch):
    def fail(path):
        raise OSError("disk full")

    monkeypatch.setattr(training_run, "load_model", fail)
    plan = protocol(tmp_path, "logistic")
    code, _, error = run(capsys, "train", plan, simulated_table, simulated_table, "--out", tmp_path / "new" / "model")
    assert code == 1
    assert "disk full" in error
    assert list((tmp_path / "new").iterdir()) == []


def test_an_external_table_not_given_is_said_in_the_card(tmp_path, capsys, simulated_table):
    test_set = {"name": "Elsewhere", "tables": ["elsewhere"], "note": "Another hospital."}
    plan = protocol(tmp_path, "logistic", external=[test_set], tables={"elsewhere": {}})
    arguments = ["train", plan, simulated_table, simulated_table, "--out"]
    assert run(capsys, *arguments, tmp_path / "without")[0] == 0
    assert "Elsewhere: not tested, because the table elsewhere" in (tmp_path / "without" / "MODEL_CARD.md").read_text()
    assert run(capsys, *arguments, tmp_path / "with", "--external", f"elsewhere={simulated_table}")[0] == 0
    (external,) = load_model(tmp_path / "with").forms[0].performance["external"]
    apparent = load_model(tmp_path / "with").forms[0].performance["internal"]["apparent"]
    assert external["discrimination"]["value"] == apparent["value"]  # the same table: the same patients
    assert external["calibration"]["slope"]["value"] == pytest.approx(1.0, abs=1e-5)


def edit_table(table: Path, change) -> Path:
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows = change(rows) or rows
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return table


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda rows: [{k: v for k, v in r.items() if k != "ftv_mm3"} for r in rows], "no column ftv_mm3"),
        (lambda rows: rows[0].update(ftv_mm3="large"), "ftv_mm3 holds text"),
        (lambda rows: rows[0].update(event="2"), "other than 0 and 1"),
        (lambda rows: rows[0].update(hr="0.5"), "hr holds values other than 0 and 1"),
        (lambda rows: rows + rows[:1], "more than one row"),
        (lambda rows: rows[:10], "a model needs more"),
        (lambda rows: [r | {"event": "0"} for r in rows], "0 events"),
        (lambda rows: [r | {"hr": "1"} for r in rows], "same value in every patient"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_one_line(tmp_path, capsys, simulated_table, change, word):
    table = edit_table(simulated_table, change)
    code, out, error = run(capsys, "train", protocol(tmp_path, "logistic"), table, table, "--out", tmp_path / "m")
    assert (code, out) == (2, "")
    assert word in error.splitlines()[-1]
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"schema": "other"}, "iith-protocol/1"),
        ({"kind": "forest"}, "forest"),
        ({"groups": {"rule": "youden", "names": ["one", "two", "three"]}}, "2 group names"),
        ({"values": {}}, "does not say how to get ftv_mm3"),
        ({"values": {"ftv_mm3": {"take": "eval", "column": "__import__('os')"}}}, "valid protocol"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_unsound_protocol_is_refused(tmp_path, capsys, simulated_table, changes, word):
    plan = protocol(tmp_path, "logistic", **changes)
    code, _, error = run(capsys, "train", plan, simulated_table, simulated_table, "--out", tmp_path / "m")
    assert code == 2
    assert word in error


@pytest.mark.parametrize("entry", ["nothing", "=x", "a=", "TABLE=x.csv", "unknown=x.csv"])
def test_a_malformed_external_option_is_refused(tmp_path, capsys, simulated_table, entry):
    arguments = ["train", protocol(tmp_path, "logistic"), simulated_table, simulated_table, "--out", tmp_path / "m"]
    code, _, error = run(capsys, *arguments, "--external", entry)
    assert code == 2
    assert error.startswith("iith train: ")


def test_a_missing_table_and_an_unknown_protocol_are_named(tmp_path, capsys, simulated_table):
    code, _, error = run(
        capsys, "train", "pcr-ispy2-v1", tmp_path / "no.csv", tmp_path / "no.csv", "--out", tmp_path / "m"
    )
    assert (code, "no.csv does not exist" in error) == (2, True)
    code, _, error = run(capsys, "train", "no-such", simulated_table, simulated_table, "--out", tmp_path / "m")
    assert code == 2
    assert "pcr-ispy2-v1, rfs-delta-ld-ispy1-v1, rfs-duke-v1" in error


def test_a_result_folder_and_its_case_file_score_alike(result, capsys):
    code, from_folder, _ = run(capsys, "score", "pcr-ispy2-v1", result, "--hr", "1", "--her2", "0", "--json")
    assert code == 0
    _, from_file, _ = run(
        capsys, "score", "pcr-ispy2-v1", result / "case.json", "--hr", "pos", "--her2", "neg", "--json"
    )
    assert from_folder == from_file
    score = json.loads(from_folder)
    form = load_model("pcr-ispy2-v1").forms[0]
    raw = [np.log(41000.0), 1.0, 0.0, 51.0]
    log_odds = form.intercept + sum(
        f.coefficient * (x - f.mean) / f.sd for f, x in zip(form.features, raw, strict=True)
    )
    assert score["value"] == pytest.approx(1 / (1 + np.exp(-log_odds)), rel=1e-12)
    assert score["inputs_used"]["age_years"]["source"] == "DICOM header"
    assert score["inputs_used"]["hr"]["source"] == "user"


def test_what_the_user_gives_wins_over_the_case_file(result, capsys):
    arguments = ["score", "pcr-ispy2-v1", result, "--hr", "1", "--her2", "0", "--json"]
    young = json.loads(run(capsys, *arguments, "--age", "30")[1])
    assert young["inputs_used"]["age_years"] == {"value": 30.0, "unit": "years", "source": "user"}


def test_a_refused_case_has_exit_code_3_and_names_the_options(result, capsys):
    code, out, error = run(capsys, "score", "pcr-ispy2-v1", result)
    assert (code, out) == (3, "")
    assert "--hr" in error
    assert "--her2" in error
    assert error.count("\n") == 1


def test_the_printed_score_is_readable_and_shows_the_form(result, capsys):
    code, text, _ = run(capsys, "score", "rfs-duke-v1", result)
    assert code == 0
    assert "volume only" in text
    assert "made by the FTV rule" in " ".join(text.split())
    assert "recurrence-free survival at 5 years" in text
    assert "Research use only" in text
    assert max(map(len, text.splitlines())) <= 110


TABLE = """patient_id,lesion_volume_mm3,enhancing_fraction
both,3856,0.989
volume,2000,
zero,0,
text,x,1
huge,9000000,0.5
"""


def test_a_table_is_scored_row_by_row_and_faults_stay_with_their_row(tmp_path, capsys):
    table = tmp_path / "patients.csv"
    table.write_text(TABLE)
    code, text, _ = run(capsys, "score", "rfs-duke-v1", table)
    assert code == 0
    rows = {r["patient_id"]: r for r in csv.DictReader(io.StringIO(text))}
    assert list(rows) == ["both", "volume", "zero", "text", "huge"]
    assert rows["both"]["form"] == "volume and enhancing fraction"
    assert rows["both"]["in_range"] == "1"
    assert "n_stage is missing (the table has no column n_stage)" in rows["both"]["reason"]
    assert rows["volume"]["form"] == "volume only"
    assert "cell is empty" in rows["volume"]["reason"]
    assert (rows["zero"]["value"], rows["text"]["value"]) == ("", "")
    assert "logarithm" in rows["zero"]["reason"]
    assert "not a number" in rows["text"]["reason"]
    assert rows["huge"]["in_range"] == "0"
    assert "outside the usual training range" in rows["huge"]["warnings"]
    case = tmp_path / "case.json"
    values = {"lesion_volume_mm3": {"value": 3856, "unit": "mm3"}, "enhancing_fraction": {"value": 0.989, "unit": "1"}}
    case.write_text(json.dumps({"case_values": values}))
    single = json.loads(run(capsys, "score", "rfs-duke-v1", case, "--json")[1])
    assert float(rows["both"]["value"]) == pytest.approx(single["value"], rel=1e-5)
    assert float(rows["both"]["survival_5y"]) == pytest.approx(single["survival"][1]["probability"], rel=1e-5)


def test_tables_of_other_programs_are_scored_and_faulty_lines_refused(tmp_path, capsys):
    plain = tmp_path / "plain.csv"
    plain.write_text("patient_id,lesion_volume_mm3\n=A,2000.5\n")
    code, text, _ = run(capsys, "score", "rfs-duke-v1", plain)
    header, row = csv.reader(io.StringIO(text))
    assert (code, row[0]) == (0, "'=A")
    assert header.index("in_range") < header.index("warnings") < header.index("value")
    forms = {
        "semicolons.csv": "patient_id;lesion_volume_mm3\n=A;2000,5\n".encode("utf-8-sig"),
        "tabs.tsv": "patient_id\tlesion_volume_mm3\n=A\t2000,5\n".encode("utf-16"),
    }
    for name, content in forms.items():
        (tmp_path / name).write_bytes(content)
        assert run(capsys, "score", "rfs-duke-v1", tmp_path / name)[1] == text
    for content, word in (
        ("patient_id,lesion_volume_mm3,age_years\nA,2000,5,52\n", "4 cells"),  # a decimal comma without quotes
        ("lesion_volume_mm3,lesion_volume_mm3\n1,2\n", "twice"),
    ):
        plain.write_text(content)
        code, text, error = run(capsys, "score", "rfs-duke-v1", plain)
        assert (code, text, error.count("\n")) == (2, "", 1)
        assert word in error


def test_a_table_as_json_keeps_rows_in_order(tmp_path, capsys):
    table = tmp_path / "patients.csv"
    table.write_text(TABLE)
    rows = json.loads(run(capsys, "score", "rfs-duke-v1", table, "--json")[1])
    assert [r["patient_id"] for r in rows] == ["both", "volume", "zero", "text", "huge"]
    assert [r["refusal"] is None for r in rows] == [True, True, False, False, True]


def test_a_table_whose_rows_are_all_refused_has_exit_code_3(tmp_path, capsys):
    table = tmp_path / "patients.csv"
    table.write_text("ftv_mm3,hr\n1000,1\n2000,0\n")
    code, text, error = run(capsys, "score", "pcr-ispy2-v1", table)
    assert code == 3
    assert [r["patient_id"] for r in csv.DictReader(io.StringIO(text))] == ["1", "2"]
    assert "2 patients" in error


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "ftv_mm3\n"])
def test_a_table_without_columns_or_patients_is_refused(tmp_path, capsys, content):
    table = tmp_path / "patients.csv"
    table.write_text(content)
    code, _, error = run(capsys, "score", "pcr-ispy2-v1", table)
    assert code == 2
    assert "patients.csv" in error


def test_clinical_options_do_not_go_with_a_table(tmp_path, capsys):
    table = tmp_path / "patients.csv"
    table.write_text("ftv_mm3,hr,her2,age_years\n1000,1,0,50\n")
    assert run(capsys, "score", "pcr-ispy2-v1", table)[0] == 0
    code, _, error = run(capsys, "score", "pcr-ispy2-v1", table, "--hr", "1")
    assert code == 2
    assert "columns" in error


@pytest.mark.parametrize("content", ["{}", "[]", "not json", '{"case_values": 3}', '{"case_values": {"hr": NaN}}'])
def test_a_bad_case_file_is_refused(tmp_path, capsys, content):
    path = tmp_path / "case.json"
    path.write_text(content)
    code, _, error = run(capsys, "score", "pcr-ispy2-v1", path)
    assert code == 2
    assert "case.json" in error


def test_models_fit_one_screen_and_one_json(capsys):
    code, text, _ = run(capsys, "models")
    assert code == 0
    lines = text.splitlines()
    assert len(lines) <= 45
    assert max(len(line) for line in lines[:-1]) <= 110
    for word in ("pcr-ispy2-v1", "rfs-duke-v1", "n=982, events 316", "no proven gain", "non-commercial"):
        assert word in text
    listed = json.loads(run(capsys, "models", "--json")[1])
    by_id = {m["id"]: m for m in listed}
    assert list(by_id) == shipped_models()
    assert by_id["pcr-ispy2-v1"]["forms"][0]["performance"]["external"][0]["name"] == "I-SPY 1"
    assert by_id["rfs-duke-v1"]["licence"]["non_commercial"] is True
    assert by_id["iith-duke-v1"]["simulated"] is False
