"""The heterogeneity index of new patients, by two routes.

A: the frozen index, for one case at a time. B: label propagation, which needs the training features on disk and looks
at all new patients together. ``compare_routes`` tells how far they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from SubregionHabitatLib.errors import CaseRefused, InputError

from ..features import FeatureTable
from .agreement import Agreement, cohen_kappa
from .case_features import MissingFeature, case_values, refuse_unlike
from .feature_matrix import FeatureKey, FeatureMatrix, check_same_preset
from .frozen_model import FAR_OUTSIDE_Z, RESEARCH_USE
from .heterogeneity_index import (
    GROUPS,
    HeterogeneityCohort,
    HeterogeneityIndex,
    heterogeneity_index,
    nearest_groups,
    network_views,
    root_mean_square,
)
from .label_propagation import group_predict

# Beyond this percentile of the training patients' distances the index extrapolates.
MAX_DISTANCE_PERCENTILE = 99.0


@dataclass(frozen=True)
class HeterogeneityScore:
    """HI of one case.

    value: signed sum of z-scores; group: "low" or "high"; distance_to_cut: value - cut; percentile_in_training: 0..100;
    missing: inputs counted as z = 0; n_extreme: inputs beyond 5 training SDs; nearest_group: the network group whose
    mean lies nearest, a check of ``group``; distance_percentile: of the root mean square z among the training patients.
    """

    value: float
    group: str
    cut: float
    distance_to_cut: float
    percentile_in_training: float
    n_features: int
    n_extreme: int
    missing: tuple[MissingFeature, ...]
    warnings: tuple[str, ...]
    volume_spearman: float | None
    nearest_group: str = ""
    distance_percentile: float = 0.0
    unit: str = "sum of z-scores"
    note: str = RESEARCH_USE

    def to_json(self) -> dict:
        result = asdict(self)
        result["missing"] = [{**m.key._asdict(), "reason": m.reason} for m in self.missing]
        result["warnings"] = list(self.warnings)
        return result


def score_heterogeneity(
    index: HeterogeneityIndex, case: FeatureTable | Mapping[FeatureKey, float | None]
) -> HeterogeneityScore:
    """Route A for one case.

    Raises CaseRefused when more than 10 % of the features is missing or beyond 5 training SDs, and InputError when the
    case was extracted with another preset.
    """
    if isinstance(case, FeatureTable):
        used = (index.preset, index.preset_digest)
        check_same_preset(used, (case.preset, case.preset_digest), "The heterogeneity index")
    values, missing = case_values(case, index.keys)
    z = (values - index.means) / index.sds
    extreme = refuse_unlike("The heterogeneity index", z, len(missing))
    value = float(heterogeneity_index(values[None], index.signs, index.means, index.sds)[0])
    warnings = [*index.warnings]
    group, nearest = GROUPS[int(value >= index.cut)], GROUPS[int(nearest_groups(z[None], index.group_means)[0])]
    if group != nearest:
        warnings.insert(0, f"HI says {group}, the nearest group of training patients is {nearest}: near the border.")
    distance = float(np.interp(root_mean_square(z[None])[0], index.distance_quantiles, np.arange(101)))
    if distance > MAX_DISTANCE_PERCENTILE:
        warnings.insert(0, "This combination of features is rarer than 99 % of the training patients.")
    if missing:
        warnings.insert(0, f"{len(missing)} of {len(z)} features are missing and count as average.")
    if extreme:
        warnings.insert(0, f"{extreme} of {len(z)} features lie beyond {FAR_OUTSIDE_Z:g} training SDs.")
    return HeterogeneityScore(
        value=value,
        group=group,
        cut=index.cut,
        distance_to_cut=value - index.cut,
        percentile_in_training=float(np.interp(value, index.hi_quantiles, np.arange(101))),
        n_features=len(z),
        n_extreme=extreme,
        missing=missing,
        warnings=tuple(warnings),
        volume_spearman=index.volume.rho,
        nearest_group=nearest,
        distance_percentile=distance,
    )


@dataclass(frozen=True)
class CohortScores:
    """Route A for every row of a matrix: a score or the reason why there is none, in the order of ``patients``."""

    patients: tuple[str, ...]
    scores: tuple[HeterogeneityScore | None, ...]
    refusals: tuple[str, ...]


def score_cohort(index: HeterogeneityIndex, matrix: FeatureMatrix) -> CohortScores:
    """Route A for many patients; a refused one has its reason and does not stop the others."""
    check_same_preset(
        (index.preset, index.preset_digest), (matrix.preset, matrix.preset_digest), "The heterogeneity index"
    )
    scores, refusals = [], []
    for row in matrix.values:
        try:
            scores.append(score_heterogeneity(index, dict(zip(matrix.keys, row.tolist(), strict=True))))
            refusals.append("")
        except CaseRefused as refusal:
            scores.append(None)
            refusals.append(str(refusal))
    return CohortScores(matrix.patients, tuple(scores), tuple(refusals))


@dataclass(frozen=True)
class RouteComparison:
    """Groups (0 low, 1 high) of the same new patients by frozen HI and by label propagation, and their agreement."""

    patients: tuple[str, ...]
    by_index: np.ndarray
    by_network: np.ndarray
    agreement: Agreement


def groups_by_network(
    index: HeterogeneityIndex, training: FeatureMatrix, labels: np.ndarray, new: FeatureMatrix
) -> np.ndarray:
    """Route B: groups (N_new,) of new patients; ``labels`` (N,) are the training patients' network groups."""
    used = (index.preset, index.preset_digest)
    check_same_preset(used, (training.preset, training.preset_digest), "The heterogeneity index")
    check_same_preset(used, (new.preset, new.preset_digest), "The heterogeneity index")
    p = index.parameters
    return group_predict(
        network_views(index, training),
        network_views(index, new),
        labels,
        int(p["neighbors"]),
        float(p["sigma"]),
        int(p["iterations"]),
    )


def compare_routes(cohort: HeterogeneityCohort, training: FeatureMatrix, new: FeatureMatrix) -> RouteComparison:
    """Both routes on ``new``; ``training`` is the matrix the cohort was fitted on. Patients that route A refuses are
    left out of both. Raises InputError when none is left."""
    scored = score_cohort(cohort.index, new)
    kept = np.array([s is not None for s in scored.scores], dtype=bool)
    if not kept.any():
        raise InputError(f"No new patient can be scored; the first refusal is: {scored.refusals[0]}")
    by_index = np.array([int(s.group == GROUPS[1]) for s in scored.scores if s is not None])
    rows = training.aligned(cohort.patients, training.keys)
    chosen = new.rows(kept)
    by_network = groups_by_network(cohort.index, rows, cohort.labels, chosen)
    return RouteComparison(chosen.patients, by_index, by_network, cohen_kappa(by_index, by_network))
