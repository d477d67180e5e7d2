"""What run lengths, zone sizes and dependences have in common: counts over gray level i and size j."""

from __future__ import annotations

import numpy as np

EPS = np.spacing(1)
# Columns up to which a table of all sizes is quicker than finding those that occur.
_WIDE = 64


def size_statistics(counts: np.ndarray, grey: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """The fifteen numbers of each level by size table in ``counts`` (..., m levels, s sizes), (...) each.

    Keys are neutral: emphasis of small and large sizes and of low and high levels and their four products,
    non-uniformities, variances and entropy.
    """
    i, j = grey.astype(np.float64), sizes.astype(np.float64)
    i2, j2 = i**2, j**2
    by_level, by_size = counts.sum(-1), counts.sum(-2)
    n = by_level.sum(-1)
    share = counts / n[..., None, None]
    of_levels, of_sizes = np.stack([1 / i2, i2]), np.stack([1 / j2, j2], axis=1)
    emphasis = of_levels @ counts @ of_sizes / n[..., None, None]
    low_high, small_large = by_level @ of_levels.T / n[..., None], by_size @ of_sizes / n[..., None]
    level_squares, size_squares = (by_level**2).sum(-1), (by_size**2).sum(-1)
    return {
        "small": small_large[..., 0],
        "large": small_large[..., 1],
        "low": low_high[..., 0],
        "high": low_high[..., 1],
        "small_low": emphasis[..., 0, 0],
        "small_high": emphasis[..., 1, 0],
        "large_low": emphasis[..., 0, 1],
        "large_high": emphasis[..., 1, 1],
        "level_nonuniformity": level_squares / n,
        "level_nonuniformity_normalized": level_squares / n**2,
        "size_nonuniformity": size_squares / n,
        "size_nonuniformity_normalized": size_squares / n**2,
        "level_variance": _variance(by_level / n[..., None], i),
        "size_variance": _variance(by_size / n[..., None], j),
        "entropy": -(share * np.log2(share + EPS)).sum((-2, -1)),
    }


def _variance(share: np.ndarray, value: np.ndarray) -> np.ndarray:
    return (share * (value - (share * value).sum(-1, keepdims=True)) ** 2).sum(-1)


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
