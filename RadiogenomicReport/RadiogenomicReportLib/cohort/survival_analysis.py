"""A survival analysis from a table of patients and a plan, as data that can be written and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from IITHModuleLib.statistics.collinearity import variance_inflation
from IITHModuleLib.statistics.cox_table import CoxRow, CoxTable, cox_table
from IITHModuleLib.statistics.nomogram import Nomogram, nomogram
from IITHModuleLib.statistics.subgroups import subgroup_analysis
from IITHModuleLib.statistics.survival_groups import median_follow_up
from IITHModuleLib.training.cox import breslow_baseline
from SubregionHabitatLib.errors import InputError

from ..clinical.patient_table import PatientTable
from ..clinical.variable_values import Variable
from .cross_fit import cross_fit
from .design import Design, build_design
from .model_performance import (
    FittedModel,
    added_value,
    calibration_at,
    confusion_at,
    decision_at,
    discrimination,
    roc_at,
    slope_of,
)
from .risk_groups import DAYS_PER_YEAR, RiskGroups, curve_content, curves_of, cut_score
from .survival_patients import Outcome, SurvivalPatients, read_outcome, select_patients
from .survival_plan import SurvivalPlan
from .table_one import table_one

SCHEMA = "iith-survival/1"
MIN_EVENTS_PER_COEFFICIENT = 10


@dataclass(frozen=True)
class SurvivalResult:
    """content: all numbers (JSON-able); patients: the rows used; groups and points belong to these rows."""

    content: dict
    table_rows: np.ndarray
    groups: RiskGroups
    score: np.ndarray | None
    points: np.ndarray | None
    point_names: tuple[str, ...]
    survival: dict[float, np.ndarray]


def analyze_survival(
    table: PatientTable, plan: SurvivalPlan, progress: Callable[[str], None] = lambda text: None
) -> SurvivalResult:
    """Carry out a plan. Raises InputError where columns, outcome or models do not allow it."""
    outcome = read_outcome(table, plan.time, plan.event, plan.time_unit)
    patients = select_patients(table, outcome, (*plan.main, *plan.covariates))
    horizons = _horizons(patients, plan)
    for name in (*plan.describe, *plan.subgroups):
        table.variable(name)  # a name that is not there is said before anything is computed
    progress("Cox models")
    models = _fit_models(patients, plan, horizons)
    main, full = models[0], models[-1]
    groups, score = _groups(patients, plan, main, horizons)
    curves, test = curves_of(groups, patients.times, patients.events)
    days = [h * DAYS_PER_YEAR for h in horizons]
    progress("discrimination, calibration and net benefit")
    content = {
        "schema": SCHEMA,
        "title": plan.title,
        "outcome": {"label": outcome.label, "time": outcome.time_name, "event": outcome.event_name},
        "patients": _patient_counts(patients, table),
        "horizons_years": list(horizons),
        "groups": {
            "rule": groups.rule,
            "cuts": list(groups.cuts),
            "names": list(groups.names),
            "curves": [curve_content(c, days) for c in curves],
            "log_rank": asdict(test),
        },
        "cox": {
            "univariable": _univariable(table, outcome, patients, plan),
            "multivariable": _table_content(full, patients),
        },
        "performance": _performance(models, patients, plan, horizons),
        "confusion": [
            confusion_at(groups.labels, groups.names[-1], patients.times, patients.events, h, plan.bootstrap, plan.seed)
            for h in horizons
        ]
        if plan.group is None or len(groups.names) == 2
        else [],
    }
    progress("nomogram, subgroups and patient table")
    scale, content["nomogram"] = _nomogram(full, patients, days)
    content["subgroups"] = _subgroups(table, patients, plan, score)
    content["table_one"] = _describe(table, patients, plan, groups)
    content["warnings"] = _warnings(content, models, patients, plan)
    design = patients.design.take(full.terms)
    points = None if scale is None else scale.points(design.matrix)
    survival = {d: full.crossed.survival[d] for d in days}
    names = () if scale is None else tuple(t.name for t in scale.terms)
    return SurvivalResult(content, patients.rows, groups, score, points, names, survival)


def _horizons(patients: SurvivalPatients, plan: SurvivalPlan) -> list[float]:
    longest = patients.times.max() / DAYS_PER_YEAR
    kept = [h for h in sorted(set(plan.horizons_years)) if h < longest]
    if not kept:
        raise InputError(f"The longest follow-up is {longest:.2f} years; choose shorter --horizons.")
    return kept


def _fit_models(patients: SurvivalPatients, plan: SurvivalPlan, horizons: list[float]) -> list[FittedModel]:
    """The main model; with covariates also these alone, and both together (last)."""
    labels = [patients.variables[n].label for n in plan.main]
    label = (
        f"Model of {len(labels)} variables" if len(labels) > 2 else " + ".join([labels[0], *map(_lower, labels[1:])])
    )
    sets = [(label, plan.main)]
    if plan.covariates:
        sets += [("Covariates", plan.covariates), ("All variables", (*plan.main, *plan.covariates))]
    days = [h * DAYS_PER_YEAR for h in horizons]
    models = []
    for name, terms in sets:
        design = patients.design.take(terms)
        table = cox_table(design.matrix, design.names, patients.times, patients.events)
        crossed = cross_fit(design.matrix, patients.times, patients.events, days, plan.folds, plan.repeats, plan.seed)
        fixed = plan.score is not None and terms == plan.main
        ranking = patients.variables[plan.score].values[patients.rows] if fixed else crossed.predictor
        models.append(FittedModel(name, tuple(terms), table, crossed, ranking, fixed))
    return models


def _lower(label: str) -> str:
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def _groups(patients, plan: SurvivalPlan, main: FittedModel, horizons) -> tuple[RiskGroups, np.ndarray | None]:
    if plan.group is None:
        last = horizons[-1] * DAYS_PER_YEAR
        groups = cut_score(main.ranking, plan.cut, patients.times, patients.events, last)
        return groups, main.ranking
    variable = patients.variables[plan.group]
    texts = np.array(variable.texts(), dtype=object)[patients.rows]
    found = set(texts)
    order = variable.levels or ("no", "yes")
    names = tuple(n for n in order if n in found) or tuple(sorted(found))
    if not 2 <= len(names) <= 6:
        raise InputError(f"The groups of {variable.label} number {len(names)}; a comparison takes 2 to 6 groups.")
    return RiskGroups(texts.astype(str), names, (), f"given by {variable.label}"), None


def _patient_counts(patients: SurvivalPatients, table: PatientTable) -> dict:
    follow_up = median_follow_up(patients.times, patients.events)
    return {
        "in_table": len(table),
        "n": int(patients.rows.sum()),
        "n_events": int(patients.events.sum()),
        "left_out": list(patients.left_out),
        "median_follow_up_years": None if follow_up is None else follow_up / DAYS_PER_YEAR,
        "longest_follow_up_years": float(patients.times.max() / DAYS_PER_YEAR),
        "notes": [*table.mapping.notes, *table.notes, *patients.notes],
    }


def _row_content(row: CoxRow, sd: float | None) -> dict:
    content = asdict(row)
    if sd is not None:
        half = 1.959963984540054 * row.standard_error
        bounds = (row.coefficient, row.coefficient - half, row.coefficient + half)
        content["per_sd"] = dict(
            zip(("hazard_ratio", "low", "high"), (float(np.exp(b * sd)) for b in bounds), strict=True)
        )
        content["sd"] = sd
    return content


def _rows_of(table: CoxTable, design: Design) -> list[dict]:
    rows = []
    for term in design.terms:
        for column in term.columns:
            sd = float(design.matrix[:, column].std(ddof=1)) if term.levels is None else None
            rows.append(_row_content(table.rows[column], sd) | {"term": term.name, "unit": term.unit})
    return rows


def _univariable(table: PatientTable, outcome: Outcome, patients: SurvivalPatients, plan: SurvivalPlan) -> list[dict]:
    """Each variable alone, on all patients for whom it is known."""
    entries = []
    for name in dict.fromkeys((*plan.main, *plan.covariates, *plan.describe)):
        variable = table.variable(name)
        rows = patients.usable_outcome & variable.known
        try:
            design = build_design([variable], rows)
            fitted = cox_table(design.matrix, design.names, outcome.times[rows], outcome.events[rows])
        except InputError as error:
            entries.append({"term": name, "label": variable.label, "rows": [], "reason": str(error)})
            continue
        entries.append(
            {
                "term": name,
                "label": variable.label,
                "n": fitted.n,
                "n_events": fitted.n_events,
                "p": fitted.p,
                "concordance": fitted.concordance,
                "rows": _rows_of(fitted, design),
            }
        )
    return entries


def _table_content(model: FittedModel, patients: SurvivalPatients) -> dict:
    design, table = patients.design.take(model.terms), model.table
    inflation = variance_inflation(design.matrix)
    rows = _rows_of(table, design)
    for row, factor in zip(rows, inflation, strict=True):
        row["vif"] = float(factor) if np.isfinite(factor) else None
    return {
        "model": model.name,
        "n": table.n,
        "n_events": table.n_events,
        "rows": rows,
        "likelihood_ratio": table.likelihood_ratio,
        "degrees": table.degrees,
        "p": table.p,
        "concordance": table.concordance,
        "proportional_chi_square": table.proportional.global_chi_square,
        "proportional_p": table.proportional.global_p,
        "events_per_coefficient": table.n_events / table.degrees,
    }


def _performance(models: list[FittedModel], patients: SurvivalPatients, plan: SurvivalPlan, horizons) -> dict:
    times, events = patients.times, patients.events
    full = models[-1]
    content = {
        "cross_validation": {"folds": full.crossed.folds, "repeats": full.crossed.repeats, "seed": plan.seed},
        "discrimination": [discrimination(m, times, events, plan.bootstrap, plan.seed) for m in models],
        "time_roc": [roc_at(m, times, events, h, plan.bootstrap, plan.seed) for h in horizons for m in models],
        "calibration": [calibration_at(full, times, events, h) for h in horizons],
        "calibration_slope": slope_of(full, times, events),
        "decision_curves": [decision_at(m, times, events, h) for h in horizons for m in models],
        "added_value": None,
    }
    if len(models) == 3:
        content["added_value"] = added_value(models[1], full, times, events, horizons, plan.bootstrap, plan.seed)
    return content


def _nomogram(model: FittedModel, patients: SurvivalPatients, days: list[float]) -> tuple[Nomogram | None, dict]:
    design = patients.design.take(model.terms)
    fit = model.table.fit
    scale = nomogram(design.matrix, fit.coefficients / fit.sd, [(t.label, t.columns, t.levels) for t in design.terms])
    center = float((fit.coefficients / fit.sd) @ fit.mean)
    baseline = breslow_baseline(fit, design.matrix, patients.times, patients.events)
    axes = []
    for h in days:
        hazard = baseline.at(h)[0]
        ticks = []
        for survival in (0.99, 0.975, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05):
            total = float(scale.total(np.log(-np.log(survival) / hazard) + center)) if hazard > 0 else np.inf
            if 0 <= total <= scale.largest_total:
                ticks.append({"survival": survival, "total": total})
        axes.append({"years": h / DAYS_PER_YEAR, "baseline_survival": float(np.exp(-hazard)), "ticks": ticks})
    content = {
        "model": model.name,
        "largest_total": scale.largest_total,
        "log_hazard_per_point": scale.per_point,
        "terms": [
            {
                "name": term.name,
                "unit": d.unit,
                "low": axis.low,
                "high": axis.high,
                "points_low": axis.points_low,
                "points_high": axis.points_high,
                "levels": [{"level": n, "points": p} for n, p in axis.levels],
            }
            for term, axis, d in zip(scale.terms, scale.terms, design.terms, strict=True)
        ],
        "survival": axes,
    }
    return scale, content


def _subgroups(table: PatientTable, patients: SurvivalPatients, plan: SurvivalPlan, score) -> list[dict]:
    """The main score's hazard ratio per SD within the levels of each subgroup variable."""
    if score is None or not plan.subgroups:
        return []
    standard = (score - score.mean()) / score.std(ddof=1)
    entries = []
    for name in plan.subgroups:
        variable = table.variable(name)
        known = variable.known[patients.rows]
        texts = np.array(_levels_of(variable), dtype=object)[patients.rows][known]
        rows, interaction = subgroup_analysis(
            patients.times[known], patients.events[known], standard[known], variable.label, texts
        )
        entries.append(
            {
                "variable": variable.label,
                "rows": [asdict(r) for r in rows],
                "interaction": asdict(interaction),
            }
        )
    return entries


def _levels_of(variable: Variable) -> list[str | None]:
    """Texts of a category; a number is split at its median."""
    if variable.kind != "number":
        return variable.texts()
    middle = float(np.nanmedian(variable.values))
    return [
        None if not np.isfinite(v) else f"up to {middle:g}" if v <= middle else f"above {middle:g}"
        for v in variable.values
    ]


def _describe(table: PatientTable, patients: SurvivalPatients, plan: SurvivalPlan, groups: RiskGroups) -> list[dict]:
    names = dict.fromkeys((*plan.main, *plan.covariates, *plan.describe, *plan.subgroups))
    variables = [table.variable(n) for n in names if n != plan.group]
    return table_one(variables, patients.rows, groups.labels, groups.names) if variables else []


def _warnings(content: dict, models: list[FittedModel], patients: SurvivalPatients, plan: SurvivalPlan) -> list[str]:
    """What a reader must know before believing the numbers."""
    warnings = []
    multi = content["cox"]["multivariable"]
    if multi["events_per_coefficient"] < MIN_EVENTS_PER_COEFFICIENT:
        warnings.append(
            f"Only {multi['events_per_coefficient']:.1f} events per coefficient: the larger model is likely overfitted."
        )
    drifting = [r["name"] for r in multi["rows"] if r["proportional_p"] < 0.05]
    if drifting or multi["proportional_p"] < 0.05:
        what = ", ".join(drifting) or "the model as a whole"
        warnings.append(
            f"Hazards are not proportional (p < 0.05) for {what}; a hazard ratio is then an average over time."
        )
    severe = [r["name"] for r in multi["rows"] if r["vif"] is None or r["vif"] > 10]
    if severe:
        warnings.append(f"Strongly collinear terms (variance inflation above 10): {', '.join(severe)}.")
    if plan.cut == "youden" and plan.group is None:
        warnings.append("The cut was chosen on these patients, so the separation of the groups is optimistic.")
    if plan.score is not None:
        warnings.append(
            "The score is taken as given. If it was made on these patients, its discrimination here is optimistic."
        )
    dropped = content["patients"]["in_table"] - content["patients"]["n"]
    if dropped > 0.1 * content["patients"]["in_table"]:
        warnings.append(
            f"{dropped:,} of {content['patients']['in_table']:,} patients were left out for missing values; the others "
            "may differ from them."
        )
    added = content["performance"]["added_value"]
    if added is not None and added["c_difference"]["low"] <= 0:
        warnings.append(
            f"{models[0].name} adds nothing proven to the covariates: the out-of-fold C-index changes by "
            f"{added['c_difference']['value']:+.3f} (95 % interval {added['c_difference']['low']:+.3f} to "
            f"{added['c_difference']['high']:+.3f})."
        )
    return warnings
