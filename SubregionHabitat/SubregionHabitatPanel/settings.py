"""The settings of the parameter node as the library's parameters. Imports neither slicer nor Qt."""

from __future__ import annotations

from SubregionHabitatLib.analysis import ImagingParameters
from SubregionHabitatLib.breast_mask import BreastParameters
from SubregionHabitatLib.feature_regions import REGION_GROUPS, STANDARD_REGIONS
from SubregionHabitatLib.habitats import HabitatParameters
from SubregionHabitatLib.lesion import FtvParameters, LesionParameters
from SubregionHabitatLib.preparation import PreparationParameters
from SubregionHabitatLib.registration import RegistrationParameters


def imaging_parameters(parameters) -> ImagingParameters:
    """ImagingParameters of a SubregionHabitatParameterNode; percentages there are shares here."""
    return ImagingParameters(
        preparation=PreparationParameters(
            registration=RegistrationParameters(mode=parameters.registration),
            n4=parameters.n4,
            breast=BreastParameters(
                automatic=parameters.findBreast, skin_mm=parameters.skinMm, fat_signal=parameters.fatSignal
            ),
            air_share_of_p99=parameters.airPercent / 100,
        ),
        early=parameters.earlyPhase or None,
        late=parameters.latePhase or None,
        peak_search=parameters.peakSearch,
        wos_mode=parameters.wosMode,
        ftv=FtvParameters(
            pe_threshold_percent=parameters.peThresholdPercent,
            background=parameters.background,
            background_fraction=parameters.backgroundPercent / 100,
            min_neighbours=parameters.minNeighbours,
            min_ser=parameters.minSer,
            background_percentile=parameters.backgroundPercentile,
            omitted=parameters.omitted,
            neighbours_within=parameters.neighboursWithin,
            min_ser_inclusive=parameters.minSerInclusive,
        ),
        lesion=LesionParameters(keep=parameters.keepParts, min_component_mm3=parameters.minPartMm3),
        habitats=HabitatParameters(
            k=parameters.habitatCount,
            n_init=parameters.kmeansStarts,
            seed=parameters.seed,
            winsor_percent=parameters.winsorPercent,
            mode=parameters.habitatMode,
            choose_k=parameters.chooseCount,
        ),
        ring_mm=parameters.ringRadiusMm,
        ring_distance_from=parameters.ringDistanceFrom,
        clip_ring=parameters.clipRing,
        neighbourhood=parameters.neighbourhood,
        feature_regions=REGION_GROUPS if parameters.parenchymaFeatures else STANDARD_REGIONS,
    )
