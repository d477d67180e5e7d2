"""Where the patient is and where there is only air, from the pre-contrast image."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Smoothed pre-contrast signal below this share of the brightest tissue (P99) counts as air where it reaches the
# edge of the image. Low enough to keep suppressed fat; a guess [US] that results record.
AIR_SHARE_OF_P99 = 0.05
SMOOTHING_VOXELS = 1.0


def body_mask(pre: np.ndarray, air_share: float = AIR_SHARE_OF_P99) -> np.ndarray:
    """The body, (Z, Y, X) bool: everything but low signal that is connected to the edge of the image.

    Low signal enclosed by tissue (suppressed fat, necrosis, vessels) belongs to the body. An image without air
    yields a mask that is True everywhere.
    """
    smooth = ndimage.gaussian_filter(pre.astype(np.float32), SMOOTHING_VOXELS)
    low = smooth < air_share * np.percentile(smooth, 99)
    labels, n_labels = ndimage.label(low)
    if n_labels == 0:
        return np.ones(pre.shape, dtype=bool)
    touching = np.zeros(n_labels + 1, dtype=bool)
    # The first and last slice do not count as edges: slices stop inside the body, in air pockets or not.
    for axis in (1, 2):
        for end in (0, -1):
            touching[np.unique(np.take(labels, end, axis=axis))] = True
    touching[0] = False
    return ~touching[labels]
