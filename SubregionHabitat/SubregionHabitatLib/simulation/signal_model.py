"""From concentration to scanner signal: spoiled gradient echo, receive field and Rician noise."""

from __future__ import annotations

import math

import numpy as np

from ..geometry import Geometry
from .parameters import PulseSequence, Tissue


def spoiled_gradient_echo(
    concentration_mm: np.ndarray,
    t1_s: np.ndarray | float,
    proton_density: np.ndarray | float,
    r2star_per_s: np.ndarray | float,
    sequence: PulseSequence,
) -> np.ndarray:
    """Steady-state signal in scanner units for concentrations in mM (fast exchange; fat suppression not applied).

    S = gain * PD * sin(a) (1 - E1) / (1 - cos(a) E1) * exp(-TE R2*), E1 = exp(-TR R1), R1 = 1/T1 + r1 C,
    R2* = R2*_0 + r2* C.
    """
    concentration = np.asarray(concentration_mm, dtype=np.float64)
    angle = math.radians(sequence.flip_angle_deg)
    e1 = np.exp(-sequence.repetition_time_ms / 1000 * (1 / np.asarray(t1_s) + sequence.relaxivity_r1 * concentration))
    r2star = np.asarray(r2star_per_s) + sequence.relaxivity_r2star * concentration
    longitudinal = math.sin(angle) * (1 - e1) / (1 - math.cos(angle) * e1)
    return sequence.gain * proton_density * longitudinal * np.exp(-sequence.echo_time_ms / 1000 * r2star)


def tissue_signal(concentration_mm: np.ndarray, tissue: Tissue, sequence: PulseSequence) -> np.ndarray:
    """``spoiled_gradient_echo`` of one tissue."""
    return spoiled_gradient_echo(concentration_mm, tissue.t1_s, tissue.proton_density, tissue.r2star_per_s, sequence)


def rician(signal: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Magnitude float32 of ``signal`` with independent Gaussian noise of SD ``sigma`` in both channels."""
    if sigma == 0:
        return np.asarray(signal, dtype=np.float32)
    real = generator.standard_normal(signal.shape, dtype=np.float32) * np.float32(sigma) + signal
    imaginary = generator.standard_normal(signal.shape, dtype=np.float32) * np.float32(sigma)
    return np.hypot(real, imaginary, dtype=np.float32)


def receive_field(geometry: Geometry, amplitude: float, generator: np.random.Generator) -> np.ndarray:
    """Smooth multiplicative field (Z, Y, X) float32 between 1/(1+amplitude) and 1+amplitude.

    A random second-order polynomial of the grid coordinates, scaled to [-1, 1] and exponentiated.
    """
    z, y, x = (
        np.linspace(-1, 1, n).reshape([-1 if a == k else 1 for k in range(3)]) for a, n in enumerate(geometry.shape)
    )
    c = generator.standard_normal(9)
    field = (
        c[0] * x + c[1] * y + c[2] * z + c[3] * x * y + c[4] * y * z + c[5] * x * z
        + c[6] * x**2 + c[7] * y**2 + c[8] * z**2
    )  # fmt: skip
    low, high = float(field.min()), float(field.max())
    scaled = (2 * field - low - high) / (high - low)
    return np.exp(scaled * math.log1p(amplitude)).astype(np.float32)
