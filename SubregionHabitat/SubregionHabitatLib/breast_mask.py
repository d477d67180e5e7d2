"""The breast: inside the skin and in front of the chest wall, found on the exam itself.

Everything is sought by physical directions (anterior, left, superior in the patient), so sagittal, axial, coronal and
oblique grids are treated alike. Coarse steps (body, fat, chest wall) run on a patient-aligned grid of a few
millimetres; the skin's surface is then placed on the exam's own grid, slab by slab.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .body_surface import BodySurface, find_body
from .chest_wall import ChestWall, WallParameters, find_wall, no_wall
from .errors import InputError
from .fat_reference import FAT_SIGNALS, FatReference, find_fat, without_noise_floor
from .geometry import Geometry
from .patient_grid import onto, patient_grid, slab_geometry, slabs, to_patient_grid
from .progress import Part, Progress, Silent
from .volume_io import to_sitk

# Fine and coarse surface may differ by this much; the skin is sought within it.
SURFACE_SHELL_MM = 6.0
# Deeper than this under the coarse surface everything is tissue whatever its signal: suppressed fat is dark.
CERTAIN_DEPTH_MM = 3.5
# The surface lies where the signal has come this share of the way from air to fat: half, so that suppressed fat does
# not count as air where the skin has gaps; with bright fat about half of the signal of skin, which is darker.
SURFACE_SHARE = {True: 0.5, False: 0.12}
SMOOTHING_MM = 0.4
# The surface lies this share of a voxel's edge in front of the nearest air centre, averaged over all directions
# (measured on balls: 0.28 to 0.43 on voxels from 0.5 to 2.8 mm).
CENTRE_TO_SURFACE = 0.38
# Coarse grids of more voxels than this get larger voxels instead.
MAX_COARSE_VOXELS = 1_500_000
# Below this median edge strength, or this share of the wall found, the user is told.
WEAK_EDGE = 0.3
MUCH_AT_END = 0.5
# A valley between two breasts is at most this share of the lower one's thickness.
VALLEY_SHARE = 0.7
MIN_BILATERAL_MM = 180.0
# Pieces of the breast smaller than this share of the largest are dropped.
PIECE_SHARE = 0.02


@dataclass(frozen=True)
class BreastParameters:
    """automatic: whether the breast is sought where the user gives none, see breast_region; coarse_mm: voxel size of

    the coarse steps, 1..5; skin_mm: thickness of the skin shell, 0..10; fat_signal: "auto", "suppressed" or "bright";
    wall: how the chest wall is sought. Raises InputError for values out of range.
    """

    automatic: bool = True
    coarse_mm: float = 2.0
    skin_mm: float = 2.0
    fat_signal: str = "auto"
    wall: WallParameters = field(default_factory=WallParameters)

    def __post_init__(self) -> None:
        if self.fat_signal not in FAT_SIGNALS:
            raise InputError(f"The fat signal {self.fat_signal!r} is unknown; choose one of {', '.join(FAT_SIGNALS)}.")
        if not 1 <= self.coarse_mm <= 5 or not 0 <= self.skin_mm <= 10:
            raise InputError(
                "The coarse step of the breast mask must lie between 1 and 5 mm and the skin between 0 and 10 mm; "
                f"got {self.coarse_mm} and {self.skin_mm}."
            )


@dataclass(frozen=True)
class BreastMask:
    """The breast on the exam's grid; masks are (Z, Y, X) bool.

    breast: inside the skin shell, in front of the chest wall; skin: the shell under the surface; behind: tissue behind
    the chest wall; air is the rest. sides: "left" and "right" (the patient's) parts of ``breast`` where both breasts
    are in the image, else empty; side: "left", "right" or "both"; fat: signal of fat on ``grid`` (coarse,
    patient-aligned), both None where anatomy was not found; air_level: mean signal of the air, 0 where there is none;
    made_by: "automatic", "user" or "body" (everything but air stands in for the breast, for ``reason``); midline_mm:
    left coordinate (LPS) between both breasts, else None; notes: one sentence per oddity.
    """

    breast: np.ndarray
    skin: np.ndarray
    behind: np.ndarray
    sides: dict[str, np.ndarray]
    side: str
    fat: FatReference | None
    grid: Geometry | None
    air_level: float
    made_by: str
    midline_mm: float | None = None
    notes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def fat_suppressed(self) -> bool | None:
        """Whether fat is darker than parenchyma and muscle; None where that is not known."""
        return None if self.fat is None else self.fat.suppressed

    @property
    def tissue(self) -> np.ndarray:
        """Everything of the body that is known: breast, skin and what lies behind the chest wall, (Z, Y, X) bool."""
        return self.breast | self.skin | self.behind

    def to_json(self, geometry: Geometry) -> dict:
        """What a result records of it; volumes in cc."""
        cc = geometry.voxel_volume_mm3 / 1000.0
        return {
            "made_by": self.made_by,
            "reason": self.reason or None,
            "side": self.side,
            "volume_cc": round(float(self.breast.sum() * cc), 3),
            "sides_cc": {side: round(float(part.sum() * cc), 3) for side, part in self.sides.items()},
            "midline_mm": None if self.midline_mm is None else round(self.midline_mm, 1),
            "fat_suppressed": self.fat_suppressed,
        }


def breast_mask(
    signal: np.ndarray,
    geometry: Geometry,
    parameters: BreastParameters | None = None,
    own: np.ndarray | None = None,
    progress: Progress | None = None,
) -> BreastMask:
    """The breast in ``signal``: the pre-contrast image (Z, Y, X), or better all phases (T, Z, Y, X), pre first.

    The skin's surface is sought on the mean of the phases (less noise), fat and chest wall on the pre-contrast image.
    own: the user's mask (Z, Y, X), which then is the breast; the rest is still found automatically. Raises InputError
    when the image holds no signal, the shapes do not fit, or ``own`` is empty.
    """
    parameters = parameters or BreastParameters()
    progress = progress or Silent()
    phases = signal if signal.ndim == 4 else signal[None]
    _check(phases, geometry, own)
    progress.step(0.0, "body surface")
    grid = patient_grid(geometry, _coarse_step(geometry, parameters.coarse_mm))
    pre, inside = to_patient_grid(phases[0], geometry, grid)
    mean = pre.copy()
    for phase in phases[1:]:
        mean += to_patient_grid(phase, geometry, grid)[0]
    mean /= len(phases)
    body = find_body(mean, inside, grid, lambda air: _mean_over_sd(phases[0], geometry, air, grid))
    progress.step(0.2, "fat and chest wall")
    quiet = without_noise_floor(pre, body.air_level)
    fat = find_fat(quiet, body.body, body.depth_mm, parameters.fat_signal)
    # Without the skin there is no telling which tissue is in front of which.
    wall = no_wall(inside, body.body, grid)
    if body.has_air:
        wall = find_wall(quiet, body.body, inside, body.depth_mm, fat, grid, parameters.wall)
    progress.step(0.4, "skin and breast")
    breast, skin, behind = _fine_masks(phases, geometry, grid, body, wall, fat, parameters, Part(progress, 0.4, 0.9))
    breast = _without_small_pieces(breast)
    if own is not None:
        breast = own.astype(bool)
        skin, behind = skin & ~breast, behind & ~breast
    middle = _midline(body, wall, grid)
    sides, side = _sides(breast, geometry, middle)
    progress.step(1.0, "breast found")
    notes = tuple(_notes(body, wall, own is not None, breast))
    made_by = "automatic" if own is None else "user"
    return BreastMask(breast, skin, behind, sides, side, fat, grid, body.air_level, made_by, middle, notes)


def after_bias_field(breast: BreastMask, field: np.ndarray, geometry: Geometry) -> BreastMask:
    """``breast`` for the exam divided by ``field`` (Z, Y, X): the same anatomy, with the level that fat then has."""
    if breast.fat is None:
        return breast
    coarse, inside = to_patient_grid(field, geometry, breast.grid)
    signal = breast.fat.signal / np.where(inside & (coarse > 0), coarse, 1)
    return replace(breast, fat=replace(breast.fat, signal=signal.astype(np.float32)))


def mask_without_anatomy(mask: np.ndarray, geometry: Geometry, made_by: str, notes: tuple[str, ...] = ()) -> BreastMask:
    """``mask`` (Z, Y, X) bool as the breast where skin, chest wall and fat are not known."""
    nothing = np.zeros(mask.shape, dtype=bool)
    _, side = _sides(mask, geometry, None)
    return BreastMask(mask, nothing, nothing, {}, side, None, None, 0.0, made_by, notes=notes)


def ring_allowed(breast: BreastMask, other_lesions: np.ndarray | None = None) -> list[tuple[str, np.ndarray]]:
    """(reason, where the peritumoral ring may lie for all that reason says), masks (Z, Y, X) bool.

    other_lesions: (Z, Y, X) bool, lesions that are measured on their own.
    """
    if breast.made_by == "body":
        reasons = [("air outside the body", breast.breast)]
    else:
        outside = "skin and air" if breast.made_by == "automatic" else "skin, air and outside the breast mask"
        reasons = [(outside, breast.breast | breast.behind), ("chest wall", ~breast.behind)]
    if other_lesions is not None:
        reasons.append(("other lesions", ~other_lesions))
    return reasons


def _check(phases: np.ndarray, geometry: Geometry, own: np.ndarray | None) -> None:
    if phases.ndim != 4 or phases.shape[1:] != geometry.shape:
        raise InputError(
            f"The image has the array shape {phases.shape[1:]}, its grid {geometry.shape}; give the image on its grid."
        )
    if not np.isfinite(phases[0]).all():
        raise InputError("The pre-contrast image holds values that are not numbers; export it again.")
    if own is not None and own.shape != geometry.shape:
        raise InputError(
            f"The breast mask given has the array shape {own.shape}, the exam {geometry.shape}; bring it onto the "
            "exam's grid."
        )
    if own is not None and not own.any():
        raise InputError("The breast mask given is empty; draw the breast and save it again.")


def _coarse_step(geometry: Geometry, wanted_mm: float) -> float:
    volume = float(np.prod(geometry.shape)) * geometry.voxel_volume_mm3
    return max(wanted_mm, (volume / MAX_COARSE_VOXELS) ** (1 / 3))


def _mean_over_sd(image: np.ndarray, geometry: Geometry, where: np.ndarray, grid: Geometry) -> float:
    """Mean / SD of the exam's voxels at the coarse voxels ``where``, taken in small neighbourhoods."""
    places = np.argwhere(ndimage.binary_erosion(where, iterations=2) if where.sum() > 1000 else where)
    places = places[:: max(1, len(places) // 3000)]
    if not len(places):
        return 0.0
    index = np.rint(geometry.index_of(grid.lps_of(places))).astype(int)
    last = np.array(geometry.shape) - 1
    offsets = np.stack(np.meshgrid((0, 1), (0, 1), (0, 1), indexing="ij"), axis=-1).reshape(-1, 3)
    near = np.clip(index[:, None] + offsets, 0, last)
    values = image[tuple(np.moveaxis(near, -1, 0))].astype(np.float64)
    sd = float(np.median(values.std(axis=1, ddof=1)))
    return float(np.median(values.mean(axis=1)) / sd) if sd > 0 else 0.0


def _fine_masks(phases, geometry, grid, body: BodySurface, wall: ChestWall, fat, parameters, progress):
    """(breast, skin, behind) on the exam's grid, slab by slab."""
    masks = tuple(np.zeros(geometry.shape, dtype=bool) for _ in range(3))
    level = _surface_level(fat, body)
    posterior = grid.origin_mm[1] + np.arange(grid.shape[1], dtype=np.float32) * grid.spacing_mm[1]
    before_wall = wall.position_mm[:, None, :] - posterior[None, :, None]
    for outer, inner in slabs(geometry, SURFACE_SHELL_MM + parameters.skin_mm + 1):
        progress.step(outer.start / geometry.shape[0], "skin and breast")
        part = slab_geometry(geometry, outer)
        tissue, skin = _surface(phases[:, outer], part, grid, body, level, parameters.skin_mm)
        front = onto(before_wall, grid, part) > 0
        rows = slice(outer.start + inner.start, outer.start + inner.stop)
        for mask, value in zip(masks, (tissue & ~skin & front, skin, tissue & ~skin & ~front), strict=True):
            mask[rows] = value[inner]
    return masks


def _surface_level(fat: FatReference, body: BodySurface) -> np.ndarray:
    """Signal at the surface, between air and fat, on the coarse grid."""
    with_floor = np.hypot(fat.signal, 2 / np.sqrt(np.pi) * body.air_level)
    return body.air_level + SURFACE_SHARE[fat.suppressed] * (with_floor - body.air_level)


def _surface(phases, geometry, grid, body: BodySurface, level, skin_mm) -> tuple[np.ndarray, np.ndarray]:
    """(tissue, skin shell) of a slab of the exam."""
    if not body.has_air:
        return np.ones(geometry.shape, dtype=bool), np.zeros(geometry.shape, dtype=bool)
    depth = onto(body.depth_mm, grid, geometry)
    image = phases.mean(axis=0, dtype=np.float32)
    sigma = [min(0.7, SMOOTHING_MM / s) for s in geometry.spacing_zyx]
    dark = ndimage.gaussian_filter(image, sigma) < onto(level, grid, geometry)
    air = (depth < -SURFACE_SHELL_MM) | ((depth < CERTAIN_DEPTH_MM) & dark)
    tissue = ~_joined(air, depth < -SURFACE_SHELL_MM / 2)
    tissue &= ~_specks(tissue, depth)
    beyond_surface = CENTRE_TO_SURFACE * geometry.voxel_volume_mm3 ** (1 / 3)
    return tissue, tissue & (distance_mm(~tissue, geometry) - beyond_surface <= skin_mm)


def _joined(candidates: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    labels, _ = ndimage.label(candidates)
    kept = np.zeros(int(labels.max()) + 1, dtype=bool)
    kept[labels[seeds & candidates]] = True
    kept[0] = False
    return kept[labels]


def _specks(tissue: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Noise outside the coarse surface that is not joined to the body."""
    outside = tissue & (depth < CERTAIN_DEPTH_MM)
    return outside & ~_joined(tissue, depth >= CERTAIN_DEPTH_MM) if outside.any() else outside


def distance_mm(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Signed distance in mm to the outermost voxel centres of ``mask``, negative inside; large where it is empty."""
    if not mask.any():
        return np.full(mask.shape, 1e3, dtype=np.float32)
    image = to_sitk(mask, geometry)
    if mask.all():
        return np.full(mask.shape, -1e3, dtype=np.float32)
    return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, False, False, True))


def _without_small_pieces(mask: np.ndarray) -> np.ndarray:
    labels, n = ndimage.label(mask)
    if n < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= PIECE_SHARE * sizes.max())[labels]


def _midline(body: BodySurface, wall: ChestWall, grid: Geometry) -> float | None:
    """Left coordinate (LPS, mm) of the valley between two breasts, None where there is only one.

    The profile is the mean thickness of tissue in front of the wall over the thicker half of the rows.
    """
    step = grid.spacing_mm[0]
    if grid.shape[2] * step < MIN_BILATERAL_MM or not body.has_air:
        return None
    first = np.argmax(body.body, axis=1)
    skin = grid.origin_mm[1] + first * step
    thick = np.where(wall.used, np.clip(wall.position_mm - skin, 0, None), 0)
    rows = thick.mean(axis=1) >= np.median(thick.mean(axis=1))
    profile = ndimage.gaussian_filter1d(thick[rows].mean(axis=0), 8.0 / step)
    # Not the outer eighths: flanks and arms are no breasts.
    margin = len(profile) // 8
    best = None
    for at in range(margin + 1, len(profile) - margin - 1):
        lower = min(profile[margin:at].max(), profile[at + 1 : len(profile) - margin].max())
        if lower > 0 and (best is None or profile[at] / lower < best[0]):
            best = (profile[at] / lower, at)
    if best is None or best[0] > VALLEY_SHARE:
        return None
    return float(grid.origin_mm[0] + best[1] * step)


def _sides(breast, geometry, middle: float | None):
    """Masks of the patient's left and right breast where both are there, and which side the image shows."""
    if middle is None:
        center = (np.array(geometry.shape) - 1) / 2
        return {}, "left" if geometry.lps_of(center[None])[0, 0] > 0 else "right"
    along = geometry.direction_matrix[0, ::-1] * geometry.spacing_zyx
    z, y, x = np.ix_(*(np.arange(n) * step for n, step in zip(geometry.shape, along, strict=True)))
    left = geometry.origin_mm[0] + z + y + x > middle
    return {"left": breast & left, "right": breast & ~left}, "both"


def _notes(body: BodySurface, wall: ChestWall, own: bool, breast: np.ndarray):
    if own:
        yield "The breast mask was given by the user."
        return
    if not body.has_air:
        yield (
            "No air was found in the image: it lies inside the body, so the breast mask is the whole image, without "
            "skin and chest wall taken off."
        )
        return
    used = wall.used
    share = float(wall.at_end[used].mean()) if used.any() else 1.0
    if share == 1 or np.median(wall.edge[used & ~wall.at_end]) == 0:
        yield "No chest wall was found: the breast mask reaches the back of the image."
    elif share > MUCH_AT_END:
        yield f"The breast mask reaches the back of the image in {100 * share:.0f} % of its extent; check it by eye."
    elif float(np.median(wall.edge[used & ~wall.at_end])) < WEAK_EDGE:
        yield "The chest wall stands out little from the breast; check the breast mask by eye."
    if not breast.any():
        yield "The breast mask is empty; draw the breast by hand."
