"""Tissues of an exam as one label map, for files and pictures."""

from __future__ import annotations

import numpy as np

from .breast_mask import BreastMask
from .fibroglandular import FibroglandularTissue

# Label 0 is air.
TISSUES = ("air", "skin", "breast without parenchyma", "parenchyma", "behind the chest wall")
BREAST_LABELS = (2, 3)
PARENCHYMA_LABEL = 3


def tissue_labels(breast: BreastMask, tissue: FibroglandularTissue) -> np.ndarray:
    """Index into TISSUES of every voxel (Z, Y, X) uint8; parenchyma without lesions and ring, which count as breast."""
    labels = np.zeros(breast.breast.shape, dtype=np.uint8)
    for number, mask in enumerate((breast.skin, breast.breast, tissue.mask, breast.behind), start=1):
        labels[mask] = number
    return labels
