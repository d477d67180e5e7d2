"""The simulated lesion: an ellipsoid of three kinetic zones with exact borders and volumes in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from .parameters import SimulationParameters


@dataclass(frozen=True)
class SimulatedLesion:
    """An ellipsoid in LPS millimetres, split into zones 1 (poor), 2 (moderate) and 3 (high perfusion).

    center_mm: LPS; radii_mm: semi-axes along L, P, S; pattern, shares and rotation_deg as in
    SimulationParameters; rotation_axis: LPS axis (0 or 2) about which sectors and slabs are turned.
    """

    center_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    pattern: str
    shares: tuple[float, float, float]
    rotation_deg: float
    rotation_axis: int

    def zone_at(self, lps_mm: np.ndarray) -> np.ndarray:
        """Zone (uint8, 0 outside) of LPS points, shape (..., 3) -> (...)."""
        # In units of the semi-axes the ellipsoid is a unit ball and volume shares are kept.
        unit = (np.asarray(lps_mm, dtype=np.float64) - self.center_mm) / self.radii_mm
        radius = np.linalg.norm(unit, axis=-1)
        zone = {"core_and_sectors": self._sectors, "concentric": self._shells, "slabs": self._slabs}[self.pattern]
        return np.where(radius <= 1, zone(unit, radius), 0).astype(np.uint8)

    def outside_distance_mm(self, lps_mm: np.ndarray) -> np.ndarray:
        """Distance to the surface in mm for points outside (exact for a sphere, first order else); <= 0 inside."""
        offset = np.asarray(lps_mm, dtype=np.float64) - self.center_mm
        scaled = np.linalg.norm(offset / self.radii_mm, axis=-1)
        gradient = np.linalg.norm(offset / np.square(self.radii_mm), axis=-1)
        return np.where(gradient > 0, scaled * (scaled - 1) / np.where(gradient > 0, gradient, 1), -min(self.radii_mm))

    @property
    def volume_mm3(self) -> float:
        return 4 / 3 * math.pi * math.prod(self.radii_mm)

    @property
    def zone_volumes_mm3(self) -> tuple[float, float, float]:
        return tuple(share * self.volume_mm3 for share in self.shares)

    def ring_volume_mm3(self, width_mm: float) -> float:
        """Volume of all points outside the lesion within ``width_mm`` of it (Steiner's formula).

        V(d) - V = S d + M d^2 + 4/3 pi d^3 with surface S = 4 * mean projected area (Cauchy) and integrated
        mean curvature M = 4 pi * mean support function; for a sphere this is 4/3 pi ((r+d)^3 - r^3).
        """
        a, b, c = self.radii_mm
        squares, weights = _sphere_quadrature()
        projected = math.pi * np.sqrt(squares @ np.array([(b * c) ** 2, (a * c) ** 2, (a * b) ** 2]))
        support = np.sqrt(squares @ np.square(self.radii_mm))
        surface, curvature = 4 * float(weights @ projected), 4 * math.pi * float(weights @ support)
        return surface * width_mm + curvature * width_mm**2 + 4 / 3 * math.pi * width_mm**3

    def _plane(self) -> tuple[np.ndarray, np.ndarray]:
        """Two unit vectors that span the plane across the rotation axis, turned by rotation_deg."""
        first, second = [axis for axis in range(3) if axis != self.rotation_axis]
        turn = math.radians(self.rotation_deg)
        u, v = np.zeros(3), np.zeros(3)
        u[first], u[second] = math.cos(turn), math.sin(turn)
        v[first], v[second] = -math.sin(turn), math.cos(turn)
        return u, v

    def _shells(self, unit: np.ndarray, radius: np.ndarray) -> np.ndarray:
        inner, middle = self.shares[0] ** (1 / 3), (self.shares[0] + self.shares[1]) ** (1 / 3)
        return 1 + (radius > inner).astype(np.uint8) + (radius > middle)

    def _sectors(self, unit: np.ndarray, radius: np.ndarray) -> np.ndarray:
        u, v = self._plane()
        angle = np.arctan2(unit @ v, unit @ u) % (2 * math.pi)
        shell = self.shares[1] + self.shares[2]
        high = angle < 2 * math.pi * (self.shares[2] / shell if shell > 0 else 0)
        return np.where(radius <= self.shares[0] ** (1 / 3), 1, np.where(high, 3, 2))

    def _slabs(self, unit: np.ndarray, radius: np.ndarray) -> np.ndarray:
        height = unit @ self._plane()[0]
        first, second = _cap_height(self.shares[0]), _cap_height(self.shares[0] + self.shares[1])
        return 1 + (height > first).astype(np.uint8) + (height > second)


def lesion_of(parameters: SimulationParameters, breast_base_mm: tuple[float, float, float]) -> SimulatedLesion:
    """The lesion in LPS; ``breast_base_mm`` is the middle of the breast's base on the chest wall."""
    lateral, anterior, superior = parameters.lesion_center_mm
    side = 1 if parameters.laterality == "L" else -1
    x, y, z = breast_base_mm
    return SimulatedLesion(
        center_mm=(x + side * lateral, y - anterior, z + superior),
        radii_mm=tuple(float(r) for r in parameters.lesion_radii_mm),
        pattern=parameters.zone_pattern,
        shares=tuple(float(s) for s in parameters.zone_shares),
        rotation_deg=float(parameters.zone_rotation_deg),
        rotation_axis=0 if parameters.orientation == "sagittal" else 2,
    )


def _cap_height(share: float) -> float:
    """Height h in [-1, 1] below which ``share`` of the unit ball lies: share = (2 + 3h - h^3) / 4."""
    if share <= 0 or share >= 1:
        return math.copysign(2.0, share - 0.5)
    return brentq(lambda h: (2 + 3 * h - h**3) / 4 - share, -1, 1, xtol=1e-14)


def _sphere_quadrature(n: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Squared components (N, 3) of directions and weights (N,) that average an even function over the sphere."""
    cosine, weight = np.polynomial.legendre.leggauss(n)
    azimuth = (np.arange(n) + 0.5) * (2 * math.pi / n)
    ring = 1 - cosine**2
    squares = np.stack(
        [
            np.outer(ring, np.cos(azimuth) ** 2),
            np.outer(ring, np.sin(azimuth) ** 2),
            np.outer(cosine**2, np.ones(n)),
        ],
        axis=-1,
    )
    return squares.reshape(-1, 3), np.repeat(weight / 2 / n, n)
