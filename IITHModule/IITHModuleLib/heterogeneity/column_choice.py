"""Which features of a matrix a model may be made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from .feature_matrix import FeatureKey


@dataclass(frozen=True)
class ColumnChoice:
    """regions, images, image_types: names or patterns ("phase[0-9]*"), None for all; stable: the reproducible features,
    None where reproducibility is not asked for."""

    regions: tuple[str, ...] | None = None
    images: tuple[str, ...] | None = None
    image_types: tuple[str, ...] | None = None
    stable: tuple[FeatureKey, ...] | None = field(default=None, repr=False)

    def chosen(self, keys: Sequence[FeatureKey]) -> np.ndarray:
        """(P,) bool: which of ``keys`` pass every condition."""
        stable = None if self.stable is None else set(self.stable)
        return np.array(
            [
                _matches(key.region, self.regions)
                and _matches(key.image, self.images)
                and _matches(key.image_type, self.image_types)
                and (stable is None or key in stable)
                for key in keys
            ],
            dtype=bool,
        )


def _matches(name: str, patterns: tuple[str, ...] | None) -> bool:
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)
