"""Cohorts of simulated exams, from images to groups: python Testing/check_simulated_cohorts.py [--n N] [--seed S]

Homogeneous and heterogeneous lesions by the heterogeneity index (Su 2023), and heterogeneity that falls or rises
between two visits by the phenotypes of change (Chitalia 2023; two phenotypes, as in the paper, and the number that
consensus and SigClust choose beside it). Lesions differ in size, noise and place of their zones; features are those of
the shipped presets. Prints the adjusted Rand index against the truth and against permuted truths, and ends with 1 when
a cohort is separated by less than 0.9, or a permuted one by more than chance allows. The test suite holds the same on
made-up features (test_heterogeneity_index.py, test_heterogeneity_phenotypes.py).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / name) for name in ("Testing", "SubregionHabitat", "IITHModule", "RadiogenomicReport")]

from IITHModuleLib.features import FeatureTable, extract_features  # noqa: E402
from IITHModuleLib.heterogeneity.agreement import adjusted_rand  # noqa: E402
from IITHModuleLib.heterogeneity.delta_features import delta_features  # noqa: E402
from IITHModuleLib.heterogeneity.delta_phenotype import fit_delta_phenotypes  # noqa: E402
from IITHModuleLib.heterogeneity.feature_matrix import FeatureMatrix, matrix_from_tables  # noqa: E402
from IITHModuleLib.heterogeneity.heterogeneity_index import fit_heterogeneity_index  # noqa: E402
from IITHModuleLib.heterogeneity.iith_signature import load_signature  # noqa: E402
from IITHModuleLib.presets import load_preset  # noqa: E402
from IITHModuleLib.training.delta_phenotypes import load_delta_protocol  # noqa: E402
from SubregionHabitatLib.body import body_mask  # noqa: E402
from SubregionHabitatLib.kinetics import compute_maps  # noqa: E402
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam  # noqa: E402
from SubregionHabitatLib.timing import choose_early_late  # noqa: E402

SEPARATED = 0.9
N_PERMUTATIONS = 500
LOW, HIGH = 0.4, 1.6


def lesion_features(seed: int, heterogeneity: float, radius_mm: float) -> FeatureTable:
    """Features of the true lesion of one simulated exam, on every phase and map, by the default preset."""
    made = simulate_exam(
        SimulationParameters(
            seed=seed,
            shape=(24, 60, 60),
            breast_semi_axes_mm=(30.0, 44.0, 30.0),
            lesion_radii_mm=(radius_mm, radius_mm, radius_mm),
            lesion_center_mm=(4.0, 20.0, 4.0),
            vessels=False,
            phase_starts_s=(0.0, 130.0, 280.0, 430.0),
            heterogeneity=heterogeneity,
        )
    )
    exam = made.exam
    maps = compute_maps(exam, choose_early_late(exam.times_s))
    regions = {"lesion": made.truth_lesion}
    return extract_features(exam, maps, regions, load_preset("mr_default"), reference=body_mask(exam.signal[0]))


def cohort(seeds: np.ndarray, steps: np.ndarray, radii: np.ndarray) -> FeatureMatrix:
    tables = {}
    for i, (seed, step, radius) in enumerate(zip(seeds.tolist(), steps.tolist(), radii.tolist(), strict=True)):
        tables[f"sim-{i:03d}"] = lesion_features(seed, step, radius)
        print(f"\r{i + 1} of {len(seeds)} exams", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return matrix_from_tables(tables)


def report(name: str, labels: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> bool:
    """Print and judge: the truth is found, a permuted truth is not."""
    found = adjusted_rand(labels, truth)
    chance = np.array([adjusted_rand(labels, rng.permutation(truth)) for _ in range(N_PERMUTATIONS)])
    holds = found >= SEPARATED and abs(chance.mean()) < 0.02 and np.percentile(chance, 99) < 0.5
    print(
        f"{name}: adjusted Rand {found:.3f}; permuted labels: mean {chance.mean():+.4f}, 99th percentile "
        f"{np.percentile(chance, 99):.3f} ({len(truth)} simulated patients){'' if holds else '   <-- BROKEN'}",
        flush=True,
    )
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=40, help="patients of each cohort")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    truth = rng.permutation(np.arange(args.n) % 2)
    radii = rng.uniform(6.5, 8.5, args.n)

    # Spread inside each group is as large as a quarter of the distance between them.
    steps = np.where(truth == 1, HIGH, LOW) + rng.normal(0, 0.15, args.n)
    first = cohort(1000 * args.seed + np.arange(args.n), np.clip(steps, 0, None), radii)
    fitted = fit_heterogeneity_index(first)
    ok = report("homogeneous and heterogeneous lesions, index", fitted.labels, truth, rng)
    volume = fitted.index.volume
    print(f"Spearman of HI with volume: {volume.rho:.3f} (p = {volume.p:.3g}, n = {volume.n})")
    groups = (fitted.hi >= fitted.index.cut).astype(int)
    print(f"frozen cut against the network's groups: {np.mean(groups == fitted.labels):.3f} agree")

    before = 1.0 + rng.normal(0, 0.1, args.n)
    after = np.clip(before + np.where(truth == 1, HIGH - 1, LOW - 1) + rng.normal(0, 0.1, args.n), 0, None)
    seeds = 1000 * args.seed + 500 + np.arange(args.n)
    visits = [cohort(seeds, before, radii), cohort(seeds + 100, after, radii)]
    plan = load_delta_protocol("chitalia-delta")
    signs = load_signature(plan.signature).signs_of(visits[0].keys, plan.sign_rule)
    signs = np.where(plan.columns.chosen(visits[0].keys), signs, 0)
    changes = delta_features(*visits, signs)
    phenotypes = fit_delta_phenotypes(changes, replace(plan.parameters, n_phenotypes=2))
    ok &= report("heterogeneity falls or rises between visits, two phenotypes", phenotypes.labels, truth, rng)
    print(f"named {' and '.join(phenotypes.model.names)}; SigClust p = {phenotypes.splits[0].test.p:.3g}")
    free = fit_delta_phenotypes(changes, plan.parameters)
    print(
        f"number chosen by consensus and SigClust: {len(free.model.names)}, adjusted Rand "
        f"{adjusted_rand(free.labels, truth):.3f}"
    )
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
