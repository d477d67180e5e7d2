"""The lesion from one point: the connected enhancing part at a seed, in a ball that grows until the part fits in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from .geometry import bounding_box
from .kinetics import KineticMaps
from .lesion import FtvParameters, Lesion, ftv_result, functional_tumor_volume, lesion_from_ftv
from .lesion_parts import NEIGHBOURHOOD, LesionParameters
from .lesion_voi import voi_from_seed
from .masks import RegionMask
from .progress import Progress, Silent


def lesion_from_seed(
    pre: np.ndarray,
    maps: KineticMaps,
    seed_lps,
    ftv_parameters: FtvParameters | None = None,
    parameters: LesionParameters | None = None,
    omit: RegionMask | None = None,
    within: np.ndarray | None = None,
    progress: Progress | None = None,
) -> tuple[Lesion, RegionMask]:
    """The FTV part that holds the seed (LPS mm) or lies nearest to it, and the ball in which it was found.

    pre: pre-contrast signal (Z, Y, X); omit: voxels that never count; within: (Z, Y, X) bool the search stays inside,
    for example the breast. The ball starts at seed_radius_mm and grows by seed_step_mm while the part touches its rim;
    at seed_max_radius_mm the part is taken as it is and a note says so. The background threshold is that of the ball.
    FTV is that of the part: what else enhances in a ball of arbitrary size is not the lesion's.
    Raises InputError for a seed outside the image or ``within``, or without an enhancing part within seed_search_mm.
    """
    ftv_parameters = ftv_parameters or FtvParameters()
    parameters = replace(parameters or LesionParameters(), keep="seed")
    progress = progress or Silent()
    radius, notes = parameters.seed_radius_mm, ()
    while True:
        progress.step(min(radius / parameters.seed_max_radius_mm, 1.0), f"lesion within {radius:g} mm of the seed")
        voi = voi_from_seed(maps.geometry, seed_lps, radius, "ball", within)
        ftv = functional_tumor_volume(pre, maps, voi, ftv_parameters, omit)
        found = lesion_from_ftv(ftv, maps.geometry, voi, ftv_parameters, parameters, seed_lps)
        if not reaches_rim(found.mask, voi.mask, within):
            break
        if radius >= parameters.seed_max_radius_mm:
            notes = (
                f"The enhancing part at the seed reaches the edge of the search region of {radius:g} mm, so it may "
                "hold vessels or parenchyma; check it, or draw a VOI.",
            )
            break
        radius = min(radius + parameters.seed_step_mm, parameters.seed_max_radius_mm)
    own = ftv_result(found.mask, maps, ftv.background_signal)
    kept = tuple(part for part in found.parts if part.kept)
    ftv_cc = float(found.mask.sum() * maps.geometry.voxel_volume_mm3 / 1000.0)
    lesion = replace(found, made_by="ftv_seed", ftv=own, ftv_cc=ftv_cc, n_components=1, parts=kept, notes=notes)
    return lesion, voi


def reaches_rim(part: np.ndarray, voi: np.ndarray, within: np.ndarray | None = None) -> bool:
    """Whether a voxel of ``part`` has one of its 26 neighbours outside ``voi`` but inside ``within`` and the image."""
    box = tuple(
        slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(bounding_box(part), part.shape, strict=True)
    )
    around = ndimage.binary_dilation(part[box], structure=NEIGHBOURHOOD) & ~voi[box]
    if within is not None:
        around &= within[box]
    return bool(around.any())
