"""What a heterogeneity index tells about survival: log-rank by group and Cox models with and without simpler values.

The index is made without any outcome, so its own C-index needs no cross-validation; combinations are cross-validated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, norm

from ..statistics.calibration import kaplan_meier
from ..statistics.survival_groups import log_rank
from .evaluate import p_text
from .measures import DAYS_PER_YEAR, CoxTask
from .table import Patients

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class SurvivalInput:
    """times (N,) days, events (N,) 0/1; hi (N,); high (N,) bool; variants: name -> another index (N,) of the same
    patients; baselines: name -> simpler values (N, P) with their names. NaN where missing."""

    time_days: np.ndarray
    event: np.ndarray
    hi: np.ndarray
    high: np.ndarray
    variants: dict[str, np.ndarray]
    baselines: dict[str, tuple[tuple[str, ...], np.ndarray]]


def index_survival(given: SurvivalInput, task: CoxTask, outcome: str) -> dict:
    """Everything as plain JSON types: groups, models, comparisons and the sentences that sum them up."""
    known = np.isfinite(given.time_days) & (given.time_days > 0) & np.isfinite(given.event) & np.isfinite(given.hi)
    known &= np.all([np.isfinite(v).all(axis=1) for _, v in given.baselines.values()], axis=0)
    patients = Patients(None, given.event[known], given.time_days[known], ())
    indices = {"HI": given.hi[known]} | {name: hi[known] for name, hi in given.variants.items()}
    models = {name: _model(task, patients, {name: hi}) for name, hi in indices.items()}
    comparisons = []
    for base, (names, values) in given.baselines.items():
        terms = dict(zip(names, values[known].T, strict=True))
        models[base] = _model(task, patients, terms)
        for name, hi in indices.items():
            both = f"{name} with {base}"
            models[both] = _model(task, patients, terms | {name: hi})
            comparisons.append(_compare(task, patients, name, base, models))
    test = log_rank(patients.time_days, patients.event, given.high[known].astype(int))
    result = {
        "outcome": outcome,
        "n": int(known.sum()),
        "n_events": int(patients.event.sum()),
        "left_out": int((~known).sum()),
        "groups": [
            _group(patients, given.high[known] == side, name) for side, name in ((False, "low"), (True, "high"))
        ],
        "log_rank": {"chi_square": test.chi_square, "p": test.p},
        "models": [m["json"] for m in models.values()],
        "comparisons": comparisons,
    }
    return result | {"verdict": _verdict(result)}


def _model(task: CoxTask, patients: Patients, terms: dict[str, np.ndarray]) -> dict:
    """A Cox model of the terms, per SD: hazard ratios, C apparent and cross-validated."""
    design = np.column_stack(list(terms.values()))
    fit = task.fit(design, patients)
    scores = task.out_of_fold(design, patients)
    error = np.sqrt(np.diag(fit.covariance))
    p = 2 * norm.sf(np.abs(fit.coefficients / error))
    rows = [
        {"term": name, "hazard_ratio_per_sd": float(np.exp(b)), "low": float(np.exp(b - 1.959963984540054 * e)),
         "high": float(np.exp(b + 1.959963984540054 * e)), "p": float(q)}
        for name, b, e, q in zip(terms, fit.coefficients, error, p, strict=True)
    ]  # fmt: skip
    described = {
        "terms": rows,
        "c_apparent": task.discrimination(patients, fit.predictor(design)),
        "c_cross_validated": task.cross_validated(patients, scores),
    }
    return {"json": described, "fit": fit, "scores": scores}


def _compare(task: CoxTask, patients: Patients, name: str, base: str, models: dict) -> dict:
    """What the index adds to a simpler model."""
    small, large = models[base], models[f"{name} with {base}"]
    ratio = 2 * (large["fit"].log_likelihood - small["fit"].log_likelihood)
    difference = task.difference(patients, large["scores"].mean(axis=0), small["scores"].mean(axis=0))
    return {
        "index": name,
        "added_to": base,
        "likelihood_ratio_chi2": float(ratio),
        "p": float(chi2.sf(ratio, 1)),
        "c_difference": difference,
    }


def _group(patients: Patients, member: np.ndarray, name: str) -> dict:
    grid = np.array([3.0, 5.0]) * DAYS_PER_YEAR
    rows = kaplan_meier(patients.time_days[member], patients.event[member], grid)
    return {
        "name": name,
        "n": int(member.sum()),
        "n_events": int(patients.event[member].sum()),
        "survival": [
            {"years": round(r["time_days"] / DAYS_PER_YEAR, 6)}
            | {k: r[k] for k in ("survival", "low", "high", "at_risk")}
            for r in rows
        ],
    }


def _verdict(result: dict) -> str:
    alone = result["models"][0]
    term, c = alone["terms"][0], alone["c_cross_validated"]
    parts = [
        f"HI alone: hazard ratio {term['hazard_ratio_per_sd']:.2f} per SD ({p_text(term['p'])}), C "
        f"{alone['c_apparent']['value']:.3f} (cross-validated {c['value']:.3f}); high against low group: log-rank "
        f"{p_text(result['log_rank']['p'])}."
    ]
    for row in result["comparisons"]:
        d = row["c_difference"]
        adds = "adds information" if row["p"] < SIGNIFICANT else "adds nothing proven"
        parts.append(
            f"{row['index']} {adds} to {row['added_to']} (likelihood ratio {p_text(row['p'])}, cross-validated C "
            f"{d['value']:+.3f}, {d['low']:+.3f} to {d['high']:+.3f})."
        )
    return " ".join(parts)
