"""``iith analyze`` from DICOM to the result folder, as a user runs it."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pytest
import SimpleITK as sitk

from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam, write_dicom
from SubregionHabitatLib.volume_io import write_volume
from support.data import require_data

REGIONS = ("lesion", "habitat1", "habitat2", "habitat3", "ring")
IMAGES = ("phase0", "phase1", "phase2", "phase3", "phase4", "pe_early", "pe_peak", "ser", "wis", "wos")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small simulated exam as DICOM, its regions, and one finished result in ``out``."""
    base = tmp_path_factory.mktemp("analyze")
    exam = simulate_exam(
        SimulationParameters(seed=6, shape=(32, 80, 80), spacing_mm=(2.0, 2.0, 4.0), lesion_radii_mm=(12.0, 11.0, 12.0))
    )
    write_dicom(exam, base / "exam")
    write_volume(base / "voi.nrrd", exam.voi, exam.exam.geometry)
    write_volume(base / "lesion.nrrd", exam.truth_lesion, exam.exam.geometry)
    assert main([*_arguments(base), "--out", str(base / "out"), "--hr", "1", "--her2", "neg", "--age", "52"]) == 0
    return base


def _arguments(base, region="voi"):
    return ["analyze", str(base / "exam"), f"--{region}", str(base / f"{region}.nrrd")]


@pytest.fixture(scope="module")
def case(folder):
    return json.loads((folder / "out" / "case.json").read_text())


def test_the_result_folder_holds_what_the_contract_names(folder):
    found = {str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*") if p.is_file()}
    assert found >= {
        "case.json",
        "features.csv",
        "report.html",
        *(f"maps/{name}.nrrd" for name in ("pe_early", "pe_peak", "ser", "wis", "wos")),
        *(f"labels/{name}.nrrd" for name in ("lesion", "habitats", "ring")),
    }
    assert not [p for p in folder.iterdir() if "partial" in p.name or ".old" in p.name]


def test_case_file_keys_and_consistency(case):
    assert case["schema"] == "iith-case/1"
    assert {
        "exam",
        "parameters",
        "lesion",
        "habitats",
        "ring",
        "interaction",
        "scores",
        "warnings",
        "provenance",
    } <= set(case)
    assert [p["time_s"] for p in case["exam"]["phases"]] == [0, 130, 220, 310, 400]
    assert [p["role"] for p in case["exam"]["phases"]] == [
        "pre-contrast",
        "post-contrast",
        "early",
        "post-contrast",
        "late",
    ]
    assert {"volume_cc", "ftv_cc", "longest_diameter_mm", "n_voxels"} <= set(case["lesion"])
    assert sum(case["habitats"]["volumes_cc"].values()) == pytest.approx(case["lesion"]["volume_cc"])
    assert len(case["interaction"]["features"]) == 22
    assert np.array(case["interaction"]["matrix"]).shape == (4, 4)
    assert case["parameters"]["ftv"]["pe_threshold_percent"] == 70
    assert case["parameters"]["radiomics"]["preset"] == "mr_default"
    assert set(case["provenance"]["wall_seconds"]) >= {"read", "imaging", "radiomics", "scores"}
    assert {"iith", "numpy", "SimpleITK"} <= set(case["provenance"]["software"])
    assert case["provenance"]["seeds"]["habitats"] == case["parameters"]["habitats"]["seed"]


def test_images_carry_the_exams_geometry_and_agree_with_the_case(folder, case):
    lesion = sitk.ReadImage(str(folder / "out" / "labels" / "lesion.nrrd"))
    habitats = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out" / "labels" / "habitats.nrrd")))
    ring = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out" / "labels" / "ring.nrrd")))
    mask = sitk.GetArrayFromImage(lesion)
    geometry = case["exam"]["geometry"]
    assert list(lesion.GetSize()) == geometry["size_xyz"]
    assert lesion.GetSpacing() == pytest.approx(geometry["spacing_mm"], abs=1e-5)
    assert lesion.GetOrigin() == pytest.approx(geometry["origin_lps_mm"], abs=1e-4)
    assert lesion.GetDirection() == pytest.approx(geometry["direction_lps"], abs=1e-6)
    assert np.array_equal(habitats > 0, mask > 0)
    assert not ((ring > 0) & (mask > 0)).any()
    cc = np.prod(geometry["spacing_mm"]) / 1000
    assert mask.sum() == case["lesion"]["n_voxels"]
    assert mask.sum() * cc == pytest.approx(case["lesion"]["volume_cc"])
    assert ring.sum() * cc == pytest.approx(case["ring"]["volume_cc"])
    image = sitk.ReadImage(str(folder / "out" / "maps" / "pe_early.nrrd"))
    assert image.GetMetaData("unit") == "%"
    assert image.GetPixelID() == sitk.sitkFloat32


def test_features_of_every_region_on_every_image(folder, case):
    with (folder / "out" / "features.csv").open(newline="") as stream:
        reader = csv.DictReader(stream)
        assert reader.fieldnames == ["region", "image", "feature", "value", "unit", "reason"]
        rows = list(reader)
    counts = Counter((r["region"], r["image"]) for r in rows)
    assert {region for region, _ in counts} == {*REGIONS, "ipsilateral_parenchyma"}
    for region in REGIONS:
        assert counts[region, "mask"] == 14
        assert all(counts[region, image] == 93 for image in IMAGES)
    assert counts["lesion", "interaction"] == 22
    assert counts["lesion", "kinetic"] == 12
    assert counts["ipsilateral_parenchyma", "background"] == 15
    found = {r["feature"]: float(r["value"]) for r in rows if r["image"] == "interaction"}
    assert found == case["interaction"]["features"]
    assert len(rows) == 5 * (14 + 93 * len(IMAGES)) + 22 + 12 + 15 == case["features"]["n_values"]
    for r in rows:
        assert bool(r["value"]) != bool(r["reason"]), r
        assert r["unit"], r
        if r["value"]:
            assert np.isfinite(float(r["value"]))
    volume = next(float(r["value"]) for r in rows if r["feature"].endswith("VoxelVolume") and r["region"] == "lesion")
    assert volume / 1000 == pytest.approx(case["lesion"]["volume_cc"], rel=0.05)


def test_scores_say_what_they_were_made_from(case):
    scores = {s["model_id"]: s for s in case["scores"]}
    pcr, rfs = scores["pcr-ispy2-v1"], scores["rfs-duke-v1"]
    assert pcr["inputs_used"]["ftv_mm3"]["value"] == pytest.approx(1000 * case["lesion"]["ftv_cc"])
    assert pcr["inputs_used"]["hr"]["value"] == 1
    assert 0 < pcr["value"] < 1
    assert rfs["form"] == "volume, receptors and age"
    assert "1 by construction" in rfs["form_reason"]
    for name, score in scores.items():
        assert score["licence"]
        assert (score["percentile_in_training"] is None) == bool(score["refusal"])
        if name == "iith-simulated-v1":
            assert score["performance"]["internal"] is None
        else:
            assert score["performance"]["internal"]["n"] > 100
    assert [name for name, score in scores.items() if score["refusal"]] == ["rfs-delta-ld-ispy1-v1"]


def test_no_identity_unless_asked(folder, tmp_path):
    for name in ("case.json", "report.html", "features.csv"):
        text = (folder / "out" / name).read_text()
        assert "SIM-6" not in text
        assert "SIMULATED^EXAM" not in text
    assert main([*_arguments(folder), "--out", str(tmp_path / "shown"), "--show-identity"]) == 0
    assert json.loads((tmp_path / "shown" / "case.json").read_text())["identity"]["PatientID"] == "SIM-6"
    assert "SIM-6" in (tmp_path / "shown" / "report.html").read_text()


def test_the_same_run_gives_the_same_numbers(folder, case, tmp_path):
    assert main([*_arguments(folder), "--out", str(tmp_path / "again"), "--hr", "1", "--her2", "0", "--age", "52"]) == 0
    again = json.loads((tmp_path / "again" / "case.json").read_text())
    for key in ("wall_seconds", "peak_memory_mb"):
        again["provenance"].pop(key)
        case = {**case, "provenance": {k: v for k, v in case["provenance"].items() if k != key}}
    assert again == case
    for name in ("features.csv", "labels/habitats.nrrd", "maps/ser.nrrd"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_a_drawn_lesion_uses_the_model_form_with_enhancing_fraction(folder, tmp_path, capsys):
    out = tmp_path / "drawn"
    assert main([*_arguments(folder, "lesion"), "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "case.json").read_text())
    scores = {s["model_id"]: s for s in printed["scores"]}
    assert scores["rfs-duke-v1"]["form"] == "volume and enhancing fraction"
    assert 0 < scores["rfs-duke-v1"]["inputs_used"]["enhancing_fraction"]["value"] <= 1
    refusal = scores["pcr-ispy2-v1"]
    assert refusal["value"] is None
    assert {m["name"] for m in refusal["inputs_missing"]} == {"hr", "her2", "age_years"}


def test_a_model_asked_for_by_name_that_refuses_ends_with_3_and_a_complete_result(folder, tmp_path, capsys):
    out = tmp_path / "refused"
    assert main([*_arguments(folder), "--out", str(out), "--model", "pcr-ispy2-v1"]) == 3
    assert (
        capsys.readouterr()
        .err.strip()
        .splitlines()[-1]
        .startswith(
            "iith analyze: Model pcr-ispy2-v1 cannot score this case without hr (not given; give --hr 0 or --hr 1)"
        )
    )
    assert [s["model_id"] for s in json.loads((out / "case.json").read_text())["scores"]] == ["pcr-ispy2-v1"]


def test_clinical_file_and_overwrite(folder, tmp_path):
    (tmp_path / "c.csv").write_text("HR,HER2,age\npositive,0,61\n")
    arguments = [*_arguments(folder), "--out", str(tmp_path / "o"), "--clinical", str(tmp_path / "c.csv")]
    assert main([*arguments, "--age", "62"]) == 0
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite"]) == 0
    values = json.loads((tmp_path / "o" / "case.json").read_text())["case_values"]
    assert (values["hr"]["value"], values["her2"]["value"], values["age_years"]["value"]) == (1, 0, 61)


def test_thresholds_other_than_the_models_own_leave_ftv_missing(folder, tmp_path):
    out = tmp_path / "o"
    assert (
        main(
            [*_arguments(folder), "--out", str(out), "--pe-threshold", "60", "--hr", "1", "--her2", "0", "--age", "50"]
        )
        == 0
    )
    case = json.loads((out / "case.json").read_text())
    assert case["case_values"]["ftv_mm3"]["value"] is None
    assert "other thresholds" in case["case_values"]["ftv_mm3"]["reason"]
    assert next(s for s in case["scores"] if s["model_id"] == "pcr-ispy2-v1")["value"] is None


def test_the_real_exam_from_two_paths(tmp_path, capsys):
    exam = require_data("ucsf-br-06")
    out = tmp_path / "ucsf"
    assert main(["analyze", str(exam), "--voi", str(exam / "mask"), "--out", str(out), "--json"]) == 0
    case = json.loads(capsys.readouterr().out)
    assert [p["time_s"] for p in case["exam"]["phases"]] == [0, 407, 761]
    assert case["lesion"]["ftv_cc"] == pytest.approx(41.1, rel=0.02)
    text = (out / "case.json").read_text() + (out / "report.html").read_text()
    assert "UCSF-BR-06" not in text
    assert "Breast-MRI-NACT-Pilot" not in text
    # Two post-contrast phases have no middle one, and the FTV rule decides what enhances.
    assert case["features"]["n_missing"] == 5
    assert all("post-contrast" in r or "FTV rule" in r for r in case["features"]["missing_reasons"])


def test_dicom_objects_are_written_by_default_and_the_case_says_so(folder, case):
    pytest.importorskip("highdicom", reason="highdicom is not installed")
    maps = [f"dicom/map_{n}.dcm" for n in ("pe_early", "pe_peak", "ser", "wis", "wos", "time_to_peak")]
    names = ["dicom/segmentation.dcm", "dicom/measurements.dcm", *maps]
    assert case["dicom"] == {"files": names, "identity": "replaced", "reason": None}
    assert sorted(names) == sorted(f"dicom/{p.name}" for p in (folder / "out" / "dicom").iterdir())


def test_dicom_objects_of_an_exam_that_is_not_dicom_are_refused_before_any_work(folder, tmp_path, capsys):
    image = sitk.ReadImage(str(folder / "voi.nrrd"))
    files = [str(tmp_path / f"phase{i}.nrrd") for i in range(3)]
    for i, path in enumerate(files):
        sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32) * (i + 1) + 10, path)
    arguments = ["analyze", *files, "--times", "0,90,180", "--voi", str(folder / "voi.nrrd"), "--dicom"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "not read from a DICOM folder" in line
    assert "leave --dicom out" in line
    assert not (tmp_path / "out").exists()
