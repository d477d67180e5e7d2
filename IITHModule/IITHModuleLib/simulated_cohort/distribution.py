"""Joint distribution of lesion size and kinetics as a Gaussian copula: quantiles of each quantity and one correlation.

Fitted once to the columns of Duke-Breast-Cancer-MRI whose meaning was shown (922 patients) and shipped as a small JSON
file (Resources/Cohorts): 33 quantiles per quantity between the 1st and the 99th percentile and one correlation matrix,
no patient's row. A drawn lesion is new: it is nobody's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from SubregionHabitatLib.errors import InputError

from ..resources import resource_path
from ..untrusted_json import read_json

SCHEMA = "iith-lesion-distribution/1"
SHIPPED = "duke-lesions"
MAX_BYTES = 200_000
QUANTITIES = (
    "volume_mm3",
    "pe_mean_percent",
    "share_above_70_percent",
    "share_ser_above_0.9",
    "share_ser_above_1.3",
    "share_peak_first",
    "share_peak_last",
)
_PROBABILITIES = np.linspace(0.01, 0.99, 33)
_DUKE = {
    "volume_mm3": "Volume_cu_mm_Tumor",
    "pe_mean_percent": "PE_map_mean_tumor",
    "share_above_70_percent": "SER_Total_tumor_vol_cu_mm",
    "share_ser_above_0.9": "SER_Partial_tumor_vol_cu_mm",
    "share_ser_above_1.3": "SER_Washout_tumor_vol_cu_mm",
    "share_peak_first": "Grouping_based_proportion_of_tumor_voxels_3D_tumor_Group_1",
    "share_peak_last": "Grouping_based_proportion_of_tumor_voxels_3D_tumor_Group_3",
}


@dataclass(frozen=True)
class LesionDistribution:
    """quantiles: quantity -> values at ``probabilities``; correlation (P, P): of normal scores, as QUANTITIES."""

    probabilities: np.ndarray = field(repr=False)
    quantiles: dict[str, np.ndarray] = field(repr=False)
    correlation: np.ndarray = field(repr=False)
    n: int
    source: str
    licence: str
    digest: str = ""

    def draw(self, generator: np.random.Generator) -> dict[str, float]:
        """One lesion: quantity -> value, each between its 1st and 99th percentile."""
        lower = np.linalg.cholesky(self.correlation)
        uniform = ndtr(lower @ generator.standard_normal(len(QUANTITIES)))
        return {
            name: float(np.interp(u, self.probabilities, self.quantiles[name]))
            for name, u in zip(QUANTITIES, uniform, strict=True)
        }


def duke_quantities(table) -> dict[str, np.ndarray]:
    """Quantity -> (N,) of Duke's imaging_features table (DataFrame); shares of the volume, at most 1; rows with gaps
    are left out."""
    volume = table[_DUKE["volume_mm3"]].to_numpy(float)
    found = {}
    for name in QUANTITIES:
        values = table[_DUKE[name]].to_numpy(float)
        found[name] = np.minimum(values / volume, 1.0) if _DUKE[name].startswith("SER_") else values
    complete = np.all([np.isfinite(v) for v in found.values()], axis=0)
    return {name: values[complete] for name, values in found.items()}


def fit_distribution(quantities: dict[str, np.ndarray], source: str, licence: str) -> LesionDistribution:
    """The copula of columns (N,) named as QUANTITIES; normal scores are ndtri((rank - 0.5) / N), ties at their mean."""
    from scipy.stats import rankdata

    n = len(quantities[QUANTITIES[0]])
    scores = np.column_stack([ndtri((rankdata(quantities[name]) - 0.5) / n) for name in QUANTITIES])
    quantiles = {name: np.quantile(quantities[name], _PROBABILITIES) for name in QUANTITIES}
    return LesionDistribution(_PROBABILITIES, quantiles, np.corrcoef(scores, rowvar=False), n, source, licence)


def distribution_to_json(distribution: LesionDistribution) -> dict:
    """Plain JSON types, numbers to 6 digits."""

    def short(values) -> list:
        return [float(f"{v:.6g}") for v in values]

    return {
        "schema": SCHEMA,
        "description": "Gaussian copula of lesion size and kinetics for simulated exams; no patient's row.",
        "source": distribution.source,
        "licence": distribution.licence,
        "n": distribution.n,
        "probabilities": short(distribution.probabilities),
        "quantiles": {name: short(values) for name, values in distribution.quantiles.items()},
        "correlation": [short(row) for row in distribution.correlation],
    }


def load_distribution(path: str | Path | None = None) -> LesionDistribution:
    """The shipped distribution, or one from a file; raises InputError, naming the file, when it is not sound."""
    path = resource_path("Cohorts", f"{SHIPPED}.json") if path is None else Path(path)
    content, digest = read_json(path, "lesion distribution", MAX_BYTES)
    try:
        found = LesionDistribution(
            np.array(content["probabilities"], dtype=float),
            {name: np.array(content["quantiles"][name], dtype=float) for name in QUANTITIES},
            np.array(content["correlation"], dtype=float),
            int(content["n"]),
            str(content["source"]),
            str(content["licence"]),
            digest,
        )
        _check(content, found)
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{path} is not a lesion distribution ({type(error).__name__}: {str(error)[:100]}); use the shipped one."
        ) from None
    return found


def save_distribution(distribution: LesionDistribution, path: Path) -> None:
    """Write the JSON file."""
    text = json.dumps(distribution_to_json(distribution), indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8")


def _check(content: dict, found: LesionDistribution) -> None:
    if content.get("schema") != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    size = found.probabilities.size
    if size < 2 or not (np.diff(found.probabilities) > 0).all():
        raise ValueError("the probabilities do not rise")
    for name, values in found.quantiles.items():
        if values.size != size or not (np.diff(values) >= 0).all():
            raise ValueError(f"the quantiles of {name} do not rise")
    if found.correlation.shape != (len(QUANTITIES),) * 2:
        raise ValueError("the correlation has another size")
    np.linalg.cholesky(found.correlation)
