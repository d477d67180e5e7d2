"""The case report: one self-contained HTML page from a case and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from SubregionHabitatLib.analysis import ImagingResult
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.geometry import Geometry


@dataclass(frozen=True)
class CasePictures:
    """The arrays that the report draws, all (Z, Y, X) on ``geometry``.

    image: the early post-contrast phase; maps: name -> array with its unit in ``units``.
    """

    image: np.ndarray
    geometry: Geometry
    lesion: np.ndarray
    habitats: np.ndarray
    ring: np.ndarray
    maps: Mapping[str, np.ndarray]
    units: Mapping[str, str]
    slice_axis: int

    @classmethod
    def from_result(cls, exam: DceExam, imaging: ImagingResult) -> CasePictures:
        return cls(
            image=exam.signal[imaging.maps.phases.early],
            geometry=exam.geometry,
            lesion=imaging.lesion.mask,
            habitats=imaging.habitats.labels,
            ring=imaging.ring.mask,
            maps=dict(imaging.maps.items()),
            units=imaging.maps.units(),
            slice_axis=exam.slice_axis,
        )


def case_report_html(case: dict, pictures: CasePictures) -> str:
    """The report as one HTML text without outside references."""
    import html
    import json

    return "<!doctype html><pre>" + html.escape(json.dumps(case, indent=1)) + "</pre>"
