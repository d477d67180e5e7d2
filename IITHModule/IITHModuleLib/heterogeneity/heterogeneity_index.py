"""Imaging intratumor heterogeneity (IITH) of a cohort, after Su et al., Science Advances 2023.

Heterogeneity features with MAD > 1, a first-order and a texture view, similarity network fusion, two clusters of
patients; the heterogeneity index HI is the sum of the z-scores of features that rise with heterogeneity minus those
that fall. The cluster with the greater mean HI is "high". The paper gives no rule for a single new patient: here the
means, SDs and the HI cut that best repeats the clusters (Youden) are frozen into a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..statistics.auc import youden_cut
from .agreement import Agreement, cohen_kappa
from .column_choice import ColumnChoice
from .feature_matrix import CompleteMatrix, FeatureKey, FeatureMatrix, complete_matrix
from .iith_signature import Signature, load_signature
from .snf import ITERATIONS_SU2023, K_SU2023, SIGMA_SU2023, fused_network
from .spectral import eigengap_number, spectral_clusters
from .variability import MAD_THRESHOLD_SU2023, highly_variable
from .volume_dependence import VolumeDependence, volume_dependence

GROUPS = ("low", "high")
# (name of a view, shell pattern of the features in it); a feature belongs to the first view that takes it.
VIEWS = (("first-order", "firstorder_*"), ("texture", "*"))
USUAL_PERCENTILES = (1, 99)
HI_FEATURES = ("selected", "all")


@dataclass(frozen=True)
class HeterogeneityParameters:
    """Every choice of the index; defaults after Su 2023 or, where it is silent, this tool's own
    (docs/heterogeneity.md).

    sign_rule: "su" or "math"; image_types, regions, images: shell patterns of the columns that take part, None for all
    (the paper used the phases, not kinetic maps); stable: the features found reproducible, None for no such filter;
    views: (name, shell pattern of feature names without filter) of the two views of the network; mad_scale,
    mad_threshold: see variability; hi_features: sum over the "selected" or "all" candidate features;
    neighbors, sigma, iterations: see snf; max_clusters: of the eigengap rule; max_missing_share: gaps allowed per
    feature and per patient.
    """

    sign_rule: str = "su"
    image_types: tuple[str, ...] | None = ("original",)
    regions: tuple[str, ...] | None = None
    images: tuple[str, ...] | None = ("phase[0-9]*",)
    stable: tuple[FeatureKey, ...] | None = field(default=None, repr=False)
    views: tuple[tuple[str, str], ...] = VIEWS
    mad_scale: str = "raw"
    mad_threshold: float = MAD_THRESHOLD_SU2023
    hi_features: str = "selected"
    neighbors: int = K_SU2023
    sigma: float = SIGMA_SU2023
    iterations: int = ITERATIONS_SU2023
    max_clusters: int = 10
    max_missing_share: float = 0.10

    def to_json(self) -> dict:
        """Plain JSON types; of the stable features only their number, because the model lists what it uses."""
        result = asdict(self)
        result["stable"] = None if self.stable is None else len(self.stable)
        for name in ("image_types", "regions", "images"):
            result[name] = None if result[name] is None else list(result[name])
        result["views"] = [list(view) for view in self.views]
        return result


@dataclass(frozen=True)
class HeterogeneityIndex:
    """The frozen part: what a new patient's HI and group need.

    keys, signs (+1/-1), means, SDs (ddof 1): (P,) each, of the training patients; cut: HI at and above which a
    patient is "high"; hi_quantiles: 101 training percentiles of HI; in_network (P,) bool: features the network was
    made from; usual (2, P): 1st and 99th training percentile of every feature; group_means (2, P): mean z of the
    network's low and high group, for the nearest-group check; distance_quantiles: 101 training percentiles of the root
    mean square z, for the overall range check.
    """

    keys: tuple[FeatureKey, ...] = field(repr=False)
    signs: np.ndarray = field(repr=False)
    means: np.ndarray = field(repr=False)
    sds: np.ndarray = field(repr=False)
    in_network: np.ndarray = field(repr=False)
    usual: np.ndarray = field(repr=False)
    group_means: np.ndarray = field(repr=False)
    distance_quantiles: np.ndarray = field(repr=False)
    cut: float
    hi_quantiles: np.ndarray = field(repr=False)
    preset: str
    preset_digest: str
    signature: str
    signature_digest: str
    parameters: dict = field(repr=False)
    training: dict = field(repr=False)
    volume: VolumeDependence
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class HeterogeneityCohort:
    """Everything found in the training patients, in the order of ``patients``.

    labels (N,): 0 low, 1 high, by network; hi (N,); network (N, N) fused; eigengap_clusters and eigenvalues: how many
    clusters the eigengap rule would take; hi_agreement: HI groups against network groups; complete: which patients and
    features were left out and why; not_found: features of the signature without any column.
    """

    index: HeterogeneityIndex
    patients: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    hi: np.ndarray = field(repr=False)
    network: np.ndarray = field(repr=False)
    eigengap_clusters: int
    eigenvalues: np.ndarray = field(repr=False)
    hi_agreement: Agreement
    complete: CompleteMatrix = field(repr=False)
    not_found: tuple[str, ...]


def heterogeneity_index(values: np.ndarray, signs: np.ndarray, means: np.ndarray, sds: np.ndarray) -> np.ndarray:
    """HI (N,) of ``values`` (N, P): sum over features of sign * z; a missing value counts as z = 0."""
    z = (values - means) / sds
    return np.where(np.isfinite(z), z, 0.0) @ signs


def fit_heterogeneity_index(
    matrix: FeatureMatrix,
    signature: Signature | None = None,
    parameters: HeterogeneityParameters | None = None,
    volumes_mm3: Sequence[float] | None = None,
) -> HeterogeneityCohort:
    """Network groups, HI and the frozen index of a cohort.

    volumes_mm3: lesion volume per row of ``matrix``, for the correlation of HI with volume; else the lesion's
    shape_VoxelVolume or MeshVolume in the matrix is used. Raises InputError when too few patients or features remain,
    or a cluster is too small for a cut.
    """
    parameters = parameters or HeterogeneityParameters()
    signature = signature or load_signature()
    _check(parameters, matrix, volumes_mm3)
    candidates, not_found = _candidates(matrix, signature, parameters)
    complete = complete_matrix(candidates, parameters.max_missing_share)
    used = complete.matrix
    selected = highly_variable(used.values, parameters.mad_threshold, parameters.mad_scale)
    views = [used.values[:, columns] for columns in _view_columns(used.keys, selected, parameters.views)]
    network = fused_network(views, parameters.neighbors, parameters.sigma, parameters.iterations)
    clusters = spectral_clusters(network, len(GROUPS))
    suggested, eigenvalues = eigengap_number(network, parameters.max_clusters)

    summed = selected if parameters.hi_features == "selected" else np.ones(len(used.keys), dtype=bool)
    columns = used.columns(summed)
    means, sds = columns.values.mean(axis=0), columns.values.std(axis=0, ddof=1)
    signs = signature.signs_of(columns.keys, parameters.sign_rule)
    hi = heterogeneity_index(columns.values, signs, means, sds)
    labels = _high_is_one(clusters, hi)
    cut = youden_cut(labels, hi)
    agreement = cohen_kappa(labels, (hi >= cut.value).astype(int))
    volume = _volume(matrix, used.patients, hi, volumes_mm3)
    z = (columns.values - means) / sds
    means_of_groups = np.array([z[labels == group].mean(axis=0) for group in (0, 1)])
    nearest = cohen_kappa(labels, nearest_groups(z, means_of_groups))
    index = HeterogeneityIndex(
        keys=columns.keys,
        signs=signs,
        means=means,
        sds=sds,
        in_network=selected[summed],
        usual=np.percentile(columns.values, USUAL_PERCENTILES, axis=0),
        group_means=means_of_groups,
        distance_quantiles=np.maximum.accumulate(np.percentile(root_mean_square(z), np.arange(101))),
        cut=cut.value,
        # Interpolation between equal values may differ in the last digit.
        hi_quantiles=np.maximum.accumulate(np.percentile(hi, np.arange(101))),
        preset=matrix.preset,
        preset_digest=matrix.preset_digest,
        signature=signature.name,
        signature_digest=signature.digest,
        parameters=parameters.to_json(),
        training=_training(
            matrix, complete, _view_sizes(parameters, views), labels, cut, agreement, suggested, not_found
        )
        | {"nearest_group_agreement": nearest.to_json()},
        volume=volume,
        warnings=tuple(_warnings(suggested, agreement, volume, not_found)),
    )
    return HeterogeneityCohort(
        index, used.patients, labels, hi, network, suggested, eigenvalues, agreement, complete, not_found
    )


def network_views(index: HeterogeneityIndex, matrix: FeatureMatrix) -> list[np.ndarray]:
    """The two views (N, P_v) of any patients for the network of a fitted index; gaps filled by the training means."""
    keys = [k for k, used in zip(index.keys, index.in_network, strict=True) if used]
    values = matrix.aligned(matrix.patients, keys).values
    values = np.where(np.isnan(values), index.means[index.in_network], values)
    patterns = tuple(tuple(view) for view in index.parameters.get("views", VIEWS))
    return [values[:, columns] for columns in _view_columns(keys, np.ones(len(keys), dtype=bool), patterns)]


def nearest_groups(z: np.ndarray, group_means: np.ndarray) -> np.ndarray:
    """(N,) 0 low, 1 high: the group whose mean z is nearest to the z-scores (N, P); NaN (missing) does not count."""
    distances = [np.nansum((z - mean) ** 2, axis=1) for mean in group_means]
    return (distances[1] < distances[0]).astype(int)


def root_mean_square(z: np.ndarray) -> np.ndarray:
    """(N,) root mean square of z-scores (N, P) over those present: about 1 for a usual patient."""
    return np.sqrt(np.nanmean(z**2, axis=1))


def _check(parameters: HeterogeneityParameters, matrix: FeatureMatrix, volumes_mm3) -> None:
    if len(parameters.views) != 2:
        raise InputError(f"{len(parameters.views)} views of the features were named; the network takes two.")
    if parameters.hi_features not in HI_FEATURES:
        raise InputError(f"hi_features is {parameters.hi_features!r}; choose one of {', '.join(HI_FEATURES)}.")
    if volumes_mm3 is not None and len(volumes_mm3) != len(matrix.patients):
        raise InputError(
            f"{len(volumes_mm3)} lesion volumes were given for {len(matrix.patients)} patients; give one per patient."
        )


def _volume(matrix, patients, hi, volumes_mm3) -> VolumeDependence:
    row_of = {name: i for i, name in enumerate(matrix.patients)}
    rows = [row_of[p] for p in patients]
    given = None if volumes_mm3 is None else np.asarray(volumes_mm3, dtype=float)[rows]
    return volume_dependence(matrix.rows(rows), hi, given)


def _view_sizes(parameters: HeterogeneityParameters, views: list[np.ndarray]) -> dict[str, int]:
    return {name: int(v.shape[1]) for (name, _), v in zip(parameters.views, views, strict=True)}


def _training(matrix, complete, n_selected, labels, cut, agreement, suggested, not_found) -> dict:
    """What the model tells about its patients, in plain JSON types."""
    return {
        "n": len(complete.matrix.patients),
        "n_high": int(labels.sum()),
        "table_sha256": matrix.digest,
        "n_candidate_features": len(complete.matrix.keys),
        "n_selected": n_selected,
        "n_values_filled": complete.n_filled,
        "patients_left_out": len(complete.dropped_patients),
        "features_left_out": len(complete.dropped_features),
        "signature_features_not_found": list(not_found),
        "eigengap_clusters": suggested,
        "sensitivity_of_cut": cut.sensitivity,
        "specificity_of_cut": cut.specificity,
        "cut_agreement": agreement.to_json(),
    }


def _candidates(matrix, signature, parameters) -> tuple[FeatureMatrix, tuple[str, ...]]:
    """Columns of the signature that the parameters let in, and the signature's features that have none."""
    choice = ColumnChoice(parameters.regions, parameters.images, parameters.image_types, parameters.stable)
    signs = signature.signs_of(matrix.keys, parameters.sign_rule)
    chosen = matrix.columns((signs != 0) & choice.chosen(matrix.keys))
    if not chosen.keys:
        raise InputError(
            f"The feature table holds none of the features of the signature {signature.name} in the chosen regions and "
            "images; extract first-order and texture features, or choose others."
        )
    have = {key.plain_name for key in chosen.keys}
    return chosen, tuple(name for name in signature.signs(parameters.sign_rule) if name not in have)


def _view_columns(keys: Sequence[FeatureKey], selected: np.ndarray, patterns) -> list[np.ndarray]:
    left, views = selected.copy(), []
    for name, pattern in patterns:
        columns = left & np.array([fnmatchcase(key.plain_name, pattern) for key in keys], dtype=bool)
        left &= ~columns
        views.append(columns)
        if not columns.any():
            raise InputError(
                f"No {name} feature varies enough between the patients (MAD filter); lower the threshold or choose the "
                "other scale."
            )
    return views


def _high_is_one(clusters: np.ndarray, hi: np.ndarray) -> np.ndarray:
    sizes = np.bincount(clusters, minlength=2)
    if sizes.min() < 2:
        raise InputError(
            f"The network splits the patients {sizes.max()} to {sizes.min()}, which is too uneven for a cut; look for "
            "outlying patients or add more."
        )
    means = [hi[clusters == c].mean() for c in (0, 1)]
    return (clusters == int(np.argmax(means))).astype(int)


def _warnings(suggested, agreement, volume, not_found):
    if suggested != len(GROUPS):
        yield f"The eigengap rule suggests {suggested} groups of patients; two were made, as in the paper."
    if agreement.kappa is None or agreement.kappa < 0.6:
        yield (
            f"The HI cut repeats the network's groups in {100 * agreement.share:.0f} % of the patients only; the index "
            "alone does not describe these groups well."
        )
    if volume.rho is not None and abs(volume.rho) >= 0.7:
        yield f"HI follows lesion volume closely (Spearman {volume.rho:.2f}): it may tell little beyond size."
    if not_found:
        yield f"The table lacks {len(not_found)} of the signature's features: {', '.join(not_found)}."
