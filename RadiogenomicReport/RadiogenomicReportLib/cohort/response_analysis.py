"""Prediction of a yes/no outcome (pathologic complete response, say) from a table of patients and a plan, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import chi2, norm

from IITHModuleLib.statistics.auc import auc_delong, compare_auc, youden_cut
from IITHModuleLib.statistics.calibration import calibration_groups, logistic_calibration
from IITHModuleLib.statistics.collinearity import variance_inflation
from IITHModuleLib.statistics.confusion import confusion
from IITHModuleLib.statistics.decision_curve import decision_curve
from IITHModuleLib.statistics.nomogram import nomogram
from IITHModuleLib.statistics.reclassification import reclassification, reclassification_intervals
from IITHModuleLib.statistics.resampling import stratified_folds
from IITHModuleLib.training.logistic import LogisticFit, fit_logistic
from SubregionHabitatLib.errors import InputError

from ..clinical.patient_table import PatientTable
from .design import Design, build_design
from .table_one import table_one

SCHEMA = "iith-response/1"
MIN_PATIENTS, MIN_EVENTS = 20, 5
THRESHOLDS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class ResponsePlan:
    """Exactly one of model (variables of a logistic model fitted here) and score (a number made elsewhere, higher
    meaning the outcome). cut: where a prediction counts as positive, "youden" or a number (a probability for a
    model)."""

    outcome: str
    model: tuple[str, ...] = ()
    score: str | None = None
    covariates: tuple[str, ...] = ()
    describe: tuple[str, ...] = ()
    cut: str = "youden"
    folds: int = 10
    repeats: int = 5
    bootstrap: int = 500
    seed: int = 1
    title: str = ""

    def __post_init__(self) -> None:
        if bool(self.model) == (self.score is not None):
            raise InputError("Name exactly one of --model and --score.")
        twice = set(self.main) & {*self.covariates, self.outcome}
        if twice:
            raise InputError(f"'{min(twice)}' is named twice; leave it out once.")
        if self.cut != "youden":
            try:
                float(self.cut)
            except ValueError:
                raise InputError(f"'{self.cut}' is no cut; use youden or a number.") from None
        if not (2 <= self.folds <= 50 and 1 <= self.repeats <= 100 and 20 <= self.bootstrap <= 5000 and self.seed >= 0):
            raise InputError("Use 2 to 50 folds, 1 to 100 repeats, 20 to 5000 bootstrap resamples and a seed from 0.")

    @property
    def main(self) -> tuple[str, ...]:
        """The variables that the analysis is about."""
        return self.model or (self.score,)


@dataclass(frozen=True)
class _Model:
    """A fitted model: name, terms, design, fit, out-of-fold probabilities (repeats, N), and the score to rank by."""

    name: str
    terms: tuple[str, ...]
    design: Design
    fit: LogisticFit
    probabilities: np.ndarray
    ranking: np.ndarray
    fixed: bool


def analyze_response(table: PatientTable, plan: ResponsePlan) -> tuple[dict, np.ndarray]:
    """Carry out a plan: (content, rows used). Raises InputError where columns or models do not allow it."""
    target = table.variable_as(plan.outcome, "yes_no", None)
    rows, left_out, names = target.known.copy(), [], (*plan.main, *plan.covariates)
    if not rows.all():
        left_out.append(f"{int((~rows).sum()):,} patients: {target.label} is missing")
    variables = [table.variable(n) for n in names]
    for variable in variables:
        lost = int((rows & ~variable.known).sum())
        if lost:
            left_out.append(f"{lost:,} patients: {variable.label} is missing")
        rows &= variable.known
    outcome = target.values[rows]
    n, positive = outcome.size, int(outcome.sum())
    if n < MIN_PATIENTS or min(positive, n - positive) < MIN_EVENTS:
        raise InputError(
            f"{n} patients, {positive} with {target.label}, are left after removing incomplete rows; at least "
            f"{MIN_PATIENTS} are needed, and {MIN_EVENTS} with and without it. Check the columns named."
        )
    described = [table.variable(v) for v in dict.fromkeys((*names, *plan.describe))]
    models = _models(build_design(variables, rows), variables, outcome, plan)
    full = models[-1]
    cut, rule = _cut(models[0], outcome, plan)
    labels = np.where(outcome == 1, "yes", "no")
    content = {
        "schema": SCHEMA,
        "title": plan.title,
        "outcome": {"name": target.name, "label": target.label},
        "patients": {
            "in_table": len(table), "n": n, "n_events": positive, "left_out": left_out,
            "notes": [*table.mapping.notes, *table.notes, *(note for v in variables for note in v.notes)],
        },
        "table_one": table_one(described, rows, labels, ("no", "yes")),
        "logistic": _coefficients(full, outcome),
        "discrimination": [_discrimination(m, outcome) for m in models],
        "comparison": _comparison(models, outcome, plan) if len(models) == 3 else None,
        "calibration": _calibration(full, outcome),
        "decision_curves": [_decision(m, outcome) for m in models if not m.fixed or len(models) == 1],
        "confusion": _confusion(models[0], outcome, cut, rule),
        "nomogram": _nomogram(full),
    }  # fmt: skip
    content["warnings"] = _warnings(content, plan)
    return content, rows


def _models(design: Design, variables, outcome, plan: ResponsePlan) -> list[_Model]:
    labels = [v.label for v in variables[: len(plan.main)]]
    label = f"Model of {len(labels)} variables" if len(labels) > 2 else " + ".join(labels)
    sets = [(label, plan.main)]
    if plan.covariates:
        sets += [("Covariates", plan.covariates), ("All variables", (*plan.main, *plan.covariates))]
    models = []
    for name, terms in sets:
        part = design.take(terms)
        fixed = plan.score is not None and terms == plan.main
        probabilities = _out_of_fold(part.matrix, outcome, plan)
        ranking = part.matrix[:, 0] if fixed else probabilities[0]
        models.append(
            _Model(name, tuple(terms), part, fit_logistic(part.matrix, outcome), probabilities, ranking, fixed)
        )
    return models


def _out_of_fold(matrix: np.ndarray, outcome: np.ndarray, plan: ResponsePlan) -> np.ndarray:
    """Probabilities (repeats, N) by models that did not see the patient; the same folds for every model."""
    rng = np.random.default_rng(plan.seed)
    folds = int(min(plan.folds, outcome.sum(), outcome.size - outcome.sum()))
    result = np.empty((plan.repeats, outcome.size))
    for repeat in range(plan.repeats):
        for test in stratified_folds(outcome, folds, rng):
            train = np.setdiff1d(np.arange(outcome.size), test, assume_unique=True)
            varying = np.ptp(matrix[train], axis=0) > 0
            fit = fit_logistic(matrix[train][:, varying], outcome[train])
            result[repeat, test] = expit(fit.predictor(matrix[test][:, varying]))
    return np.clip(result, 1e-9, 1 - 1e-9)


def _coefficients(model: _Model, outcome: np.ndarray) -> dict:
    fit, design = model.fit, model.design
    coefficients = fit.coefficients / fit.sd
    errors = np.sqrt(np.diag(fit.covariance)[1:]) / fit.sd
    factors = variance_inflation(design.matrix)
    rows = []
    for term in design.terms:
        for c in term.columns:
            b, e = coefficients[c], errors[c]
            sd = float(design.matrix[:, c].std(ddof=1)) if term.levels is None else None
            row = {"term": term.name, "name": design.names[c], "unit": term.unit, "coefficient": b, "standard_error": e}
            row |= {"odds_ratio": np.exp(b), "low": np.exp(b - _half(e)), "high": np.exp(b + _half(e))}
            row |= {"z": b / e, "p": 2 * norm.sf(abs(b / e)), "vif": factors[c] if np.isfinite(factors[c]) else None}
            if sd is not None:
                row["per_sd"] = {
                    "odds_ratio": np.exp(b * sd),
                    "low": np.exp((b - _half(e)) * sd),
                    "high": np.exp((b + _half(e)) * sd),
                }
            rows.append({k: float(v) if isinstance(v, np.floating) else v for k, v in row.items()})
    share = outcome.mean()
    empty = float(outcome.size * (share * np.log(share) + (1 - share) * np.log(1 - share)))
    ratio = 2 * (fit.log_likelihood - empty)
    minor = float(min(outcome.sum(), outcome.size - outcome.sum()))
    return {
        "model": model.name, "rows": rows, "log_likelihood": fit.log_likelihood, "likelihood_ratio": ratio,
        "degrees": len(rows), "p": float(chi2.sf(ratio, len(rows))), "events_per_coefficient": minor / len(rows),
    }  # fmt: skip


def _half(error: float) -> float:
    return float(norm.ppf(0.975) * error)


def _discrimination(model: _Model, outcome: np.ndarray) -> dict:
    auc = auc_delong(outcome, model.ranking)
    mean = auc.value if model.fixed else float(np.mean([auc_delong(outcome, p).value for p in model.probabilities]))
    order = np.unique(model.ranking)[::-1]
    return {
        "model": model.name, "auc": mean, "low": max(0.0, mean - _half(np.sqrt(auc.variance))),
        "high": min(1.0, mean + _half(np.sqrt(auc.variance))),
        "apparent": auc_delong(outcome, model.fit.predictor(model.design.matrix)).value,
        "predictions": "the score as given" if model.fixed else "out of fold",
        "sensitivity": [0.0, *(float((model.ranking[outcome == 1] >= c).mean()) for c in order)],
        "one_minus_specificity": [0.0, *(float((model.ranking[outcome == 0] >= c).mean()) for c in order)],
    }  # fmt: skip


def _comparison(models: list[_Model], outcome: np.ndarray, plan: ResponsePlan) -> dict:
    """All variables against the covariates alone, on out-of-fold probabilities of the first repeat."""
    covariates, full = models[1], models[2]
    first, second = covariates.probabilities[0], full.probabilities[0]
    found = reclassification(outcome, first, second)
    bounds = reclassification_intervals(None, outcome, first, second, n_bootstrap=plan.bootstrap, seed=plan.seed)
    ratio = max(0.0, 2 * (full.fit.log_likelihood - covariates.fit.log_likelihood))
    degrees = len(full.fit.coefficients) - len(covariates.fit.coefficients)
    content = {
        "delong": asdict(compare_auc(outcome, second, first)),
        "likelihood_ratio": ratio, "degrees": degrees, "p": float(chi2.sf(ratio, degrees)),
    }  # fmt: skip
    for name in ("idi", "nri", "nri_half"):
        content[name] = {"value": getattr(found, name), "low": bounds[name][0], "high": bounds[name][1]}
    return content


def _calibration(model: _Model, outcome: np.ndarray) -> dict:
    probability = model.probabilities[0]
    return {"model": model.name, "groups": calibration_groups(outcome, probability, 5)} | asdict(
        logistic_calibration(outcome, probability)
    )


def _decision(model: _Model, outcome: np.ndarray) -> dict:
    curve = decision_curve(outcome, model.probabilities[0], THRESHOLDS)
    return {
        "model": model.name, "thresholds": THRESHOLDS.tolist(), "net_benefit": curve.model.tolist(),
        "everyone": curve.everyone.tolist(),
    }  # fmt: skip


def _cut(model: _Model, outcome: np.ndarray, plan: ResponsePlan) -> tuple[float, str]:
    if plan.cut == "youden":
        return youden_cut(outcome, model.ranking).value, "Youden's cut, chosen on these patients"
    return float(plan.cut), "given cut"


def _confusion(model: _Model, outcome: np.ndarray, cut: float, rule: str) -> dict:
    return {"model": model.name, "cut": cut, "rule": rule} | asdict(confusion(outcome, model.ranking >= cut))


def _nomogram(model: _Model) -> dict:
    fit, design = model.fit, model.design
    coefficients = fit.coefficients / fit.sd
    scale = nomogram(design.matrix, coefficients, [(t.label, t.columns, t.levels) for t in design.terms])
    intercept = fit.intercept - float(coefficients @ fit.mean)
    ticks = []
    for probability in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99):
        total = float(scale.total(np.log(probability / (1 - probability)) - intercept))
        if 0 <= total <= scale.largest_total:
            ticks.append({"survival": probability, "total": total})
    terms = [
        {
            "name": a.name, "unit": t.unit, "low": a.low, "high": a.high, "points_low": a.points_low,
            "points_high": a.points_high, "levels": [{"level": n, "points": p} for n, p in a.levels],
        }
        for a, t in zip(scale.terms, design.terms, strict=True)
    ]  # fmt: skip
    return {
        "model": model.name, "largest_total": scale.largest_total, "log_odds_per_point": scale.per_point,
        "terms": terms, "survival": [{"label": "Probability", "years": None, "ticks": ticks}],
    }  # fmt: skip


def _warnings(content: dict, plan: ResponsePlan) -> list[str]:
    warnings = []
    each = content["logistic"]["events_per_coefficient"]
    if each < 10:
        warnings.append(f"Only {each:.1f} events per coefficient: the larger model is likely overfitted.")
    severe = [r["name"] for r in content["logistic"]["rows"] if r["vif"] is None or r["vif"] > 10]
    if severe:
        warnings.append(f"Strongly collinear terms (variance inflation above 10): {', '.join(severe)}.")
    if plan.cut == "youden":
        warnings.append("The cut was chosen on these patients, so sensitivity and specificity are optimistic.")
    if plan.score is not None:
        warnings.append("The score is taken as given. If it was made on these patients, its AUC here is optimistic.")
    comparison = content["comparison"]
    if comparison is not None and comparison["delong"]["low"] <= 0:
        d = comparison["delong"]
        warnings.append(
            f"{content['discrimination'][0]['model']} adds nothing proven to the covariates: the out-of-fold AUC "
            "changes by "
            f"{d['value']:+.3f} (95 % interval {d['low']:+.3f} to {d['high']:+.3f})."
        )
    return warnings
