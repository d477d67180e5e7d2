"""The spatial interaction of the habitats as rows of the feature table, so that cohort tables and models have them."""

from __future__ import annotations

import math

from SubregionHabitatLib.interaction import Interaction

from .features import FeatureRow

INTERACTION_IMAGE = "interaction"


def interaction_rows(interaction: Interaction) -> tuple[FeatureRow, ...]:
    """One row per interaction feature, region "lesion", image "interaction"; missing ones with their reason."""
    return tuple(
        FeatureRow(
            "lesion",
            INTERACTION_IMAGE,
            name,
            float(value) if math.isfinite(value) else None,
            interaction.units[name],
            interaction.reasons.get(name, ""),
        )
        for name, value in interaction.features.items()
    )
