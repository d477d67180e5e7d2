"""Fibroglandular tissue (parenchyma) inside the breast, and the regions that radiomics draws from it.

Signals are compared with the signal expected of fat at the same place (fat_reference), which takes out the receive
field and uneven fat suppression; parenchyma is brighter than suppressed fat and darker than bright fat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .breast_mask import BreastMask, distance_mm
from .errors import InputError
from .fat_reference import without_noise_floor
from .geometry import Geometry
from .patient_grid import onto, slab_geometry, slabs
from .progress import Progress, Silent

REGION_NAMES = ("tumor", "peritumor_ring", "ipsilateral_parenchyma", "contralateral_parenchyma")
SIDES = ("left", "right")
OTHER_SIDE = {"left": "right", "right": "left"}
# Signal within these shares of the expected one is fat; its median sets the level of fat.
FAT_RANGE = (0.6, 1.45)
# Parenchyma begins with voxels this many SD of fat away from fat; its own level then places the border.
START_SDS = 3.0
ROUNDS = 30
# Below this factor between the levels of parenchyma and fat the user is told.
LOW_CONTRAST = 1.6
NO_BREAST = "the breast was not found, so there is no fat to compare with"
SAMPLE_VOXELS = 400_000


@dataclass(frozen=True)
class FibroglandularParameters:
    """smoothing_mm: SD of the smoothing against noise, 0..3; skin_margin_mm: not counted this near to the skin shell,

    0..20 (real skin and its blur are thicker than the shell); least_contrast: factor by which parenchyma must differ
    from fat, above 1; border_share: where between fat (0) and parenchyma (1) the border lies, 0.2..0.8;
    min_component_mm3: smaller pieces are left out, 0 or more. Raises InputError for values outside these ranges.
    """

    smoothing_mm: float = 0.7
    skin_margin_mm: float = 3.0
    least_contrast: float = 1.25
    border_share: float = 0.5
    min_component_mm3: float = 30.0

    def __post_init__(self) -> None:
        ranges = {
            "smoothing_mm": (0, 3),
            "skin_margin_mm": (0, 20),
            "least_contrast": (1.01, 10),
            "border_share": (0.2, 0.8),
            "min_component_mm3": (0, 1e6),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(
                    f"The fibroglandular parameter {name} must lie between {low} and {high}; got {getattr(self, name)}."
                )


@dataclass(frozen=True)
class FibroglandularTissue:
    """mask: (Z, Y, X) bool, empty where parenchyma could not be told from fat (``reason`` then says why);

    fat_level, gland_level, border: in units of the expected fat signal; notes: one sentence per oddity.
    """

    mask: np.ndarray
    fat_level: float | None
    gland_level: float | None
    border: float | None
    reason: str | None = None
    notes: tuple[str, ...] = ()


def fibroglandular_tissue(
    pre: np.ndarray,
    geometry: Geometry,
    breast: BreastMask,
    exclude: np.ndarray | None = None,
    parameters: FibroglandularParameters | None = None,
    progress: Progress | None = None,
) -> FibroglandularTissue:
    """Parenchyma of the breast in the pre-contrast image ``pre`` (Z, Y, X).

    exclude: (Z, Y, X) bool left out afterwards (lesions and their rings: they shall not count as background).
    Raises InputError when shapes do not fit.
    """
    p = parameters or FibroglandularParameters()
    progress = progress or Silent()
    for name, array in (("pre-contrast image", pre), ("breast mask", breast.breast), ("excluded region", exclude)):
        if array is not None and array.shape != geometry.shape:
            raise InputError(
                f"The {name} has the array shape {array.shape}, the exam {geometry.shape}; bring it onto its grid."
            )
    if breast.fat is None:
        return FibroglandularTissue(np.zeros(geometry.shape, dtype=bool), None, None, None, NO_BREAST)
    progress.step(0.0, "fibroglandular tissue")
    ratio, used = _relative_signal(pre, geometry, breast, p, progress)
    sign = 1.0 if breast.fat_suppressed else -1.0
    levels = _levels(ratio[used], sign, p)
    if isinstance(levels, str):
        return FibroglandularTissue(np.zeros(geometry.shape, dtype=bool), None, None, None, levels)
    fat, gland, border = levels
    mask = used & (sign * ratio > sign * border)
    mask = _without_small(mask, p.min_component_mm3 / geometry.voxel_volume_mm3)
    if exclude is not None:
        mask &= ~exclude
    progress.step(1.0, "fibroglandular tissue found")
    if not mask.any():
        reason = "no fibroglandular tissue was found in the breast"
        return FibroglandularTissue(mask, fat, gland, border, reason)
    return FibroglandularTissue(mask, fat, gland, border, notes=tuple(_notes(fat, gland)))


def _notes(fat: float, gland: float):
    contrast = max(fat, gland) / max(min(fat, gland), 1e-6)
    if contrast < LOW_CONTRAST:
        yield (
            f"Fibroglandular tissue differs from fat by a factor of only {contrast:.2f}; its volume and enhancement "
            "are uncertain."
        )


def _relative_signal(pre, geometry, breast: BreastMask, p, progress) -> tuple[np.ndarray, np.ndarray]:
    """(ratio, used): signal over expected fat, float32, and the voxels of the breast that count, on the exam's grid."""
    ratio = np.zeros(geometry.shape, dtype=np.float32)
    used = np.zeros(geometry.shape, dtype=bool)
    sigma = [min(1.0, p.smoothing_mm / s) for s in geometry.spacing_zyx]
    for outer, inner in slabs(geometry, p.skin_margin_mm + 4 * p.smoothing_mm + 1):
        progress.step(0.8 * outer.start / geometry.shape[0], "fibroglandular tissue")
        part = slab_geometry(geometry, outer)
        smooth = ndimage.gaussian_filter(pre[outer].astype(np.float32), sigma)
        fat = onto(breast.fat.signal, breast.grid, part)
        rows = slice(outer.start + inner.start, outer.start + inner.stop)
        ratio[rows] = (without_noise_floor(smooth, breast.air_level) / fat)[inner]
        away = distance_mm(breast.skin[outer], part) > p.skin_margin_mm
        used[rows] = (breast.breast[outer] & away & (smooth > 0))[inner]
    return ratio, used


def _levels(values: np.ndarray, sign: float, p) -> tuple[float, float, float] | str:
    """(fat, gland, border) in units of the expected fat signal, or why they cannot be told apart."""
    values = values[:: max(1, values.size // SAMPLE_VOXELS)].astype(np.float64)
    near = values[(values > FAT_RANGE[0]) & (values < FAT_RANGE[1])]
    if near.size < 100:
        return "the breast holds too little fat to tell parenchyma from it"
    fat = float(np.median(near))
    # The side of fat away from parenchyma shows its own scatter.
    far = sign * (fat - near)
    sd = 1.4826 * float(np.median(far[far > 0])) if (far > 0).any() else 0.0
    border = fat + sign * max(START_SDS * sd, (p.least_contrast - 1) * fat / 2)
    gland = fat
    for _ in range(ROUNDS):
        beyond = values[sign * values > sign * border]
        if beyond.size < 50:
            return "hardly any tissue in the breast differs from fat"
        gland = float(np.median(beyond))
        moved = fat + p.border_share * (gland - fat)
        if abs(moved - border) < 1e-4:
            break
        border = moved
    contrast = gland / fat if sign > 0 else fat / max(gland, 1e-6)
    if contrast < p.least_contrast:
        return "parenchyma cannot be told from fat: their signals are too alike"
    return fat, gland, border


def _without_small(mask: np.ndarray, min_voxels: float) -> np.ndarray:
    labels, n = ndimage.label(mask)
    if n == 0 or min_voxels <= 1:
        return mask
    kept = np.bincount(labels.ravel()) >= min_voxels
    kept[0] = False
    return kept[labels]


def lesion_side(lesion: np.ndarray, geometry: Geometry, breast: BreastMask) -> str:
    """ "left" or "right": the patient's breast that holds the centre of the lesion (Z, Y, X) bool."""
    if breast.side in SIDES:
        return breast.side
    if not lesion.any():
        raise InputError("The lesion is empty, so its side is unknown; draw the lesion.")
    left = geometry.lps_of(np.argwhere(lesion).mean(axis=0)[None])[0, 0] > breast.midline_mm
    return "left" if left else "right"


def by_side(mask: np.ndarray, lesion: np.ndarray, geometry: Geometry, breast: BreastMask) -> dict[str, np.ndarray]:
    """``mask`` split into "ipsilateral" (the lesion's breast) and, on bilateral exams, "contralateral"."""
    if not breast.sides:
        return {"ipsilateral": mask}
    side = lesion_side(lesion, geometry, breast)
    return {"ipsilateral": mask & breast.sides[side], "contralateral": mask & breast.sides[OTHER_SIDE[side]]}


def parenchyma_regions(
    lesion: np.ndarray, ring: np.ndarray, tissue: FibroglandularTissue, geometry: Geometry, breast: BreastMask
) -> dict[str, np.ndarray]:
    """The regions that Su 2023 draws features from: REGION_NAMES to (Z, Y, X) bool, without those that are empty.

    Parenchyma never holds lesion or ring. The contralateral region needs both breasts in the image.
    """
    background = tissue.mask & ~lesion & ~ring
    split = by_side(background, lesion, geometry, breast)
    found = {"tumor": lesion, "peritumor_ring": ring}
    found |= {f"{side}_parenchyma": mask for side, mask in split.items()}
    return {name: found[name] for name in REGION_NAMES if name in found and found[name].any()}
