"""The simulated exam on disk: valid DICOM that reads back exactly, truth images, deterministic bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import (
    TIMING_TAGS,
    DicomOptions,
    SimulationParameters,
    simulate_exam,
    write_dicom,
    write_simulated_exam,
    write_truth,
)

SMALL = SimulationParameters(
    seed=3, shape=(16, 64, 80), spacing_mm=(2.25, 2.5, 6.0), oblique_deg=(4.0, -3.0, 7.0), laterality="R"
)


@pytest.fixture(scope="module")
def simulated():
    return simulate_exam(SMALL)


@pytest.fixture(scope="module")
def paths(simulated, tmp_path_factory):
    return write_dicom(simulated, tmp_path_factory.mktemp("series"))


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(str(p.relative_to(folder)).encode() + p.read_bytes() for p in files)).hexdigest()


def test_pixels_and_positions_read_back(simulated, paths):
    geometry = simulated.exam.geometry
    n_slices = geometry.shape[0]
    assert len(paths) == 5 * n_slices
    for number, path in enumerate(paths):
        phase, z = divmod(number, n_slices)
        file = pydicom.dcmread(path)
        np.testing.assert_array_equal(file.pixel_array, simulated.exam.signal[phase, z])
        np.testing.assert_allclose(
            [float(v) for v in file.ImagePositionPatient], geometry.lps_of(np.array([[z, 0, 0]]))[0], atol=1e-6
        )
        np.testing.assert_allclose(
            [float(v) for v in file.ImageOrientationPatient],
            np.concatenate([geometry.direction_matrix[:, 0], geometry.direction_matrix[:, 1]]),
            atol=1e-9,
        )
        assert [float(v) for v in file.PixelSpacing] == [2.5, 2.25]
        assert float(file.SpacingBetweenSlices) == 6.0
        assert file.InstanceNumber == number + 1


def test_headers_name_a_simulation_and_tell_the_phases_apart(simulated, paths):
    n_slices = simulated.exam.geometry.shape[0]
    files = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    first = files[0]
    assert (str(first.PatientName), first.PatientID) == ("SIMULATED^EXAM", "SIM-3")
    assert "simulated" in first.SeriesDescription.lower()
    assert (first.Modality, first.Laterality, first.BodyPartExamined) == ("MR", "R", "BREAST")
    assert first.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert len({file.SOPInstanceUID for file in files}) == len(files)
    assert len({file.SeriesInstanceUID for file in files}) == 1
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in (first.StudyInstanceUID, first.SOPInstanceUID))
    for phase, start in enumerate(("100000", "100210", "100340", "100510", "100640")):
        file = files[phase * n_slices + 3]
        assert file.ContentTime.split(".")[0] == file.AcquisitionTime.split(".")[0] == start
        assert (file.TemporalPositionIdentifier, file.AcquisitionNumber) == (phase + 1, phase + 1)
        assert file.NumberOfTemporalPositions == 5
    assert first.ContrastBolusStartTime.startswith("100150")


def test_itk_reads_one_phase_with_its_geometry(simulated, paths):
    geometry = simulated.exam.geometry
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths[2 * geometry.shape[0] : 3 * geometry.shape[0]]])
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), simulated.exam.signal[2])
    np.testing.assert_allclose(image.GetSpacing(), geometry.spacing_mm, atol=1e-5)
    np.testing.assert_allclose(image.GetOrigin(), geometry.origin_mm, atol=1e-5)
    np.testing.assert_allclose(image.GetDirection(), geometry.direction, atol=1e-6)


def test_itk_sorts_a_series_per_phase(simulated, tmp_path):
    write_dicom(simulated, tmp_path, DicomOptions(series_per_phase=True))
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(tmp_path))
    assert len(series) == 5
    found = {}
    for uid in series:
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path), uid)
        header = pydicom.dcmread(names[0], stop_before_pixels=True)
        found[header.SeriesNumber] = sitk.GetArrayFromImage(sitk.ReadImage(names))
    for phase in range(5):
        np.testing.assert_array_equal(found[phase + 1], simulated.exam.signal[phase])


def test_timing_tags_can_be_left_out_or_frozen(simulated, tmp_path):
    options = DicomOptions(
        timing_tags=("ContentTime", "TriggerTime", "AcquisitionNumber"), frozen_tags=("ContentTime",)
    )
    last = pydicom.dcmread(write_dicom(simulated, tmp_path, options)[-1])
    assert {tag for tag in TIMING_TAGS if tag in last} == set(options.timing_tags)
    assert last.ContentTime.startswith("100000")
    assert float(last.TriggerTime) == 400_000
    assert "AcquisitionDate" not in last


def test_an_unknown_timing_tag_is_refused():
    with pytest.raises(InputError, match="EchoTime"):
        DicomOptions(timing_tags=("EchoTime",))


def test_same_parameters_same_bytes(tmp_path):
    tiny = {"shape": (12, 40, 48), "spacing_mm": (3.0, 4.0, 8.0)}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        write_simulated_exam(SimulationParameters(seed=seed, **tiny), tmp_path / name)
    assert digest(tmp_path / "first") == digest(tmp_path / "again")
    first, other = (pydicom.dcmread(tmp_path / name / "dicom" / "IM00001.dcm") for name in ("first", "other"))
    assert first.StudyInstanceUID != other.StudyInstanceUID
    assert first.PixelData != other.PixelData


def test_truth_images_lie_on_the_exam(simulated, tmp_path):
    write_truth(simulated, tmp_path)
    arrays = {
        "truth_zones": simulated.truth_zones,
        "voi": simulated.voi,
        "breast": simulated.truth_breast,
        "tissue": simulated.truth_tissue,
    }
    for name, array in arrays.items():
        image = sitk.ReadImage(str(tmp_path / f"{name}.nrrd"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
        np.testing.assert_allclose(image.GetOrigin(), simulated.exam.geometry.origin_mm, atol=1e-6)
        np.testing.assert_allclose(image.GetDirection(), simulated.exam.geometry.direction, atol=1e-9)
    record = json.loads((tmp_path / "truth.json").read_text())
    assert record["simulated"] is True
    assert record["times_s"] == [0, 130, 220, 310, 400]
    assert record["parameters"]["seed"] == 3
    assert record["lesion"]["analytic_volume_mm3"] == pytest.approx(4 / 3 * np.pi * 11**3, abs=1e-3)
    assert record["ring"]["analytic_volume_mm3"] == pytest.approx(4 / 3 * np.pi * (16**3 - 11**3), abs=1e-3)
    assert sum(zone["n_voxels"] for zone in record["zones"]) == simulated.truth_lesion.sum()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (package dicom3tools) is not installed")
@pytest.mark.parametrize("bilateral", [False, True])
def test_files_pass_the_dicom_validator(bilateral, tmp_path):
    parameters = SimulationParameters(
        shape=(12, 40, 80), spacing_mm=(4.0, 4.0, 8.0), orientation="axial", bilateral=bilateral
    )
    path = write_dicom(simulate_exam(parameters), tmp_path)[7]
    result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
    report = result.stdout + result.stderr
    assert "MRImage" in report
    assert "Error" not in report
    assert "Warning" not in report
