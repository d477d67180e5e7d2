"""Motion between phases that is known exactly, put into a simulated exam."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.simulation import SimulatedExam
from SubregionHabitatLib.simulation.signal_model import rician


@dataclass(frozen=True)
class Motion:
    """A displacement u(x) in LPS mm: a turn and a shift about ``center_mm``, plus Gaussian bumps of one width.

    The moved image is m(x) = I(x + u(x)), so the transform T from the unmoved to the moved phase that undoes it
    obeys T(x) + u(T(x)) = x.
    """

    center_mm: tuple[float, float, float]
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bump_centers_mm: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 3)))
    bump_vectors_mm: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 3)))
    bump_sigma_mm: float = 30.0

    def displacement(self, lps_mm: np.ndarray) -> np.ndarray:
        """u (N, 3) in mm at points (N, 3)."""
        offset = lps_mm - np.asarray(self.center_mm)
        moved = offset @ _rotation(self.turn_deg).T - offset + np.asarray(self.shift_mm)
        for center, vector in zip(self.bump_centers_mm, self.bump_vectors_mm, strict=True):
            squared = np.square(lps_mm - center).sum(axis=1)
            moved += np.exp(-squared / (2 * self.bump_sigma_mm**2))[:, None] * vector
        return moved

    def target_error_mm(self, lps_mm: np.ndarray, mapped_mm: np.ndarray) -> np.ndarray:
        """|T(x) + u(T(x)) - x| (N,) in mm of a transform that takes ``lps_mm`` to ``mapped_mm``."""
        return np.linalg.norm(mapped_mm + self.displacement(mapped_mm) - lps_mm, axis=1)


def rigid_motion(simulated: SimulatedExam, shift_mm: float, turn_deg: float, seed: int) -> Motion:
    """A shift and a turn of the given sizes about the middle of the breast, in random directions."""
    generator = np.random.default_rng(seed)
    return Motion(
        center_mm=_middle(simulated),
        shift_mm=tuple(_unit(generator) * shift_mm),
        turn_deg=tuple(_unit(generator) * turn_deg),
    )


def smooth_motion(simulated: SimulatedExam, largest_mm: float, seed: int, sigma_mm: float = 30.0) -> Motion:
    """Twelve bumps inside the breast; the largest displacement of a breast voxel is ``largest_mm``."""
    generator = np.random.default_rng(seed)
    points = _breast_points(simulated)
    centers = points[generator.integers(0, len(points), 12)]
    vectors = np.stack([_unit(generator) for _ in range(12)])
    motion = Motion(_middle(simulated), bump_centers_mm=centers, bump_vectors_mm=vectors, bump_sigma_mm=sigma_mm)
    scale = largest_mm / np.linalg.norm(motion.displacement(points), axis=1).max()
    return dataclasses.replace(motion, bump_vectors_mm=vectors * scale)


def combined(rigid: Motion, smooth: Motion) -> Motion:
    """Both displacements added."""
    return dataclasses.replace(
        rigid,
        bump_centers_mm=smooth.bump_centers_mm,
        bump_vectors_mm=smooth.bump_vectors_mm,
        bump_sigma_mm=smooth.bump_sigma_mm,
    )


def moved_exam(simulated: SimulatedExam, motions: dict[int, Motion], seed: int = 0) -> DceExam:
    """The simulated exam with ``motions`` (phase -> motion) applied to its noiseless phases, then noise of its own.

    Cubic interpolation of the noiseless signal; every phase, moved or not, gets new Rician noise and is rounded to
    whole numbers as the simulator does.
    """
    geometry = simulated.exam.geometry
    streams = np.random.default_rng(seed).spawn(simulated.exam.n_phases)
    points = geometry.lps_of(np.indices(geometry.shape, dtype=np.float64).reshape(3, -1).T)
    phases = []
    for phase, (image, stream) in enumerate(zip(simulated.noiseless, streams, strict=True)):
        if phase in motions:
            index = geometry.index_of(points + motions[phase].displacement(points)).T
            image = ndimage.map_coordinates(image, index, order=3, mode="nearest").reshape(geometry.shape)
        noisy = rician(np.maximum(image, 0).astype(np.float32), simulated.parameters.noise_sigma, stream)
        phases.append(np.clip(np.rint(noisy), 0, 2**simulated.parameters.bits_stored - 1))
    return dataclasses.replace(simulated.exam, signal=np.stack(phases).astype(np.float32))


def _breast_points(simulated: SimulatedExam) -> np.ndarray:
    return simulated.exam.geometry.lps_of(np.argwhere(simulated.truth_breast))


def _middle(simulated: SimulatedExam) -> tuple[float, float, float]:
    return tuple(float(v) for v in _breast_points(simulated).mean(axis=0))


def _unit(generator: np.random.Generator) -> np.ndarray:
    vector = generator.standard_normal(3)
    return vector / np.linalg.norm(vector)


def _rotation(turn_deg: tuple[float, float, float]) -> np.ndarray:
    """Rotation matrix of a rotation vector in degrees (Rodrigues)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(np.radians(turn_deg)).as_matrix()
