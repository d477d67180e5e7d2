"""``iith agreement`` as a user runs it: feature tables, two readers' masks, one mask redrawn, on simulated exams."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from IITHModuleLib.heterogeneity.exam_table import read_exam_table
from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey
from IITHModuleLib.heterogeneity.perturbation import signed_distance
from IITHModuleLib.heterogeneity.reader_agreement import FORMS, reader_agreement
from IITHModuleLib.heterogeneity.stable_features import load_stable_features
from RadiogenomicReportLib import contour_readings
from RadiogenomicReportLib.case_pipeline import CaseRequest, run_case
from RadiogenomicReportLib.command_line.main import main
from RadiogenomicReportLib.feature_table import feature_rows
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import simulate_exam
from SubregionHabitatLib.volume_io import write_volume
from support import cohorts, feature_tables, heterogeneity_cohorts

N = 6
CORRUPT = 4
TIMES = tuple(simulate_exam(cohorts.PARAMETERS).exam.times_s[p] for p in cohorts.PHASES)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six exams of a lesion drawn larger from patient to patient, each by two readers; one exam is damaged, and two
    more rows lack a mask."""
    folder = tmp_path_factory.mktemp("cohort")
    names = [{"lesion": f"first{k}.nrrd", "second_reader": f"second{k}.nrrd"} for k in range(N)]
    path = cohorts.write_cohort(folder, N, names)
    rows = cohorts.read_rows(path)
    rows.append({**rows[0], "patient": "Y", "second_reader": ""})
    rows.append({**rows[0], "patient": "Z", "second_reader": "nothing.nrrd"})
    cohorts.write_rows(path, rows)
    simulated = simulate_exam(cohorts.PARAMETERS)
    geometry = simulated.exam.geometry
    distance = signed_distance(simulated.truth_lesion, geometry.spacing_zyx)
    bent = np.random.default_rng(1).normal(size=(N, 3))
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in distance.shape), indexing="ij")
    for k in range(N):
        level = 2.0 * k - 4.0
        write_volume(folder / f"first{k}.nrrd", (distance < level).astype(np.uint8), geometry)
        tilt = sum(b * g for b, g in zip(bent[k], grid, strict=True))
        write_volume(folder / f"second{k}.nrrd", (distance + 6 * tilt < level).astype(np.uint8), geometry)
    (folder / f"exam{CORRUPT}" / "phase2.nrrd").write_bytes(b"NRRD0004\ntype: float\n")
    return path


@pytest.fixture(scope="module")
def readers(cohort, tmp_path_factory):
    """What two readers' masks give: the folder and the printed summary."""
    out = tmp_path_factory.mktemp("readers") / "out"
    code, printed, errors = run_process(cohort, out, "--masks", "lesion,second_reader", "--json")
    assert code == 0, errors
    return out, json.loads(printed)


def run_process(cohort, out, *options):
    arguments = [str(cohort), "--out", str(out), "--preset", str(cohort.parent / "coarse.json"), *options]
    return cohorts.finish(cohorts.start_command("agreement", *arguments))


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def analyzed(cohort, k, mask, out):
    """The features of the exam with this mask by `iith analyze`."""
    request = CaseRequest(
        exam=tuple(cohort.parent / f"exam{k}" / f"phase{p}.nrrd" for p in cohorts.PHASES),
        out=out,
        lesion=mask,
        voi=cohort.parent / "voi.nrrd",
        times_s=TIMES,
        preset=str(cohort.parent / "coarse.json"),
        models=(),
    )
    run_case(request)
    return {FeatureKey(*key): float(rest[0]) if rest[0] else np.nan for key, rest in feature_rows(out)}


def test_readings_are_what_analyze_measures_on_each_mask(readers, cohort, tmp_path):
    out, _ = readers
    for reader, file in (("lesion", "first1.nrrd"), ("second_reader", "second1.nrrd")):
        expected = analyzed(cohort, 1, cohort.parent / file, tmp_path / reader)
        table = read_exam_table(out / "readings" / f"{reader}.csv.gz")
        row = table.patients.index("P01")
        found = dict(zip(table.keys, table.values[row].tolist(), strict=True))
        assert set(found) == set(expected)
        for key, value in expected.items():
            # Images are cut around the masks of both readers, so a filter or interpolation rounds otherwise.
            assert found[key] == pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True), key


def test_agreement_of_masks_is_that_of_their_tables_and_a_damaged_exam_is_a_row(readers, tmp_path, capsys):
    out, summary = readers
    assert summary["n_exams"] == N - 1
    reasons = {failure["exam"]: failure["reason"] for failure in summary["failures"]}
    assert set(reasons) == {"P04_T0", "Y_T0", "Z_T0"}
    assert "phase2.nrrd" in reasons["P04_T0"]
    assert "no mask in the column second_reader" in reasons["Y_T0"]
    assert "nothing.nrrd" in reasons["Z_T0"]
    contours = cohorts.read_rows(out / "contours.csv")
    assert len(contours) == 2 * (N - 1) + 3
    assert [r["patient"] for r in contours if r["status"] == "failed"] == ["P04", "Y", "Z"]
    assert all(r["dice"] == "1.0" for r in contours if r["reading"] == "lesion")
    assert all(0.2 < float(r["dice"]) < 1 for r in contours if r["reading"] == "second_reader")
    tables = [out / "readings" / f"{name}.csv.gz" for name in ("lesion", "second_reader")]
    code, printed, _ = run(capsys, "agreement", *tables, "--out", tmp_path / "again", "--json")
    assert code == 0
    assert (tmp_path / "again" / "agreement.csv").read_bytes() == (out / "agreement.csv").read_bytes()
    assert (
        load_stable_features(tmp_path / "again" / "stable_features.json").keys
        == load_stable_features(out / "stable_features.json").keys
    )
    assert json.loads(printed)["n_stable"] == summary["n_stable"]


def test_the_table_holds_every_form_of_every_feature(readers):
    out, summary = readers
    matrices = [read_exam_table(out / "readings" / f"{n}.csv.gz").by_exam() for n in ("lesion", "second_reader")]
    expected = reader_agreement(matrices)
    with (out / "agreement.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [FeatureKey(r["region"], r["image"], r["feature"]) for r in rows] == list(expected.keys)
    for form in FORMS:
        for part, column in (("value", form), ("low", f"{form} low"), ("high", f"{form} high")):
            found = [float(r[column]) if r[column] else np.nan for r in rows]
            assert np.array_equal(found, getattr(expected.forms[form], part), equal_nan=True)
    stable = load_stable_features(out / "stable_features.json")
    value = expected.forms["ICC(2,1)"].value
    assert stable.keys == tuple(k for k, v in zip(expected.keys, value, strict=True) if v > 0.75)
    assert summary["n_stable"] == len(stable.keys) > 100
    volume = FeatureKey("lesion", "mask", "original_shape_VoxelVolume")
    assert volume in stable.keys
    assert stable.made_by["details"]["masks"] == ["lesion", "second_reader"]
    assert str(out.parent) not in (out / "stable_features.json").read_text()


def test_one_mask_redrawn_gives_the_same_contours_again_and_other_ones_to_each_patient(cohort, tmp_path):
    small = cohorts.write_rows(cohort.parent / "small.csv", cohorts.read_rows(cohort)[1:4])
    options = ("--perturb", "2", "--json", "--seed", "3", "--growth", "3", "--min-exams", "3")
    code, printed, errors = run_process(small, tmp_path / "out", *options)
    assert code == 0, errors
    summary = json.loads(printed)
    assert (summary["n_readings"], summary["n_exams"]) == (2, 3)
    stable = load_stable_features(tmp_path / "out" / "stable_features.json")
    assert stable.made_by["source"] == "perturbation"
    assert stable.made_by["form"] == "ICC(1,1)"
    assert stable.made_by["details"]["perturbation"]["n"] == 2
    assert stable.made_by["details"]["perturbation"]["seed"] == 3
    contours = cohorts.read_rows(tmp_path / "out" / "contours.csv")
    ratios = [float(r["dice"]) for r in contours]
    assert len(set(ratios)) == len(ratios)
    one = cohorts.write_rows(cohort.parent / "one.csv", cohorts.read_rows(cohort)[2:3])
    code, _, errors = run_process(one, tmp_path / "again", *options, "--jobs", "1")
    assert code == 0, errors
    assert cohorts.read_rows(tmp_path / "again" / "contours.csv") == contours[2:4]
    for name in ("readings/contour1.csv.gz", "readings/contour2.csv.gz"):
        whole, alone = (read_exam_table(tmp_path / folder / name) for folder in ("out", "again"))
        assert np.array_equal(alone.values[0], whole.values[1], equal_nan=True)


def test_contours_measured_in_portions_are_the_same(cohort, monkeypatch):
    from IITHModuleLib.heterogeneity.perturbation import PerturbationParameters

    request = CaseRequest(
        exam=tuple(cohort.parent / "exam0" / f"phase{p}.nrrd" for p in cohorts.PHASES),
        out=cohort.parent / "unused",
        voi=cohort.parent / "voi.nrrd",
        times_s=TIMES,
        preset=str(cohort.parent / "coarse.json"),
    )
    parameters = PerturbationParameters(n=3, seed=1)
    together = list(contour_readings.measure_contours(request, None, parameters))
    monkeypatch.setattr(contour_readings, "MASK_BYTES", 1)
    apart = list(contour_readings.measure_contours(request, None, parameters))
    assert len(together) == len(apart) == 3
    for a, b in zip(together, apart, strict=True):
        assert a.keys == b.keys
        assert a.values == pytest.approx(b.values, rel=1e-6, abs=1e-9, nan_ok=True)
        assert (a.volume_cc, a.dice) == (b.volume_cc, b.dice)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Three readings of 12 simulated patients; the third is bad."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(4)
    first, *_ = heterogeneity_cohorts.two_visits(12, 2)
    spread = first.values.std(axis=0)
    paths = []
    for name, noise in (("a", 0.0), ("b", 0.1), ("c", 2.0)):
        values = first.values + noise * spread * rng.normal(size=first.values.shape)
        reading = heterogeneity_cohorts.matrix(values, first.keys)
        paths.append(feature_tables.write_wide(folder / f"{name}.csv", {"T0": reading}))
    return paths


def test_forms_bounds_and_earlier_lists_decide_the_list(tables, tmp_path, capsys):
    def stable(name, *options):
        code, _, error = run(capsys, "agreement", *tables[:2], "--out", tmp_path / name, *options)
        assert code == 0, error
        return set(load_stable_features(tmp_path / name / "stable_features.json").keys)

    agreement = reader_agreement([read_exam_table(p).by_exam() for p in tables[:2]])
    keys = np.array(agreement.keys, dtype=object)

    def expected(form, part, threshold):
        passed = getattr(agreement.forms[form], part) > threshold
        return {FeatureKey(*k) for k in keys[passed]}

    assert stable("value", "--threshold", "0.99") == expected("ICC(2,1)", "value", 0.99)
    low = stable("low", "--threshold", "0.97", "--lower-bound", "--form", "ICC3")
    assert low == expected("ICC(3,1)", "low", 0.97)
    assert 0 < len(low) < len(keys)
    both = stable("both", "--also", tmp_path / "low" / "stable_features.json", "--threshold", "0.99")
    assert both == low & expected("ICC(2,1)", "value", 0.99)
    code, _, error = run(capsys, "agreement", *tables, "--out", tmp_path / "bad")
    assert code == 0
    assert " of 120 features are stable" in error


def test_what_cannot_be_compared_is_refused_with_a_remedy(cohort, tables, tmp_path, capsys):
    out = ("--out", tmp_path / "out")
    (tmp_path / "other.csv").write_text(tables[1].read_text().replace("d" * 64, "e" * 64))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    for arguments, words in (
        ((tables[0],), "no second reading"),
        ((cohort, "--masks", "lesion,second_reader", "--perturb", "3"), "either --masks"),
        ((*tables, "--perturb", "3"), "belong to one COHORT.csv"),
        ((cohort, "--perturb", "1"), "leaves nothing to compare"),
        ((cohort, "--masks", "lesion"), "two or more different columns"),
        ((cohort, "--masks", "lesion,nothing"), "has no column nothing"),
        ((cohort, "--perturb", "2", "--growth", "-1"), "lengths of 0 mm or more"),
        ((*tables, "--jobs", "0"), "--jobs 0"),
        ((*tables, "--threshold", "2"), "not between 0 and 1"),
        ((tables[0], tmp_path / "other.csv"), "same preset"),
        ((*tables, "--also", tmp_path / "nothing.json"), "cannot be read"),
    ):
        code, _, error = run(capsys, "agreement", *arguments, *out)
        assert code == 2, arguments
        assert words in error
        assert not (tmp_path / "out").exists()
    code, _, error = run(capsys, "agreement", *tables, "--out", tmp_path / "full")
    assert (code, "holds other files" in error) == (2, True)
    few = tmp_path / "few.csv"
    few.write_text("\n".join(tables[1].read_text().splitlines()[:4]) + "\n")
    code, printed, _ = run(capsys, "agreement", tables[0], few, *out, "--json")
    assert code == 0
    assert json.loads(printed)["n_stable"] == 0
    assert "only 3 patients have every reading" in (tmp_path / "out" / "agreement.csv").read_text()


def test_no_exam_at_all_is_the_inputs_fault(tmp_path, capsys):
    path = cohorts.write_rows(tmp_path / "c.csv", [{"patient": "A", "exam": "nothing", "lesion": "a", "b": ""}])
    with pytest.raises(InputError, match="does not exist"):
        list(contour_readings.measure_contours(CaseRequest(exam=(tmp_path / "x",), out=tmp_path), None))
    code, _, error = run(capsys, "agreement", path, "--masks", "lesion,b", "--out", tmp_path / "out")
    assert code == 2
    assert "None of the 1 exams could be measured" in error
    assert not (tmp_path / "out").exists()
