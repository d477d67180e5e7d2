"""Exams as volume files: one per phase, 4-D, vector images and Slicer sequences."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest
import SimpleITK as sitk

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam_files import read_exam
from SubregionHabitatLib.volume_io import to_sitk, write_volume
from support.reading import TIMES, assert_same, small_exam

DUKE = ("pre", "post1", "post2", "post3", "post4")
LPS, RAS = "left-posterior-superior", "right-anterior-superior"


@pytest.fixture(scope="module")
def small():
    return small_exam(oblique_deg=(12.0, -20.0, 33.0))


def write_nrrd(path, exam, axis=3, kind="list", space=LPS, encoding="gzip", fields=(), pairs=()):
    """A NRRD file with its phases along the first or last axis, as Slicer and other programs write them."""
    geometry = exam.exam.geometry
    sign = np.array([1.0, 1, 1]) if space == LPS else np.array([-1.0, -1, 1])
    columns = (geometry.index_to_lps[:3, :3] * sign[:, None]).T
    directions = [f"({','.join(repr(float(v)) for v in c)})" for c in columns]
    sizes, kinds = [str(n) for n in geometry.shape[::-1]], ["domain"] * 3
    data = exam.exam.signal.astype("<i2")
    if axis == 0:
        data = np.moveaxis(data, 0, -1)
    for names, value in ((directions, "none"), (sizes, str(len(exam.exam.signal))), (kinds, kind)):
        names.insert(axis, value)
    origin = ",".join(repr(float(v)) for v in np.array(geometry.origin_mm) * sign)
    lines = [
        *("NRRD0005", "# written by a test", "type: short", "dimension: 4", f"space: {space}"),
        *(f"sizes: {' '.join(sizes)}", f"space directions: {' '.join(directions)}"),
        *([f"kinds: {' '.join(kinds)}"] if kind else []),
        *("endian: little", f"encoding: {encoding}", f"space origin: ({origin})"),
        *(f"{key}: {value}" for key, value in fields),
        *(f"{key}:={value}" for key, value in pairs),
    ]
    content = np.ascontiguousarray(data).tobytes()
    path.write_bytes("\n".join([*lines, "", ""]).encode() + (gzip.compress(content) if encoding == "gzip" else content))
    return path


def index(axis, values, kind="numeric"):
    return ((f"axis {axis} index type", kind), (f"axis {axis} index values", " ".join(values)))


def labelled(axis, name="time", unit="s"):
    words = [['""'] * 4, ['""'] * 4]
    words[0][axis], words[1][axis] = f'"{name}"', f'"{unit}"'
    return (("labels", " ".join(words[0])), ("units", " ".join(words[1])))


SECONDS = [f"{t:g}" for t in TIMES]


@pytest.mark.parametrize("axis", [0, 3])
@pytest.mark.parametrize("space", [LPS, RAS])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_slicer_sequence_with_times_in_seconds(small, tmp_path, axis, space, encoding):
    pairs = (("DataNodeClassName", "vtkMRMLScalarVolumeNode"), *index(axis, SECONDS))
    path = write_nrrd(tmp_path / "dce.seq.nrrd", small, axis, "list", space, encoding, labelled(axis), pairs)
    found = read_exam([path])
    assert_same(found, small)
    assert found.timing.source == "sequence index"
    assert found.timing.confidence == "medium"
    assert found.timing.phase_sources == ("sequence index",) * 5


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1000.0), ("min", 1 / 60), ("seconds", 1.0)])
def test_slicer_sequence_in_other_units_and_not_from_zero(small, tmp_path, unit, factor):
    values = [repr((t + 36000) * factor) for t in TIMES]
    path = write_nrrd(tmp_path / "a.seq.nrrd", small, fields=labelled(3, "time", unit), pairs=index(3, values))
    assert_same(read_exam([path]), small)


@pytest.mark.parametrize(
    ("fields", "pairs"),
    [
        (labelled(3, "frame", ""), index(3, "01234")),
        (labelled(3), index(3, "01234")),  # Slicer's defaults say time and s even for frame numbers
        (labelled(3), index(3, "12345")),
        (labelled(3, "time", ""), index(3, SECONDS)),
        (labelled(3, "FlipAngle", "deg"), index(3, SECONDS)),
        (labelled(3), index(3, ["pre", "post1", "post2", "post3", "post4"], "text")),
        (labelled(3), index(3, SECONDS[:4])),
        ((), ()),
        (
            (),
            (
                ("MultiVolume.FrameLabels", "1,2,3,4,5"),
                ("MultiVolume.FrameIdentifyingDICOMTagName", "TemporalPositionIdentifier"),
                ("MultiVolume.FrameIdentifyingDICOMTagUnits", "count"),
            ),
        ),
    ],
)
def test_an_index_that_is_no_time_is_never_taken_for_one(small, tmp_path, fields, pairs):
    path = write_nrrd(tmp_path / "dce.seq.nrrd", small, fields=fields, pairs=pairs)
    words = r" \(its frames are numbered only\)" if pairs else ""
    message = rf"dce\.seq\.nrrd holds 5 phases without acquisition times{words}; give them with --times T0,T1,"
    with pytest.raises(InputError, match=message):
        read_exam([path])
    assert_same(read_exam([path], times_s=TIMES), small)
    ordered = read_exam([path], allow_no_times=True)
    assert not ordered.timing.known
    assert ordered.times_s == (0, 1, 2, 3, 4)
    assert ordered.timing.notes == (
        "The phases carry no times; they are taken in the order given, and slopes are not available.",
    )


def test_times_of_slicers_multi_volume_importer(small, tmp_path):
    pairs = (
        ("MultiVolume.FrameLabels", ",".join(f"{1000 * t + 5:g}" for t in TIMES)),
        ("MultiVolume.FrameIdentifyingDICOMTagName", "TriggerTime"),
        ("MultiVolume.FrameIdentifyingDICOMTagUnits", "ms"),
        ("MultiVolume.NumberOfFrames", "5"),
    )
    found = read_exam([write_nrrd(tmp_path / "dce.nrrd", small, 0, "list", pairs=pairs)])
    assert_same(found, small)
    assert (found.timing.source, found.timing.confidence) == ("TriggerTime", "high")


@pytest.mark.parametrize("axis", [0, 3])
@pytest.mark.parametrize("kind", ["list", "vector", "time", "domain", "???", ""])
def test_four_dimensional_nrrd_with_the_phases_first_or_last(small, tmp_path, axis, kind):
    path = write_nrrd(tmp_path / "dce.nrrd", small, axis, kind)
    assert_same(read_exam([path], times_s=TIMES), small)


def test_detached_nrrd_header(small, tmp_path):
    path = write_nrrd(tmp_path / "dce.nrrd", small, 3, encoding="raw", fields=labelled(3), pairs=index(3, SECONDS))
    header, _, data = path.read_bytes().partition(b"\n\n")
    (tmp_path / "dce.raw").write_bytes(data)
    (tmp_path / "dce.nhdr").write_bytes(header + b"\ndata file: dce.raw\n\n")
    assert_same(read_exam([tmp_path / "dce.nhdr"]), small)


@pytest.mark.parametrize("name", ["dce.nii.gz", "dce.nii", "dce.nrrd", "dce.mha"])
def test_four_dimensional_images_by_simpleitk(small, tmp_path, name):
    image = sitk.JoinSeries([to_sitk(phase, small.exam.geometry) for phase in small.exam.signal], 0.0, 90.0)
    sitk.WriteImage(image, str(tmp_path / name))
    assert_same(read_exam([tmp_path / name], times_s=TIMES), small)
    with pytest.raises(InputError, match=r"its header only states one step of 90 for all phases\); give them with"):
        read_exam([tmp_path / name])


@pytest.mark.parametrize("name", ["dce.nrrd", "dce.mha", "dce.nii.gz"])
def test_vector_image_with_one_value_per_phase(small, tmp_path, name):
    image = to_sitk(np.moveaxis(small.exam.signal, 0, -1), small.exam.geometry)
    assert image.GetNumberOfComponentsPerPixel() == 5
    sitk.WriteImage(image, str(tmp_path / name))
    assert_same(read_exam([tmp_path / name], times_s=TIMES), small)


def test_real_phases_as_files_and_as_one_sequence(tmp_path):
    """The Duke crop: five NRRD phases, and the same as a sequence, are one exam."""
    from support.data import require_data

    folder = require_data("duke-153-crop")
    times = (0.0, 1371.135, 1492.545, 1615.1975, 1736.7175)
    files = read_exam([folder / f"{name}.nrrd" for name in DUKE], times_s=times)
    assert files.signal.shape == (5, 78, 96, 95)
    image = to_sitk(np.moveaxis(files.signal, 0, -1), files.geometry)
    sitk.WriteImage(image, str(tmp_path / "all.nrrd"))
    single = read_exam([tmp_path / "all.nrrd"], times_s=times)
    assert np.array_equal(single.signal, files.signal)
    assert single.geometry.same_grid(files.geometry)
    assert single.source.content_digest == files.source.content_digest
    assert single.slice_axis == files.slice_axis == 0


# ---- refusals ----------------------------------------------------------------------------------------------------
def test_files_that_are_no_exam(small, tmp_path):
    geometry, phase = small.exam.geometry, small.exam.signal[0]
    write_volume(tmp_path / "one.nrrd", phase, geometry)
    with pytest.raises(InputError, match=r"The exam one\.nrrd holds one phase; give the pre-contrast and at least two"):
        read_exam([tmp_path / "one.nrrd"])
    with pytest.raises(InputError, match=r"Files per phase carry no times; give them with --times"):
        read_exam([tmp_path / "one.nrrd"] * 3)
    ordered = read_exam([tmp_path / "one.nrrd"] * 3, allow_no_times=True)
    assert (ordered.timing.known, ordered.times_s) == (False, (0, 1, 2))
    with pytest.raises(InputError, match=r"^The exam gone\.nrrd does not exist; check the path given\.$"):
        read_exam([tmp_path / "gone.nrrd"])
    with pytest.raises(InputError, match="got nothing"):
        read_exam([])
    with pytest.raises(InputError, match="2 times were given for 5 phases"):
        read_exam([write_nrrd(tmp_path / "dce.nrrd", small)], times_s=(0, 90))
    with pytest.raises(InputError, match=r"dce\.nrrd has 3 dimensions and 5 values per voxel; a 3-D image"):
        read_exam([tmp_path / "dce.nrrd", tmp_path / "one.nrrd"], times_s=(0, 90))


def test_images_that_are_no_phases(small, tmp_path):
    colors = np.zeros((10, 40, 40, 3), dtype=np.uint8)
    sitk.WriteImage(to_sitk(colors, small.exam.geometry), str(tmp_path / "rgb.nrrd"))
    text = (tmp_path / "rgb.nrrd").read_bytes().replace(b"kinds: vector", b"kinds: RGB-color")
    (tmp_path / "rgb.nrrd").write_bytes(text)
    with pytest.raises(InputError, match=r"rgb\.nrrd is a color image, not a dynamic exam"):
        read_exam([tmp_path / "rgb.nrrd"], times_s=(0, 90, 180))
    five = sitk.JoinSeries([to_sitk(phase, small.exam.geometry) for phase in small.exam.signal[:2]])
    sitk.WriteImage(sitk.JoinSeries([five, five]), str(tmp_path / "five.nrrd"))
    with pytest.raises(InputError, match=r"five\.nrrd has 5 dimensions and 1 values per voxel; an exam needs one file"):
        read_exam([tmp_path / "five.nrrd"], times_s=(0, 90, 180))
    path = write_nrrd(tmp_path / "bare.nrrd", small)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(line for line in lines if not line.startswith((b"space", b"kinds"))))
    with pytest.raises(InputError, match=r"bare\.nrrd does not say how large its voxels are and which axis holds"):
        read_exam([path], times_s=TIMES)
    broken = write_nrrd(tmp_path / "cut.nrrd", small)
    broken.write_bytes(broken.read_bytes()[:-4000])
    with pytest.raises(
        InputError, match=r"cut\.nrrd cannot be read as an image \(.*\); check that the file is complete"
    ):
        read_exam([broken], times_s=TIMES)


def test_values_that_are_no_numbers_are_refused(small, tmp_path):
    signal = small.exam.signal.copy()
    signal[2, 3, 4, 5] = np.nan
    image = to_sitk(np.moveaxis(signal, 0, -1), small.exam.geometry)
    sitk.WriteImage(image, str(tmp_path / "nan.nrrd"))
    with pytest.raises(InputError, match="The phase files hold values that are not numbers; export the phases again"):
        read_exam([tmp_path / "nan.nrrd"], times_s=TIMES)


def test_a_folder_of_volumes_or_of_packed_files_says_what_to_do(small, tmp_path):
    (tmp_path / "volumes").mkdir()
    for name in ("pre.nrrd", "post.nii.gz"):
        write_volume(tmp_path / "volumes" / name, small.exam.signal[0], small.exam.geometry)
    with pytest.raises(InputError, match=r"its 2 NRRD or NIfTI files have to be named one by one in order of time"):
        read_exam([tmp_path / "volumes"])
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "exam.zip").write_bytes(b"PK" + bytes(50))
    (tmp_path / "packed" / "IM1.dcm.gz").write_bytes(gzip.compress(bytes(500)))
    with pytest.raises(InputError, match=r"unpack its 2 compressed files \(\.gz, \.zip, \.tar\) first"):
        read_exam([tmp_path / "packed"])


def test_one_file_reports_progress_and_can_be_cancelled(small, tmp_path):
    from SubregionHabitatLib.errors import Cancelled

    class Stop:
        def step(self, fraction, message):
            assert 0 <= fraction <= 1
            raise Cancelled

    with pytest.raises(Cancelled):
        read_exam([write_nrrd(tmp_path / "dce.nrrd", small)], times_s=TIMES, progress=Stop())


def test_the_documented_forms_name_tests_that_exist():
    from support.data import REPOSITORY

    text = (REPOSITORY / "docs" / "reading.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \|.*$", text, re.MULTILINE)
    assert len(rows) >= 20
    sources = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "Testing").glob("test_*.py")}
    current = ""
    for row in rows:
        named = re.findall(r"`(test_\w+(?:\.py)?)`", row)
        for name in named:
            if name.endswith(".py"):
                current = name
            else:
                assert f"def {name}(" in sources[current], f"{name} is not in {current}"
        assert named or "`read_times`" in row, row
