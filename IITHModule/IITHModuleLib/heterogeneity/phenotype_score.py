"""The phenotype of a new patient with two visits: nearest centroid, with how clear the choice is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from ..features import FeatureTable
from .case_features import MissingFeature, case_values, refuse_unlike
from .delta_features import relative_change
from .delta_phenotype import PhenotypeModel
from .feature_groups import project
from .feature_matrix import FeatureKey, check_same_preset
from .frozen_model import FAR_OUTSIDE_Z, RESEARCH_USE

UNCLEAR_RATIO = 0.9


@dataclass(frozen=True)
class PhenotypeScore:
    """phenotype: name of the nearest centroid; distances: to every centroid, Euclidean in component space, in the order
    of ``names``; distance_ratio: nearest over second nearest, 0..1, near 1 for a patient between two phenotypes;
    components: the patient's scores; missing: changes counted as z = 0; n_extreme: changes beyond 5 discovery SDs."""

    phenotype: str
    names: tuple[str, ...]
    distances: tuple[float, ...]
    distance_ratio: float
    components: tuple[float, ...]
    n_features: int
    n_extreme: int
    missing: tuple[MissingFeature, ...]
    warnings: tuple[str, ...]
    note: str = RESEARCH_USE

    def to_json(self) -> dict:
        result = asdict(self)
        result["missing"] = [{**m.key._asdict(), "reason": m.reason} for m in self.missing]
        for name in ("names", "distances", "components", "warnings"):
            result[name] = list(result[name])
        return result


Case = FeatureTable | Mapping[FeatureKey, float | None]


def score_phenotype(model: PhenotypeModel, first: Case, second: Case) -> PhenotypeScore:
    """Phenotype from the features of two visits.

    Raises CaseRefused when more than 10 % of the changes is missing or beyond 5 discovery SDs, and InputError when a
    visit was extracted with another preset.
    """
    for visit in (first, second):
        if isinstance(visit, FeatureTable):
            used = (model.preset, model.preset_digest)
            check_same_preset(used, (visit.preset, visit.preset_digest), "The phenotype model")
    before, missing_before = case_values(first, model.keys)
    after, missing_after = case_values(second, model.keys)
    change = relative_change(before, after, model.signs, model.parameters["denominator"])
    z = (np.clip(change, model.low, model.high) - model.means) / model.sds
    missing = _missing(model.keys, z, missing_before, missing_after)
    extreme = refuse_unlike("The phenotype model", z, len(missing))
    scores = project(np.where(np.isfinite(z), z, 0.0)[None], model.groups)[0]
    distances = np.linalg.norm(model.centroids - scores, axis=1)
    nearest, second_nearest = np.sort(distances)[:2]
    ratio = float(nearest / second_nearest) if second_nearest > 0 else 1.0
    return PhenotypeScore(
        phenotype=model.names[int(np.argmin(distances))],
        names=model.names,
        distances=tuple(float(d) for d in distances),
        distance_ratio=ratio,
        components=tuple(float(s) for s in scores),
        n_features=len(z),
        n_extreme=extreme,
        missing=missing,
        warnings=tuple(_warnings(model, len(z), len(missing), extreme, ratio)),
    )


def _missing(keys, z, before, after) -> tuple[MissingFeature, ...]:
    reasons = {m.key: f"second visit: {m.reason}" for m in after}
    reasons |= {m.key: f"first visit: {m.reason}" for m in before}
    return tuple(
        MissingFeature(key, reasons.get(key, "the first value is about 0, so there is no relative change"))
        for key, value in zip(keys, z, strict=True)
        if not np.isfinite(value)
    )


def _warnings(model, n, n_missing, extreme, ratio):
    if extreme:
        yield f"{extreme} of {n} changes lie beyond {FAR_OUTSIDE_Z:g} discovery SDs."
    if n_missing:
        yield f"{n_missing} of {n} changes are missing and count as average."
    if ratio > UNCLEAR_RATIO:
        yield f"The patient lies between two phenotypes (distance ratio {ratio:.2f})."
    yield from model.warnings
