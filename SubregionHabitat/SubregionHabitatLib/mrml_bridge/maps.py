"""Kinetic maps as volume nodes, in a fitting range and color."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..geometry import Geometry
from ..kinetics import TIME_MAPS
from .volumes import set_volume

if TYPE_CHECKING:
    from ..analysis import ImagingResult

# Shown range and colour table per map; the first table that the scene has is taken (file-based tables exist in the
# application only). None: 2nd to 98th percentile inside the lesion.
_SEQUENTIAL = ("vtkMRMLColorTableNodeFileViridis.txt", "vtkMRMLColorTableNodeGrey")
MAP_DISPLAY = {
    "pe_early": ((0.0, 300.0), _SEQUENTIAL),
    "pe_peak": ((0.0, 300.0), _SEQUENTIAL),
    "ser": ((0.0, 2.0), _SEQUENTIAL),
    "wis": (None, _SEQUENTIAL),
    "wos": (None, _SEQUENTIAL),
    "time_to_peak": (None, _SEQUENTIAL),
}
UNIT_ATTRIBUTE = "IITH.unit"


def result_maps(result: ImagingResult) -> dict[str, tuple[np.ndarray, str]]:
    """Map name -> (array, unit) of every map that is defined: without phase times some are not."""
    maps = result.maps
    units = {**maps.units(), "time_to_peak": "min"}
    undefined = () if result.exam.timing.known else TIME_MAPS
    return {name: (getattr(maps, name), unit) for name, unit in units.items() if name not in undefined}


def set_map(volume, name: str, array: np.ndarray, geometry: Geometry, lesion: np.ndarray) -> None:
    """Put a kinetic map (Z, Y, X) float32, NaN where undefined, into a volume and show it in a fitting range."""
    set_volume(volume, np.ascontiguousarray(array, dtype=np.float32), geometry)
    volume.CreateDefaultDisplayNodes()
    limits, tables = MAP_DISPLAY[name]
    low, high = limits or _percentile_range(array[lesion])
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(high - low, (low + high) / 2)
    scene = volume.GetScene()
    display.SetAndObserveColorNodeID(next((t for t in tables if scene.GetNodeByID(t)), tables[-1]))


def _percentile_range(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, [2, 98]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)
