"""The performance section of a model form: inside, outside, and against simpler sets of features."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit
from scipy.stats import chi2

from ..statistics.resampling import optimism_bootstrap
from .measures import CoxTask, LogisticTask
from .more_measures import net_benefit
from .protocol import Comparison, FormPlan
from .table import Patients

IMAGING = ("ftv_mm3", "lesion_volume_mm3", "enhancing_fraction")


@dataclass(frozen=True)
class ExternalSet:
    """A test set, or why there is none (patients None, not_tested says it)."""

    name: str
    note: str
    patients: Patients | None
    not_tested: str = ""


def evaluate_form(
    task: LogisticTask | CoxTask, plan: FormPlan, patients: Patients, external: list[ExternalSet]
) -> tuple[object, dict]:
    """Fit a form and measure it; returns the fit and its performance (plain JSON types)."""
    design = patients.design(plan.features)
    fit = task.fit(design, patients)
    scores = task.out_of_fold(design, patients)
    optimism = optimism_bootstrap(
        len(design),
        lambda rows: _scorer(task.fit(design, patients, rows), design),
        {"discrimination": lambda rows, score: task.quick(patients, rows, score)},
        task.resampling.bootstrap,
        task.resampling.seed + 1,
    )["discrimination"]
    others = [_Other(task, c, patients) for c in plan.comparisons]
    inside_curve = {}
    if patients.time_days is None:
        inside_curve["decision_curve"] = net_benefit(patients.event, expit(scores.mean(axis=0)))
    performance = {
        "metric": task.metric,
        "internal": {
            "method": f"{task.resampling.repeats} times {task.resampling.folds}-fold stratified cross-validation; "
            f"optimism from {task.resampling.bootstrap} bootstrap fits",
            "cross_validated": task.cross_validated(patients, scores),
            "apparent": task.discrimination(patients, fit.predictor(design)),
            "optimism": optimism.optimism,
            "optimism_corrected": optimism.corrected,
            "calibration": task.calibration_inside(patients, fit, design, scores),
            "null_check": _null_check(task, design, patients, scores),
            **inside_curve,
        },
        "external": [_external(task, plan, patients, design, fit, e, others) for e in external],
        "comparisons": [_compare_inside(task, plan, fit, patients, scores, other) for other in others],
    }
    if patients.alternatives:
        performance["sensitivity"] = [_alternative(task, plan, what, rows) for what, rows in patients.alternatives]
    performance["verdict"] = verdict(performance)
    return fit, performance


N_PERMUTATIONS = 10


def _null_check(task, design: np.ndarray, patients: Patients, scores: np.ndarray) -> dict:
    """The same cross-validation, once each, on outcomes dealt out at random among the patients."""
    observed = task.cross_validated(patients, scores)["value"]
    rng = np.random.default_rng(task.resampling.seed + 2)
    once = task.with_repeats(1)
    draws = []
    for _ in range(N_PERMUTATIONS):
        deal = rng.permutation(len(design))
        time = None if patients.time_days is None else patients.time_days[deal]
        dealt = replace(patients, event=patients.event[deal], time_days=time)
        draws.append(task.quick(dealt, np.arange(len(design)), once.out_of_fold(design, dealt)[0]))
    return null_summary(np.array(draws), observed)


def null_summary(draws: np.ndarray, observed: float) -> dict:
    """What permuted outcomes gave, and the share of them that is as good as the real ones."""
    return {
        "what": "the same steps and folds on outcomes dealt out at random",
        "n": draws.size,
        "mean": float(draws.mean()),
        "low": float(draws.min()),
        "high": float(draws.max()),
        "p": float((1 + np.sum(draws >= observed)) / (1 + draws.size)),
    }


def _scorer(fit, design: np.ndarray):
    return lambda rows: fit.predictor(design[rows])


class _Other:
    """A comparison fitted once, with its out-of-fold scores."""

    def __init__(self, task, comparison: Comparison, patients: Patients) -> None:
        self.plan = comparison
        design = patients.design(comparison.features)
        self.fit = task.fit(design, patients)
        self.scores = task.out_of_fold(design, patients)

    def has_imaging(self) -> bool:
        return any(f.name in IMAGING for f in self.plan.features)


def _compare_inside(task, plan: FormPlan, fit, patients: Patients, scores: np.ndarray, other: _Other) -> dict:
    result = {
        "name": other.plan.name,
        "features": [f.name for f in other.plan.features],
        "uses_imaging": other.has_imaging(),
        "cross_validated": task.cross_validated(patients, other.scores),
        "difference": task.difference(patients, scores.mean(axis=0), other.scores.mean(axis=0)),
    }
    mine, theirs = set(plan.features), set(other.plan.features)
    if theirs < mine or mine < theirs:
        freedom = abs(len(mine) - len(theirs))
        ratio = 2 * abs(fit.log_likelihood - other.fit.log_likelihood)
        result["likelihood_ratio"] = {
            "added": sorted(f.name for f in mine ^ theirs),
            "smaller_is_this_form": mine < theirs,
            "chi2": ratio,
            "df": freedom,
            "p": float(chi2.sf(ratio, freedom)),
        }
    return result


def _external(task, plan: FormPlan, training: Patients, design, fit, external: ExternalSet, others) -> dict:
    if external.patients is None:
        return {"name": external.name, "note": external.note, "not_tested": external.not_tested}
    patients = external.patients
    score = fit.predictor(patients.design(plan.features))
    result = {
        "name": external.name,
        "note": external.note,
        "n": int(patients.event.size),
        "n_events": int(patients.event.sum()),
        "left_out": list(patients.left_out),
        "discrimination": task.discrimination(patients, score),
        "calibration": task.calibration_outside(training, design, fit, patients, score),
        "comparisons": [],
    }
    for other in others:
        if not all(f.name in patients.values for f in other.plan.features):
            continue
        theirs = other.fit.predictor(patients.design(other.plan.features))
        result["comparisons"].append(
            {
                "name": other.plan.name,
                "uses_imaging": other.has_imaging(),
                "discrimination": task.discrimination(patients, theirs),
                "difference": task.difference(patients, score, theirs),
            }
        )
    return result


def _alternative(task, plan: FormPlan, what: str, patients: Patients) -> dict:
    """The same form with impossible values treated otherwise: how much that would have changed it."""
    design = patients.design(plan.features)
    fit = task.fit(design, patients)
    error = np.sqrt(np.diag(fit.covariance))[-len(plan.features) :]
    return {
        "what": what,
        "n": int(patients.event.size),
        "n_events": int(patients.event.sum()),
        "apparent": task.quick(patients, np.arange(len(design)), fit.predictor(design)),
        "coefficients_per_sd": dict(zip([f.name for f in plan.features], map(float, fit.coefficients), strict=True)),
        "wald_p": dict(zip([f.name for f in plan.features], _wald_p(fit.coefficients, error), strict=True)),
    }


def _wald_p(coefficients: np.ndarray, error: np.ndarray) -> list[float]:
    return [float(p) for p in chi2.sf((coefficients / error) ** 2, 1)]


def statements(performance: dict) -> list[str]:
    """One plain sentence per comparison: what it adds, inside and outside; what imaging adds comes first."""
    return [_sentence(performance, c) for c in sorted(performance["comparisons"], key=_telling)]


def verdict(performance: dict) -> str:
    """The most telling of the statements, or that there is none."""
    return next(iter(statements(performance)), "Not compared with simpler models.")


def _telling(comparison: dict) -> tuple:
    """Order: imaging added to a set without it, imaging added to imaging, anything else."""
    ratio = comparison.get("likelihood_ratio")
    adds_imaging_only = bool(
        ratio and not ratio["smaller_is_this_form"] and all(name in IMAGING for name in ratio["added"])
    )
    return (not adds_imaging_only, comparison["uses_imaging"], ratio is None)


def _sentence(performance: dict, comparison: dict) -> str:
    metric, ratio = performance["metric"], comparison.get("likelihood_ratio")
    if ratio and ratio["smaller_is_this_form"]:
        subject, sign = f"Adding {', '.join(ratio['added'])} to this form", -1
    elif ratio:
        subject, sign = f'Adding {", ".join(ratio["added"])} to "{comparison["name"]}"', 1
    else:
        subject, sign = f'Replacing "{comparison["name"]}" by this form', 1
    parts = [f"{_gain(comparison['difference'], sign, metric)} in the training patients, cross-validated"]
    for e in performance["external"]:
        parts += [
            f"{_gain(o['difference'], sign, metric)} in {e['name']}"
            for o in e.get("comparisons", [])
            if o["name"] == comparison["name"]
        ]
    tested = f" (likelihood-ratio {p_text(ratio['p'])} in training)" if ratio else ""
    return f"{subject} brings {'; '.join(parts)}{tested}."


def _gain(difference: dict, sign: int, metric: str) -> str:
    low, high = sorted((sign * difference["low"], sign * difference["high"]))
    value = sign * difference["value"]
    if difference["p"] >= 0.05:
        label = "no proven gain"
    else:
        label = "a gain" if value > 0 else "a loss"
    return f"{label} ({metric} {value:+.3f}, {low:+.3f} to {high:+.3f})"


def p_text(p: float) -> str:
    """For example "p=0.023" or "p<0.0001"."""
    return "p<0.0001" if p < 0.0001 else f"p={p:.2g}"
