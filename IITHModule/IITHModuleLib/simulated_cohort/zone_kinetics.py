"""From what a lesion's maps should show to the Tofts parameters of its three zones.

Zones 1, 2 and 3 are the shares of voxels that peak at the last, a middle and the first post-contrast phase. In each
zone Ktrans/ve is set so that the wanted share of its voxels lies above the zone's SER cut, and Ktrans so that its
enhancement at the first post-contrast phase is the wanted one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from SubregionHabitatLib.simulation import PulseSequence, Tissue
from SubregionHabitatLib.simulation.signal_model import spoiled_gradient_echo
from SubregionHabitatLib.simulation.tofts import extended_tofts

SER_CUT_OF_ZONE = (0.9, 0.9, 1.3)
LATE_PHASE = 3
MIN_ZONE_SHARE = 0.02
MAX_VE = 0.95
PEAKS_LAST_SHARE = 0.9
# Enhancement of the zones relative to each other before the share above 70 % is looked at.
_ZONE_LEVEL = (0.65, 1.0, 1.2)
_KEP_PER_MIN = (0.03, 8.0)
# Stand-ins for the smooth variation inside a zone: normal quantiles for Ktrans, and for ve in another order.
_N_VOXELS = 25


@dataclass(frozen=True)
class ZonePlan:
    """shares: of the zones (poor, moderate, high); tissues: their kinetics."""

    shares: tuple[float, float, float]
    tissues: tuple[Tissue, Tissue, Tissue]


def plan_zones(
    wanted: dict[str, float], minutes: np.ndarray, sequence: PulseSequence, variation: float, t1_s: float, vp: float
) -> ZonePlan:
    """Zones for a drawn lesion (quantities of distribution.QUANTITIES).

    minutes: (T,) since arrival of contrast, the first before it; variation: coefficient of variation of Ktrans inside a
    zone.
    """
    first, last = wanted["share_peak_first"], wanted["share_peak_last"]
    shares = np.maximum([last, 1 - first - last, first], MIN_ZONE_SHARE)
    shares /= shares.sum()
    above = _shares_above(shares, wanted["share_ser_above_0.9"], wanted["share_ser_above_1.3"])
    levels = _levels(shares, wanted["pe_mean_percent"], wanted["share_above_70_percent"], variation)
    voxels = _Voxels(minutes, sequence, variation, t1_s, vp)
    tissues = [
        voxels.tissue(cut, a, pe, peaks_last=zone == 0)
        for zone, (cut, a, pe) in enumerate(zip(SER_CUT_OF_ZONE, above, levels, strict=True))
    ]
    return ZonePlan(tuple(float(s) for s in shares), tuple(tissues))


def _shares_above(shares: np.ndarray, above_low: float, above_high: float) -> list[float]:
    """Share of each zone's voxels above its SER cut, so that the lesion as a whole comes out as wanted."""
    poor, moderate, high = shares
    of_high = above_high / high
    of_moderate = (above_low - high) / moderate
    of_poor = (above_low - high - moderate) / poor
    return [float(np.clip(s, 0.03, 0.97)) for s in (of_poor, of_moderate, of_high)]


def _levels(shares: np.ndarray, mean_percent: float, above_70: float, variation: float) -> np.ndarray:
    """PE (percent) of the zones at the first post-contrast phase: the mean is kept, and the poor zone lowered until the
    wanted share of the lesion stays under 70 %."""
    levels = np.array(_ZONE_LEVEL) * mean_percent / (shares @ _ZONE_LEVEL)
    below = np.clip((1 - above_70) / shares[0], 0.0, 0.95)
    if below > 0.02:
        wanted = 70 * math.exp(-max(variation, 0.05) * ndtri(below))
        levels[0] = min(levels[0], wanted)
        rest = (mean_percent - shares[0] * levels[0]) / (1 - shares[0])
        levels[1:] = rest * np.array(_ZONE_LEVEL[1:]) / (shares[1:] @ _ZONE_LEVEL[1:] / shares[1:].sum())
    return levels


class _Voxels:
    """A few voxels that stand for a zone, with the variation that simulate_exam gives a zone."""

    def __init__(self, minutes, sequence, variation, t1_s, vp) -> None:
        self.minutes, self.sequence, self.t1_s, self.vp = np.asarray(minutes, float), sequence, t1_s, vp
        normal = ndtri((np.arange(_N_VOXELS) + 0.5) / _N_VOXELS)
        other = normal[(np.arange(_N_VOXELS) * 7) % _N_VOXELS]
        self.ktrans_factor, self.ve_factor = np.exp(variation * normal), np.exp(0.5 * variation * other)
        self.late = min(LATE_PHASE, self.minutes.size - 1)

    def tissue(self, cut: float, share_above: float, pe_percent: float, peaks_last: bool) -> Tissue:
        amount = 0.3
        for _ in range(4):
            kep = self._kep(amount, cut, share_above, peaks_last)
            found = float(np.mean(self._rise(amount, kep)[1])) * 100
            amount = float(np.clip(amount * np.clip(pe_percent / max(found, 1.0), 0.3, 3.0), 0.005, 5.0))
        kep = self._kep(amount, cut, share_above, peaks_last)
        return Tissue(ktrans_per_min=amount, ve=min(amount / kep, MAX_VE), vp=self.vp, t1_s=self.t1_s)

    def _kep(self, amount: float, cut: float, share_above: float, peaks_last: bool) -> float:
        """Ktrans/ve for the share above the SER cut; lower where the zone is to peak at the last phase."""
        low, high = max(_KEP_PER_MIN[0], amount / MAX_VE), _KEP_PER_MIN[1]
        if low >= high:
            return low
        for _ in range(13):
            middle = math.sqrt(low * high)
            rise = self._rise(amount, middle)
            too_slow = np.mean(rise[1] > cut * rise[self.late]) < share_above
            if peaks_last and np.mean(rise[1:].argmax(axis=0) == len(rise) - 2) < PEAKS_LAST_SHARE:
                too_slow = False
            low, high = (middle, high) if too_slow else (low, middle)
        return math.sqrt(low * high)

    def _rise(self, amount: float, kep: float) -> np.ndarray:
        """Relative enhancement (T, voxels) at every phase."""
        ktrans = amount * self.ktrans_factor
        ve = np.minimum(amount / kep * self.ve_factor, 1.0)
        concentration = extended_tofts(self.minutes, ktrans, ve, self.vp)
        signal = spoiled_gradient_echo(concentration, self.t1_s, 1.0, 20.0, self.sequence)
        return signal / signal[0] - 1
