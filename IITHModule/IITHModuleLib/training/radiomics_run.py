"""Training with selection: feature table + outcomes -> a model folder with leak-free (or the paper's) performance."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import expit

from SubregionHabitatLib.errors import InputError

from ..case_values import value_definition
from ..feature_values import feature_unit, phase_unit
from ..heterogeneity.stable_features import load_stable_features
from ..model_file import N_QUANTILES, SCHEMA
from ..model_folder import check_model_target
from ..score_text import model_json, model_text
from ..statistics.auc import youden_cut
from ..statistics.time_roc import time_roc
from .cohort import Cohort, read_cohort
from .dispatch import TrainedModel, TrainingRequest
from .evaluate import null_summary, verdict
from .measures import DAYS_PER_YEAR, CoxTask, LogisticTask, Resampling
from .model_checks import model_checks
from .more_measures import calls_at_cut, net_benefit, survival_calls_at_cut, survival_net_benefit
from .nested import cross_validate, discrimination, null_check, optimism, paper_order
from .recipe import Recipe, Steps, changed, load_recipe
from .run import _QUANTILES, rounded, survival_json, write_folder
from .selection import Fit, fit_steps
from .table import Patients, count, file_digest

MAX_INPUTS = 200  # as in the schema of model files
OUTCOMES_SUFFIX = "-outcomes"
OPTIMISTIC = (
    "OPTIMISTIC: selection (and oversampling) saw every patient before the cross-validation, as in the paper, so the "
    "performance inside is too good; on pure noise the same order finds a good model. For replication only."
)


def train_model(request: TrainingRequest) -> TrainedModel:
    """``train`` as the dispatch table calls it."""
    from ..model_file import load_model

    recipe = changed(
        load_recipe(request.protocol),
        event=request.event, time_days=request.time_days, horizon_years=request.horizon_years,
        features=request.features, values=request.values, penalty=request.penalty, model_id=request.model_id,
    )  # fmt: skip
    if request.outcomes is None:
        raise InputError(f"The protocol {recipe.id} needs OUTCOMES, for example the cohort.csv of `iith batch`.")
    check_model_target(Path(request.out), request.overwrite)
    cohort = read_cohort(recipe, request.table, request.outcomes, request.visits)
    cohort = _with_stable(recipe, cohort, request.stable)
    if request.stable is None and recipe.steps.icc is not None:
        note = "stable (left out: no list of reproducible features was given by --stable)"
        steps = tuple(note if s.startswith("stable") else s for s in recipe.listed_steps)
        recipe = replace(recipe, listed_steps=steps)
    externals = _externals(request.external)
    trained = _Training(recipe, cohort, request.paper_order, request.progress)
    tests = [
        (name, read_cohort(recipe, table, outcomes, request.visits, trained.feature_keys()))
        for name, table, outcomes in externals
    ]
    content = rounded(_model_json(recipe, request, trained, trained.form(tests)))
    request.progress("writing the model folder")
    write_folder(content, Path(request.out), request.overwrite)
    model = load_model(request.out)
    return TrainedModel(model.path, model_text(model), model_json(model))


def _with_stable(recipe: Recipe, cohort: Cohort, path: Path | None) -> Cohort:
    if path is None:
        return cohort
    stable = set(load_stable_features(path).keys)
    kept = np.array([key in stable or (key.image == "phases" and _curve_is_stable(key, stable)) for key in cohort.keys])
    if not kept.any():
        raise InputError(f"No feature of the list {path} is among those the protocol {recipe.id} reads.")
    return cohort.columns(kept)


def _curve_is_stable(key, stable: set) -> bool:
    """A feature of a curve over the phases is stable where the feature itself is, in every phase that was tested."""
    name = key.feature.rpartition("_curve_")[0]
    return any(k.region == key.region and k.feature == name for k in stable)


def _externals(tables) -> list[tuple[str, Path, Path]]:
    found = []
    for name, table in sorted(tables.items()):
        if name.endswith(OUTCOMES_SUFFIX):
            if name.removesuffix(OUTCOMES_SUFFIX) not in tables:
                raise InputError(f"--external {name} needs --external {name.removesuffix(OUTCOMES_SUFFIX)} beside it.")
            continue
        if name + OUTCOMES_SUFFIX not in tables:
            raise InputError(f"--external {name}=FEATURES needs --external {name}{OUTCOMES_SUFFIX}=TABLE beside it.")
        found.append((name, table, tables[name + OUTCOMES_SUFFIX]))
    return found


@dataclass
class _Training:
    """One training run: the fitted model and everything measured of it."""

    recipe: Recipe
    cohort: Cohort
    in_paper_order: bool
    progress: object

    def __post_init__(self) -> None:
        recipe, cohort = self.recipe, self.cohort
        resampling = Resampling(recipe.folds, recipe.repeats, recipe.bootstrap, recipe.seed)
        self.survival = recipe.kind == "cox"
        self.task = CoxTask(resampling, recipe.outcome["horizons_years"]) if self.survival else LogisticTask(resampling)
        self.patients = _patients(cohort)
        self.progress(f"{cohort.n} exams, {int(cohort.event.sum())} events, {len(cohort.keys):,} features")
        rng = np.random.default_rng([recipe.seed, 1])
        if self.in_paper_order:
            self.fit, self.paper_scores, self.paper_cohort = paper_order(
                cohort, recipe.steps, min(10, _rarer(cohort)), recipe.seed
            )
        else:
            self.fit = fit_steps(cohort, recipe.steps, rng)
        if not self.fit.coefficients.size:
            raise InputError(
                f"No feature passed the selection ({_passed(self.fit)}), so there is no model; the table shows no "
                "relation with the outcome, or has too few patients."
            )
        if self.fit.coefficients.size > MAX_INPUTS:
            raise InputError(
                f"{self.fit.coefficients.size} features passed the selection, more than the {MAX_INPUTS} a model can "
                "have; use the rule 'one standard error' in the protocol's step lasso, or a stricter p."
            )
        self.scores = self._cross_validated(cohort, recipe.steps)
        self.design = self.fit.design(cohort)
        self.predictor = self.fit.predictor(self.design)

    def _cross_validated(self, cohort: Cohort, steps: Steps) -> np.ndarray:
        recipe = self.recipe
        scores = cross_validate(cohort, steps, recipe.folds, recipe.repeats, recipe.seed, self.progress)
        flat = np.ptp(scores, axis=1) < 1e-9
        if flat.all():
            raise InputError(
                "In every fold of the cross-validation no feature passed the selection, so there is no model worth "
                "writing; the table shows no relation with the outcome, or has too few patients."
            )
        return scores[~flat]

    def feature_keys(self) -> list:
        return [self.cohort.keys[i] for i in self.fit.columns]

    def names(self) -> list[str]:
        features = ["|".join(key) for key in self.feature_keys()]
        return features + [self.cohort.clinical_names[i] for i in self.fit.clinical]

    def form(self, tests: list[tuple[str, Cohort]]) -> dict:
        fit, names = self.fit, self.names()
        z = (self.design - fit.mean) / fit.sd
        correlation = np.atleast_2d(np.corrcoef(z, rowvar=False))
        # A little of the identity keeps the distance defined where inputs repeat each other.
        correlation = (1 - 1e-3) * correlation + 1e-3 * np.eye(len(correlation))
        distance = np.einsum("ni,ni->n", z, np.linalg.solve(correlation, z.T).T)
        form = {
            "name": "all inputs",
            "n": self.cohort.n,
            "n_events": int(self.cohort.event.sum()),
            "rows_left_out": list(self.cohort.left_out),
            "features": [self._feature(name, k) for k, name in enumerate(names)],
            "correlation": {"names": names, "matrix": correlation},
            "score_quantiles": np.percentile(self.predictor, np.linspace(0, 100, N_QUANTILES)),
            "distance_quantiles": np.percentile(distance, np.linspace(0, 100, N_QUANTILES)),
        }
        if fit.covariance is not None:
            terms = names if self.survival else ["intercept", *names]
            form["covariance"] = {"names": terms, "matrix": fit.covariance}
        performance = self._performance(tests)
        if self.survival:
            form |= self._survival_groups(performance, tests)
        else:
            form |= self._probability_groups(performance, tests)
        form["performance"] = performance
        return form

    def _feature(self, name: str, k: int) -> dict:
        fit, cohort = self.fit, self.cohort
        preset = f"{cohort.preset}:{cohort.preset_digest}" if cohort.preset_digest else "unknown"
        known = value_definition(name, preset)
        unit = known.unit
        if k < fit.columns.size:
            unit = feature_unit(*self.feature_keys()[k], phase_unit(cohort.preset, cohort.preset_digest))
        result = {
            "name": name,
            "unit": unit,
            "preset": known.preset,
            "definition": known.definition,
            "transform": "identity",
            "mean": fit.mean[k],
            "sd": fit.sd[k],
            "coefficient": fit.coefficients[k],
            "training_quantiles": np.percentile(self.design[:, k], _QUANTILES),
        }
        if fit.covariance is not None:
            place = k + len(fit.covariance) - len(fit.coefficients)
            result["standard_error"] = math.sqrt(fit.covariance[place, place])
        return result

    def _performance(self, tests) -> dict:
        task, patients, recipe = self.task, self.patients, self.recipe
        apparent = discrimination(self.cohort, self.predictor)
        self.progress("bootstrap of the whole selection")
        optimistic = optimism(self.cohort, recipe.steps, recipe.bootstrap, recipe.seed + 1, apparent, self.progress)
        honest = task.cross_validated(patients, self.scores)
        how = (
            f"{recipe.repeats} times {recipe.folds}-fold nested cross-validation, grouped by patient: every step "
            f"inside the folds; optimism from {recipe.bootstrap} bootstrap fits of all steps"
        )
        internal = {
            "method": how,
            "cross_validated": honest,
            "apparent": task.discrimination(patients, self.predictor),
            "optimism": optimistic,
            "optimism_corrected": apparent - optimistic,
            "calibration": task.calibration_inside(patients, self.fit, self.design, self.scores),
        }
        if self.in_paper_order:
            shown = task if not self.survival else CoxTask(task.resampling, task.horizons_years)
            internal["cross_validated"] = shown.cross_validated(_patients(self.paper_cohort), self.paper_scores)
            internal["cross_validated"]["optimistic"] = True
            internal["leak_free"] = honest
            internal["method"] = f"{OPTIMISTIC} The same steps inside the folds: see leak_free ({how})"
        if recipe.permutations:
            draws = null_check(
                self.cohort, recipe.steps, recipe.folds, recipe.permutations, recipe.seed + 2, self.progress
            )
            internal["null_check"] = null_summary(draws, honest["value"])
        performance = {
            "metric": task.metric,
            "internal": internal,
            "external": [self._external(name, test) for name, test in tests],
            "comparisons": [self._compare(*other) for other in self._simpler()],
            "selection": {"passed": self.fit.passed, "steps": list(recipe.listed_steps)},
            "checks": model_checks(
                self.names(), self.design, self.cohort.event, len(self.cohort.keys) + len(self.cohort.clinical_names),
                not self.survival,
            ),
        }  # fmt: skip
        performance["verdict"] = (OPTIMISTIC + " " if self.in_paper_order else "") + verdict(performance)
        return performance

    def _simpler(self):
        """(name, cohort, uses imaging) of what the model must beat: the clinical values alone, the volume alone."""
        none = self.cohort.columns(np.zeros(len(self.cohort.keys), dtype=bool))
        if self.cohort.clinical_names and self.fit.columns.size:
            yield "clinical values alone", none, False
        volume = self.cohort.log_volume
        if volume is not None and np.isfinite(volume).all() and np.ptp(volume) > 0 and len(self.names()) > 1:
            alone = replace(none, clinical_names=("volume",), clinical=volume[:, None])
            yield "log lesion volume alone", alone, True

    def _compare(self, name: str, cohort: Cohort, uses_imaging: bool) -> dict:
        steps = Steps(estimator="maximum likelihood")
        scores = self._cross_validated(cohort, steps)
        mine = self.scores.mean(axis=0)
        return {
            "name": name,
            "features": list(cohort.clinical_names),
            "uses_imaging": uses_imaging,
            "cross_validated": self.task.cross_validated(self.patients, scores),
            "difference": self.task.difference(self.patients, mine, scores.mean(axis=0)),
        }

    def _external(self, name: str, test: Cohort) -> dict:
        complete = self._complete(test)
        lost = test.n - complete.n
        notes = [*test.left_out, *([f"{count(lost)}: an input of the model is missing"] if lost else [])]
        if complete.n < 10 or min(complete.event.sum(), complete.n - complete.event.sum()) < 2:
            return {"name": name, "not_tested": f"only {complete.n} patients have all inputs, or too few events"}
        patients, score = _patients(complete), self._score_external(complete)
        return {
            "name": name,
            "note": "Features and outcomes as given by --external.",
            "n": complete.n,
            "n_events": int(complete.event.sum()),
            "left_out": notes,
            "discrimination": self.task.discrimination(patients, score),
            "calibration": self.task.calibration_outside(self.patients, self.design, self.fit, patients, score),
            "comparisons": [],
        }

    def _complete(self, test: Cohort) -> Cohort:
        if (test.preset_digest, self.cohort.preset_digest).count(
            ""
        ) == 0 and test.preset_digest != self.cohort.preset_digest:
            raise InputError(
                f"The external features were made with the preset {test.preset}, the training ones with "
                f"{self.cohort.preset}; extract them with the same."
            )
        return test.take(np.flatnonzero(np.isfinite(test.values).all(axis=1)))

    def _score_external(self, complete: Cohort) -> np.ndarray:
        raw = np.column_stack([complete.values, complete.clinical[:, self.fit.clinical]])
        return self.fit.predictor(raw)

    def _probability_groups(self, performance: dict, tests) -> dict:
        event, probability = self.cohort.event, expit(self.predictor)
        cut = youden_cut(event, probability)
        inside = performance["internal"]
        inside["at_cut"] = calls_at_cut(event, probability, cut.value)
        out_of_fold = expit(self.scores.mean(axis=0))
        inside["at_cut_out_of_fold"] = calls_at_cut(event, out_of_fold, cut.value)
        inside["decision_curve"] = net_benefit(event, out_of_fold)
        for row, (_, test) in zip(performance["external"], tests, strict=True):
            if "discrimination" in row:
                complete = self._complete(test)
                there = expit(self._score_external(complete))
                row["at_cut"] = calls_at_cut(complete.event, there, cut.value)
                row["decision_curve"] = net_benefit(complete.event, there)
        return {
            "intercept": self.fit.intercept,
            "groups": {
                "names": self.recipe.groups["names"],
                "cuts": [cut.value],
                "scale": "probability",
                "rule": "largest sensitivity + specificity (Youden) on the training patients, apparent predictions",
            },
        }

    def _survival_groups(self, performance: dict, tests) -> dict:
        recipe, cohort = self.recipe, self.cohort
        cuts, rule = None, ""
        if recipe.groups["rule"] == "time_roc":
            days = recipe.groups["at_years"] * DAYS_PER_YEAR
            found = time_roc(cohort.time_days, cohort.event, self.predictor, days)
            higher = self.predictor[self.predictor > found.cut]
            cuts = np.array([(found.cut + higher.min()) / 2 if higher.size else found.cut])
            rule = (
                f"largest sensitivity + specificity (Youden) of the time-dependent ROC at "
                f"{recipe.groups['at_years']:g} years on the training patients, apparent predictions"
            )
            performance["internal"]["time_roc"] = {"auc": found.auc, "youden": found.youden, "days": days}
            performance["internal"]["at_cut"] = survival_calls_at_cut(
                cohort.time_days, cohort.event, self.predictor, cuts[0], days
            )
        result = survival_json(
            recipe.outcome, recipe.groups["names"], self.patients, self.design, self.fit, self.predictor, cuts, rule
        )
        last = result["horizons"][-1]

        def risk(score):
            return 1 - last["baseline_survival"] ** np.exp(score)

        inside = survival_net_benefit(cohort.time_days, cohort.event, risk(self.scores.mean(axis=0)), last["days"])
        if inside:
            performance["internal"]["decision_curve"] = inside
        for row, (_, test) in zip(performance["external"], tests, strict=True):
            if "discrimination" in row:
                complete = self._complete(test)
                score = self._score_external(complete)
                curve = survival_net_benefit(complete.time_days, complete.event, risk(score), last["days"])
                if curve:
                    row["decision_curve"] = curve
                if cuts is not None and complete.time_days.max() > days:
                    row["at_cut"] = survival_calls_at_cut(complete.time_days, complete.event, score, cuts[0], days)
        return result


def _patients(cohort: Cohort) -> Patients:
    return Patients(None, cohort.event, cohort.time_days, cohort.left_out)


def _rarer(cohort: Cohort) -> int:
    return int(max(2, min(cohort.event.sum(), cohort.n - cohort.event.sum())))


def _passed(fit: Fit) -> str:
    return ", ".join(f"{name}: {n}" for name, n in fit.passed.items())


def _model_json(recipe: Recipe, request: TrainingRequest, trained: _Training, form: dict) -> dict:
    texts = recipe.texts
    record = [{"role": "TABLE", "file": Path(request.table).name, "sha256": file_digest(request.table)}]
    record.append({"role": "OUTCOMES", "file": Path(request.outcomes).name, "sha256": file_digest(request.outcomes)})
    for name, path in sorted(request.external.items()):
        record.append({"role": name, "file": Path(path).name, "sha256": file_digest(path)})
    limits = [OPTIMISTIC] if trained.in_paper_order else []
    training = {
        "summary": texts["summary"],
        "description": texts["training_data"],
        "tables": record,
        "command": _command(request, record),
        "protocol": Path(request.protocol).stem,
        "protocol_sha256": recipe.digest,
        "seed": recipe.seed,
        "imaging_features": ["|".join(k) for k in trained.feature_keys()],
        "paper_order": trained.in_paper_order,
        "steps": list(recipe.paper_order if trained.in_paper_order else recipe.listed_steps),
    }
    return {
        "schema": SCHEMA,
        "id": recipe.id,
        "version": recipe.version,
        "kind": recipe.kind,
        "title": ("OPTIMISTIC replay of the paper's order: " if trained.in_paper_order else "") + recipe.title,
        "outcome": {"name": recipe.outcome["name"], "definition": _definition(recipe)},
        "intended_use": texts["intended_use"],
        "limits": limits + texts["limits"],
        "licence": texts["licence"],
        "citations": texts["citations"],
        "training": training,
        "forms": [form],
    }


def _definition(recipe: Recipe) -> str:
    columns = f"Column {recipe.outcome['event']}" + (
        f", time in days in {recipe.outcome['time_days']}" if "time_days" in recipe.outcome else ""
    )
    return f"{recipe.outcome['definition']} {columns}."


def _command(request: TrainingRequest, record: list[dict]) -> str:
    parts = ["iith", "train", Path(request.protocol).name, record[0]["file"], record[1]["file"]]
    parts += [f"--external {r['role']}={r['file']}" for r in record[2:]]
    if request.stable:
        parts.append(f"--stable {Path(request.stable).name}")
    if request.visits:
        parts.append(f"--visits {','.join(request.visits)}")
    for option, value in (
        ("event", request.event), ("time-days", request.time_days), ("horizon", request.horizon_years),
        ("penalty", request.penalty), ("id", request.model_id),
    ):  # fmt: skip
        if value:
            parts.append(f"--{option} {shlex.quote(str(value))}")
    parts += [f"--feature {shlex.quote(text)}" for text in request.features]
    parts += [f"--value {shlex.quote(text)}" for text in request.values]
    parts += ["--paper-order"] if request.paper_order else []
    return " ".join([*parts, f"--out {Path(request.out).name}"])
