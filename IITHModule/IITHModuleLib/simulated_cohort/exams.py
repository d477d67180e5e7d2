"""The exams of a simulated cohort: a drawn lesion, a drawn acquisition, and the parameters of a consistent exam."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import PulseSequence, SimulatedExam, SimulationParameters, Tissue, simulate_exam
from SubregionHabitatLib.simulation.parameters import ZONE_PATTERNS

from .distribution import LesionDistribution
from .zone_kinetics import plan_zones

# Lesions below are too small for three habitats on coarse grids, those above do not fit the simulated breast.
VOLUME_MM3 = (200.0, 60_000.0)
MAX_TRIES = 20
_POST_PHASES = (2, 3, 4, 5)
_POST_PHASE_SHARES = (0.25, 0.25, 0.35, 0.15)
_TISSUE_T1_AT_3T = 1.15


@dataclass(frozen=True)
class CohortExam:
    """One exam of a cohort. name: its study code; wanted: the drawn lesion; parameters: of the simulation."""

    name: str
    wanted: dict[str, float]
    parameters: SimulationParameters


def cohort_exam(distribution: LesionDistribution, seed: int, index: int) -> tuple[CohortExam, SimulatedExam]:
    """Exam ``index`` (0, 1, ...) of the cohort with ``seed``: equal numbers give equal exams, whatever its size.

    A lesion that does not fit the drawn breast is moved, at last to its middle; then a new breast is drawn.
    Raises InputError when none of MAX_TRIES breasts holds it.
    """
    streams = np.random.SeedSequence([seed, index]).spawn(2 + MAX_TRIES)
    wanted = _lesion(distribution, np.random.Generator(np.random.PCG64(streams[0])))
    generator = np.random.Generator(np.random.PCG64(streams[1]))
    acquisition = _acquisition(generator)
    acquisition |= _zones(wanted, acquisition, generator)
    for stream in streams[2:]:
        position = np.random.Generator(np.random.PCG64(stream))
        parameters = SimulationParameters(**acquisition, **_breast_and_lesion(wanted, acquisition, position))
        try:
            simulated = simulate_exam(parameters)
        except InputError:
            continue
        return CohortExam(f"SIM-{index:04d}", wanted, parameters), simulated
    raise InputError(f"The lesion of simulated exam {index} fits none of {MAX_TRIES} breasts; use another seed.")


def _lesion(distribution: LesionDistribution, generator: np.random.Generator) -> dict[str, float]:
    while True:
        wanted = distribution.draw(generator)
        if VOLUME_MM3[0] <= wanted["volume_mm3"] <= VOLUME_MM3[1]:
            return wanted


def _acquisition(generator: np.random.Generator) -> dict:
    """Phases, times, spacing, field, noise: drawn over what multi-centre archives hold."""
    n_post = int(generator.choice(_POST_PHASES, p=_POST_PHASE_SHARES))
    duration = generator.uniform(60, 110) if n_post > 2 else generator.uniform(90, 170)
    gap = generator.uniform(0, 25) if n_post > 2 else generator.uniform(60, 200)
    injection = duration + generator.uniform(5, 40)
    first = max(injection + generator.uniform(5, 30), duration)
    starts = [0.0, *(round(first + k * (duration + gap), 1) for k in range(n_post))]
    field = float(generator.choice((1.5, 3.0)))
    return {
        "seed": int(generator.integers(2**31)),
        "orientation": str(generator.choice(("axial", "sagittal"))),
        "laterality": str(generator.choice(("L", "R"))),
        "spacing_mm": _spacing(generator),
        "phase_starts_s": tuple(starts),
        "phase_duration_s": math.floor(10 * duration) / 10,
        "injection_s": round(injection, 1),
        "bolus_arrival_s": round(float(generator.uniform(10, 22)), 1),
        "sequence": PulseSequence(
            repetition_time_ms=round(float(generator.uniform(4.2, 7.5)), 2),
            echo_time_ms=round(float(generator.uniform(1.4, 2.6)), 2),
            flip_angle_deg=round(float(generator.uniform(10, 16)), 1),
            field_strength_t=field,
            fat_signal_share=round(float(generator.uniform(0.06, 0.25)), 3),
        ),
        "noise_sigma": round(float(generator.uniform(4, 16)), 2),
        "bias_field": round(float(generator.uniform(0, 0.25)), 3),
        "bits_stored": 16,
        "partial_volume": True,
        "zone_variation": round(float(generator.uniform(0.10, 0.28)), 3),
        "fibroglandular_share": round(float(generator.uniform(0.08, 0.4)), 3),
    }


def _spacing(generator: np.random.Generator) -> tuple[float, float, float]:
    in_plane = round(float(generator.uniform(0.95, 1.3)), 3)
    return in_plane, in_plane, round(float(generator.uniform(1.8, 3.0)), 2)


def _zones(wanted: dict[str, float], acquisition: dict, generator: np.random.Generator) -> dict:
    sequence: PulseSequence = acquisition["sequence"]
    t1 = 1.30 * (_TISSUE_T1_AT_3T if sequence.field_strength_t > 2 else 1.0)
    base = SimulationParameters(**{k: acquisition[k] for k in acquisition if k != "partial_volume"})
    minutes = np.array(base.minutes_since_arrival)
    vp = float(generator.uniform(0.005, 0.02))
    plan = plan_zones(wanted, minutes, sequence, acquisition["zone_variation"], t1, vp)
    factor = t1 / 1.30
    background = {
        name: Tissue(
            t.ktrans_per_min, t.ve, t.vp, t.t1_s * (1.0 if name == "fat" else factor), t.proton_density, t.r2star_per_s
        )
        for name, t in base.background_tissues.items()
    }
    return {
        "zone_tissues": plan.tissues,
        "zone_shares": plan.shares,
        "zone_pattern": str(generator.choice(ZONE_PATTERNS)),
        "zone_rotation_deg": round(float(generator.uniform(0, 360)), 1),
        "background_tissues": background,
    }


def _breast_and_lesion(wanted: dict[str, float], acquisition: dict, generator: np.random.Generator) -> dict:
    """A breast, a lesion of the wanted volume in it, and a grid that holds the breast."""
    radius = (3 * wanted["volume_mm3"] / (4 * math.pi)) ** (1 / 3)
    stretch = np.exp(generator.uniform(-0.22, 0.22, 3))
    radii = radius * stretch / np.prod(stretch) ** (1 / 3)
    low = np.maximum([50, 70, 56], radii.max() + np.array([24, 42, 24]))
    breast = low + generator.uniform(0, 14, 3)
    room = np.maximum(breast - radii - np.array([20, 24, 20]), 0)
    lateral, superior = generator.uniform(-0.5, 0.5, 2) * room[[0, 2]]
    anterior = radii[1] + 16 + generator.uniform(0.1, 0.7) * max(breast[1] - 2 * radii[1] - 36, 0)
    depth, width, height = breast[1] + 45, 2 * breast[0] + 20, 2 * breast[2] + 16
    in_plane, _, thick = acquisition["spacing_mm"]
    extent = (height, depth, width) if acquisition["orientation"] == "axial" else (width, height, depth)
    sizes = [math.ceil(e / s) for e, s in zip(extent, (thick, in_plane, in_plane), strict=True)]
    return {
        "breast_semi_axes_mm": tuple(round(float(v), 1) for v in breast),
        "lesion_radii_mm": tuple(round(float(v), 3) for v in radii),
        "lesion_center_mm": tuple(round(float(v), 2) for v in (lateral, anterior, superior)),
        "shape": tuple(sizes),
    }
