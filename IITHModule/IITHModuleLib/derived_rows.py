"""What a case's feature table holds besides radiomics: interaction of habitats, kinetics, background."""

from __future__ import annotations

from dataclasses import replace

from SubregionHabitatLib.analysis import ImagingResult

from .background_rows import background_rows
from .features import FeatureRow, FeatureTable
from .interaction_rows import interaction_rows
from .kinetic_rows import kinetic_rows


def derived_rows(imaging: ImagingResult) -> tuple[FeatureRow, ...]:
    """Rows of the images "interaction" and "kinetic", region "lesion", and "background", regions of the parenchyma."""
    lesion = imaging.lesion
    kinetics = kinetic_rows(
        imaging.exam.signal, lesion.mask, imaging.exam.geometry.voxel_volume_mm3, lesion.enhancing_fraction_reason
    )
    return interaction_rows(imaging.interaction) + kinetics + background_rows(imaging.background)


def with_derived_rows(features: FeatureTable | None, imaging: ImagingResult) -> FeatureTable:
    """The table with ``derived_rows`` behind its own; a table of them alone where no radiomics were extracted."""
    if features is None:
        return FeatureTable(derived_rows(imaging), "", "", "", "")
    return replace(features, rows=features.rows + derived_rows(imaging))
