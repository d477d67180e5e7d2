"""Bad input: every one ends with exit code 2, one line that a person can act on, and nothing written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest

from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam, write_dicom
from SubregionHabitatLib.volume_io import write_volume
from support.dicom_edits import edit_files, phase_of
from support.exams import make_geometry


@pytest.fixture(scope="module")
def small():
    """A simulated exam of modest size around a lesion of 7 mm radius."""
    return simulate_exam(
        SimulationParameters(seed=3, shape=(32, 80, 80), spacing_mm=(2.0, 2.0, 4.0), lesion_radii_mm=(9.0, 9.0, 9.0))
    )


@pytest.fixture
def exam(small, tmp_path):
    """The exam as DICOM with its VOI and lesion; returns the folder."""
    write_dicom(small, tmp_path / "exam")
    write_volume(tmp_path / "voi.nrrd", small.voi, small.exam.geometry)
    write_volume(tmp_path / "lesion.nrrd", small.truth_lesion, small.exam.geometry)
    return tmp_path


def refused(capsys, *arguments, code=2) -> str:
    """Run the command, expect its exit code and one line on standard error, and return that line."""
    found = main([str(a) for a in arguments])
    lines = capsys.readouterr().err.strip().splitlines()
    assert found == code, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"iith {arguments[0]}: ")
    assert lines[0].endswith(".")
    return lines[0]


def analyze(capsys, folder: Path, *more, exam="exam", region=("--voi", "voi.nrrd")) -> str:
    out = folder / "out"
    region = (region[0], folder / region[1]) if region else ()
    line = refused(capsys, "analyze", folder / exam, *region, "--out", out, *more)
    assert not out.exists()
    assert not [p for p in folder.iterdir() if "partial" in p.name]
    return line


def test_empty_folder(capsys, exam):
    (exam / "nothing").mkdir()
    assert "is empty; give the folder with the exam's DICOM files" in analyze(capsys, exam, exam="nothing")


def test_folder_without_dicom(capsys, exam):
    (exam / "texts").mkdir()
    (exam / "texts" / "notes.txt").write_text("nothing to see")
    assert "holds no readable DICOM image" in analyze(capsys, exam, exam="texts")


def test_folder_that_does_not_exist(capsys, exam):
    assert "nowhere does not exist; check the path" in analyze(capsys, exam, exam="nowhere")


def test_no_dynamic_series(capsys, exam):
    def to_ct(ds):
        ds.Modality, ds.SOPClassUID = "CT", pydicom.uid.CTImageStorage
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID

    edit_files(exam / "exam", to_ct)
    assert "No dynamic contrast-enhanced MR series was found; the folder holds: series" in analyze(capsys, exam)


def test_one_phase_only(capsys, exam):
    edit_files(exam / "exam", lambda ds: phase_of(ds) == 1)
    assert "Only one phase of a dynamic exam was found" in analyze(capsys, exam)


def test_one_post_contrast_phase_only(capsys, exam):
    edit_files(exam / "exam", lambda ds: phase_of(ds) <= 2)
    assert "one post-contrast phase only" in analyze(capsys, exam)


@pytest.mark.parametrize("change", ["position", "spacing", "matrix"])
def test_phases_of_different_geometry(capsys, exam, change):
    def move(ds):
        if phase_of(ds) != 3:
            return
        if change == "position":
            ds.ImagePositionPatient = [float(v) + 7.3 for v in ds.ImagePositionPatient]
        elif change == "spacing":
            ds.PixelSpacing = [2.5, 2.5]
        else:
            ds.PixelData = ds.pixel_array[:70].tobytes()
            ds.Rows = 70

    edit_files(exam / "exam", move)
    line = analyze(capsys, exam)
    assert "geometry" in line
    assert "one grid" in line or "resample" in line


def test_series_per_phase_with_one_on_another_grid(capsys, small, exam):
    from SubregionHabitatLib.simulation import DicomOptions

    write_dicom(small, exam / "split", DicomOptions(series_per_phase=True))
    edit_files(exam / "split", lambda ds: setattr(ds, "PixelSpacing", [2.5, 2.5]) if phase_of(ds) == 4 else None)
    line = analyze(capsys, exam, exam="split")
    assert "looks like a phase of the dynamic exam but has a different geometry" in line


def test_a_missing_slice(capsys, exam):
    victim = sorted((exam / "exam").glob("*.dcm"))[40]
    victim.unlink()
    line = analyze(capsys, exam)
    assert "has slices missing: phase 2 holds 31 of 32 slices" in line
    assert "Restore the missing files" in line


def test_a_slice_missing_in_every_phase(capsys, exam):
    heights = sorted({tuple(pydicom.dcmread(p).ImagePositionPatient) for p in (exam / "exam").glob("*.dcm")})
    edit_files(exam / "exam", lambda ds: tuple(ds.ImagePositionPatient) != heights[10])
    assert "has a slice missing or uneven slice spacing" in analyze(capsys, exam)


def test_no_usable_times(capsys, exam):
    def strip(ds):
        for tag in ("ContentTime", "AcquisitionTime", "TriggerTime", "SeriesTime", "AcquisitionDateTime"):
            if tag in ds:
                del ds[tag]

    edit_files(exam / "exam", strip)
    assert "give them with --times T0,T1,... in seconds" in analyze(capsys, exam)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ("0,130,130,310,400", "The phase times do not increase: phase 2 is at 130 s and phase 3 at 130 s"),
        ("0,130,90,310,400", "The phase times do not increase"),
        ("0,130", "2 times were given for 5 phases"),
        ("0,130,x,310,400", "is not a list of seconds"),
        ("0,130,inf,310,400", "not a finite number"),
    ],
)
def test_times_that_cannot_be_used(capsys, exam, times, message):
    assert message in analyze(capsys, exam, "--times", times)


@pytest.mark.parametrize(("role", "name"), [("--voi", "VOI"), ("--lesion", "lesion")])
def test_region_outside_the_image(capsys, exam, role, name):
    far = make_geometry((8, 8, 8), (2, 2, 2), (5000.0, 0.0, 0.0))
    write_volume(exam / "far.nrrd", np.ones((8, 8, 8), dtype=np.uint8), far)
    assert f"The {name} far.nrrd lies outside the image" in analyze(capsys, exam, region=(role, "far.nrrd"))


@pytest.mark.parametrize(("role", "name"), [("--voi", "VOI"), ("--lesion", "lesion")])
def test_empty_region(capsys, small, exam, role, name):
    write_volume(exam / "empty.nrrd", np.zeros_like(small.voi), small.exam.geometry)
    assert f"The {name} empty.nrrd is empty" in analyze(capsys, exam, region=(role, "empty.nrrd"))


def test_lesion_of_three_voxels(capsys, small, exam):
    tiny = np.zeros_like(small.voi)
    tiny[tuple(np.argwhere(small.truth_lesion)[:3].T)] = True
    write_volume(exam / "tiny.nrrd", tiny, small.exam.geometry)
    line = analyze(capsys, exam, region=("--lesion", "tiny.nrrd"))
    assert "has 3 voxels; 3 habitats need at least 30" in line


@pytest.mark.parametrize("value", [0, -20])
def test_no_pre_contrast_signal_under_the_lesion(capsys, small, exam, value):
    paths = []
    for t in range(small.exam.n_phases):
        phase = small.exam.signal[t].copy()
        if t == 0:
            phase[small.truth_lesion] = value
        paths.append(exam / f"phase{t}.nrrd")
        write_volume(paths[-1], phase, small.exam.geometry)
    line = refused(
        capsys, "analyze", *paths, "--times", "0,130,220,310,400", "--lesion", exam / "lesion.nrrd",
        "--out", exam / "out",
    )  # fmt: skip
    assert "The pre-contrast signal is zero or negative in 100 % of the lesion" in line
    assert not (exam / "out").exists()


def test_a_truncated_file_among_good_ones(capsys, exam):
    victim = sorted((exam / "exam").glob("*.dcm"))[50]
    victim.write_bytes(victim.read_bytes()[:-3000])
    line = analyze(capsys, exam)
    assert f"The pixels of {victim.name} cannot be read" in line
    assert "truncated" in line


@pytest.mark.parametrize("length", [0, 60, 300, 700])
def test_a_file_cut_off_in_its_header(capsys, exam, length):
    victim = sorted((exam / "exam").glob("*.dcm"))[50]
    victim.write_bytes(victim.read_bytes()[:length])
    line = analyze(capsys, exam)
    assert victim.name in line or "has slices missing" in line


def test_a_model_file_with_a_wrong_feature_list(capsys, exam):
    from IITHModuleLib.resources import resource_path

    content = json.loads(resource_path("Models", "rfs-duke-v1", "model.json").read_text())
    content["forms"][0]["features"].reverse()
    broken = exam / "broken"
    broken.mkdir()
    (broken / "model.json").write_text(json.dumps(content))
    line = analyze(capsys, exam, "--model", broken)
    assert "model.json" in line


def test_unknown_model_preset_and_clinical_values(capsys, exam):
    assert "no-such-model" in analyze(capsys, exam, "--model", "no-such-model")
    assert "The preset fancy is unknown; choose one of" in analyze(capsys, exam, "--preset", "fancy")
    assert "hr is 'maybe'; give 0 (negative) or 1 (positive)" in analyze(capsys, exam, "--hr", "maybe")
    assert "age_years is 400" in analyze(capsys, exam, "--age", "400")


def test_neither_voi_nor_lesion(capsys, exam):
    assert "Neither a VOI nor a lesion was given" in analyze(capsys, exam, region=None)


def test_output_that_cannot_be_written(capsys, exam):
    (exam / "file").write_text("in the way")
    common = ("analyze", exam / "exam", "--voi", exam / "voi.nrrd", "--out")
    assert "is a file; name a folder" in refused(capsys, *common, exam / "file")
    assert "cannot be written" in refused(capsys, *common, exam / "file" / "below")
    (exam / "full").mkdir()
    (exam / "full" / "thesis.docx").write_text("do not touch")
    assert "holds other files" in refused(capsys, *common, exam / "full")
    assert (exam / "full" / "thesis.docx").read_text() == "do not touch"
    if os.geteuid() != 0:  # root may write anywhere
        locked = exam / "locked"
        locked.mkdir(mode=0o500)
        assert "cannot be written" in refused(capsys, *common, locked / "out")


def test_an_earlier_result_is_kept_unless_asked(capsys, exam):
    earlier = exam / "out"
    earlier.mkdir()
    (earlier / "case.json").write_text(json.dumps({"schema": "iith-case/1", "mark": 1}))
    line = refused(capsys, "analyze", exam / "exam", "--voi", exam / "voi.nrrd", "--out", earlier)
    assert "holds an earlier result; add --overwrite" in line
    assert json.loads((earlier / "case.json").read_text())["mark"] == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_run_leaves_no_half_result(exam, how):
    code = "from RadiogenomicReportLib.command_line.main import main; import sys; sys.exit(main(sys.argv[1:]))"
    arguments = ["analyze", exam / "exam", "--voi", exam / "voi.nrrd", "--out", exam / "out"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, stderr=subprocess.DEVNULL
    )
    partial = None
    for _ in range(400):
        partial = next((p for p in exam.iterdir() if ".partial-" in p.name), None)
        if partial or process.poll() is not None:
            break
        time.sleep(0.05)
    assert partial is not None, "the run never started to write"
    process.send_signal(how)
    assert process.wait(timeout=30) != 0
    assert not (exam / "out").exists()
    if how != signal.SIGKILL:
        assert not partial.exists()
    else:
        assert partial.name.startswith(".")
        assert not (partial / "case.json").exists()


@pytest.mark.parametrize("arguments", [[], ["analyze"], ["unknown"], ["survival", "t.csv", "--out", "x", "--no-such"]])
def test_wrong_options_are_one_line_that_names_the_help(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "--help`" in line
