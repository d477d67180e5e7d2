"""The unit of every radiomic feature, from its name and the unit of its image."""

from __future__ import annotations

_SHAPE = {
    "MeshVolume": "mm3",
    "VoxelVolume": "mm3",
    "SurfaceArea": "mm2",
    "SurfaceVolumeRatio": "1/mm",
    **dict.fromkeys(
        (
            "Maximum3DDiameter",
            "Maximum2DDiameterSlice",
            "Maximum2DDiameterColumn",
            "Maximum2DDiameterRow",
            "MajorAxisLength",
            "MinorAxisLength",
            "LeastAxisLength",
        ),
        "mm",
    ),
}
_IMAGE_UNIT = {
    "10Percentile", "90Percentile", "InterquartileRange", "Maximum", "MeanAbsoluteDeviation", "Mean", "Median",
    "Minimum", "Range", "RobustMeanAbsoluteDeviation", "RootMeanSquared", "StandardDeviation",
}  # fmt: skip
_SQUARED = {"Energy", "Variance"}


def unit_of(feature: str, image_unit: str) -> str:
    """Unit of "original_<family>_<name>" on an image of ``image_unit``; "1" for pure numbers."""
    _, family, name = feature.split("_", 2)
    if family == "shape":
        return _SHAPE.get(name, "1")
    if family != "firstorder":
        return "bit" if name.endswith("Entropy") else "1"
    if name == "Entropy":
        return "bit"
    if image_unit == "1":
        return "mm3" if name == "TotalEnergy" else "1"
    if name in _IMAGE_UNIT:
        return image_unit
    if name in _SQUARED:
        return f"({image_unit})^2"
    return f"({image_unit})^2 mm3" if name == "TotalEnergy" else "1"
