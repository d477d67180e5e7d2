"""Cox regression as a paper prints it: hazard ratios with intervals, tests, and the check of proportional hazards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, norm

from SubregionHabitatLib.errors import InputError

from ..training.cox import CoxFit, fit_cox
from .concordance import harrell_c
from .proportional_hazards import ProportionalHazards, proportional_hazards
from .survival_curve import check_follow_up


@dataclass(frozen=True)
class CoxRow:
    """One term: coefficient per unit, hazard ratio with Wald 95 % interval, and the p of proportional hazards."""

    name: str
    coefficient: float
    standard_error: float
    hazard_ratio: float
    low: float
    high: float
    z: float
    p: float
    proportional_p: float


@dataclass(frozen=True)
class CoxTable:
    """A fitted model. likelihood_ratio: chi-square against no term at all on ``degrees`` degrees of freedom."""

    rows: tuple[CoxRow, ...]
    n: int
    n_events: int
    log_likelihood: float
    null_log_likelihood: float
    likelihood_ratio: float
    degrees: int
    p: float
    concordance: float
    proportional: ProportionalHazards
    fit: CoxFit


def cox_table(design, names, times, events) -> CoxTable:
    """Cox model (Efron ties) of design (N, P) with one name per column; nothing is standardized in the rows.

    Raises InputError when the model cannot be fitted.
    """
    times, events = check_follow_up(times, events)
    design = np.asarray(design, float)
    if events.sum() < 2:
        raise InputError(f"A Cox model needs events; there are {int(events.sum())} in {times.size} patients.")
    fit = fit_cox(design, times, events)
    coefficients = fit.coefficients / fit.sd
    errors = np.sqrt(np.diag(fit.covariance)) / fit.sd
    proportional = proportional_hazards(design, times, events, coefficients)
    half = norm.ppf(0.975) * errors
    with np.errstate(over="ignore"):
        ratios, lows, highs = (np.exp(v) for v in (coefficients, coefficients - half, coefficients + half))
    z = coefficients / errors
    columns = (coefficients, errors, ratios, lows, highs, z, 2 * norm.sf(np.abs(z)), proportional.p)
    rows = tuple(CoxRow(name, *(float(v) for v in values)) for name, *values in zip(names, *columns, strict=True))
    empty = null_log_likelihood(times, events)
    ratio = 2 * (fit.log_likelihood - empty)
    return CoxTable(
        rows=rows,
        n=int(times.size),
        n_events=int(events.sum()),
        log_likelihood=fit.log_likelihood,
        null_log_likelihood=empty,
        likelihood_ratio=ratio,
        degrees=len(rows),
        p=float(chi2.sf(ratio, len(rows))),
        concordance=harrell_c(times, events, fit.predictor(design)),
        proportional=proportional,
        fit=fit,
    )


def null_log_likelihood(times, events) -> float:
    """Partial log likelihood (Efron) of the model without terms."""
    moments, deaths = np.unique(times[events == 1], return_counts=True)
    at_risk = (times[:, None] >= moments).sum(axis=0)
    return -float(sum(np.log(n - np.arange(d)).sum() for n, d in zip(at_risk, deaths, strict=True)))


@dataclass(frozen=True)
class NestedTest:
    """Likelihood-ratio test of the terms that the larger model has beyond the smaller one."""

    chi_square: float
    degrees: int
    p: float


def nested_test(smaller: CoxTable, larger: CoxTable) -> NestedTest:
    """Compare two models fitted to the same patients; the terms of the smaller must be among those of the larger."""
    if (smaller.n, smaller.n_events) != (larger.n, larger.n_events) or smaller.degrees >= larger.degrees:
        raise InputError("A likelihood-ratio test needs nested models of the same patients.")
    chi_square = max(0.0, 2 * (larger.log_likelihood - smaller.log_likelihood))
    degrees = larger.degrees - smaller.degrees
    return NestedTest(chi_square, degrees, float(chi2.sf(chi_square, degrees)))
