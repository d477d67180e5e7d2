"""One row of genomic features per sample: mutational burden, MATH, and status, count and VAF sum of chosen genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from .mutations import Mutations

MIN_VAF = 0.075
MIN_MUTATIONS = 5


@dataclass(frozen=True)
class Value:
    """A feature of a sample; None with the reason where it cannot be computed."""

    value: float | None
    reason: str | None = None


def math_score(vaf: np.ndarray, min_vaf: float = MIN_VAF, min_mutations: int = MIN_MUTATIONS) -> Value:
    """Mutant-allele tumor heterogeneity: 100 times 1.4826 times the median absolute deviation of the VAFs over their
    median (Mroz & Rocco, Oral Oncol 2013;49:211; filters as in maftools).

    vaf (N,): fractions of the non-synonymous mutations of one sample.
    """
    vaf = np.asarray(vaf, float)
    used = vaf[np.isfinite(vaf) & (vaf >= min_vaf)]
    if used.size < min_mutations:
        return Value(None, f"{used.size} mutations with a VAF of at least {min_vaf:g}; MATH needs {min_mutations}")
    median = np.median(used)
    return Value(float(100 * 1.4826 * np.median(np.abs(used - median)) / median))


def mutation_features(
    mutations: Mutations, territory_mb: float | None, genes: Sequence[str] = (), samples: Sequence[str] = ()
) -> dict[str, dict[str, Value]]:
    """Features of every sample: sample -> name -> value.

    territory_mb: size of the sequenced coding territory; without it the mutational burden is missing. genes: for each,
    mutated (0/1), number of non-synonymous variants and sum of their VAFs. samples: sequenced samples that must have a
    row even without a mutation; a sample that is in neither list has no row, because it may not have been sequenced.
    """
    if territory_mb is not None and not 0.05 <= territory_mb <= 3300:
        raise InputError(
            f"The territory {territory_mb:g} is not between 0.05 and 3300 megabases; correct --territory-mb."
        )
    names = list(dict.fromkeys([*mutations.samples, *samples]))
    changed = mutations.non_synonymous
    sample, gene, vaf = mutations.sample[changed], mutations.gene[changed], mutations.vaf[changed]
    order = {name: k for k, name in enumerate(names)}
    codes = np.array([order[s] for s in sample], dtype=int)
    rows = [np.flatnonzero(codes == k) for k in range(len(names))] if len(names) < 200 else _grouped(codes, len(names))
    features = {}
    for name, mine in zip(names, rows, strict=True):
        row = {
            "nonsynonymous_mutations": Value(float(mine.size)),
            "tmb_per_mb": Value(mine.size / territory_mb)
            if territory_mb is not None
            else Value(None, "the size of the sequenced territory is not given (--territory-mb)"),
            "math": math_score(vaf[mine]) if mine.size else Value(None, "no non-synonymous mutation"),
        }
        for wanted in genes:
            hits = mine[gene[mine] == wanted]
            row[f"{wanted}_mutated"] = Value(float(hits.size > 0))
            row[f"{wanted}_mutations"] = Value(float(hits.size))
            row[f"{wanted}_vaf_sum"] = vaf_sum(vaf[hits].astype(float))
        features[name] = row
    return features


def vaf_sums(mutations: Mutations) -> dict[str, Value]:
    """Sum of the VAFs of the non-synonymous variants of every mutated gene, for the mutations of one sample."""
    changed = mutations.non_synonymous
    fractions: dict[str, list[float]] = {}
    for gene, vaf in zip(mutations.gene[changed], mutations.vaf[changed].astype(float), strict=True):
        fractions.setdefault(str(gene), []).append(float(vaf))
    return {gene: vaf_sum(np.array(vaf)) for gene, vaf in fractions.items()}


def vaf_sum(vaf: np.ndarray) -> Value:
    """Sum of the VAFs (N,) of one gene; 0 without a variant, missing where one of them is unknown."""
    return Value(float(vaf.sum())) if np.isfinite(vaf).all() else Value(None, "a VAF is unknown")


def _grouped(codes: np.ndarray, n: int) -> list[np.ndarray]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.searchsorted(codes[order], np.arange(1, n)))


def frequent_genes(mutations: Mutations, n: int) -> list[str]:
    """The ``n`` genes mutated (non-synonymously) in most samples, ties by name."""
    changed = mutations.non_synonymous
    pairs = {(s, g) for s, g in zip(mutations.sample[changed], mutations.gene[changed], strict=True)}
    counts: dict[str, int] = {}
    for _, name in pairs:
        counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda g: (-counts[g], g))[:n]
