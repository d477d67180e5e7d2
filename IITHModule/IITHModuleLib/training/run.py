"""Training: protocol + tables -> a model folder (model.json, MODEL_CARD.md, figures)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.special import expit

from SubregionHabitatLib.errors import InputError

from ..case_values import KNOWN_VALUES
from ..model_file import N_QUANTILES, SCHEMA, Model, load_model
from ..model_folder import check_model_target, whole_model_folder
from ..score_text import model_json, model_text
from ..statistics.auc import youden_cut
from ..statistics.calibration import kaplan_meier
from .cox import breslow_baseline, proportional_hazards_p
from .dispatch import TrainedModel, TrainingRequest
from .evaluate import IMAGING, ExternalSet, evaluate_form
from .measures import DAYS_PER_YEAR, CoxTask, LogisticTask, Resampling
from .model_checks import model_checks
from .more_measures import calls_at_cut, net_benefit, survival_net_benefit
from .protocol import ExternalPlan, FormPlan, Protocol, load_protocol
from .table import Patients, apply_filters, file_digest, join, read_patients, read_table

SIGNIFICANT_DIGITS = 10
MIN_AT_RISK = 20  # beyond this the baseline curve rests on too few patients to be shipped
_NUMBER_LIST = re.compile(r"\[\n\s+-?\d[\d.eE+-]*(?:,\n\s+-?\d[\d.eE+-]*)*\n\s+\]")
_QUANTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)


def train_model(request: TrainingRequest) -> TrainedModel:
    """``train`` as the dispatch table calls it."""
    kind = load_protocol(request.protocol).kind
    request.refuse(("stable", "visits"), kind)
    if request.outcomes is None:
        raise InputError(f"A protocol of the kind {kind} needs OUTCOMES; it may be the same file as TABLE.")
    model = train(
        request.protocol,
        request.table,
        request.outcomes,
        request.out,
        request.external,
        request.overwrite,
        request.progress,
    )
    return TrainedModel(model.path, model_text(model), model_json(model))


def train(
    protocol: str | Path,
    table: str | Path,
    outcomes: str | Path,
    out: str | Path,
    external: Mapping[str, str | Path] | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> Model:
    """Fit a model by ``protocol`` and write its folder ``out``; returns the model as loaded back.

    table and outcomes are CSV/TSV/XLSX files and may be one file; external names further tables the protocol
    asks for. The folder is written beside its place and renamed, so a stopped run leaves nothing behind.
    Raises InputError when a table does not fit, and when ``out`` exists and overwrite is False.
    """
    plan, out = load_protocol(protocol), Path(out)
    check_model_target(out, overwrite)
    paths = {"TABLE": Path(table), "OUTCOMES": Path(outcomes)} | {k: Path(v) for k, v in (external or {}).items()}
    tables = _Tables(plan, paths)
    task = _task(plan)
    forms = []
    for form in plan.forms:
        progress(f"fitting form '{form.name}'")
        patients = tables.training(form)
        test_sets = [tables.external(e, form) for e in plan.external if not e.forms or form.name in e.forms]
        fit, performance = evaluate_form(task, form, patients, test_sets)
        forms.append(_form_json(plan, form, patients, test_sets, fit, performance))
    content = rounded(_model_json(plan, tables, forms))
    progress("writing the model folder")
    write_folder(content, out, overwrite)
    return load_model(out)


class _Tables:
    """The tables of one training run, each read once."""

    def __init__(self, plan: Protocol, paths: dict[str, Path]) -> None:
        unknown = set(paths) - set(plan.tables) - {"TABLE", "OUTCOMES"}
        if unknown:
            raise InputError(
                f"The protocol {plan.id} has no table '{min(unknown)}'; it names {', '.join(plan.tables)}."
            )
        self.plan, self.paths, self._frames = plan, paths, {}

    def frame(self, name: str):
        spec = self.plan.tables.get(name, {})
        # Two sheets of one workbook are two tables.
        place = self.paths[name].resolve(), json.dumps({k: v for k, v in spec.items() if k != "usual_path"})
        if place not in self._frames:
            self._frames[place] = read_table(self.paths[name], spec, self.plan.join_on)
        return self._frames[place]

    def training(self, form: FormPlan) -> Patients:
        plan = self.plan
        frame, notes = self._rows(["TABLE", "OUTCOMES"], plan.keep, plan.leave_out, plan.outcome)
        others = {f.name for c in form.comparisons for f in c.features}
        return read_patients(frame, plan.values, plan.outcome, form.features, others, notes)

    def _rows(self, names: list[str], keep, leave_out, outcome: dict):
        """The joined and filtered rows; filters on the first table's columns come before the join, so that
        rows never asked for are not counted as lost."""
        frames = [self.frame(n) for n in names]
        early = [r for r in keep if r["column"] in frames[0].columns]
        if early and any(f is not frames[0] for f in frames):
            frames[0], _ = apply_filters(frames[0], tuple(early), ())
        frame, notes = join(frames, names, self.plan.join_on, outcome)
        frame, more = apply_filters(frame, keep, leave_out)
        return frame, notes + more

    def external(self, e: ExternalPlan, form: FormPlan) -> ExternalSet:
        missing = [n for n in e.tables if n not in self.paths]
        if missing:
            return ExternalSet(
                e.name, e.note, None, f"the table {missing[0]} was not given (--external {missing[0]}=PATH)"
            )
        frame, notes = self._rows(list(e.tables), e.keep, e.leave_out, e.outcome)
        # Only the form's own features are asked for: what a comparison needs besides would cost patients.
        patients = read_patients(frame, e.values, e.outcome, form.features, set(), notes)
        return ExternalSet(e.name, e.note, patients)

    def record(self) -> list[dict]:
        """File name and digest of every table used; never a folder of this machine."""
        rows = []
        for name, path in sorted(self.paths.items(), key=lambda item: table_place(item[0])):
            usual = self.plan.tables.get(name, {}).get("usual_path", "")
            shown = usual if usual and Path(usual).name == path.name else path.name
            rows.append({"role": name, "file": shown, "sha256": file_digest(path)})
        return rows


def table_place(role: str) -> tuple[int, str]:
    """Training tables first, then external ones by name, in whatever order the user gave them."""
    return {"TABLE": 0, "OUTCOMES": 1}.get(role, 2), role


def _task(plan: Protocol) -> LogisticTask | CoxTask:
    resampling = Resampling(plan.folds, plan.repeats, plan.bootstrap, plan.seed)
    if plan.kind == "logistic":
        return LogisticTask(resampling)
    return CoxTask(resampling, plan.outcome["horizons_years"])


def _form_json(plan: Protocol, form: FormPlan, patients: Patients, test_sets, fit, performance: dict) -> dict:
    design = patients.design(form.features)
    z = (design - fit.mean) / fit.sd
    predictor = fit.predictor(design)
    correlation = np.atleast_2d(np.corrcoef(z, rowvar=False))
    distance = np.einsum("ni,ni->n", z, np.linalg.solve(correlation, z.T).T)
    names = [f.name for f in form.features]
    result = {
        "name": form.name,
        "n": int(patients.event.size),
        "n_events": int(patients.event.sum()),
        "rows_left_out": list(patients.left_out),
        "features": [_feature_json(f, k, patients, fit) for k, f in enumerate(form.features)],
        "covariance": {"names": names, "matrix": fit.covariance},
        "correlation": {"names": names, "matrix": correlation},
        "score_quantiles": np.percentile(predictor, np.linspace(0, 100, N_QUANTILES)),
        "distance_quantiles": np.percentile(distance, np.linspace(0, 100, N_QUANTILES)),
    }
    if plan.kind == "logistic":
        result["intercept"] = fit.intercept
        result["covariance"]["names"] = ["intercept", *names]
        result["groups"] = _youden_groups(plan, patients, predictor, form, fit, test_sets, performance)
    else:
        result |= survival_json(plan.outcome, plan.groups["names"], patients, design, fit, predictor)
        _survival_benefit(form, patients, fit, test_sets, performance, result["horizons"][-1])
        performance["proportional_hazards_p"] = dict(
            zip(names, proportional_hazards_p(design, patients.time_days, patients.event), strict=True)
        )
    performance["checks"] = model_checks(names, design, patients.event, 0, plan.kind == "logistic")
    result["performance"] = performance
    return result


def _feature_json(feature, k: int, patients: Patients, fit) -> dict:
    known = KNOWN_VALUES[feature.name]
    offset = len(fit.covariance) - len(fit.coefficients)
    return {
        "name": feature.name,
        "unit": known.unit,
        "preset": known.preset,
        "definition": known.definition,
        "transform": feature.transform,
        "mean": fit.mean[k],
        "sd": fit.sd[k],
        "coefficient": fit.coefficients[k],
        "standard_error": math.sqrt(fit.covariance[k + offset, k + offset]),
        "training_quantiles": np.percentile(patients.values[feature.name], _QUANTILES),
    }


def _youden_groups(plan, patients, predictor, form, fit, test_sets, performance) -> dict:
    probability = expit(predictor)
    cut = youden_cut(patients.event, probability)
    performance["internal"]["at_cut"] = calls_at_cut(patients.event, probability, cut.value)
    for row, test in zip(performance["external"], test_sets, strict=True):
        if test.patients is not None:
            there = expit(fit.predictor(test.patients.design(form.features)))
            row["at_cut"] = calls_at_cut(test.patients.event, there, cut.value)
            row["decision_curve"] = net_benefit(test.patients.event, there)
    return {
        "names": plan.groups["names"],
        "cuts": [cut.value],
        "scale": "probability",
        "rule": "largest sensitivity + specificity (Youden) on the training patients, apparent predictions",
    }


def _survival_benefit(form: FormPlan, patients: Patients, fit, test_sets, performance, horizon: dict) -> None:
    """Decision curves for an event up to the last horizon, inside (apparent risks) and outside."""

    def curve(p: Patients) -> dict | None:
        risk = 1 - horizon["baseline_survival"] ** np.exp(fit.predictor(p.design(form.features)))
        return survival_net_benefit(p.time_days, p.event, risk, horizon["days"])

    inside = curve(patients)
    if inside:
        performance["internal"]["decision_curve"] = inside | {"apparent": True}
    for row, test in zip(performance["external"], test_sets, strict=True):
        outside = None if test.patients is None else curve(test.patients)
        if outside:
            row["decision_curve"] = outside


def survival_json(
    outcome: dict, names: list[str], patients: Patients, design, fit, predictor, cuts=None, rule: str = ""
) -> dict:
    """Baseline, horizons, groups and reference curves of a Cox form; groups by tertiles unless ``cuts`` are given."""
    baseline = breslow_baseline(fit, design, patients.time_days, patients.event)
    last = np.sort(patients.time_days)[-MIN_AT_RISK]
    days = np.arange(0, math.floor(last / (0.1 * DAYS_PER_YEAR)) + 1) * 0.1 * DAYS_PER_YEAR
    if cuts is None:
        cuts = np.percentile(predictor, [100 / 3, 200 / 3])
        rule = "tertiles of the linear predictor among the training patients"
    group = np.searchsorted(cuts, predictor, side="right")
    grid = np.arange(0, math.floor(last / (0.25 * DAYS_PER_YEAR)) + 1) * 0.25 * DAYS_PER_YEAR
    curves = []
    for k, name in enumerate(names):
        rows = kaplan_meier(patients.time_days[group == k], patients.event[group == k], grid)
        curve = {"group": name, "n": int((group == k).sum()), "n_events": int(patients.event[group == k].sum())}
        curve |= {key: [row[key] for row in rows] for key in ("time_days", "survival", "low", "high", "at_risk")}
        curves.append(curve)
    horizons = []
    for years in outcome["horizons_years"]:
        if years * DAYS_PER_YEAR > last:
            raise InputError(
                f"Fewer than {MIN_AT_RISK} patients were followed up for {years:g} years; shorten horizons_years."
            )
        hazard, variance, drift = baseline.at(years * DAYS_PER_YEAR)
        horizons.append(
            {
                "years": years,
                "days": years * DAYS_PER_YEAR,
                "baseline_survival": math.exp(-hazard),
                "hazard_variance": variance,
                "drift": drift,
            }
        )
    return {
        "baseline": {"time_days": days, "survival": [math.exp(-baseline.at(d)[0]) for d in days]},
        "horizons": horizons,
        "groups": {
            "names": names,
            "cuts": cuts,
            "scale": "linear predictor",
            "rule": rule,
        },
        "reference_curves": curves,
    }


def _model_json(plan: Protocol, tables: _Tables, forms: list[dict]) -> dict:
    texts = plan.texts
    record = tables.record()
    return {
        "schema": SCHEMA,
        "id": plan.id,
        "version": plan.version,
        "kind": plan.kind,
        "title": plan.title,
        "outcome": {
            "name": plan.outcome["name"],
            "definition": plan.outcome["definition"],
        },
        "intended_use": texts["intended_use"],
        "limits": texts["limits"],
        "licence": texts["licence"],
        "citations": texts["citations"],
        "training": {
            "summary": texts["summary"],
            "description": texts["training_data"],
            "tables": record,
            "command": _command(plan, record),
            "protocol": plan.id,
            "protocol_sha256": plan.digest,
            "seed": plan.seed,
            "imaging_features": [name for name in IMAGING if name in plan.values],
        },
        "forms": forms,
    }


def _command(plan: Protocol, record: list[dict]) -> str:
    by_role = {r["role"]: r["file"] for r in record}
    parts = ["iith", "train", plan.id, by_role.pop("TABLE"), by_role.pop("OUTCOMES")]
    parts += [f"--external {role}={file}" for role, file in sorted(by_role.items())]
    return " ".join([*parts, f"--out Resources/Models/{plan.id}"])


def rounded(value):
    """Plain JSON types, floats to SIGNIFICANT_DIGITS, so that training again writes the same file."""
    if isinstance(value, dict):
        return {str(k): rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    if isinstance(value, np.ndarray):
        return rounded(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            raise InputError("The fit gave a number that is not finite; check the table for extreme values.")
        return float(f"{float(value):.{SIGNIFICANT_DIGITS}g}")
    return value


def _on_one_line(match: re.Match) -> str:
    """A list of numbers without its line breaks: a model file is meant to be read by people too."""
    return "[" + " ".join(match.group()[1:-1].split()) + "]"


def write_folder(content: dict, out: Path, overwrite: bool) -> None:
    """Write the model folder with card and figures; it is whole or as before."""
    from .card import model_card
    from .figures import write_figures

    with whole_model_folder(out, overwrite) as work:
        text = _NUMBER_LIST.sub(_on_one_line, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
        (work / "model.json").write_text(text + "\n", encoding="utf-8")
        figures = write_figures(content, work / "figures")
        (work / "MODEL_CARD.md").write_text(model_card(content, figures), encoding="utf-8")
        load_model(work)  # what is written must be what can be read
