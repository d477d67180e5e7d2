"""Habitats fitted on a cohort: one set of centres for all patients, applied to new lesions by the nearest centre.

Only so do labels and volumes mean the same in every patient (Wu 2018; WuLabMDA's code clusters all patients together).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .errors import InputError
from .habitat_clustering import cluster_rows, with_chosen_k
from .habitat_number import KChoice
from .habitat_parameters import MIN_VOXELS_PER_HABITAT, HabitatParameters, habitat_names
from .habitat_result import Habitats, habitats_of, is_monotone, perfusion_rank
from .habitat_two_level import lesion_supervoxels
from .habitat_vectors import HabitatMaps, Scaling, feature_units, fit_scaling, lesion_voxels
from .kmeans import nearest_centre
from .progress import Part, Progress, Silent

MIN_EXAMS = 2
FEW_EXAMS = 20
# By construction about 2 % per map lie beyond the limits; a new case with more than this is unlike the cohort.
OUTSIDE_TRAINING_WARNING = 0.20


@dataclass(frozen=True)
class HabitatSample:
    """What one exam gives to a cohort.

    vectors: (M, F) float64 in the maps' units, rows in a fixed order: voxels ("cohort", at most max_voxels_per_exam,
    seeded) or the supervoxels' mean vectors ("two_level"); n_voxels: defined voxels of the lesion; source: a name for
    messages, never stored.
    """

    vectors: np.ndarray
    features: tuple[str, ...]
    units: dict[str, str]
    peak_search: str
    wos_mode: str
    mode: str
    n_voxels: int
    source: str = "exam"

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers, the same on every machine."""
        return hashlib.sha256(np.ascontiguousarray(self.vectors, dtype="<f8").tobytes()).hexdigest()


@dataclass(frozen=True)
class HabitatTraining:
    """n_exams; n_rows: voxels or supervoxels pooled; n_voxels: lesion voxels behind them; shares: (k,) of the rows per

    habitat; digest: SHA-256 over the samples, whatever their order."""

    n_exams: int
    n_rows: int
    n_voxels: int
    shares: tuple[float, ...]
    digest: str


@dataclass(frozen=True)
class HabitatModel:
    """Habitat centres of a cohort with everything needed to apply them.

    scaling: winsor limits, means and SDs of the pooled rows; centres_z: (k, F) in order of perfusion; units: per
    feature; peak_search, wos_mode: how the maps were made; parameters: as fitted, k as found; inertia: pooled sum of
    squared z-distances; k_choice: how k was chosen, None where it was given; software: version that fitted it.
    """

    scaling: Scaling
    centres_z: np.ndarray
    units: dict[str, str]
    peak_search: str
    wos_mode: str
    parameters: HabitatParameters
    training: HabitatTraining
    inertia: float
    k_choice: KChoice | None
    notes: tuple[str, ...]
    software: str

    @property
    def features(self) -> tuple[str, ...]:
        return self.scaling.features

    @property
    def k(self) -> int:
        return len(self.centres_z)

    @property
    def names(self) -> tuple[str, ...]:
        return habitat_names(self.k)

    @property
    def monotone(self) -> bool:
        return is_monotone(self.centres_z)

    @property
    def digest(self) -> str:
        """SHA-256 of the model's content."""
        from .habitat_file import canonical_bytes

        return hashlib.sha256(canonical_bytes(self)).hexdigest()


def cohort_parameters(parameters: HabitatParameters | None) -> HabitatParameters:
    """The parameters of a fit on many exams: mode "cohort" unless "two_level" is asked for."""
    parameters = parameters or HabitatParameters(mode="cohort")
    return replace(parameters, mode="cohort") if parameters.mode == "per_tumour" else parameters


def sample_of(
    maps: HabitatMaps,
    lesion: np.ndarray,
    parameters: HabitatParameters | None = None,
    source: str = "exam",
    progress: Progress | None = None,
) -> HabitatSample:
    """What the lesion, mask (Z, Y, X) bool, of one exam gives to a cohort; see HabitatSample.

    Raises InputError, naming ``source``, for a lesion with fewer than 10 k voxels with defined maps.
    """
    parameters = cohort_parameters(parameters)
    try:
        voxels = lesion_voxels(maps, lesion, parameters.k, parameters.features)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    if parameters.mode == "two_level":
        vectors = lesion_supervoxels(maps, voxels, parameters, progress).means
    else:
        vectors = voxels.vectors[voxels.defined]
    # Sorted first, so that neither the order of the voxels nor the orientation of the file matters.
    vectors = vectors[np.lexsort(vectors.T)]
    if parameters.mode == "cohort" and len(vectors) > parameters.max_voxels_per_exam:
        rng = np.random.default_rng(parameters.seed)
        vectors = vectors[np.sort(rng.choice(len(vectors), parameters.max_voxels_per_exam, replace=False))]
    return HabitatSample(
        vectors=vectors,
        features=voxels.features,
        units=feature_units(maps, voxels.features),
        peak_search=maps.peak_search,
        wos_mode=maps.wos_mode,
        mode=parameters.mode,
        n_voxels=int(voxels.defined.sum()),
        source=source,
    )


def fit_habitats(
    samples: Iterable[HabitatSample],
    parameters: HabitatParameters | None = None,
    progress: Progress | None = None,
) -> HabitatModel:
    """Fit habitat centres on the samples of many exams (``sample_of``), whatever their order.

    The rows of all exams are pooled, winsorised, z-scored with the pooled mean and SD and clustered: voxels by k-means,
    supervoxels ("two_level") by Ward's method or k-means. Raises InputError for fewer than two exams, exams whose maps
    were made differently, an exam that is there twice, or a map without spread.
    """
    progress = progress or Silent()
    parameters = cohort_parameters(parameters)
    samples = sorted(samples, key=lambda sample: sample.digest)
    _check_samples(samples, parameters)
    first = samples[0]
    vectors = np.concatenate([sample.vectors for sample in samples])
    scaling = fit_scaling(vectors, parameters.winsor_percent, first.features)
    flat = [name for name, sd in zip(first.features, scaling.sd, strict=True) if sd == 0]
    if flat:
        raise InputError(
            f"The habitat feature {', '.join(flat)} has the same value in all exams; leave it out of the features."
        )
    rows = scaling.z(vectors)
    parameters, choice = with_chosen_k(rows, parameters, 2, Part(progress, 0.0, 0.5))
    clusters, centres_z, inertia = cluster_rows(rows, parameters.k, parameters, Part(progress, 0.5, 1.0))
    rank = perfusion_rank(centres_z)
    shares = np.bincount(rank[clusters], minlength=parameters.k + 1)[1:] / len(rows)
    return HabitatModel(
        scaling=scaling,
        centres_z=centres_z[np.argsort(rank)],
        units=first.units,
        peak_search=first.peak_search,
        wos_mode=first.wos_mode,
        parameters=parameters,
        training=HabitatTraining(
            n_exams=len(samples),
            n_rows=len(rows),
            n_voxels=sum(sample.n_voxels for sample in samples),
            shares=tuple(float(share) for share in shares),
            digest=hashlib.sha256("\n".join(sample.digest for sample in samples).encode()).hexdigest(),
        ),
        inertia=inertia,
        k_choice=choice,
        notes=tuple(_fit_notes(samples, choice)),
        software=_version(),
    )


def apply_habitats(
    maps: HabitatMaps, lesion: np.ndarray, model: HabitatModel, progress: Progress | None = None
) -> Habitats:
    """The habitats of one lesion, mask (Z, Y, X) bool, by the nearest centre of ``model``.

    A habitat may stay empty; its volume is then 0. Raises InputError when the maps were made in another way than the
    model's, a map that the model needs is undefined, or the lesion has fewer than 10 k voxels with defined maps.
    """
    progress = progress or Silent()
    _check_maps(maps, model)
    voxels = lesion_voxels(maps, lesion, model.k, model.features)
    rows = voxels.vectors[voxels.defined]
    parts = None
    if model.parameters.mode == "two_level":
        parts = lesion_supervoxels(maps, voxels, model.parameters, Part(progress, 0.0, 0.9))
        rows = parts.means
    progress.step(0.9, "habitats by the nearest centre")
    nearest, squared = nearest_centre(model.scaling.z(rows), model.centres_z)
    labels = (nearest if parts is None else nearest[parts.labels]) + 1
    outside = model.scaling.outside_share(rows)
    notes = ()
    if outside > OUTSIDE_TRAINING_WARNING:
        notes = (
            f"{100 * outside:.0f} % of the lesion lies beyond the range of the exams that the habitat centres were "
            "fitted on; the habitats may not mean the same here.",
        )
    return habitats_of(
        maps,
        voxels,
        labels.astype(np.uint8),
        model.centres_z,
        model.scaling,
        model.parameters,
        float(squared.sum()),
        notes,
        mode=model.parameters.mode,
        k_choice=model.k_choice,
        n_supervoxels=None if parts is None else len(parts.means),
        model_digest=model.digest,
        outside_training_share=outside,
    )


def _check_samples(samples: list[HabitatSample], parameters: HabitatParameters) -> None:
    if len(samples) < MIN_EXAMS:
        raise InputError(
            f"Habitat centres of a cohort need at least {MIN_EXAMS} exams; got {len(samples)}. Add exams, or use the "
            "mode 'per_tumour'."
        )
    first = samples[0]
    for before, sample in pairwise(samples):
        if before.digest == sample.digest:
            raise InputError(f"{before.source} and {sample.source} hold the same lesion; name every exam once.")
    for sample in samples:
        for what, mine, theirs in (
            ("the features", sample.features, first.features),
            ("the units", sample.units, first.units),
            ("the peak search", sample.peak_search, first.peak_search),
            ("the wash-out mode", sample.wos_mode, first.wos_mode),
            ("the mode", sample.mode, parameters.mode),
        ):
            if mine != theirs:
                raise InputError(
                    f"{sample.source} does not fit the cohort: {what} is {_short(mine)}, elsewhere {_short(theirs)}; "
                    "analyze all exams in one way, or leave it out."
                )
        if sample.vectors.shape != (len(sample.vectors), len(sample.features)) or not np.isfinite(sample.vectors).all():
            raise InputError(f"{sample.source} holds vectors of a wrong shape or undefined values; make it again.")
    n_rows = sum(len(sample.vectors) for sample in samples)
    if n_rows < MIN_VOXELS_PER_HABITAT * parameters.k:
        raise InputError(
            f"The exams give {n_rows} vectors together; {parameters.k} habitats need at least "
            f"{MIN_VOXELS_PER_HABITAT * parameters.k}. Add exams."
        )


def _check_maps(maps: HabitatMaps, model: HabitatModel) -> None:
    for what, mine, theirs, remedy in (
        ("peak search", maps.peak_search, model.peak_search, f"--peak-search {model.peak_search}"),
        ("wash-out mode", maps.wos_mode, model.wos_mode, f"--wos-mode {model.wos_mode}"),
        ("units", feature_units(maps, model.features), model.units, "the model's units"),
    ):
        if mine != theirs:
            raise InputError(
                f"The habitat model was fitted on maps with the {what} {_short(theirs)}, these have {_short(mine)}; "
                f"analyze the exam with {remedy}, or use another model."
            )


def _fit_notes(samples: list[HabitatSample], choice: KChoice | None):
    if len(samples) < FEW_EXAMS:
        yield f"The habitat centres rest on {len(samples)} exams only."
    if choice is not None:
        yield from choice.notes


def _short(value) -> str:
    if isinstance(value, dict):
        value = [f"{name} in {unit}" for name, unit in value.items()]
    return repr(value) if isinstance(value, str) else ", ".join(value)


def _version() -> str:
    from . import __version__

    return __version__
