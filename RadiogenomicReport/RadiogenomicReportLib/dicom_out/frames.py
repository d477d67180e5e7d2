"""Places and source images of the frames of a multi-frame object."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from .source import SourceExam, instance_reference


def refer_to_sources(
    dataset: Dataset,
    source: SourceExam,
    phases: tuple[int, ...],
    derivation: Dataset,
    all_phases: tuple[int, ...] | None = None,
) -> None:
    """Say of every frame from which images it was derived, and of the object from which instances.

    phases: those whose images each frame names, one per phase, as regions and maps lie on slices of the exam;
    all_phases: those whose instances the object names as a whole, where they are more. highdicom's own references are
    replaced, as it knows the first image only.
    """
    slices = [slice_of(group, source) for group in dataset.PerFrameFunctionalGroupsSequence]
    items = {z: source.references(phases, z) for z in sorted(set(slices))}
    for group, z in zip(dataset.PerFrameFunctionalGroupsSequence, slices, strict=True):
        item = Dataset()
        item.DerivationCodeSequence = [derivation]
        item.SourceImageSequence = items[z]
        group.DerivationImageSequence = [item]
    whole = source.instances(all_phases or phases, tuple(items))
    dataset.SourceImageSequence = [instance_reference(frame) for frame in whole]
    series = defaultdict(list)
    for frame, item in zip(whole, dataset.SourceImageSequence, strict=True):
        series[frame.series_uid].append(item)
    entries = []
    for uid, own in series.items():
        entry = Dataset()
        entry.SeriesInstanceUID, entry.ReferencedInstanceSequence = uid, own
        entries.append(entry)
    dataset.ReferencedSeriesSequence = entries


def slice_of(group: Dataset, source: SourceExam) -> int:
    """The array index along axis 0 of a frame's plane."""
    position = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
    return int(np.rint(source.geometry.index_of(np.array([position]))[0, 0]))


def place_on_sources(dataset: Dataset, source: SourceExam, corner: tuple[int, int] = (0, 0)) -> None:
    """Give every frame the very numbers of the image it lies on, which viewers match objects and images by.

    The exam's grid has the mean distance between slices; single positions may differ from it by a rounding. corner:
    (row, column) of the image where the frame starts.
    """
    early = source.frames[source.early]
    for group in dataset.PerFrameFunctionalGroupsSequence:
        frame = early[slice_of(group, source)]
        position = (
            np.array(frame.position)
            + corner[0] * frame.spacing_mm[0] * np.array(frame.column)
            + corner[1] * frame.spacing_mm[1] * np.array(frame.row)
        )
        group.PlanePositionSequence[0].ImagePositionPatient = [format_number_as_ds(float(v)) for v in position]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    first = early[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [
        format_number_as_ds(v) for v in (*first.row, *first.column)
    ]
    shared.PixelMeasuresSequence[0].PixelSpacing = [format_number_as_ds(v) for v in first.spacing_mm]
    shared.PixelMeasuresSequence[0].SliceThickness = format_number_as_ds(first.thickness_mm)


def name_dimensions(dataset: Dataset, uid: str) -> None:
    """Replace the random UID of the object's dimensions."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
