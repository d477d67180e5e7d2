"""The breast on a whole slice: outline of its mask, fibroglandular tissue in color, outline of the lesion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from SubregionHabitatLib.tissue_labels import BREAST_LABELS, PARENCHYMA_LABEL

from .figures_planes import lesion_views
from .figures_slices import DPI, SIDE_IN, draw_contour, draw_image, draw_marks, slice_axes, slice_extent
from .figures_style import LESION_COLOR, Picture, new_figure, png_uri, report_style
from .report_numbers import NBSP

if TYPE_CHECKING:
    from .case_report import CasePictures

BREAST_COLOR = "#E69F00"
PARENCHYMA_COLOR = "#009E73"
_ALPHA = 0.55


def breast_legend() -> tuple[Mapping[str, str], ...]:
    return (
        {"name": "breast outline", "color": BREAST_COLOR, "kind": "line"},
        {"name": "fibroglandular tissue", "color": PARENCHYMA_COLOR, "kind": "area"},
        {"name": "lesion outline", "color": LESION_COLOR, "kind": "line"},
    )


def breast_picture(pictures: CasePictures) -> Picture | None:
    """The whole slice of the acquisition plane with the largest lesion area; None where tissues are not known."""
    if pictures.tissue is None:
        return None
    from matplotlib.colors import to_rgba

    view = lesion_views(pictures.geometry, pictures.lesion, pictures.ring, pictures.slice_axis)[0]
    width, height = view.plane.size_mm(pictures.lesion.shape)
    view = replace(view, center_mm=(width / 2, height / 2), side_mm=max(width, height))
    tissue = view.plane.slice_of(pictures.tissue, view.index)
    with report_style():
        figure = new_figure(SIDE_IN, SIDE_IN, "black")
        axes = slice_axes(figure, view, 0.0)
        draw_image(axes, view, pictures)
        overlay = np.zeros((*tissue.shape, 4))
        overlay[tissue == PARENCHYMA_LABEL] = to_rgba(PARENCHYMA_COLOR, _ALPHA)
        axes.imshow(overlay, extent=slice_extent(view, tissue.shape), interpolation="nearest", aspect="equal")
        draw_contour(axes, view, np.isin(pictures.tissue, BREAST_LABELS), BREAST_COLOR)
        draw_contour(axes, view, pictures.lesion, LESION_COLOR)
        draw_marks(axes, view)
        uri = png_uri(figure, DPI)
    shares = [100 * float(np.isin(tissue, labels).mean()) for labels in (BREAST_LABELS, (PARENCHYMA_LABEL,))]
    where = f"{view.plane.name.capitalize()} slice {view.index + 1} of {view.n_slices}"
    alt = (
        f"{where}: early image with the outline of the breast ({shares[0]:.0f}{NBSP}% of the slice), fibroglandular "
        f"tissue in color ({shares[1]:.0f}{NBSP}%) and the outline of the lesion."
    )
    return Picture(uri, alt, f"{where}, whole", round(SIDE_IN * 96), round(SIDE_IN * 96))
