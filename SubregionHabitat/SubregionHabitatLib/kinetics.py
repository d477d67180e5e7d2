"""Voxel-wise kinetic maps: peak enhancement, signal enhancement ratio, wash-in and wash-out slope.

Chitalia 2023, equations 1-4. With I0 the pre-contrast, I1 the early and I2 the late signal, times in minutes:

    PE  = max_t (I_t - I0) / I0             percent in the maps
    SER = (I1 - I0) / (I2 - I0)             ratio
    WIS = PE / (t_peak - t0)                1/min (PE as a fraction)
    WOS = (I2 - I_peak) / (t2 - t_peak)     1/min after division by I0 ("normalised"), raw signal/min ("chitalia")

WOS keeps the paper's sign: negative means wash-out. ``washout_rate`` = -WOS is used for ordering and display.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .exam import DceExam
from .geometry import Geometry
from .timing import PhaseChoice

PEAK_SEARCHES = ("all_post", "selected", "early")
WOS_MODES = ("normalised", "chitalia")
# A late signal this close to the pre-contrast one (as a share of it) leaves SER undefined.
FLAT_LATE_SHARE = 1e-6
# Voxels handled at a time: small enough to stay in the processor's cache and to bound the working memory.
BLOCK_VOXELS = 1 << 16


@dataclass(frozen=True)
class KineticMaps:
    """The maps of one exam, each (Z, Y, X) float32 on the exam's grid, NaN where undefined.

    pe_early, pe_peak: percent; ser: ratio; wis: 1/min; wos: see ``wos_unit``; time_to_peak: minutes after the
    pre-contrast phase.
    """

    pe_early: np.ndarray
    pe_peak: np.ndarray
    ser: np.ndarray
    wis: np.ndarray
    wos: np.ndarray
    time_to_peak: np.ndarray
    geometry: Geometry
    phases: PhaseChoice
    peak_search: str
    wos_mode: str

    @property
    def wos_unit(self) -> str:
        return "1/min" if self.wos_mode == "normalised" else "signal/min"

    def units(self) -> dict[str, str]:
        """Map name to unit, in the order in which maps are written and reported."""
        return {"pe_early": "%", "pe_peak": "%", "ser": "1", "wis": "1/min", "wos": self.wos_unit}

    def items(self) -> list[tuple[str, np.ndarray]]:
        """(name, array) of the five maps of the result folder."""
        return [(name, getattr(self, name)) for name in self.units()]


def compute_maps(
    exam: DceExam, phases: PhaseChoice, peak_search: str = "all_post", wos_mode: str = "normalised"
) -> KineticMaps:
    """Kinetic maps of every voxel of the exam.

    peak_search: the phases among which the peak is sought: "all_post" (Zhou 2024), "selected" = early and late
    only (Chitalia 2023's three points), "early" = the early phase is the peak (UCSF).
    A voxel whose pre-contrast signal is not positive is NaN in all maps; SER is NaN where the late signal equals
    the pre-contrast signal.
    """
    if peak_search not in PEAK_SEARCHES or wos_mode not in WOS_MODES:
        raise InputError(
            f"Unknown peak search {peak_search!r} or wash-out mode {wos_mode!r}; choose one of {PEAK_SEARCHES} "
            f"and one of {WOS_MODES}."
        )
    searched = {
        "all_post": list(range(1, exam.n_phases)),
        "selected": [phases.early, phases.late],
        "early": [phases.early],
    }[peak_search]
    signal = np.ascontiguousarray(exam.signal).reshape(exam.n_phases, -1)
    names = ("pe_early", "pe_peak", "ser", "wis", "wos", "time_to_peak")
    out = {name: np.empty(signal.shape[1], dtype=np.float32) for name in names}
    minutes = np.asarray(exam.times_s, dtype=np.float64) / 60.0
    for start in range(0, signal.shape[1], BLOCK_VOXELS):
        block = slice(start, start + BLOCK_VOXELS)
        values = _block_maps(signal[:, block].astype(np.float64), minutes, phases, searched, wos_mode)
        for name, value in values.items():
            out[name][block] = value
    return KineticMaps(
        **{name: array.reshape(exam.geometry.shape) for name, array in out.items()},
        geometry=exam.geometry,
        phases=phases,
        peak_search=peak_search,
        wos_mode=wos_mode,
    )


def _block_maps(
    signal: np.ndarray, minutes: np.ndarray, phases: PhaseChoice, searched: list[int], wos_mode: str
) -> dict[str, np.ndarray]:
    """The maps of ``signal`` (T, N) float64; ``minutes`` (T,); ``searched``: phase indices for the peak."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pre = np.where(signal[0] > 0, signal[0], np.nan)
        early, late = signal[phases.early], signal[phases.late]
        candidates = signal[searched]
        at = np.argmax(candidates, axis=0)
        peak = np.take_along_axis(candidates, at[None], axis=0)[0]
        peak_minutes = np.where(np.isnan(pre), np.nan, minutes[searched][at])
        rise = late - pre
        rise = np.where(np.abs(rise) < FLAT_LATE_SHARE * pre, np.nan, rise)
        duration = minutes[phases.late] - peak_minutes
        drop = np.where(duration != 0, (late - peak) / np.where(duration != 0, duration, 1.0), 0.0)
        to_peak = peak_minutes - minutes[0]
        return {
            # 100 * difference first: whole percentages of whole signals then come out exact.
            "pe_early": 100.0 * (early - pre) / pre,
            "pe_peak": 100.0 * (peak - pre) / pre,
            "ser": (early - pre) / rise,
            "wis": (peak - pre) / pre / to_peak,
            "wos": np.where(np.isnan(pre), np.nan, drop / pre if wos_mode == "normalised" else drop),
            "time_to_peak": to_peak,
        }
