"""Kinetic maps as DICOM Parametric Maps with float pixels, in the units of the case."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping

import highdicom as hd
import numpy as np

from . import codes
from .frames import name_dimensions, place_on_sources, refer_to_sources
from .source import EQUIPMENT, SourceExam, affine_of, finish

SERIES_NUMBER = 9802


def parametric_maps(
    source: SourceExam,
    maps: Mapping[str, np.ndarray],
    units: Mapping[str, str],
    case: dict,
    box: tuple[slice, slice, slice],
) -> Iterator[tuple[str, hd.pm.ParametricMap]]:
    """(name, object) of each map, all in one series.

    maps: (Z, Y, X) float32 on the exam's grid, NaN where undefined, and so in the object; box: the part to write.
    """
    for number, (name, array) in enumerate(maps.items(), start=1):
        values = np.ascontiguousarray(array[box], dtype=np.float32)
        volume = hd.Volume(
            values,
            affine_of(source.geometry.crop(box)),
            coordinate_system="PATIENT",
            frame_of_reference_uid=source.header.FrameOfReferenceUID,
        )
        made = hd.pm.ParametricMap(
            source_images=[source.header],
            pixel_array=values,
            plane_positions=volume.get_plane_positions(),
            plane_orientation=volume.get_plane_orientation(),
            pixel_measures=volume.get_pixel_measures(),
            series_instance_uid=source.uid("map series"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=source.uid(f"map {name}"),
            instance_number=number,
            **EQUIPMENT,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[_mapping(name, values, units[name])],
            content_label=codes.plain_text(name.upper(), 16),
            content_description=codes.plain_text(f"{codes.MAPS[name].CodeMeaning}; research use", 64),
            **_window_options(values),
        )
        made.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence = [_window(values)]
        made.Laterality = source.header.Laterality
        place_on_sources(made, source, (box[1].start, box[2].start))
        refer_to_sources(made, source, phases_of(name, case), codes.PERFUSION_ANALYSIS)
        name_dimensions(made, source.uid(f"map {name} dimensions"))
        finish(made, source, "IITH kinetic maps (research use only)")
        yield name, made


def phases_of(name: str, case: dict) -> tuple[int, ...]:
    """The phases that a map was computed from."""
    early, late = int(case["kinetics"]["early_phase"]), int(case["kinetics"]["late_phase"])
    searched = {
        "all_post": tuple(range(1, len(case["exam"]["phases"]))),
        "selected": (early, late),
        "early": (early,),
    }[case["kinetics"]["peak_search"]]
    used = {"pe_early": (early,), "ser": (early, late), "wos": (*searched, late)}.get(name, searched)
    return tuple(sorted({0, *used}))


def _window_options(values: np.ndarray) -> dict:
    """How highdicom is told the window: the one that Slicer 5.12 brings (0.27) knows center and width alone."""
    window = _window(values)
    if "voi_lut_transformations" in inspect.signature(hd.pm.ParametricMap.__init__).parameters:
        return {"voi_lut_transformations": [window]}
    return {"window_center": float(window.WindowCenter), "window_width": float(window.WindowWidth)}


def _window(values: np.ndarray) -> hd.VOILUTTransformation:
    """The gray window from the 2nd to the 98th percentile, without the half steps meant for whole numbers."""
    finite = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(finite, (2, 98))) if finite.size else (0.0, 1.0)
    return hd.VOILUTTransformation(
        window_center=(low + high) / 2, window_width=max(high - low, 1e-3), voi_lut_function="LINEAR_EXACT"
    )


def _mapping(name: str, values: np.ndarray, unit: str) -> hd.pm.RealWorldValueMapping:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return hd.pm.RealWorldValueMapping(
        lut_label=codes.plain_text(name.upper(), 16),
        lut_explanation=codes.plain_text(codes.MAPS[name].CodeMeaning, 64),
        unit=codes.unit(unit),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=codes.MAPS[name],
    )
