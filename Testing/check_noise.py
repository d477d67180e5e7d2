"""What every training protocol finds in pure noise: cross-validated leak-free, and in the paper's own order.

    python Testing/check_noise.py [PROTOCOL ..] [--seeds 8] [--patients 223] [--features 1500] [--repeats 1]

Features are independent normal numbers and outcomes are drawn at random, so an honest AUC or C-index is 0.5 up to
chance (one cohort of 223 patients: SD about 0.04). Every protocol must lie within 0.5 +- 0.06 in the mean over the
seeds; the exit code is 1 where one does not. The paper's order, which selects (and oversamples) on all patients before
it cross-validates, shows how much of its performance is made of nothing. All protocols take 10 to 20 minutes on one
core; the quick form of this check is in Testing/test_training_selection.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / module) for module in ("SubregionHabitat", "IITHModule", "RadiogenomicReport")]
sys.path.append(str(ROOT / "Testing"))

from IITHModuleLib.heterogeneity.delta_features import delta_features  # noqa: E402
from IITHModuleLib.heterogeneity.delta_phenotype import PhenotypeParameters, fit_delta_phenotypes  # noqa: E402
from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey, FeatureMatrix  # noqa: E402
from IITHModuleLib.heterogeneity.heterogeneity_index import fit_heterogeneity_index, heterogeneity_index  # noqa: E402
from IITHModuleLib.heterogeneity.iith_signature import load_signature  # noqa: E402
from IITHModuleLib.statistics.auc import auc_delong  # noqa: E402
from IITHModuleLib.training.cohort import Cohort  # noqa: E402
from IITHModuleLib.training.nested import cross_validate, discrimination, paper_order  # noqa: E402
from IITHModuleLib.training.recipe import load_recipe  # noqa: E402
from SubregionHabitatLib.errors import InputError  # noqa: E402

SELECTING = ("zhou-model1", "zhou-model2", "zhou-model3", "zhou-prm", "zhou-gprm", "wang-radscore", "logistic", "cox")
PROTOCOLS = (*SELECTING, "su-iith", "chitalia-delta")
LIMIT = 0.06
N_FREE = 10  # inputs of the protocols without selection


def noise_cohort(rng: np.random.Generator, n: int, p: int, survival: bool, n_blocks: int, n_clinical: int) -> Cohort:
    """Noise; 40 % of the patients have the event. The protocols with two blocks get half of the features in each."""
    event = rng.permutation((np.arange(n) < 0.4 * n).astype(float))
    return Cohort(
        keys=tuple(FeatureKey("lesion", "phase1", f"original_firstorder_F{i}") for i in range(p)),
        values=rng.normal(size=(n, p)),
        clinical_names=tuple(f"table:c{i}" for i in range(n_clinical)),
        clinical=rng.integers(0, 2, size=(n, n_clinical)).astype(float),
        event=event,
        time_days=rng.exponential(1000, n) if survival else None,
        group=np.arange(n),
        blocks=np.arange(p) * n_blocks // max(p, 1),
    )


def with_selection(name: str, seed: int, options) -> tuple[float, float | None]:
    """Leak-free AUC or C, and that of the paper's order (None where the protocol has none)."""
    recipe = load_recipe(name)
    rng = np.random.default_rng([seed, PROTOCOLS.index(name)])
    p = options.features if recipe.steps.lasso_folds else N_FREE
    cohort = noise_cohort(rng, options.patients, p, recipe.kind == "cox", len(recipe.blocks), len(recipe.clinical))
    scores = cross_validate(cohort, recipe.steps, recipe.folds, options.repeats, seed)
    honest = float(np.mean([discrimination(cohort, s) for s in scores]))
    if not recipe.paper_order:
        return honest, None
    try:
        _, played, patients = paper_order(cohort, recipe.steps, 10, seed)
    except InputError:  # now and then even the paper's order selects nothing
        return honest, 0.5
    return honest, discrimination(patients, played[0])


def heterogeneity(seed: int, options) -> tuple[float, None]:
    """The index is made without outcomes; its direction is taken from the training fold."""
    rng = np.random.default_rng([seed, 100])
    signature = load_signature()
    names = [f.feature for f in signature.features]
    keys = [FeatureKey("lesion", f"phase{k // len(names)}", f"original_{names[k % len(names)]}")
            for k in range(options.features)]  # fmt: skip
    n = options.patients
    values, event = rng.normal(size=(n, len(keys))), rng.permutation((np.arange(n) < 0.4 * n).astype(float))
    matrix = FeatureMatrix(tuple(f"p{i}" for i in range(n)), tuple(keys), values)
    score, fold = np.empty(n), rng.permutation(np.arange(n) % 5)
    for k in range(5):
        train, test = matrix.rows(fold != k), matrix.rows(fold == k)
        try:
            index = fit_heterogeneity_index(train).index
            keys_used, signs, means, sds = index.keys, index.signs, index.means, index.sds
        except InputError:  # in noise the network may part too few patients to make a cut; the sum of z-scores remains
            keys_used, signs = matrix.keys, signature.signs_of(matrix.keys)
            means, sds = train.values.mean(axis=0), train.values.std(axis=0, ddof=1)
        inside, outside = (
            heterogeneity_index(m.aligned(m.patients, keys_used).values, signs, means, sds) for m in (train, test)
        )
        direction = 1 if auc_delong(event[fold != k], inside).value >= 0.5 else -1
        score[fold == k] = direction * (outside - inside.mean()) / inside.std()
    return auc_delong(event, score).value, None


def phenotypes(seed: int, options) -> tuple[float, None]:
    """Phenotypes of change are made without outcomes; the group itself is the score, its direction is free."""
    rng = np.random.default_rng([seed, 101])
    signature = load_signature("delta-chitalia2023")
    names = list(signature.signs())
    keys = [FeatureKey("lesion", f"map{k // len(names)}", f"original_{names[k % len(names)]}")
            for k in range(min(options.features, 400))]  # fmt: skip
    n = options.patients
    people = tuple(f"p{i}" for i in range(n))
    first, second = (FeatureMatrix(people, tuple(keys), np.exp(0.3 * rng.normal(size=(n, len(keys))))) for _ in "12")
    event = rng.permutation((np.arange(n) < 0.4 * n).astype(float))
    quick = PhenotypeParameters(n_resamples=100, n_simulations=50, n_feature_groups=4)
    found = fit_delta_phenotypes(delta_features(first, second, signature.signs_of(tuple(keys))), quick)
    half = rng.permutation(n) < n // 2  # the direction is learned in one half of the patients, measured in the other
    group = found.labels.astype(float) + 1e-9 * rng.normal(size=n)
    direction = 1 if auc_delong(event[half], group[half]).value >= 0.5 else -1
    return auc_delong(event[~half], direction * group[~half]).value, None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("protocols", nargs="*", default=PROTOCOLS, help=f"default: {' '.join(PROTOCOLS)}")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--patients", type=int, default=223)
    parser.add_argument("--features", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    bad = 0
    for name in options.protocols:
        began, honest, optimistic = time.monotonic(), [], []
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            if name == "su-iith":
                one, other = heterogeneity(seed, options)
            elif name == "chitalia-delta":
                one, other = phenotypes(seed, options)
            else:
                one, other = with_selection(name, seed, options)
            honest.append(one)
            if other is not None:
                optimistic.append(other)
        inside = abs(np.mean(honest) - 0.5) <= LIMIT
        bad += not inside
        text = f"{name:<15} leak-free {np.mean(honest):.3f} ({min(honest):.3f} to {max(honest):.3f})"
        if optimistic:
            text += f"   paper's order {np.mean(optimistic):.3f} ({min(optimistic):.3f} to {max(optimistic):.3f})"
        print(f"{text}   {'ok' if inside else 'NOT within 0.5 +- 0.06'}   {time.monotonic() - began:.0f} s", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
