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


# Their values are on a scale of their own.
_UNITLESS_IMAGES = {"logarithm", "exponential", "lbp-2D"}


def unit_of(feature: str, image_unit: str) -> str:
    """Unit of "<image type>_<family>_<name>" on an image of ``image_unit``; "1" for pure numbers."""
    image_type, family, name = feature.split("_", 2)
    if family == "shape":
        return _SHAPE.get(name, "1")
    if family != "firstorder":
        return "bit" if name.endswith("Entropy") else "1"
    if name == "Entropy":
        return "bit"
    unit = _filtered_unit(image_type, image_unit)
    if unit == "1":
        return "mm3" if name == "TotalEnergy" else "1"
    if name in _IMAGE_UNIT:
        return unit
    if name in _SQUARED:
        return f"({unit})^2"
    return f"({unit})^2 mm3" if name == "TotalEnergy" else "1"


def _filtered_unit(image_type: str, image_unit: str) -> str:
    if image_type in _UNITLESS_IMAGES:
        return "1"
    return f"{image_unit}/mm" if image_type == "gradient" else image_unit
