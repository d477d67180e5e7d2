"""A small simulated exam for tests of the reader, and other forms to write it in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian

from SubregionHabitatLib.simulation import DicomOptions, SimulatedExam, SimulationParameters, simulate_exam, write_dicom

TIMES = (0.0, 130.0, 220.0, 310.0, 400.0)
CLOCK_TAGS = ("ContentTime", "AcquisitionTime", "TriggerTime", "SeriesTime", "AcquisitionDateTime")
NUMBER_TAGS = ("AcquisitionNumber", "TemporalPositionIdentifier", "NumberOfTemporalPositions")


@lru_cache(maxsize=8)
def small_exam(**changes) -> SimulatedExam:
    """A simulated exam of 5 phases of 10 slices of 40 x 40."""
    values = {"seed": 4, "shape": (10, 40, 40), "spacing_mm": (3.6, 3.6, 9.0), "lesion_radii_mm": (9.0, 9.0, 9.0)}
    return simulate_exam(SimulationParameters(**{**values, **changes}))


def write_series(simulated: SimulatedExam, folder: Path, number: int = 1, per_phase: bool = False) -> list[Path]:
    """The exam as classic DICOM below ``folder``; series get the numbers ``number``, ``number`` + 1, ..."""
    options = DicomOptions(series_per_phase=per_phase)
    paths = write_dicom(simulated, folder, options)
    for path in paths:
        dataset = pydicom.dcmread(path)
        renumber(dataset, int(dataset.SeriesNumber) - 1 + number)
        dataset.save_as(path)
    return paths


def renumber(dataset: Dataset, number: int) -> None:
    """Make a data set one of another series of the same study, with identifiers of its own."""
    dataset.SeriesNumber = number
    dataset.SeriesInstanceUID = f"2.25.1{number:04d}"
    dataset.SOPInstanceUID = f"2.25.2{number:04d}{int(dataset.InstanceNumber):05d}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def drop(dataset: Dataset, *keywords: str) -> None:
    for keyword in keywords:
        if keyword in dataset:
            del dataset[keyword]


def clock_text(seconds: float) -> str:
    """A DICOM time that many seconds after midnight (of the same day or a later one)."""
    seconds = round(seconds % 86400, 6)
    return f"{int(seconds // 3600):02d}{int(seconds % 3600 // 60):02d}{seconds % 60:09.6f}"


def assert_same(found, simulated: SimulatedExam, times=TIMES) -> None:
    """Every voxel, its place and the times are those of the simulated exam."""
    assert found.times_s == pytest.approx(times, abs=0.01)
    assert found.geometry.same_grid(simulated.exam.geometry)
    assert np.array_equal(found.signal, simulated.exam.signal)


def _item(**values) -> Sequence:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


def enhanced_mr(
    simulated: SimulatedExam,
    path: Path,
    phases: tuple[int, ...] = (0, 1, 2, 3, 4),
    clocks: tuple[str, ...] = ("FrameAcquisitionDateTime",),
    index: bool = True,
    slopes: bool = False,
    instance: int = 1,
) -> pydicom.Dataset:
    """Write phases as one Enhanced MR file, slices of all phases interleaved, and return its data set.

    clocks: any of FrameAcquisitionDateTime, FrameReferenceDateTime, TemporalPositionTimeOffset, TriggerTime;
    index: write TemporalPositionIndex; slopes: a rescale slope per frame (frame number modulo 3, plus 1).
    """
    geometry = simulated.exam.geometry
    direction = geometry.direction_matrix
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = EnhancedMRImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"2.25.77{instance}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.7", "2.25.70"
    ds.StudyDate, ds.ContentDate, ds.ContentTime = "20200101", "20200101", "113000"
    ds.Modality, ds.Manufacturer, ds.SeriesNumber, ds.InstanceNumber = "MR", "Philips", 5, instance
    ds.ImageType = ["ORIGINAL", "PRIMARY", "DYNAMIC", "NONE"]
    ds.PatientName, ds.PatientID = "SIMULATED^EXAM", "SIM"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *geometry.shape[1:], 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SharedFunctionalGroupsSequence = _item(
        PlaneOrientationSequence=_item(
            ImageOrientationPatient=[f"{v:.8f}" for v in (*direction[:, 0], *direction[:, 1])]
        ),
        PixelMeasuresSequence=_item(
            PixelSpacing=[geometry.spacing_mm[1], geometry.spacing_mm[0]], SliceThickness=geometry.spacing_mm[2]
        ),
        MREchoSequence=_item(EffectiveEchoTime=2.0),
        MRTimingAndRelatedParametersSequence=_item(RepetitionTime=5.0, FlipAngle=12.0),
    )
    groups, planes = [], []
    for z in range(geometry.shape[0]):
        for t in phases:
            groups.append(_frame_group(simulated, t, z, clocks, index, slopes and len(groups) % 3 + 1))
            planes.append(simulated.exam.signal[t, z].astype("<u2"))
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    ds.NumberOfFrames = len(groups)
    ds.PixelData = np.stack(planes).tobytes()
    ds["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
    return ds


def _frame_group(simulated: SimulatedExam, t: int, z: int, clocks, index: bool, slope: int) -> Dataset:
    start = simulated.exam.times_s[t]
    moment = f"20200101{clock_text(36000 + start)}"
    content = {}
    if index:
        content["TemporalPositionIndex"] = t + 1
    for tag in ("FrameAcquisitionDateTime", "FrameReferenceDateTime"):
        if tag in clocks:
            content[tag] = moment
    group = Dataset()
    group.FrameContentSequence = _item(**content)
    if "TemporalPositionTimeOffset" in clocks:
        group.TemporalPositionSequence = _item(TemporalPositionTimeOffset=start)
    if "TriggerTime" in clocks:
        group.CardiacSynchronizationSequence = _item(NominalCardiacTriggerDelayTime=start * 1000)
    position = simulated.exam.geometry.lps_of(np.array([[z, 0, 0]]))[0]
    group.PlanePositionSequence = _item(ImagePositionPatient=[f"{v:.5f}" for v in position])
    group.MRImageFrameTypeSequence = _item(FrameType=["ORIGINAL", "PRIMARY", "DYNAMIC", "NONE"])
    if slope:
        group.PixelValueTransformationSequence = _item(RescaleSlope=slope, RescaleIntercept=-2, RescaleType="US")
    return group
