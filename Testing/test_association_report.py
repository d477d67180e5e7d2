"""``iith associate``: the right test for each pair of types, the report, and bad input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy import stats

from RadiogenomicReportLib.clinical.patient_table import read_patient_table
from RadiogenomicReportLib.cohort.association_analysis import AssociationPlan, analyze_associations
from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.errors import InputError

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def table(tmp_path):
    """60 simulated patients in two groups: ``up`` is higher in the second, ``kind`` is rarer there, noise is noise."""
    rng = np.random.default_rng(0)
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", "phenotype", "up", "noise", "kind", "rare", "score", "constant", f"bad {HOSTILE}"])
        for k in range(60):
            high = k % 2
            kind = "abc"[rng.integers(0, 3)] if high else "ab"[rng.integers(0, 2)]
            up, noise = rng.normal(1.5 * high), rng.normal()
            rare = int(k < 3)
            missing = "" if k % 10 == 0 else f"{noise:.4f}"
            writer.writerow(
                [f"SECRET{k}", ["low", "high"][high], f"{up:.4f}", missing, kind, rare, f"{up + noise:.4f}", 1, k]
            )
    return path


def test_each_variable_gets_the_test_of_its_type(table):
    patients = read_patient_table([table])
    content = analyze_associations(patients, AssociationPlan(group="phenotype"))
    tests = {t["variable"]: t for t in content["tests"]}
    # Levels sort by name: high is the first group, low the second.
    assert content["groups"]["names"] == ["high", "low"]
    values, groups = patients.variable("up").values, np.array(patients.variable("phenotype").texts())
    expected = stats.mannwhitneyu(values[groups == "low"], values[groups == "high"], method="exact")
    assert tests["up"]["p"] == pytest.approx(expected.pvalue)
    assert tests["up"]["effect"] < 0.3
    assert tests["up"]["low"] < tests["up"]["effect"] < tests["up"]["high"]
    assert tests["noise"]["n"] == 54
    assert tests["kind"]["test"] == "chi-square"
    assert tests["rare"]["test"] == "Fisher exact"
    known = [t["p"] for t in content["tests"] if t["p"] is not None]
    smallest = min(known)
    assert min(t["adjusted_p"] for t in content["tests"] if t["p"] is not None) >= smallest
    missing = [t for t in content["tests"] if t["p"] is None]
    assert {t["variable"] for t in missing} == {"constant"}
    assert missing[0]["reason"]
    row = next(e for e in content["table_one"] if e["variable"] == "up")
    assert row["summary"][1]["median"] == pytest.approx(np.median(values[groups == "high"]))
    assert next(e for e in content["table_one"] if e["variable"] == "noise")["missing"] == 6


@pytest.mark.parametrize(("name", "function"), [("t", "Welch t"), ("ks", "Kolmogorov-Smirnov")])
def test_other_tests_for_numbers(table, name, function):
    content = analyze_associations(
        read_patient_table([table]), AssociationPlan(group="phenotype", variables=("up",), number_test=name)
    )
    assert content["tests"][0]["test"] == function


def test_a_score_goes_with_spearman_and_rank_tests(table):
    patients = read_patient_table([table])
    content = analyze_associations(patients, AssociationPlan(score="score"))
    tests = {t["variable"]: t for t in content["tests"]}
    rho = stats.spearmanr(patients.variable("score").values, patients.variable("up").values)
    assert tests["up"]["effect"] == pytest.approx(rho.statistic)
    assert tests["up"]["p"] == pytest.approx(rho.pvalue)
    assert tests["kind"]["test"] == "Kruskal-Wallis"
    assert tests["rare"]["test"].startswith("Wilcoxon")
    labels = content["correlations"]["labels"]
    assert labels[0] == "score"
    assert content["correlations"]["matrix"][0][labels.index("up")] == pytest.approx(rho.statistic)


def test_the_report_is_whole_and_escaped(table, tmp_path):
    out = tmp_path / "out"
    assert main(["associate", str(table), "--group", "phenotype", "--title", HOSTILE, "--out", str(out)]) == 0
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {"report.html", "association.json", "figures/volcano.svg", "figures/correlations.png"} <= names
    assert {"tables/tests.csv", "tables/table_one.csv", "tables/correlations.csv"} <= names
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "SECRET" not in html + (out / "association.json").read_text(encoding="utf-8")
    assert json.loads((out / "association.json").read_text(encoding="utf-8"))["schema"] == "iith-association/1"


def test_bad_runs_write_nothing(table, tmp_path, capsys):
    out = str(tmp_path / "out")
    for more, message in (
        ([], "exactly one of --group and --score"),
        (["--group", "phenotype", "--score", "up"], "exactly one of --group and --score"),
        (["--group", "up"], "takes 2 to 6 groups"),
        (["--score", "kind"], "is no number"),
        (["--group", "phenotype", "--with", "nothing"], "no variable or column 'nothing'"),
    ):
        assert main(["associate", str(table), *more, "--out", out]) == 2
        assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
    with pytest.raises(InputError, match="is no test for numbers"):
        AssociationPlan(group="x", number_test="magic")
