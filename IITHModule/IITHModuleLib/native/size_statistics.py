"""What run lengths, zone sizes and dependences have in common: counts over gray level i and size j."""

from __future__ import annotations

import numpy as np

EPS = np.spacing(1)
# Columns up to which a table of all sizes is quicker than finding those that occur.
_WIDE = 64


def size_statistics(counts: np.ndarray, grey: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    """The fifteen numbers of a level by size table ``counts`` (m levels, sizes).

    Keys are neutral: emphasis of small and large sizes and of low and high levels and their four products,
    non-uniformities, variances and entropy.
    """
    i, j = grey.astype(np.float64), sizes.astype(np.float64)
    n = counts.sum()
    by_level, by_size = counts.sum(1), counts.sum(0)
    share = counts / n
    i2, j2 = i**2, j**2
    return {
        "small": (by_size / j2).sum() / n,
        "large": (by_size * j2).sum() / n,
        "low": (by_level / i2).sum() / n,
        "high": (by_level * i2).sum() / n,
        "small_low": (counts / (i2[:, None] * j2)).sum() / n,
        "small_high": (counts * i2[:, None] / j2).sum() / n,
        "large_low": (counts * j2 / i2[:, None]).sum() / n,
        "large_high": (counts * (j2 * i2[:, None])).sum() / n,
        "level_nonuniformity": (by_level**2).sum() / n,
        "level_nonuniformity_normalized": (by_level**2).sum() / n**2,
        "size_nonuniformity": (by_size**2).sum() / n,
        "size_nonuniformity_normalized": (by_size**2).sum() / n**2,
        "level_variance": _variance(by_level / n, i),
        "size_variance": _variance(by_size / n, j),
        "entropy": -(share * np.log2(share + EPS)).sum(),
    }


def _variance(share: np.ndarray, value: np.ndarray) -> float:
    return (share * (value - (share * value).sum()) ** 2).sum()


def table_of(levels: np.ndarray, sizes: np.ndarray, n_levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts (n_levels, s) of the pairs (level index, size), and the sizes 1, 2, ... that the s columns stand for.

    Where the longest size would make a wide table (one large zone is enough), only the sizes that occur have columns.
    """
    longest = int(sizes.max())
    if longest <= _WIDE:
        code = levels.astype(np.intp) * longest + (sizes - 1)
        counts = np.bincount(code, minlength=n_levels * longest).reshape(n_levels, longest)
        return counts.astype(np.float64), np.arange(1, longest + 1)
    present = np.bincount(sizes) > 0
    occurring = np.flatnonzero(present)
    column = (np.cumsum(present) - 1)[sizes]
    code = levels.astype(np.intp) * len(occurring) + column
    counts = np.bincount(code, minlength=n_levels * len(occurring)).reshape(n_levels, len(occurring))
    return counts.astype(np.float64), occurring
