"""The DICOM Segmentation: lesion, habitats and peritumoral ring on the images of the early phase."""

from __future__ import annotations

from dataclasses import dataclass

import highdicom as hd
import numpy as np

from SubregionHabitatLib import __version__
from SubregionHabitatLib.geometry import bounding_box

from ..figures_style import LESION_COLOR, RING_COLOR, habitat_color
from . import codes
from .frames import name_dimensions, place_on_sources, refer_to_sources
from .source import EQUIPMENT, MANUFACTURER, SourceExam, affine_of, finish

SERIES_NUMBER = 9801


@dataclass(frozen=True)
class Region:
    """key: name of the region in this program; label: as shown; color: "#RRGGBB"; mask: (Z, Y, X) bool; coded type."""

    key: str
    label: str
    color: str
    mask: np.ndarray
    category: hd.sr.CodedConcept
    kind: hd.sr.CodedConcept
    manual: bool = False


def regions_of(case: dict, lesion: np.ndarray, habitats: np.ndarray, ring: np.ndarray) -> tuple[Region, ...]:
    """The regions in order: lesion, habitats in order of perfusion, ring."""
    drawn = str(case["lesion"]["made_by"]).startswith("drawn")
    abnormal = (codes.ABNORMAL_STRUCTURE, codes.NEOPLASM)
    found = [Region("lesion", "Lesion", LESION_COLOR, lesion, *abnormal, manual=drawn)]
    for i, habitat in enumerate(case["habitats"]["regions"]):
        label = f"Habitat {i + 1} ({habitat['name']} perfusion)"
        found.append(Region(f"habitat{i + 1}", label, habitat_color(i), habitats == i + 1, *abnormal))
    ring_mm = f"{case['ring']['radius_mm']:g}"
    found.append(Region("ring", f"Peritumoral ring, {ring_mm} mm", RING_COLOR, ring, codes.TISSUE, codes.TISSUE))
    return tuple(found)


def segment_numbers(regions: tuple[Region, ...]) -> dict[str, int]:
    """Region key to segment number; a region without voxels has no segment."""
    filled = [region.key for region in regions if region.mask.any()]
    return {key: number for number, key in enumerate(filled, start=1)}


def segmentation(source: SourceExam, regions: tuple[Region, ...], seed: int) -> hd.seg.Segmentation:
    """A binary segmentation with one segment per region that has voxels; planes without any are left out.

    seed: of the clustering, written down with the algorithm.
    """
    numbers = segment_numbers(regions)
    filled = [region for region in regions if region.key in numbers]
    planes = bounding_box(np.logical_or.reduce([region.mask for region in filled]))[0]
    geometry = source.geometry.crop((planes, slice(0, source.geometry.shape[1]), slice(0, source.geometry.shape[2])))
    volume = hd.Volume(
        np.stack([region.mask[planes] for region in filled], axis=-1).astype(np.uint8),
        affine_of(geometry),
        coordinate_system="PATIENT",
        frame_of_reference_uid=source.header.FrameOfReferenceUID,
        channels={"SegmentNumber": list(numbers.values())},
    )
    made = hd.seg.Segmentation(
        source_images=[source.header],
        pixel_array=volume,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(region, numbers[region.key], source, seed) for region in filled],
        series_instance_uid=source.uid("segmentation series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=source.uid("segmentation"),
        instance_number=1,
        **EQUIPMENT,
        content_label="HABITATS",
        content_description="Lesion, habitats and ring; research use",
    )
    place_on_sources(made, source)
    # A frame lies on the image of the early phase; what it shows was found from all phases.
    refer_to_sources(made, source, (source.early,), codes.SEGMENTATION, tuple(range(len(source.frames))))
    name_dimensions(made, source.uid("segmentation dimensions"))
    finish(made, source, "IITH lesion, habitats, ring (research use only)")
    return made


def _description(region: Region, number: int, source: SourceExam, seed: int) -> hd.seg.SegmentDescription:
    kinds = hd.seg.SegmentAlgorithmTypeValues
    algorithm = None
    if not region.manual:
        algorithm = hd.AlgorithmIdentificationSequence(
            name=f"IITH {region.key}",
            family=codes.private("IITH_REGION", "Region by the IITH software"),
            version=__version__,
            source=MANUFACTURER,
            parameters={"seed": str(seed)} if region.key.startswith("habitat") else None,
        )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=codes.plain_text(region.label, 64),
        segmented_property_category=region.category,
        segmented_property_type=region.kind,
        algorithm_type=kinds.MANUAL if region.manual else kinds.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=source.uid(f"region {region.key}"),
        tracking_id=codes.plain_text(f"IITH {region.key}", 64),
        anatomic_regions=[codes.BREAST],
        display_color=hd.color.CIELabColor.from_string(region.color),
    )
