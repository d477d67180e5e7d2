"""Simulated cohorts with a known relation of features and outcome, as arrays and as the tables `iith train` reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey
from IITHModuleLib.resources import resource_path
from IITHModuleLib.training.cohort import Cohort

DIGEST = "a" * 64


def planted_cohort(
    seed: int, n: int, p: int, effect: float = 0.0, n_planted: int = 3, survival: bool = False, n_clinical: int = 0
) -> Cohort:
    """n patients with p independent features; the first ``n_planted`` share a linear predictor of SD ``effect``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    predictor = effect * x[:, :n_planted].sum(axis=1) / np.sqrt(n_planted)
    clinical = rng.integers(0, 2, size=(n, n_clinical)).astype(float)
    if survival:
        death, last = rng.exponential(1500 * np.exp(-predictor)), rng.uniform(400, 4000, n)
        event, time = (death <= last).astype(float), np.ceil(np.minimum(death, last))
    else:
        event, time = (rng.random(n) < 1 / (1 + np.exp(0.4 - predictor))).astype(float), None
    keys = tuple(FeatureKey("lesion", "phase1", f"original_firstorder_F{i}") for i in range(p))
    names = tuple(f"table:c{i}" for i in range(n_clinical))
    return Cohort(keys, x, names, clinical, event, time, np.arange(n), np.zeros(p, dtype=int))


def write_tables(folder: Path, cohort: Cohort, name: str = "training", preset: str = "mr_default") -> tuple[Path, Path]:
    """Feature table of `iith batch` and outcome table; the outcome columns are pcr, or dfs_event and dfs_days."""
    features, outcomes = folder / f"{name}-features.csv", folder / f"{name}-cohort.csv"
    rng = np.random.default_rng(99)
    with features.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        head = ["result", "patient", "visit", "preset", "preset_digest", "engine"]
        writer.writerow([*head, *("|".join(k) for k in cohort.keys), "lesion|kinetic|kinetic_size_LogVolume"])
        for i, row in enumerate(cohort.values):
            cells = ["" if np.isnan(v) else repr(float(v)) for v in row]
            writer.writerow([f"r{i}", f"P{i}", "T0", preset, DIGEST, "native", *cells, repr(float(rng.normal(8, 1)))])
    with outcomes.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["patient", "visit", "pcr", "dfs_event", "dfs_days", "ki67_percent", "lvi", "grade"])
        for i, event in enumerate(cohort.event.astype(int)):
            days = "" if cohort.time_days is None else f"{cohort.time_days[i]:g}"
            writer.writerow(
                [f"P{i}", "T0", event, event, days, rng.integers(0, 60), rng.integers(0, 2), rng.integers(1, 4)]
            )
    return features, outcomes


def small_protocol(folder: Path, name: str, features: str = "lesion|phase1|*", **resampling) -> Path:
    """A shipped protocol with less resampling and other features, as a file."""
    content = json.loads(resource_path("Protocols", f"{name}.json").read_text())
    content["resampling"] |= {"folds": 4, "repeats": 2, "bootstrap": 2, "permutations": 2} | resampling
    content["features"] = [[dict(zip(("region", "image", "feature"), features.split("|"), strict=True))]]
    for step in content["steps"]:
        if step["step"] == "lasso":
            step |= {"folds": 5, "n_penalties": 20}
    path = folder / f"{name}-small.json"
    path.write_text(json.dumps(content))
    return path
