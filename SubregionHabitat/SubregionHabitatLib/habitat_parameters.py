"""The choices behind habitats, and how habitats are called."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import InputError

# Order of the columns of the voxel vectors; wash-out rate is -WOS, so that all four rise with perfusion.
HABITAT_FEATURES = ("wis", "washout_rate", "ser", "pe_peak")
HABITAT_NAMES = {3: ("poor", "moderate", "high")}
MIN_VOXELS_PER_HABITAT = 10

# per_tumour: voxels of one lesion; two_level: supervoxels; cohort: voxels, centres fitted on many exams.
HABITAT_MODES = ("per_tumour", "two_level", "cohort")
SECOND_LEVELS = ("ward", "kmeans")
CHOOSE_K = ("no", "silhouette", "gap")
K_RANGE = (2, 3, 4, 5, 6)


@dataclass(frozen=True)
class HabitatParameters:
    """Every choice of the clustering; algorithms and sources in docs/methods.md.

    k: number of habitats, 2..6; n_init: restarts of k-means; seed; winsor_percent: tails pulled in before z-scoring,
    0..50 %; mode: one of HABITAT_MODES; features: maps to use, names from HABITAT_FEATURES, None for all that are
    defined; choose_k: "no", or find k in 2..6 by mean "silhouette" or by the "gap" statistic on at most choose_k_rows
    seeded rows; max_voxels_per_exam: what one exam gives to a cohort; supervoxels: their number per lesion, None for
    30, 50, 60 or 80 by lesion size; compactness: how many SDs of one map the width of a supervoxel counts when they
    are made; second_level: "ward" or "kmeans" over supervoxels.
    Raises InputError for values outside these ranges.
    """

    k: int = 3
    n_init: int = 20
    seed: int = 20260
    winsor_percent: float = 1.0
    mode: str = "per_tumour"
    features: tuple[str, ...] | None = None
    choose_k: str = "no"
    choose_k_rows: int = 1000
    max_voxels_per_exam: int = 5000
    supervoxels: int | None = None
    compactness: float = 2.0
    second_level: str = "ward"

    def __post_init__(self) -> None:
        if self.k not in K_RANGE or self.n_init < 1 or not 0 <= self.winsor_percent < 50 or self.seed < 0:
            raise InputError(
                f"Habitats need k in 2..6, n_init >= 1, winsor_percent in [0, 50) and a seed >= 0; got k={self.k}, "
                f"n_init={self.n_init}, winsor_percent={self.winsor_percent}, seed={self.seed}."
            )
        for name, value, known in (
            ("mode", self.mode, HABITAT_MODES),
            ("second level", self.second_level, SECOND_LEVELS),
            ("way to choose k", self.choose_k, CHOOSE_K),
        ):
            if value not in known:
                raise InputError(f"The habitat {name} {value!r} is unknown; choose one of {known}.")
        if self.features is not None:
            # A list is what JSON gives back; the order of the columns is always that of HABITAT_FEATURES.
            object.__setattr__(self, "features", _in_order(self.features))
        if self.max_voxels_per_exam < MIN_VOXELS_PER_HABITAT * self.k or self.choose_k_rows < 100:
            raise InputError(
                f"Habitats need max_voxels_per_exam of at least {MIN_VOXELS_PER_HABITAT} k and choose_k_rows of at "
                f"least 100; got {self.max_voxels_per_exam} and {self.choose_k_rows}."
            )
        if self.supervoxels is not None and not 2 * self.k <= self.supervoxels <= 1000:
            raise InputError(f"The number of supervoxels must lie between 2 k and 1000; got {self.supervoxels}.")
        if not (math.isfinite(self.compactness) and self.compactness >= 0):
            raise InputError(f"The supervoxels' compactness must be a number >= 0; got {self.compactness}.")


def _in_order(features) -> tuple[str, ...]:
    unknown = [str(name)[:40] for name in features if name not in HABITAT_FEATURES]
    if unknown or not features or len(set(features)) != len(features):
        raise InputError(
            f"The habitat features {', '.join(map(str, features))[:120] or '(none)'} are not usable; name each of "
            f"{', '.join(HABITAT_FEATURES)} at most once."
        )
    return tuple(name for name in HABITAT_FEATURES if name in features)


def habitat_names(k: int) -> tuple[str, ...]:
    """Names of habitats 1..k: poor, moderate and high for three, their numbers otherwise."""
    return HABITAT_NAMES.get(k, tuple(f"habitat {i + 1}" for i in range(k)))
