"""Phenotypes of change between two visits: patients whose tumors become more or less heterogeneous (Chitalia 2023).

Relative changes, z-scored and filtered; groups of features by average linkage on 1 - Pearson and consensus clustering;
principal components per group; patients by Ward's method on the components; SigClust at every split. New patients get
the nearest centroid.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from SubregionHabitatLib.errors import InputError

from .consensus_clustering import Consensus, ConsensusParameters, consensus_clusters
from .delta_features import DeltaFeatures, winsorised
from .feature_groups import FeatureGroup, group_components, project, well_spread
from .feature_matrix import CompleteMatrix, FeatureKey, complete_matrix
from .sigclust import EIGENVALUES, SigClust, sigclust
from .snf import standardize
from .tree import build_tree, correlation_distances, cut_tree, euclidean_distances

TWO_NAMES = ("decreasing", "increasing")
MIN_PATIENTS = 10


@dataclass(frozen=True)
class PhenotypeParameters:
    """Every choice; defaults after the paper or, where it is silent, this tool's own (docs/heterogeneity.md).

    denominator: kept for new cases, must be that of the changes; winsor_percent: 0 for none; max_skewness,
    skewness_rule, min_iqr: see feature_groups; n_feature_groups, n_phenotypes: None lets consensus clustering (and
    SigClust) choose; feature_linkage; explained: variance share per group; consensus sampling: n_resamples,
    item_share, min_growth; max_groups: largest k looked at; significance, n_simulations, sigclust_eigenvalues,
    test_ward_labels: SigClust; max_missing_share: gaps allowed per feature and per patient.
    """

    denominator: str = "absolute"
    winsor_percent: float = 0.0
    max_skewness: float = 5.0
    skewness_rule: str = "signed"
    min_iqr: float = 1.0
    feature_linkage: str = "average"
    n_feature_groups: int | None = None
    explained: float = 0.85
    n_phenotypes: int | None = None
    max_groups: int = 8
    n_resamples: int = 1000
    item_share: float = 0.8
    min_growth: float = 0.10
    significance: float = 0.05
    n_simulations: int = 1000
    sigclust_eigenvalues: str = "soft"
    test_ward_labels: bool = False
    max_missing_share: float = 0.10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sigclust_eigenvalues not in EIGENVALUES:
            raise InputError(
                f"The eigenvalue rule {self.sigclust_eigenvalues!r} is unknown; choose one of {', '.join(EIGENVALUES)}."
            )
        if not 0 < self.significance < 1:
            raise InputError(f"The significance level {self.significance:g} is not between 0 and 1; give 0.05.")
        if self.n_phenotypes is not None and self.n_phenotypes < 2:
            raise InputError("One phenotype is no grouping; ask for 2 or more, or leave the number open.")

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Split:
    """One division of the Ward tree: from ``n_clusters`` - 1 to n_clusters, and whether SigClust supports it."""

    n_clusters: int
    n_patients: int
    test: SigClust | None
    significant: bool
    reason: str = ""

    def to_json(self) -> dict:
        test = None if self.test is None else self.test.to_json()
        return {
            "n_clusters": self.n_clusters,
            "n_patients": self.n_patients,
            "sigclust": test,
            "significant": self.significant,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class PhenotypeModel:
    """The frozen part: what a new patient's phenotype needs.

    keys, signs, means, SDs, low, high (P,): the features in use, direction, discovery mean and SD of their change, and
    the limits it is pulled in to; groups: of features, with loadings; centroids (K, C): phenotypes in component space;
    names: in order of rising mean component; typical_change (K,): median over patients and features of the change.
    """

    keys: tuple[FeatureKey, ...] = field(repr=False)
    signs: np.ndarray = field(repr=False)
    means: np.ndarray = field(repr=False)
    sds: np.ndarray = field(repr=False)
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    groups: tuple[FeatureGroup, ...] = field(repr=False)
    centroids: np.ndarray = field(repr=False)
    names: tuple[str, ...]
    typical_change: tuple[float, ...]
    supported: bool
    preset: str
    preset_digest: str
    parameters: dict = field(repr=False)
    training: dict = field(repr=False)
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class PhenotypeCohort:
    """Everything found in the discovery patients, in the order of ``patients``.

    labels (N,): phenotype 0..K-1 in the order of model.names; scores (N, C): components; splits: the divisions that
    were tested; feature_consensus, patient_consensus: None where the number was given; complete: what was left out
    and why; filtered: features dropped by skewness or spread.
    """

    model: PhenotypeModel
    patients: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    splits: tuple[Split, ...]
    feature_consensus: Consensus | None = field(repr=False)
    patient_consensus: Consensus | None = field(repr=False)
    complete: CompleteMatrix = field(repr=False)
    filtered: dict[FeatureKey, str] = field(repr=False)


def fit_delta_phenotypes(changes: DeltaFeatures, parameters: PhenotypeParameters | None = None) -> PhenotypeCohort:
    """Feature groups, components and phenotypes of a discovery cohort.

    The number of phenotypes is the consensus number, lowered to the last division that SigClust supports; with none
    supported, two are made all the same, ``supported`` is False and a warning says so. Raises InputError for fewer than
    10 patients or when fewer than 3 features remain.
    """
    parameters = parameters or PhenotypeParameters()
    if len(changes.matrix.patients) < MIN_PATIENTS:
        raise InputError(
            f"Phenotypes need at least {MIN_PATIENTS} patients with both visits, there are "
            f"{len(changes.matrix.patients)}; add patients."
        )
    complete = complete_matrix(changes.matrix, parameters.max_missing_share)
    values, low, high = winsorised(complete.matrix.values, parameters.winsor_percent)
    kept, reasons = well_spread(
        standardize(values), parameters.max_skewness, parameters.min_iqr, parameters.skewness_rule
    )
    keys = complete.matrix.keys
    filtered = {key: why for key, why in zip(keys, reasons, strict=True) if why}
    if kept.sum() < 3:
        raise InputError(
            f"Only {int(kept.sum())} features vary as the filters ask; loosen max_skewness or min_iqr, or winsorise."
        )
    values, means, sds = values[:, kept], values[:, kept].mean(axis=0), values[:, kept].std(axis=0, ddof=1)
    z = (values - means) / sds
    groups, feature_consensus = _feature_groups(z, parameters)
    scores = project(z, groups)
    labels, splits, patient_consensus, supported = _phenotypes(scores, parameters)
    labels = _ordered(scores, labels)
    number = int(labels.max()) + 1
    names = TWO_NAMES if number == 2 else tuple(f"phenotype {i + 1}" for i in range(number))
    typical = tuple(float(np.median(values[labels == k])) for k in range(number))
    columns = [i for i, keep in enumerate(kept) if keep]
    sign_of = dict(zip(changes.matrix.keys, changes.signs, strict=True))
    used_keys = tuple(keys[i] for i in columns)
    model = PhenotypeModel(
        keys=used_keys,
        signs=np.array([sign_of[k] for k in used_keys]),
        means=means,
        sds=sds,
        low=low[kept] if parameters.winsor_percent else np.full(len(columns), -np.inf),
        high=high[kept] if parameters.winsor_percent else np.full(len(columns), np.inf),
        groups=groups,
        centroids=np.stack([scores[labels == k].mean(axis=0) for k in range(number)]),
        names=names,
        typical_change=typical,
        supported=supported,
        preset=changes.matrix.preset,
        preset_digest=changes.matrix.preset_digest,
        parameters=parameters.to_json(),
        training=_training(changes, complete, filtered, labels, groups, splits, feature_consensus, patient_consensus),
        warnings=tuple(_warnings(supported, splits, typical, names, feature_consensus, patient_consensus)),
    )
    return PhenotypeCohort(
        model,
        complete.matrix.patients,
        labels,
        scores,
        splits,
        feature_consensus,
        patient_consensus,
        complete,
        filtered,
    )


def _feature_groups(z, parameters) -> tuple[tuple[FeatureGroup, ...], Consensus | None]:
    distances = correlation_distances(z)
    number, consensus = parameters.n_feature_groups, None
    if number is None:
        consensus = consensus_clusters(distances, _consensus_parameters(parameters, parameters.feature_linkage))
        number = consensus.n_clusters
        labels = consensus.labels[number]
    else:
        labels = cut_tree(build_tree(distances, parameters.feature_linkage), number)
    return group_components(z, labels, parameters.explained), consensus


def _phenotypes(scores, parameters) -> tuple[np.ndarray, tuple[Split, ...], Consensus | None, bool]:
    """Labels (N,), the tested divisions, the consensus and whether SigClust supports every division made."""
    distances = euclidean_distances(scores)
    tree = build_tree(distances, "ward")
    consensus, number = None, parameters.n_phenotypes
    if number is None:
        consensus = consensus_clusters(distances, _consensus_parameters(parameters, "ward"))
    highest = number or consensus.n_clusters
    splits = []
    for k in range(2, highest + 1):
        splits.append(_test_split(scores, tree, k, parameters))
        if number is None and not splits[-1].significant:
            break
    significant = [s.n_clusters for s in splits if s.significant]
    supported = len(significant) == len(splits) if number else bool(significant)
    chosen = number or max([2, *significant])
    return cut_tree(tree, chosen), tuple(splits), consensus, supported


def _test_split(scores, tree, k, parameters) -> Split:
    """SigClust on the patients that the tree divides when going from k - 1 to k clusters."""
    coarse, fine = cut_tree(tree, k - 1), cut_tree(tree, k)
    divided = next(c for c in range(k - 1) if np.unique(fine[coarse == c]).size == 2)
    rows = coarse == divided
    n = int(rows.sum())
    if n < 5:
        return Split(k, n, None, False, f"only {n} patients are divided, too few to test")
    test = sigclust(
        scores[rows],
        fine[rows] if parameters.test_ward_labels else None,
        parameters.n_simulations,
        parameters.sigclust_eigenvalues,
        parameters.seed,
    )
    return Split(k, n, test, test.p < parameters.significance)


def _consensus_parameters(parameters, linkage: str) -> ConsensusParameters:
    return ConsensusParameters(
        max_clusters=parameters.max_groups,
        n_resamples=parameters.n_resamples,
        item_share=parameters.item_share,
        linkage=linkage,
        final_linkage=linkage,
        min_growth=parameters.min_growth,
        seed=parameters.seed,
    )


def _ordered(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels renumbered by rising mean component."""
    means = [scores[labels == k].mean() for k in range(int(labels.max()) + 1)]
    return np.argsort(np.argsort(means))[labels]


def _training(changes, complete, filtered, labels, groups, splits, feature_consensus, patient_consensus) -> dict:
    def growth(consensus):
        return None if consensus is None else {str(k): float(v) for k, v in consensus.growth.items()}

    return {
        "n": len(complete.matrix.patients),
        "n_per_phenotype": [int(v) for v in np.bincount(labels)],
        "table_sha256": changes.matrix.digest,
        "n_features_given": len(changes.matrix.keys),
        "n_filtered": len(filtered),
        "n_values_undefined": changes.n_undefined,
        "n_values_filled": complete.n_filled,
        "patients_left_out": len(complete.dropped_patients),
        "features_left_out": len(complete.dropped_features),
        "features_per_group": [int(g.columns.size) for g in groups],
        "components_per_group": [int(g.loadings.shape[1]) for g in groups],
        "splits": [s.to_json() for s in splits],
        "feature_consensus_growth": growth(feature_consensus),
        "patient_consensus_growth": growth(patient_consensus),
        "patient_consensus_clusters": None if patient_consensus is None else patient_consensus.n_clusters,
    }


def _warnings(supported, splits, typical, names, feature_consensus, patient_consensus):
    if not supported:
        failed = next(s for s in splits if not s.significant)
        why = failed.reason or f"SigClust p = {failed.test.p:.3g}"
        yield (
            f"The division into {failed.n_clusters} phenotypes is not supported ({why}): these patients may be one "
            "cloud, and the phenotypes a mere cut through it."
        )
    if len(names) == 2 and typical[1] < 0:
        yield (
            f"Heterogeneity falls in both phenotypes (median change {100 * typical[0]:.0f} % and "
            f"{100 * typical[1]:.0f} %): 'increasing' means only that it falls less than in the other patients."
        )
    if len(names) == 2 and typical[0] > 0:
        yield (
            f"Heterogeneity rises in both phenotypes (median change {100 * typical[0]:.0f} % and "
            f"{100 * typical[1]:.0f} %): 'decreasing' means only that it rises less than in the other patients."
        )
    for what, consensus in (("feature groups", feature_consensus), ("phenotypes", patient_consensus)):
        if consensus is not None and not consensus.settled:
            yield f"The number of {what} did not settle within the {consensus.n_clusters} looked at."
