"""A breast in prone position: skin, fat, parenchyma, muscle, ribs, lung and vessels, in LPS millimetres.

The shapes are smooth functions of position, so any grid may sample them. They look like a breast; nothing is
measured from them except where the lesion may lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .lesion import SimulatedLesion
from .parameters import AIR, BLOOD, BONE, FAT, FIBROGLANDULAR, LUNG, MUSCLE, SKIN, SimulationParameters
from .smooth_noise import SmoothNoise

MIDLINE_TO_BREAST_MM = 78.0
CHEST_RADIUS_MM = 260.0
SUBCUTANEOUS_MM = 11.0
MUSCLE_MM = 12.0
RIBS_MM = 13.0
RIB_PERIOD_MM = 26.0
PARENCHYMA_DEPTH_MM = 7.0
BLEND_MM = 14.0
VESSEL_RADIUS_MM = 1.6
VESSEL_CLEARANCE_MM = 14.0
# The parenchyma's share is set on points this far apart, so that it does not depend on the exam's grid.
CALIBRATION_STEP_MM = 4.0


@dataclass(frozen=True)
class AnatomySample:
    """What lies at N points: tissue codes (uint8), the fibroglandular share of fat-and-parenchyma voxels (0..1,
    float32) and True where the point lies in the breast (inside the skin, in front of the muscle)."""

    tissue: np.ndarray
    fibroglandular: np.ndarray
    breast: np.ndarray


def breast_base_mm(parameters: SimulationParameters) -> tuple[float, float, float]:
    """LPS position of the middle of the affected breast's base."""
    return (MIDLINE_TO_BREAST_MM if parameters.laterality == "L" else -MIDLINE_TO_BREAST_MM, 0.0, 0.0)


def noise_box_mm(parameters: SimulationParameters) -> tuple[np.ndarray, np.ndarray]:
    """Corners in LPS mm of the region that holds random detail; it depends on the anatomy, not on the grid."""
    x, y, z = breast_base_mm(parameters)
    half = parameters.breast_semi_axes_mm
    across = abs(x) + half[0] + 20 if parameters.bilateral else half[0] + 20
    middle = 0.0 if parameters.bilateral else x
    low = np.array([middle - across, y - half[1] - 10, z - half[2] - 20])
    return low, np.array([middle + across, y + 80.0, z + half[2] + 20])


class Anatomy:
    """The anatomy of one exam; ``lesion`` is only used to keep vessels away from it."""

    def __init__(
        self,
        parameters: SimulationParameters,
        lesion: SimulatedLesion,
        generator: np.random.Generator,
    ) -> None:
        self._p = parameters
        self._lesion = lesion
        base = breast_base_mm(parameters)
        self._bases = [base, (-base[0], base[1], base[2])] if parameters.bilateral else [base]
        box_mm = noise_box_mm(parameters)
        self._outline = SmoothNoise(generator, 45.0, *box_mm)
        self._gland_coarse = SmoothNoise(generator, 15.0, *box_mm)
        self._gland_fine = SmoothNoise(generator, 6.0, *box_mm)
        self._strands = SmoothNoise(generator, 12.0, *box_mm)
        self._vessels = self._draw_vessels(generator) if parameters.vessels else np.empty((0, 3))
        self._gland_cut = self._calibrate(*box_mm)

    def in_breast(self, lps_mm: np.ndarray) -> np.ndarray:
        """True where points (N, 3) lie inside the skin and in front of the pectoral muscle."""
        return (self._depth(lps_mm) > self._p.skin_mm) & (self._behind_muscle_front(lps_mm) < 0)

    def sample(self, lps_mm: np.ndarray) -> AnatomySample:
        """Tissue at LPS points (N, 3), without the lesion."""
        depth = self._depth(lps_mm)
        behind = self._behind_muscle_front(lps_mm)
        inside = depth > 0
        breast = (depth > self._p.skin_mm) & (behind < 0)
        tissue = np.where(inside, FAT, AIR).astype(np.uint8)
        gland = np.zeros(depth.shape, dtype=np.float32)
        gland[breast] = self._fibroglandular(lps_mm[breast], depth[breast], behind[breast])
        tissue[breast & (gland >= 0.5)] = FIBROGLANDULAR
        self._label_chest(tissue, lps_mm, behind, inside)
        tissue[inside & (depth <= self._p.skin_mm)] = SKIN
        tissue[breast & self._in_vessel(lps_mm, breast)] = BLOOD
        return AnatomySample(tissue, gland, breast)

    def _depth(self, lps_mm: np.ndarray) -> np.ndarray:
        """Depth under the skin surface in mm (first order), negative in air."""
        chest = self._behind_muscle_front(lps_mm) + SUBCUTANEOUS_MM
        depth = chest
        for base in self._bases:
            depth = _smooth_maximum(depth, self._breast_depth(lps_mm, base), BLEND_MM)
        return depth + 1.2 * self._outline.at(lps_mm)

    def _breast_depth(self, lps_mm: np.ndarray, base: tuple[float, float, float]) -> np.ndarray:
        """Depth in mm inside one breast: an ellipsoid that hangs forward, with a nipple at its tip."""
        radii = np.array(self._p.breast_semi_axes_mm)
        offset = lps_mm - np.array(base)
        # Gravity in prone position carries the bulk forward and makes the base a little narrower.
        narrow = 1 + 0.10 * np.clip(1 + offset[:, 1] / radii[1], 0, 1)
        offset = offset * np.stack([narrow, np.ones_like(narrow), narrow], axis=1)
        scaled = np.linalg.norm(offset / radii, axis=1)
        gradient = np.maximum(np.linalg.norm(offset / radii**2, axis=1), 1e-6)
        body = np.where(scaled > 0.05, scaled * (1 - scaled) / gradient, radii.min())
        tip = np.array([base[0], base[1] - radii[1] + 1.0, base[2]])
        nipple = 5.0 - np.linalg.norm(lps_mm - tip, axis=1)
        return _smooth_maximum(np.minimum(body, radii.min()), nipple, 3.0)

    @staticmethod
    def _behind_muscle_front(lps_mm: np.ndarray) -> np.ndarray:
        """Distance in mm behind the front of the pectoral muscle (negative in front of it), along P."""
        front = (lps_mm[:, 0] ** 2 - MIDLINE_TO_BREAST_MM**2) / (2 * CHEST_RADIUS_MM) + 0.0012 * lps_mm[:, 2] ** 2
        return lps_mm[:, 1] - front

    def _fibroglandular(self, lps_mm: np.ndarray, depth: np.ndarray, behind: np.ndarray) -> np.ndarray:
        """Share of parenchyma at breast points: noisy lobules behind the nipple, and thin ligaments."""
        nearest = self._distance_to_middle(lps_mm)
        allowed = self._parenchyma_room(depth, behind)
        share = _ramp(0.5 + (self._gland_score(lps_mm, nearest) - self._gland_cut) / 0.9) * allowed
        strands = 0.42 * np.exp(-np.square(self._strands.at(lps_mm) / 0.09)) * _ramp((1.5 - nearest) / 0.4)
        return np.maximum(share, strands * _ramp(-behind / 4)).astype(np.float32)

    def _distance_to_middle(self, lps_mm: np.ndarray) -> np.ndarray:
        """Distance to the middle of the nearest breast, in units of about three quarters of its half extent."""
        radii = np.array(self._p.breast_semi_axes_mm)
        middles = [np.array(base) - [0, 0.45 * radii[1], 0] for base in self._bases]
        return np.min([np.linalg.norm((lps_mm - middle) / (0.72 * radii), axis=1) for middle in middles], axis=0)

    def _gland_score(self, lps_mm: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        return 0.8 * self._gland_coarse.at(lps_mm) + 0.55 * self._gland_fine.at(lps_mm) - 1.5 * nearest**2

    def _parenchyma_room(self, depth: np.ndarray, behind: np.ndarray) -> np.ndarray:
        """1 where parenchyma may lie, falling to 0 towards skin and muscle."""
        return _ramp((depth - self._p.skin_mm - PARENCHYMA_DEPTH_MM) / 4) * _ramp((-behind - 6) / 5)

    def _calibrate(self, low_mm: np.ndarray, high_mm: np.ndarray) -> float:
        """The score above which a point is parenchyma, so that its share of the breast is the one asked for."""
        axes = [np.arange(a, b, CALIBRATION_STEP_MM) for a, b in zip(low_mm, high_mm, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        points = points[self.in_breast(points)]
        room = self._parenchyma_room(self._depth(points), self._behind_muscle_front(points))
        score = np.where(room > 0.5, self._gland_score(points, self._distance_to_middle(points)), -np.inf)
        wanted = min(round(self._p.fibroglandular_share * points.shape[0]), int(np.isfinite(score).sum()))
        return float(np.sort(score)[-wanted]) if wanted else math.inf

    @staticmethod
    def _label_chest(tissue: np.ndarray, lps_mm: np.ndarray, behind: np.ndarray, inside: np.ndarray) -> None:
        """Pectoral muscle, ribs with intercostal muscle, then lung; for a left breast the heart lies behind."""
        tissue[inside & (behind >= 0)] = MUSCLE
        ribs = inside & (behind >= MUSCLE_MM) & (behind < MUSCLE_MM + RIBS_MM)
        along = (lps_mm[:, 2] + 0.25 * lps_mm[:, 0]) * (2 * math.pi / RIB_PERIOD_MM)
        across = (behind - MUSCLE_MM - RIBS_MM / 2) / (RIBS_MM / 2)
        tissue[ribs & (np.cos(along) > across**2)] = BONE
        lung = inside & (behind >= MUSCLE_MM + RIBS_MM)
        tissue[lung] = LUNG
        heart = np.linalg.norm((lps_mm - [40.0, 72.0, -15.0]) / [48.0, 42.0, 45.0], axis=1) < 1
        tissue[lung & heart] = BLOOD

    def _draw_vessels(self, generator: np.random.Generator) -> np.ndarray:
        """Points (M, 3), less than a radius apart, along two gently winding vessels that enter at the chest wall."""
        radii = np.array(self._p.breast_semi_axes_mm)
        along = np.linspace(0, 1, 200)[:, None]
        paths = []
        for base in self._bases:
            for side in (1.0, -1.0):
                start = np.array(base) + radii * [0.30 * side, -0.10, 0.62 + 0.1 * generator.uniform(-1, 1)]
                end = np.array(base) + radii * [0.45 * side, -0.62, 0.12 + 0.2 * generator.uniform(-1, 1)]
                wave = np.sin(along * math.pi * generator.uniform(1.5, 3.0)) * generator.uniform(-5, 5, size=(1, 3))
                paths.append(start + (end - start) * along + wave)
        points = np.concatenate(paths)
        return points[self._lesion.outside_distance_mm(points) > VESSEL_CLEARANCE_MM]

    def _in_vessel(self, lps_mm: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        from scipy.spatial import cKDTree

        found = np.zeros(len(lps_mm), dtype=bool)
        if len(self._vessels) == 0:
            return found
        box = candidates.copy()
        for axis in range(3):
            low, high = self._vessels[:, axis].min(), self._vessels[:, axis].max()
            box &= (lps_mm[:, axis] > low - VESSEL_RADIUS_MM) & (lps_mm[:, axis] < high + VESSEL_RADIUS_MM)
        distance, _ = cKDTree(self._vessels).query(lps_mm[box], distance_upper_bound=VESSEL_RADIUS_MM)
        found[box] = np.isfinite(distance)
        return found


def _ramp(value: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    clipped = np.clip(value, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)


def _smooth_maximum(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Maximum of two distances, rounded within ``width`` mm of where they meet."""
    blend = np.clip(0.5 + 0.5 * (a - b) / width, 0, 1)
    return b + (a - b) * blend + width * blend * (1 - blend)
