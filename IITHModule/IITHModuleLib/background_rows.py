"""Fibroglandular tissue and its enhancement (background parenchymal enhancement) as rows of the feature table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from SubregionHabitatLib.background_enhancement import THRESHOLDS_PERCENT, BackgroundEnhancement

from .features import FeatureRow

BACKGROUND_IMAGE = "background"
BACKGROUND_UNITS = {
    "background_tissue_VolumeCc": "cc",
    "background_tissue_ShareOfBreast": "1",
    "background_enhancement_MeanPercent": "%",
    "background_enhancement_MedianPercent": "%",
    **{f"background_enhancement_ShareAbove{t}Percent": "1" for t in THRESHOLDS_PERCENT},
    "background_enhancement_LesionToBackground": "1",
}


def background_rows(background: Sequence[BackgroundEnhancement]) -> tuple[FeatureRow, ...]:
    """One row per name of BACKGROUND_UNITS and side, regions "ipsilateral_parenchyma" and, on bilateral exams,

    "contralateral_parenchyma"; missing values with their reason."""
    return tuple(row for side in background for row in _rows(side))


def _rows(side: BackgroundEnhancement) -> Iterator[FeatureRow]:
    found = (
        ("fibroglandular_cc", side.tissue_cc),
        ("fibroglandular_share", side.tissue_share),
        ("mean_percent", side.mean_percent),
        ("median_percent", side.median_percent),
        *(("share_above_percent", side.share_above.get(t)) for t in THRESHOLDS_PERCENT),
        ("lesion_to_background", side.lesion_to_background),
    )
    for (name, unit), (key, value) in zip(BACKGROUND_UNITS.items(), found, strict=True):
        reason = "" if value is not None else side.missing.get(key, "the breast is empty")
        yield FeatureRow(f"{side.side}_parenchyma", BACKGROUND_IMAGE, name, value, unit, reason)
