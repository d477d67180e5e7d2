"""The case report: one self-contained HTML page from a case and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SubregionHabitatLib.analysis import ImagingResult
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.tissue_labels import tissue_labels

from .figures_breast import breast_legend, breast_picture
from .figures_curves import curve_picture
from .figures_planes import planes_of
from .figures_slices import habitat_legend, map_pictures, slice_pictures
from .report_breast import breast_view
from .report_clinical import clinical_view
from .report_scores import score_cards
from .report_terms import is_simulated
from .report_view import (
    curves_view,
    exam_view,
    features_view,
    interaction_view,
    kinetics_view,
    parameters_view,
    provenance_view,
    summary_view,
    volumes_view,
)
from .report_warnings import group_warnings

_TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class CasePictures:
    """The arrays that the report draws, all (Z, Y, X) on ``geometry``.

    image: the early post-contrast phase; lesion, ring: bool; habitats: 0 outside, 1..k; maps: name -> array with its
    unit in ``units``; slice_axis: the array axis across which the slices were acquired; tissue: index
    into TISSUES of every voxel, None where it is not known.
    """

    image: np.ndarray
    geometry: Geometry
    lesion: np.ndarray
    habitats: np.ndarray
    ring: np.ndarray
    maps: Mapping[str, np.ndarray]
    units: Mapping[str, str]
    slice_axis: int
    tissue: np.ndarray | None = None

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
            tissue=tissue_labels(imaging.breast, imaging.tissue),
        )


def case_report_html(case: dict, pictures: CasePictures) -> str:
    """The report as one HTML text: pictures inside, no script, nothing fetched from anywhere.

    case: the content of case.json ("iith-case/1"). All of its text is shown as text, whatever it holds. The same case
    and pictures give the same HTML. Raises ValueError when the lesion of ``pictures`` is empty.
    """
    names = tuple(str(region["name"]) for region in case["habitats"]["regions"])
    slices = slice_pictures(pictures, names)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            research_use=case["research_use"],
            simulated=is_simulated(case["exam"]),
            identity=case.get("identity"),
            description=case["exam"]["description"],
            warnings=group_warnings(case),
            summary=summary_view(case),
            hero=slices[1],
            exam=exam_view(case, planes_of(pictures.geometry, pictures.slice_axis)[0].name),
            legend=habitat_legend(names),
            breast=breast_view(case),
            breast_picture=breast_picture(pictures),
            breast_legend=breast_legend(),
            slices=slices,
            maps=map_pictures(pictures),
            curves=curve_picture(case["curves"], case["exam"]["phases"], names),
            curve_table=curves_view(case),
            volumes=volumes_view(case),
            clinical=clinical_view(case),
            scores=score_cards(case),
            kinetics=kinetics_view(case),
            interaction=interaction_view(case),
            features=features_view(case),
            parameters=parameters_view(case),
            provenance=provenance_view(case),
        )
    )


def environment():
    """The templates of all reports: text is escaped, an unknown name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
