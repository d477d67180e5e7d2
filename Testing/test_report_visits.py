"""``iith report`` over several visits: curves, the flow of habitats, the phenotype of change, and bad inputs."""

from __future__ import annotations

import csv
import itertools
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from IITHModuleLib.heterogeneity.delta_features import delta_features
from IITHModuleLib.heterogeneity.delta_phenotype import PhenotypeParameters, fit_delta_phenotypes
from IITHModuleLib.heterogeneity.frozen_model import ModelHead
from IITHModuleLib.heterogeneity.iith_signature import load_signature
from IITHModuleLib.heterogeneity.phenotype_file import FORMAT
from IITHModuleLib.heterogeneity.phenotype_score import score_phenotype
from RadiogenomicReportLib.command_line.main import main
from RadiogenomicReportLib.visits import OUTSIDE, flows, read_visits, trends
from SubregionHabitatLib.analysis import analyze_imaging
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from support.browser import browser  # noqa: F401
from support.heterogeneity_cohorts import two_visits
from support.report_cases import Page
from support.result_folders import PRESET, write_result_folder

NASTY = "<script>alert('1')</script>\"><img src=x onerror=alert(2)> {{ 7*7 }}"
GRID = {"shape": (20, 56, 56), "spacing_mm": (3.0, 3.0, 4.0)}
RADII = ((15.0, 13.0, 16.0), (12.0, 11.0, 13.0), (9.5, 9.0, 11.0))


@pytest.fixture(scope="module")
def cohort():
    first, second, _ = two_visits(60, 3)
    return first, second


@pytest.fixture(scope="module")
def base(tmp_path_factory, cohort):
    """Three visits of a shrinking lesion on one grid, whose features are those of a patient of the cohort."""
    folder = tmp_path_factory.mktemp("visits")
    for i, radii in enumerate(RADII):
        made = simulate_exam(SimulationParameters(seed=40 + i, lesion_radii_mm=radii, **GRID))
        imaging = analyze_imaging(made.exam, voi=RegionMask(made.voi, "VOI"))
        matrix = cohort[min(i, 1)]
        features = dict(zip((tuple(k) for k in matrix.keys), matrix.values[0], strict=True))
        write_result_folder(folder / f"v{i}", made.exam, imaging, features)
    return folder


@pytest.fixture(scope="module")
def model(cohort, tmp_path_factory):
    """A phenotype model of the cohort, made with the preset of the results."""
    first, second = cohort
    changes = delta_features(first, second, load_signature("delta-chitalia2023").signs_of(first.keys))
    found = fit_delta_phenotypes(changes, PhenotypeParameters(n_resamples=50, n_simulations=100)).model
    folder = tmp_path_factory.mktemp("model") / "phenotypes"
    FORMAT.save(found, ModelHead("simulated-phenotypes", "Phenotypes of simulated patients", limits=("s",)), folder)
    content = json.loads((folder / "model.json").read_text())
    content["preset"] = {"name": PRESET["preset"], "sha256": PRESET["preset_digest"]}
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def paths(base, n=3):
    return [base / f"v{i}" for i in range(n)]


def report(base, out, *options, n=3):
    return main(["report", *map(str, paths(base, n)), "--out", str(out), *options])


# ---- numbers -----------------------------------------------------------------------------------------------------
def test_curves_hold_the_values_of_the_cases_and_their_change(base):
    visits = read_visits(paths(base), days=(5.0, 26.0, 145.0))
    assert [v.day for v in visits] == [0.0, 21.0, 140.0]
    found = {t.key: t for t in trends(visits)}
    cases = [json.loads((p / "case.json").read_text()) for p in paths(base)]
    ftv = [c["lesion"]["ftv_cc"] for c in cases]
    assert ftv[0] > ftv[1] > ftv[2] > 0
    assert found["ftv_cc"].values == tuple(ftv)
    assert found["ftv_cc"].change_percent(2) == (pytest.approx(100 * (ftv[2] / ftv[0] - 1)), "")
    assert found["longest_diameter_mm"].values == tuple(c["lesion"]["longest_diameter_mm"] for c in cases)
    assert found["ser"].values == tuple(c["kinetics"]["lesion_statistics"]["ser"]["mean"] for c in cases)
    assert found["pe_early"].unit == "%"
    assert found["bpe"].values == tuple(c["background_enhancement"][0]["mean_percent"] for c in cases)


def test_a_change_of_nothing_or_from_nothing_has_a_reason(base, tmp_path):
    for i in (0, 1):
        shutil.copytree(base / f"v{i}", tmp_path / f"v{i}")
    edit(tmp_path / "v0", lambda c: c["lesion"].update(ftv_cc=0.0, longest_diameter_mm=None))
    edit(tmp_path / "v0", lambda c: c.pop("background_enhancement"))  # as earlier versions wrote it
    edit(tmp_path / "v1", lambda c: c.update(background_enhancement=[{"side": "ipsilateral", "mean_percent": 31.5}]))
    found = {t.key: t for t in trends(read_visits(paths(tmp_path, 2)))}
    assert found["ftv_cc"].change_percent(1) == (None, "it is 0 at the first visit")
    assert found["longest_diameter_mm"].change_percent(1) == (None, "not measured at this visit")
    assert found["bpe"].values == (None, 31.5)
    assert found["bpe"].change_percent(1) == (None, "background enhancement is not part of this result")


def test_without_registration_nothing_is_said_of_tissue(base):
    visits = read_visits(paths(base))
    for flow, (first, second) in zip(flows(visits), itertools.pairwise(visits), strict=True):
        assert flow.matrix is None
        assert flow.before_cc == first.habitat_volumes_cc
        assert flow.after_cc == second.habitat_volumes_cc


def test_with_registration_the_flow_counts_every_voxel(base):
    visits = read_visits(paths(base))
    labels = [sitk.GetArrayFromImage(sitk.ReadImage(str(p / "labels" / "habitats.nrrd"))) for p in paths(base)]
    cc = float(np.prod(GRID["spacing_mm"])) / 1000
    for i, flow in enumerate(flows(visits, registered=True)):
        assert flow.rows == flow.columns == ("poor", "moderate", "high", OUTSIDE)
        for r, before in enumerate((1, 2, 3, 0)):
            for c, after in enumerate((1, 2, 3, 0)):
                n = 0 if before == after == 0 else int(((labels[i] == before) & (labels[i + 1] == after)).sum())
                assert flow.matrix[r, c] == pytest.approx(n * cc, abs=1e-12)
        assert flow.before_cc[:3] == pytest.approx(visits[i].habitat_volumes_cc)
        assert flow.after_cc[:3] == pytest.approx(visits[i + 1].habitat_volumes_cc)


def test_the_phenotype_is_that_of_the_model(base, model, cohort, tmp_path):
    assert report(base, tmp_path, "--format", "html", "json", "--phenotypes", str(model)) == 0
    rows = json.loads((tmp_path / "numbers.json").read_text())["numbers"]
    found = {(r["item"], r["quantity"]): r["value"] for r in rows if r["section"] == "phenotype"}
    cases = [dict(zip(m.keys, m.values[0].tolist(), strict=True)) for m in cohort]
    expected = score_phenotype(FORMAT.load(model).model, *cases)
    assert found["visit 1 to visit 2", "phenotype"] == expected.phenotype
    assert found["visit 1 to visit 2", "distance ratio"] == pytest.approx(expected.distance_ratio)
    text = Page((tmp_path / "visits.html").read_text()).by_id("phenotype").text
    assert expected.phenotype in text
    assert "change of functional tumor volume" in text


def test_a_refused_phenotype_is_a_reason_in_the_report(base, model, tmp_path):
    shutil.copytree(base / "v0", tmp_path / "v0")
    shutil.copytree(base / "v1", tmp_path / "v1")
    lines = (tmp_path / "v1" / "features.csv").read_text().splitlines()
    (tmp_path / "v1" / "features.csv").write_text("\n".join(lines[: len(lines) // 2]) + "\n")
    assert report(tmp_path, tmp_path / "out", "--format", "html", "csv", "--phenotypes", str(model), n=2) == 0
    assert "Not scored." in Page((tmp_path / "out" / "visits.html").read_text()).by_id("phenotype").text
    with (tmp_path / "out" / "numbers.csv").open(newline="") as stream:
        (row,) = [r for r in csv.DictReader(stream) if r["quantity"] == "phenotype"]
    assert row["value"] == ""
    assert row["reason"]


# ---- page --------------------------------------------------------------------------------------------------------
def test_all_forms_are_written_and_the_numbers_are_on_the_page(base, tmp_path):
    options = ("--labels", "before,after 1 cycle,before surgery", "--days", "0,21,140")
    assert report(base, tmp_path, "--format", "html", "pdf", "csv", "json", "figures", *options) == 0
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"visits.html", "visits.pdf", "numbers.csv", "numbers.json", "figures"}
    suffixes = [p.suffix for p in (tmp_path / "figures").iterdir()]
    assert (suffixes.count(".svg"), suffixes.count(".png")) == (6, 3 + 6)  # five curves and the flow; a slice per visit
    page = Page((tmp_path / "visits.html").read_text())
    assert "Habitats were not found with one common model" in page.by_id("limits").text
    assert "not registered onto each other" in page.by_id("limits").text
    assert "bands join the volumes of the same habitat" in page.by_id("habitats").text
    assert "after 1 cycle" in page.by_id("kinetics").text
    assert "Simulated exams." in page.text
    assert not page.all("script")


def test_registered_visits_are_called_so(base, tmp_path):
    assert report(base, tmp_path, "--format", "html", "--registered", n=2) == 0
    page = Page((tmp_path / "visits.html").read_text())
    assert "not registered onto each other" not in page.text
    assert "How good the registration was is not known" in page.by_id("habitats").text
    assert OUTSIDE in page.by_id("habitats").text


def test_different_settings_are_named(base, tmp_path):
    shutil.copytree(base / "v0", tmp_path / "v0")
    shutil.copytree(base / "v1", tmp_path / "v1")
    edit(tmp_path / "v1", lambda c: c["parameters"].update(ring_mm=8.0))
    edit(tmp_path / "v1", lambda c: c["exam"]["phases"][c["kinetics"]["early_phase"]].update(time_s=400.0))
    assert report(tmp_path, tmp_path / "out", "--format", "html", n=2) == 0
    text = Page((tmp_path / "out" / "visits.html").read_text()).by_id("limits").text
    assert "different settings (ring_mm)" in text
    assert "The early phase lies at different times" in text


def test_the_page_in_a_browser_with_markup_in_names(browser, base, tmp_path):  # noqa: F811
    shutil.copytree(base / "v0", tmp_path / "v0")
    shutil.copytree(base / "v1", tmp_path / "v1")
    edit(tmp_path / "v0", lambda c: c.update(identity={"PatientName": NASTY, "PatientID": "4711"}))
    edit(tmp_path / "v0", lambda c: c["exam"].update(description=NASTY))
    labels = f"{NASTY.replace(',', '')},second"
    arguments = ("--format", "html", "--labels", labels, "--registered")
    assert report(tmp_path, tmp_path / "out", *arguments, "--identity", n=2) == 0
    for width in (1280, 390):
        opened = browser.open(tmp_path / "out" / "visits.html", width)
        assert opened.messages == ()
        assert opened.requests == ()
        assert len(opened.images) == 2 + 5 + 1
        assert all(min(i[1:]) > 50 for i in opened.images)
        assert opened.page_width <= width
        assert opened.text.count("<script>alert('1')</script>") >= 4
    assert report(tmp_path, tmp_path / "out", *arguments, n=2) == 0
    assert "4711" not in (tmp_path / "out" / "visits.html").read_text()


# ---- bad inputs --------------------------------------------------------------------------------------------------
def edit(result, change):
    case = json.loads((result / "case.json").read_text())
    change(case)
    (result / "case.json").write_text(json.dumps(case))


def _other_grid(folder):
    for part in ("labels", "maps", "images"):
        for path in (folder / part).iterdir():
            image = sitk.ReadImage(str(path))
            image.SetOrigin([v + 40.0 for v in image.GetOrigin()])
            sitk.WriteImage(image, str(path))


BAD = {
    "no out": ([], None, "--out"),
    "same result twice": (["--out", "{out}"], "twice", "named twice"),
    "same exam twice": (["--out", "{out}"], "copy", "the same exam"),
    "too few labels": (["--out", "{out}", "--labels", "one"], None, "1 labels were given for 2 visits"),
    "equal labels": (["--out", "{out}", "--labels", "a, a"], None, "same label"),
    "empty label": (["--out", "{out}", "--labels", "a,"], None, "has none"),
    "too many days": (["--out", "{out}", "--days", "0,1,2"], None, "3 days were given for 2 visits"),
    "days fall": (["--out", "{out}", "--days", "20,3"], None, "do not rise"),
    "days are words": (["--out", "{out}", "--days", "monday,friday"], None, "are not numbers"),
    "days are not finite": (["--out", "{out}", "--days", "0,nan"], None, "do not rise"),
    "dicom of several": (["--out", "{out}", "--dicom", "{out}"], None, "belong to one result"),
    "identity of nobody": (["--out", "{out}", "--identity"], None, "No visit was analyzed with"),
    "no model": (["--out", "{out}", "--phenotypes", "{base}/nothing"], None, "nothing"),
    "model of another kind": (["--out", "{out}", "--phenotypes", "pcr-ispy2-v1"], None, "pcr-ispy2-v1"),
    "out is a file": (["--out", "{base}/v0/case.json"], None, "is a file"),
    "other patients": (["--out", "{out}"], "patients", "of different patients"),
    "grids differ": (["--out", "{out}", "--registered"], "grid", "do not lie on one grid"),
    "damaged case": (["--out", "{out}"], "damaged", "is not complete"),
    "no result": (["--out", "{out}"], "gone", "holds no case.json"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_inputs_give_one_line_and_nothing_is_written(base, tmp_path, fault, capsys):
    options, spoil, words = BAD[fault]
    first, second = tmp_path / "v0", tmp_path / "v1"
    shutil.copytree(base / "v0", first)
    shutil.copytree(base / ("v0" if spoil == "copy" else "v1"), second)
    if spoil == "twice":
        second = first
    if spoil == "patients":
        edit(first, lambda c: c.update(identity={"PatientID": "1"}))
        edit(second, lambda c: c.update(identity={"PatientID": "2"}))
    if spoil == "grid":
        _other_grid(second)
    if spoil == "damaged":
        edit(second, lambda c: c["habitats"]["regions"][0].pop("volume_cc"))
    if spoil == "gone":
        (second / "case.json").unlink()
    filled = [o.format(out=tmp_path / "out", base=tmp_path) for o in options]
    assert main(["report", str(first), str(second), "--format", "html", *filled]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert not (tmp_path / "out").exists()


def test_options_of_several_visits_need_several_visits(base, capsys):
    for options in (["--labels", "a"], ["--days", "0"], ["--registered"], ["--phenotypes", "x"]):
        assert main(["report", str(base / "v0"), *options]) == 2
        assert "need several visits" in capsys.readouterr().err
