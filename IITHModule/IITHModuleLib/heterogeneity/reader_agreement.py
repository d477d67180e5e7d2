"""Intraclass correlation of features measured by several readers, with 95 % confidence intervals.

Shrout & Fleiss, Psychol Bull 1979;86:420; intervals after McGraw & Wong, Psychol Methods 1996;1:30 (Satterthwaite for
absolute agreement). Same numbers as R's psych::ICC on complete tables.

ICC(1,1) readings are interchangeable (contour perturbations); ICC(2,1) absolute agreement of readers drawn from many
(between readers, Wang 2022); ICC(3,1) consistency of exactly these readers (within a reader). The k forms are for the
mean of all readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from SubregionHabitatLib.errors import InputError

from .feature_matrix import FeatureKey, FeatureMatrix, check_same_preset

FORMS = ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)")
MIN_PATIENTS = 5
# Differences below this share of a feature's size are rounding noise, not spread between patients.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class Icc:
    """One form for P features: value, low, high (P,) with the confidence interval; NaN where undefined."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class ReaderAgreement:
    """Agreement of K readings of P features.

    keys: the features; forms: name of FORMS -> Icc; n_patients (P,): patients in whom every reading has a value;
    reasons (P,): "" or why there is no value.
    """

    keys: tuple[FeatureKey, ...] = field(repr=False)
    n_readings: int
    n_patients: np.ndarray = field(repr=False)
    forms: dict[str, Icc] = field(repr=False)
    reasons: tuple[str, ...] = field(repr=False)
    confidence: float = 0.95

    def icc(self, form: str) -> Icc:
        if form not in self.forms:
            raise InputError(f"The ICC form {form!r} is unknown; choose one of {', '.join(FORMS)}.")
        return self.forms[form]


def reader_agreement(
    readings: Sequence[FeatureMatrix], confidence: float = 0.95, min_patients: int = MIN_PATIENTS
) -> ReaderAgreement:
    """Agreement of two or more readers' feature matrices, over the patients and features they share.

    Raises InputError for fewer than two readings, different presets, or nothing in common.
    """
    if len(readings) < 2:
        raise InputError("Agreement needs at least two readings of the same patients; give a second feature table.")
    first = readings[0]
    for other in readings[1:]:
        check_same_preset((first.preset, first.preset_digest), (other.preset, other.preset_digest), "The first reading")
    patients = [p for p in first.patients if all(p in set(r.patients) for r in readings[1:])]
    shared = set(first.keys).intersection(*(r.keys for r in readings[1:]))
    keys = [k for k in first.keys if k in shared]
    if not patients or not keys:
        raise InputError(
            f"The readings share {len(patients)} patients and {len(keys)} features; give tables of the same patients, "
            "regions and images."
        )
    values = np.stack([r.aligned(patients, keys).values for r in readings])
    return intraclass_correlation(values, tuple(keys), confidence, min_patients)


def intraclass_correlation(
    values: np.ndarray,
    keys: tuple[FeatureKey, ...] | None = None,
    confidence: float = 0.95,
    min_patients: int = MIN_PATIENTS,
) -> ReaderAgreement:
    """All six forms from ``values`` (K readings, N patients, P features), NaN where missing.

    A patient without every reading of a feature is left out for that feature. Missing with a reason: fewer than
    ``min_patients`` such patients, or a feature that does not vary.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 3 or values.shape[0] < 2 or not 0 < confidence < 1:
        raise InputError("Agreement needs readings x patients x features with at least two readings; check the tables.")
    k, _, p = values.shape
    complete = np.isfinite(values).all(axis=0)
    n = complete.sum(axis=0)
    squares = _mean_squares(np.where(complete, values, 0.0), complete, n)
    reasons = _reasons(values, complete, n, max(min_patients, 2))
    usable = np.array([not r for r in reasons], dtype=bool)
    forms = _forms(*(s[usable] for s in squares), k, n[usable].astype(float), confidence)
    if keys is None:
        keys = tuple(FeatureKey("", "", f"feature{i}") for i in range(p))
    spread = {name: Icc(*(_spread(part, usable) for part in icc)) for name, icc in forms.items()}
    return ReaderAgreement(keys, k, n, spread, reasons, confidence)


def _mean_squares(values, complete, n) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Between patients, within patients, between readings, residual: (P,) each; ``values`` is 0 where not complete."""
    k = values.shape[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        # Centred first: features of 1e9 with small differences would otherwise lose them.
        values = np.where(complete, values - values.sum(axis=(0, 1)) / (k * n), 0.0)
        of_patient = values.mean(axis=0)
        of_reading = values.sum(axis=1) / n
        total = (values**2).sum(axis=(0, 1))
        patients = k * (of_patient**2).sum(axis=0)
        readings = n * (of_reading**2).sum(axis=0)
        residual = values - of_patient - of_reading[:, None, :]
        error = np.where(complete, residual**2, 0.0).sum(axis=(0, 1))
        return (
            patients / (n - 1),
            np.maximum(total - patients, 0.0) / (n * (k - 1)),
            readings / (k - 1),
            error / ((n - 1) * (k - 1)),
        )


def _reasons(values, complete, n, min_patients) -> tuple[str, ...]:
    low = np.where(complete, values, np.inf).min(axis=(0, 1))
    high = np.where(complete, values, -np.inf).max(axis=(0, 1))
    flat = high - low <= _CONSTANT * np.maximum(np.abs(low), np.abs(high))
    return tuple(
        f"only {count} patients have every reading, fewer than {min_patients}"
        if count < min_patients
        else ("the feature does not vary" if constant else "")
        for count, constant in zip(n.tolist(), flat.tolist(), strict=True)
    )


def _forms(between, within, readings, error, k, n, confidence) -> dict[str, tuple[np.ndarray, ...]]:
    """The six forms; between, within, readings, error: mean squares (P,); n (P,) patients; k readings."""
    upper = 1 - (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        one = (between - within) / (between + (k - 1) * within)
        two = (between - error) / (between + (k - 1) * error + k * (readings - error) / n)
        three = (between - error) / (between + (k - 1) * error)
        ratio1, ratio3 = between / within, between / error
        low1 = ratio1 / stats.f.ppf(upper, n - 1, n * (k - 1))
        high1 = ratio1 * stats.f.ppf(upper, n * (k - 1), n - 1)
        low3 = ratio3 / stats.f.ppf(upper, n - 1, (n - 1) * (k - 1))
        high3 = ratio3 * stats.f.ppf(upper, (n - 1) * (k - 1), n - 1)
        low2, high2 = _absolute_interval(two, between, readings, error, k, n, upper)
        return {
            "ICC(1,1)": (one, _from_ratio(low1, k), _from_ratio(high1, k)),
            "ICC(2,1)": (two, low2, high2),
            "ICC(3,1)": (three, _from_ratio(low3, k), _from_ratio(high3, k)),
            "ICC(1,k)": (1 - 1 / ratio1, 1 - 1 / low1, 1 - 1 / high1),
            "ICC(2,k)": (
                (between - error) / (between + (readings - error) / n),
                _averaged(low2, k),
                _averaged(high2, k),
            ),
            "ICC(3,k)": (1 - 1 / ratio3, 1 - 1 / low3, 1 - 1 / high3),
        }


def _from_ratio(ratio: np.ndarray, k: int) -> np.ndarray:
    """(F - 1)/(F + k - 1), and 1 for identical readings, whose F is infinite."""
    return np.where(np.isinf(ratio), 1.0, (ratio - 1) / (ratio + k - 1))


def _averaged(single: np.ndarray, k: int) -> np.ndarray:
    """Spearman-Brown: from one reading to the mean of k."""
    return single * k / (1 + single * (k - 1))


def _absolute_interval(icc, between, readings, error, k, n, upper) -> tuple[np.ndarray, np.ndarray]:
    """Interval of ICC(2,1) with Satterthwaite's degrees of freedom for the mixture of two mean squares."""
    ratio = readings / error
    a = k * icc * ratio
    b = n * (1 + (k - 1) * icc) - k * icc
    freedom = (k - 1) * (n - 1) * (a + b) ** 2 / ((n - 1) * a**2 + b**2)
    down, up = stats.f.ppf(upper, n - 1, freedom), stats.f.ppf(upper, freedom, n - 1)
    noise = k * readings + (k * n - k - n) * error
    low = n * (between - down * error) / (down * noise + n * between)
    high = n * (up * between - error) / (noise + n * up * between)
    # Without residual the mixture is the readings' variance alone, with k - 1 degrees of freedom.
    exact = error <= 0
    if exact.any():
        perfect = exact & (readings <= 0)
        f_down, f_up = stats.f.ppf(upper, n - 1, k - 1), stats.f.ppf(upper, k - 1, n - 1)
        low = np.where(exact, n * between / (f_down * noise + n * between), low)
        high = np.where(exact, n * f_up * between / (noise + n * f_up * between), high)
        low, high = np.where(perfect, 1.0, low), np.where(perfect, 1.0, high)
    return low, high


def _spread(part: np.ndarray, usable: np.ndarray) -> np.ndarray:
    result = np.full(usable.shape, np.nan)
    result[usable] = part
    return result
