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
# Voxels handled at a time: an even number, many enough for numpy's cost per call not to count, few enough for the
# working arrays (about 15 bytes a voxel and thread) to stay in the processor's cache and out of the memory's account.
BLOCK_VOXELS = 1 << 17
MAX_THREADS = 4
# Places of the peak are kept in one byte.
MAX_PHASES = 255
_PERCENT, _FRACTION, _FLAT = np.float32(100), np.float32(0.01), np.float32(FLAT_LATE_SHARE)


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
    # One iterator for all, so that a thread whose core is busy with something else takes fewer blocks.
    remaining = iter(starts)

    def work(_: int) -> None:
        block = _Block(plan)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for start in remaining:
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
        self.to_peak = _LookUp(plan.per_phase(lambda t: t - plan.origin))
        # The peak at the late phase itself has no wash-out: a factor of 0 makes WOS 0, as Chitalia 2023 defines it.
        self.per_minute_to_late = _LookUp(plan.per_phase(lambda t: 0.0 if t == late else 1.0 / (late - t)))
        self.peak, self.rise, self.share = (np.empty(BLOCK_VOXELS, np.float32) for _ in range(3))
        self.peak_at = np.empty(BLOCK_VOXELS, np.uint8)
        self.pairs = np.empty(BLOCK_VOXELS // 2, np.intp)
        self.flag = np.empty(BLOCK_VOXELS, bool)

    def maps(self, signal: np.ndarray, out: dict[str, np.ndarray]) -> None:
        """The maps of ``signal`` (T, n) into ``out`` (n,) each."""
        n = signal.shape[1]
        pre, early, late = signal[0], signal[self.plan.phases.early], signal[self.plan.phases.late]
        rise, share, flag = self.rise[:n], self.share[:n], self.flag[:n]
        peak, peak_at = self._find_peak(signal)
        pairs = self.pairs[: n // 2]
        np.copyto(pairs, peak_at[: n // 2 * 2].view(np.uint16))
        self.to_peak.into(out["time_to_peak"], pairs, peak_at)
        np.greater(pre, 0, out=flag)
        if not np.logical_and.reduce(flag):
            _nan_unless(flag, share)
            np.add(out["time_to_peak"], share, out=out["time_to_peak"])
            # The last map is written last, so until then its array can hold the pre-contrast signal.
            pre = np.add(pre, share, out=out["wos"])

        np.subtract(early, pre, out=share)
        np.subtract(late, pre, out=rise)
        np.divide(share, rise, out=out["ser"])
        # 100 * difference first: whole percentages of whole signals then come out exact.
        np.multiply(share, _PERCENT, out=share)
        np.divide(share, pre, out=out["pe_early"])
        np.absolute(rise, out=rise)
        np.multiply(pre, _FLAT, out=share)
        np.greater_equal(rise, share, out=flag)
        if not np.logical_and.reduce(flag):
            _nan_unless(flag, share)
            np.add(out["ser"], share, out=out["ser"])

        np.subtract(peak, pre, out=share)
        np.multiply(share, _PERCENT, out=share)
        np.divide(share, pre, out=out["pe_peak"])
        np.divide(out["pe_peak"], out["time_to_peak"], out=out["wis"])
        np.multiply(out["wis"], _FRACTION, out=out["wis"])

        np.subtract(late, peak, out=rise)
        self.per_minute_to_late.into(share, pairs, peak_at)
        np.multiply(rise, share, out=rise)
        if self.plan.wos_mode == "normalised":
            np.divide(rise, pre, out=out["wos"])
        else:
            # pre - pre is 0, or NaN where the pre-contrast signal is not positive
            np.subtract(pre, pre, out=share)
            np.add(rise, share, out=out["wos"])

    def _find_peak(self, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Highest signal among the searched phases, and its place among them (the first of equals)."""
        n = signal.shape[1]
        peak, peak_at, flag = self.peak[:n], self.peak_at[:n], self.flag[:n]
        searched = self.plan.searched
        if len(searched) == 1:
            peak_at.fill(0)
            return signal[searched[0]], peak_at
        np.greater(signal[searched[1]], signal[searched[0]], out=peak_at.view(bool))
        np.maximum(signal[searched[1]], signal[searched[0]], out=peak)
        higher = flag.view(np.uint8)
        for place, phase in enumerate(searched[2:], start=2):
            np.greater(signal[phase], peak, out=flag)
            # Places rise, so the last phase that beat the peak so far is the largest place.
            np.multiply(higher, np.uint8(place), out=higher)
            np.maximum(peak_at, higher, out=peak_at)
            np.maximum(peak, signal[phase], out=peak)
        return peak, peak_at


class _LookUp:
    """A float32 value for each place of the peak, looked up for two voxels at a time, which halves the time."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        n = len(values)
        places = np.zeros((n, n, 2), dtype=np.uint8)
        places[..., 0], places[..., 1] = np.mgrid[:n, :n]
        # Two places in memory order are one uint16, in either byte order.
        both = np.zeros((1 << 16, 2), dtype=np.float32)
        both[places.view(np.uint16).ravel()] = values[places].reshape(-1, 2)
        self.both = both.view(np.complex64).ravel()

    def into(self, out: np.ndarray, pairs: np.ndarray, places: np.ndarray) -> None:
        """The values of ``places`` (n,) uint8 into ``out`` (n,); pairs: the places two by two as uint16 numbers."""
        np.take(self.both, pairs, out=out[: 2 * len(pairs)].view(np.complex64), mode="clip")
        if len(places) % 2:
            out[-1] = self.values[places[-1]]


def _nan_unless(valid: np.ndarray, out: np.ndarray) -> None:
    """0 where ``valid``, NaN elsewhere: added to a map, this costs the same for any pattern of undefined voxels."""
    np.divide(np.float32(0), valid, out=out)
