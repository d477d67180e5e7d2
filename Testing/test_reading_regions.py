"""Regions drawn elsewhere: Slicer's segmentations, DICOM SEG, and what is refused."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.masks import read_region
from SubregionHabitatLib.simulation import write_dicom
from SubregionHabitatLib.volume_io import to_sitk, write_volume
from support.reading import small_exam


@pytest.fixture(scope="module")
def small():
    return small_exam()


def write_seg(small, path, arrays, kind="BINARY", background=False):
    """A DICOM SEG by highdicom: one segment per array (Z, Y, X) on the exam's grid; returns its data set."""
    hd = pytest.importorskip("highdicom")
    sources = [pydicom.dcmread(p) for p in write_dicom(small, path.parent / "source")[: small.exam.geometry.shape[0]]]
    names = [f"lesion {k + 1}" for k in range(len(arrays))]
    tissue = hd.sr.CodedConcept("49755003", "SCT", "Morphologically Altered Structure")
    segments = [
        hd.seg.SegmentDescription(
            segment_number=k + 1,
            segment_label=name,
            segmented_property_category=tissue,
            segmented_property_type=tissue,
            algorithm_type="MANUAL",
        )
        for k, name in enumerate(names)
    ]
    stacked = np.stack(arrays, axis=-1)
    pixels = stacked.astype(float) if kind == "FRACTIONAL" else stacked.astype(np.uint8)
    seg = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid="2.25.5",
        series_number=9,
        sop_instance_uid="2.25.6",
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
        series_description="region with background threshold" if background else "region",
        omit_empty_frames=True,
    )
    seg.save_as(path)
    return seg


def two_parts(small):
    first, second = np.zeros((2, *small.truth_lesion.shape), dtype=bool)
    first[2:5, 10:20, 12:22] = True
    second[4:7, 15:25, 18:30] = True
    return first, second


def test_binary_dicom_seg_with_two_overlapping_segments(small, tmp_path):
    parts = two_parts(small)
    write_seg(small, tmp_path / "seg.dcm", parts)
    region = read_region(tmp_path / "seg.dcm", small.exam.geometry, "VOI")
    assert np.array_equal(region.mask, parts[0] | parts[1])
    assert "The VOI seg.dcm holds 2 segments; all of them were taken together." in region.notes
    assert not region.background_applied


def test_fractional_dicom_seg_is_cut_at_one_half(small, tmp_path):
    share = np.zeros(small.truth_lesion.shape)
    share[3:6, 10:20, 10:20] = 0.3
    share[4, 12:18, 12:18] = 0.8
    write_seg(small, tmp_path / "seg.dcm", [share], "FRACTIONAL", background=True)
    region = read_region(tmp_path / "seg.dcm", small.exam.geometry, "VOI")
    assert np.array_equal(region.mask, share > 0.5)
    assert "The VOI seg.dcm is fractional; voxels of at least 50% were taken." in region.notes
    assert region.background_applied


def test_slicer_segmentation_with_overlapping_segments(small, tmp_path):
    """Slicer saves segments that overlap as layers, one value per layer and voxel."""
    parts = two_parts(small)
    layers = np.stack([parts[0].astype(np.uint8), 2 * parts[1].astype(np.uint8)], axis=-1)
    sitk.WriteImage(to_sitk(layers, small.exam.geometry), str(tmp_path / "a.seg.nrrd"))
    region = read_region(tmp_path / "a.seg.nrrd", small.exam.geometry, "lesion")
    assert np.array_equal(region.mask, parts[0] | parts[1])
    assert region.notes == ("The lesion a.seg.nrrd holds 2 labels; all of them were taken together.",)


@pytest.mark.parametrize("name", ["m.nii.gz", "m.nii", "m.mha"])
def test_other_file_forms(small, tmp_path, name):
    write_volume(tmp_path / name, small.truth_lesion, small.exam.geometry)
    assert np.array_equal(read_region(tmp_path / name, small.exam.geometry).mask, small.truth_lesion)


def test_refusals(small, tmp_path):
    geometry = small.exam.geometry
    with pytest.raises(InputError, match=r"The VOI gone\.nrrd does not exist; check the path given"):
        read_region(tmp_path / "gone.nrrd", geometry, "VOI")
    (tmp_path / "text.txt").write_text("no mask")
    with pytest.raises(InputError, match=r"The VOI text\.txt is neither a NRRD, NIfTI nor DICOM SEG file"):
        read_region(tmp_path / "text.txt", geometry, "VOI")
    image = write_dicom(small, tmp_path / "dicom")[0]
    with pytest.raises(InputError, match=r"is a DICOM file but not a segmentation; give a DICOM SEG, NRRD or NIfTI"):
        read_region(image, geometry, "VOI")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="The VOI folder nothing holds no DICOM SEG, NRRD or NIfTI file"):
        read_region(tmp_path / "nothing", geometry, "VOI")
    seg = write_seg(small, tmp_path / "seg.dcm", [two_parts(small)[0]])
    frames = seg.PerFrameFunctionalGroupsSequence
    place = frames[1].PlanePositionSequence[0].ImagePositionPatient
    across = np.array(frames[2].PlanePositionSequence[0].ImagePositionPatient, dtype=float) - np.array(
        place, dtype=float
    )
    frames[1].PlanePositionSequence[0].ImagePositionPatient = list(np.array(place, dtype=float) + 0.4 * across)
    seg.save_as(tmp_path / "uneven.dcm")
    with pytest.raises(InputError, match="The frames of the DICOM SEG are not evenly spaced; export it again"):
        read_region(tmp_path / "uneven.dcm", geometry, "VOI")
    del seg.SharedFunctionalGroupsSequence
    seg.save_as(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match="The DICOM SEG lacks PlaneOrientationSequence; export it again"):
        read_region(tmp_path / "seg.dcm", geometry, "VOI")
    del seg.PerFrameFunctionalGroupsSequence
    seg.save_as(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match=r"The VOI seg.dcm is a damaged or unusual DICOM SEG \(.*\); export it again"):
        read_region(tmp_path / "seg.dcm", geometry, "VOI")
    five = sitk.JoinSeries([to_sitk(small.voi, geometry)] * 2)
    sitk.WriteImage(five, str(tmp_path / "four.nrrd"))
    with pytest.raises(InputError, match=r"four\.nrrd has 4 dimensions and 1 values per voxel"):
        read_region(tmp_path / "four.nrrd", geometry, "VOI")
