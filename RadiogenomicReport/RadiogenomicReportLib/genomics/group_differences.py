"""Between two radiomic groups: differential expression, preranked GSEA, and abundance scores of metabolic pathways.

Raw counts go to PyDESeq2; log-scale values to Welch's t test of scipy. GSEA by gseapy. The differential abundance score
is (metabolites that rise - metabolites that fall) / metabolites measured of a pathway (Hakimi 2016, as in Su 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from IITHModuleLib.statistics.group_tests import adjusted_p
from SubregionHabitatLib.errors import InputError

from .expression import Expression, require_gseapy

MIN_PER_GROUP = 3
MIN_METABOLITES = 3


@dataclass(frozen=True)
class Differential:
    """One entry per gene (G,): log2 fold change of the second group over the first, its standard error (NaN where the
    method gives none), the test statistic, p and adjusted p (NaN where a gene could not be tested)."""

    genes: tuple[str, ...]
    log2_fold_change: np.ndarray
    statistic: np.ndarray
    p: np.ndarray
    adjusted_p: np.ndarray
    groups: tuple[str, str]
    sizes: tuple[int, int]
    method: str


def differential_expression(expression: Expression, labels: dict[str, str], counts: bool) -> Differential:
    """Second against first group (in sorted order of their names) of the samples in ``labels`` (sample -> group).

    counts: the values are raw read counts (whole numbers), for PyDESeq2; otherwise they are on a log2 scale. Raises
    InputError for other than two groups of at least three samples, or counts that are none.
    """
    chosen = [k for k, s in enumerate(expression.samples) if s in labels]
    groups = np.array([labels[expression.samples[k]] for k in chosen])
    names = sorted(set(groups.tolist()))
    if len(names) != 2:
        raise InputError(f"The samples of {expression.source} fall into {len(names)} groups; a comparison needs two.")
    sizes = tuple(int((groups == n).sum()) for n in names)
    if min(sizes) < MIN_PER_GROUP:
        raise InputError(f"The groups have {sizes[0]} and {sizes[1]} samples; each needs at least {MIN_PER_GROUP}.")
    values = expression.values[:, chosen]
    second = groups == names[1]
    if counts:
        fold, statistic, p, q = _deseq(expression, values, groups, names)
        method = "PyDESeq2"
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            result = stats.ttest_ind(values[:, second], values[:, ~second], axis=1, equal_var=False)
        fold = values[:, second].mean(axis=1) - values[:, ~second].mean(axis=1)
        statistic, p = np.asarray(result.statistic), np.asarray(result.pvalue)
        q, method = adjusted_p(p), "Welch t on log2 values"
    return Differential(expression.genes, fold, statistic, p, q, (names[0], names[1]), sizes, method)


def _deseq(expression: Expression, values: np.ndarray, groups: np.ndarray, names: list[str]):
    if (values < 0).any() or not np.equal(np.mod(values, 1), 0).all():
        raise InputError(f"{expression.source} holds no raw counts (whole numbers from 0); leave --counts out.")
    try:
        from pydeseq2.dds import DeseqDataSet
        from pydeseq2.ds import DeseqStats
    except ImportError:
        raise InputError("Counts need the package pydeseq2; run `pip install iith[genomics]`.") from None
    import contextlib
    import io
    import warnings

    import pandas as pd

    samples = [f"s{k}" for k in range(values.shape[1])]
    frame = pd.DataFrame(values.T.astype(int), index=samples, columns=list(expression.genes))
    meta = pd.DataFrame({"condition": np.where(groups == names[1], "second", "first")}, index=samples)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        data = DeseqDataSet(counts=frame, metadata=meta, design="~condition", quiet=True, n_cpus=1)
        data.deseq2()
        result = DeseqStats(data, contrast=["condition", "second", "first"], quiet=True, n_cpus=1)
        result.summary()
    table = result.results_df.loc[list(expression.genes)]
    return tuple(table[c].to_numpy(float) for c in ("log2FoldChange", "stat", "pvalue", "padj"))


def preranked_gsea(
    differential: Differential, sets: dict[str, list[str]], min_size: int = 15, permutations: int = 1000, seed: int = 1
) -> list[dict]:
    """Gene set enrichment of the genes ranked by their test statistic, by gseapy: one entry per set, by q.

    Raises InputError when no set has enough measured genes.
    """
    import pandas as pd

    gseapy = require_gseapy()
    known = np.isfinite(differential.statistic)
    ranking = pd.Series(differential.statistic[known], index=np.array(differential.genes)[known]).sort_values(
        ascending=False, kind="stable"
    )
    usable = {n: g for n, g in sets.items() if len(set(g) & set(ranking.index)) >= min_size}
    if not usable:
        raise InputError(f"No gene set has {min_size} tested genes; check that both use gene symbols.")
    largest = max(len(g) for g in usable.values()) + 1
    result = gseapy.prerank(
        ranking, usable, min_size=min_size, max_size=largest, permutation_num=permutations, seed=seed, threads=1,
        outdir=None, no_plot=True, verbose=False,
    ).res2d  # fmt: skip
    return [
        {
            "set": row["Term"],
            "n_genes": len(set(usable[row["Term"]]) & set(ranking.index)),
            "es": float(row["ES"]),
            "nes": float(row["NES"]),
            "p": float(row["NOM p-val"]),
            "fdr": float(row["FDR q-val"]),
            "leading_genes": str(row["Lead_genes"]).replace(";", " "),
        }
        for _, row in result.iterrows()
    ]


def differential_abundance(
    metabolites: Expression,
    pathways: dict[str, list[str]],
    labels: dict[str, str],
    level: float = 0.05,
    adjust: bool = True,
) -> list[dict]:
    """Differential abundance score of each pathway between two groups: 1 when all its metabolites rise in the second,
    -1 when all fall.

    A metabolite rises or falls when its Wilcoxon rank sum p (adjusted over all metabolites unless ``adjust`` is False)
    is below ``level``. Pathways with fewer than three measured metabolites are left out. Raises InputError as
    differential_expression does.
    """
    chosen = [k for k, s in enumerate(metabolites.samples) if s in labels]
    groups = np.array([labels[metabolites.samples[k]] for k in chosen])
    names = sorted(set(groups.tolist()))
    if len(names) != 2 or min((groups == n).sum() for n in names) < MIN_PER_GROUP:
        raise InputError(
            f"Abundance scores need two groups of at least {MIN_PER_GROUP} samples; there are {len(names)}."
        )
    values = metabolites.values[:, chosen]
    second = values[:, groups == names[1]]
    first = values[:, groups == names[0]]
    p = np.asarray(stats.mannwhitneyu(second, first, axis=1).pvalue)
    p = adjusted_p(p) if adjust else p
    direction = np.sign(np.median(second, axis=1) - np.median(first, axis=1)) * (p < level)
    place = {m: k for k, m in enumerate(metabolites.genes)}
    rows = []
    for name, members in pathways.items():
        mine = [place[m] for m in members if m in place]
        if len(mine) < MIN_METABOLITES:
            continue
        up, down = int((direction[mine] > 0).sum()), int((direction[mine] < 0).sum())
        rows.append(
            {
                "pathway": name,
                "n_metabolites": len(mine),
                "increased": up,
                "decreased": down,
                "score": (up - down) / len(mine),
            }
        )
    return sorted(rows, key=lambda r: (-r["score"], r["pathway"]))
