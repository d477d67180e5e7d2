"""Voxel-wise kinetic maps: peak enhancement, signal enhancement ratio, wash-in and wash-out slope.

Chitalia 2023, equations 1-4. With I0 the pre-contrast, I1 the early and I2 the late signal, times in minutes:

    PE  = max_t (I_t - I0) / I0             percent in the maps
    SER = (I1 - I0) / (I2 - I0)             ratio
    WIS = PE / (t_peak - t0)                1/min (PE as a fraction)
    WOS = (I2 - I_peak) / (t2 - t_peak)     1/min after division by I0 ("normalised"), raw signal/min ("chitalia")

WOS keeps the paper's sign: negative means wash-out. ``washout_rate`` = -WOS is used for ordering and display.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .exam import DceExam
from .geometry import Geometry
from .timing import PhaseChoice

PEAK_SEARCHES = ("all_post", "selected", "early")
WOS_MODES = ("normalised", "chitalia")
# Maps that need real times; they are missing where only the order of the phases is known.
TIME_MAPS = ("wis", "wos", "time_to_peak")
MAP_ARRAYS = ("pe_early", "pe_peak", "ser", "wis", "wos", "time_to_peak")
# A late signal this close to the pre-contrast one (as a share of it) leaves SER undefined.
FLAT_LATE_SHARE = 1e-6
# Voxels handled at a time: few enough for all working arrays to stay in the processor's cache, which also bounds the
# working memory to a few megabytes whatever the exam's size.
BLOCK_VOXELS = 1 << 14
MAX_THREADS = 4
# Places of the peak are kept in one byte.
MAX_PHASES = 255


@dataclass(frozen=True)
class KineticMaps:
    """The maps of one exam, each (Z, Y, X) float32 on the exam's grid, NaN where undefined.

    pe_early, pe_peak: percent; ser: ratio; wis: 1/min; wos: see ``wos_unit``; time_to_peak: minutes after time zero
    (injection, or pre-contrast phase).
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
    the pre-contrast signal. Time zero is the injection where the exam knows it, else the pre-contrast phase. An exam
    without times (``timing.known`` False) has PE and SER; its TIME_MAPS are NaN everywhere.
    """
    if peak_search not in PEAK_SEARCHES or wos_mode not in WOS_MODES:
        raise InputError(
            f"Unknown peak search {peak_search!r} or wash-out mode {wos_mode!r}; choose one of {PEAK_SEARCHES} "
            f"and one of {WOS_MODES}."
        )
    if exam.n_phases > MAX_PHASES:
        raise InputError(f"The exam has {exam.n_phases} phases; at most {MAX_PHASES} can be mapped. Leave some out.")
    searched = {
        "all_post": list(range(1, exam.n_phases)),
        "selected": [phases.early, phases.late],
        "early": [phases.early],
    }[peak_search]
    signal = np.ascontiguousarray(exam.signal, dtype=np.float32).reshape(exam.n_phases, -1)
    out = {name: np.empty(signal.shape[1], dtype=np.float32) for name in MAP_ARRAYS}
    origin_s = exam.timing.injection_s if exam.timing.injection_s is not None else exam.times_s[0]
    if exam.timing.known and origin_s >= min(exam.times_s[t] for t in searched):
        raise InputError(
            f"The injection at {origin_s:g} s does not come before the first post-contrast phase at "
            f"{exam.times_s[1]:g} s; correct --injection."
        )
    plan = _Plan(tuple(t / 60.0 for t in exam.times_s), origin_s / 60.0, phases, tuple(searched), wos_mode)
    _fill(signal, out, plan)
    if not exam.timing.known:
        for name in TIME_MAPS:
            out[name].fill(np.nan)
    return KineticMaps(
        **{name: array.reshape(exam.geometry.shape) for name, array in out.items()},
        geometry=exam.geometry,
        phases=phases,
        peak_search=peak_search,
        wos_mode=wos_mode,
    )


@dataclass(frozen=True)
class _Plan:
    """What every block needs to know: phase times and time zero in minutes, phases, where to seek the peak."""

    minutes: tuple[float, ...]
    origin: float
    phases: PhaseChoice
    searched: tuple[int, ...]
    wos_mode: str

    def per_phase(self, function) -> np.ndarray:
        """``function`` of the phase time in minutes, for the searched phases, float32."""
        return np.array([function(self.minutes[t]) for t in self.searched], dtype=np.float32)


def _fill(signal: np.ndarray, out: dict[str, np.ndarray], plan: _Plan) -> None:
    """Fill the maps block by block on a few threads; numpy lets go of the interpreter inside its operations."""
    starts = range(0, signal.shape[1], BLOCK_VOXELS)
    n_threads = max(1, min(MAX_THREADS, os.cpu_count() or 1, len(starts)))

    def work(share: int) -> None:
        block = _Block(plan)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for start in starts[share::n_threads]:
                stop = min(start + BLOCK_VOXELS, signal.shape[1])
                block.maps(signal[:, start:stop], {name: array[start:stop] for name, array in out.items()})

    if n_threads == 1:
        work(0)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, range(n_threads)))


class _Block:
    """Working arrays of one thread. Everything is float32: a difference of two float32 signals is rounded once, so
    each map is exact to about 3e-7 of its value."""

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan
        late = plan.minutes[plan.phases.late]
        self.to_peak = plan.per_phase(lambda t: t - plan.origin)
        # The peak at the late phase itself has no wash-out: a factor of 0 makes WOS 0, as Chitalia 2023 defines it.
        self.per_minute_to_late = plan.per_phase(lambda t: 0.0 if t == late else 1.0 / (late - t))
        self.peak, self.rise, self.share = (np.empty(BLOCK_VOXELS, np.float32) for _ in range(3))
        self.peak_at = np.empty(BLOCK_VOXELS, np.uint8)
        self.place = np.empty(BLOCK_VOXELS, np.intp)
        self.flag = np.empty(BLOCK_VOXELS, bool)

    def maps(self, signal: np.ndarray, out: dict[str, np.ndarray]) -> None:
        """The maps of ``signal`` (T, n) into ``out`` (n,) each."""
        n = signal.shape[1]
        pre, early, late = signal[0], signal[self.plan.phases.early], signal[self.plan.phases.late]
        rise, share, flag = self.rise[:n], self.share[:n], self.flag[:n]
        peak, peak_at = self._find_peak(signal)

        np.subtract(early, pre, out=share)
        np.subtract(late, pre, out=rise)
        np.divide(share, rise, out=out["ser"])
        # 100 * difference first: whole percentages of whole signals then come out exact.
        np.multiply(share, np.float32(100), out=share)
        np.divide(share, pre, out=out["pe_early"])
        np.absolute(rise, out=rise)
        np.multiply(pre, np.float32(FLAT_LATE_SHARE), out=share)
        np.less(rise, share, out=flag)
        if flag.any():
            np.copyto(out["ser"], np.nan, where=flag)

        np.subtract(peak, pre, out=rise)
        np.multiply(rise, np.float32(100), out=share)
        np.divide(share, pre, out=out["pe_peak"])
        np.divide(rise, pre, out=rise)
        np.take(self.to_peak, peak_at, out=out["time_to_peak"], mode="clip")
        np.divide(rise, out["time_to_peak"], out=out["wis"])

        np.subtract(late, peak, out=rise)
        np.take(self.per_minute_to_late, peak_at, out=share, mode="clip")
        np.multiply(rise, share, out=out["wos"])
        if self.plan.wos_mode == "normalised":
            np.divide(out["wos"], pre, out=out["wos"])

        np.less_equal(pre, 0, out=flag)
        if flag.any():
            for array in out.values():
                np.copyto(array, np.nan, where=flag)

    def _find_peak(self, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Highest signal among the searched phases, and its place among them (the first of equals)."""
        n = signal.shape[1]
        peak, peak_at, flag = self.peak[:n], self.peak_at[:n], self.flag[:n]
        np.copyto(peak, signal[self.plan.searched[0]])
        peak_at.fill(0)
        higher = flag.view(np.uint8)
        for place, phase in enumerate(self.plan.searched[1:], start=1):
            np.greater(signal[phase], peak, out=flag)
            # Places rise, so the last phase that beat the peak so far is the largest place.
            np.multiply(higher, np.uint8(place), out=higher)
            np.maximum(peak_at, higher, out=peak_at)
            np.maximum(peak, signal[phase], out=peak)
        np.copyto(self.place[:n], peak_at)
        return peak, self.place[:n]
