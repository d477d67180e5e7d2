"""Subtype and signature scores from centroids that the user supplies: research approximations of proprietary tests.

No gene table is shipped. The formulas are public (Parker 2009 and genefu for ROR-S, van 't Veer 2002 for the 70 genes,
Troester 2006 for p53); the clinical tests are not, and these scores must not be taken for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from IITHModuleLib.cell_values import read_numbers
from IITHModuleLib.table_file import read_text_table
from SubregionHabitatLib.errors import InputError

from ..clinical.standard_variables import plain
from .expression import Expression
from .sample_features import Value

LABEL = "research approximation"
KINDS = ("subtype", "ror", "70-gene", "p53")
# ROR-S: weights of the Spearman correlations to the PAM50 centroids (Parker et al., J Clin Oncol 2009;27:1160).
_ROR = {"basal": 0.05, "her2": 0.12, "luma": -0.34, "lumb": 0.23}
_ALIASES = {"luminala": "luma", "luminalb": "lumb", "basallike": "basal", "her2enriched": "her2"}
MIN_SHARE = 0.5


@dataclass(frozen=True)
class Centroids:
    """values (genes, classes)."""

    values: np.ndarray
    genes: tuple[str, ...]
    classes: tuple[str, ...]
    name: str
    sha256: str

    def input(self, kind: str) -> dict[str, str]:
        """What was read, as results note it."""
        return {"role": "centroids", "name": self.name, "sha256": self.sha256, "read_as": f"{kind} centroids, {LABEL}"}


def read_centroids(path: Path) -> Centroids:
    """A table with a gene column first and one column of numbers per class. Raises InputError for another table."""
    table = read_text_table(Path(path))
    gene_column, *classes = list(table.columns)
    if not classes:
        raise InputError(f"{table.name} has no column of centroid values beside its genes; add one per class.")
    values = np.column_stack([read_numbers(table.columns[c], table.lines, c, table.name) for c in classes])
    genes = table.columns[gene_column]
    if not np.isfinite(values).all() or len(set(genes)) < len(genes):
        raise InputError(f"{table.name} has an empty value or a gene twice; centroids must be complete.")
    return Centroids(values, tuple(genes), tuple(classes), table.name, table.sha256)


def centroid_scores(expression: Expression, centroids: Centroids, kind: str) -> dict[str, dict[str, Value | str]]:
    """Scores of each sample: sample -> name -> value. Genes are median-centered over the samples first.

    subtype: Spearman correlation to every class, and the nearest class. ror: the same with ROR-S = 0.05 Basal + 0.12
    HER2 - 0.34 LumA + 0.23 LumB. 70-gene: cosine to the good-prognosis template (one class) and minus the Spearman
    correlation to it, as genefu has it. p53: correlation to the mutant-like class minus that to the wild-type-like one.
    Raises InputError when fewer than half of the centroids' genes are measured or classes are missing.
    """
    if kind not in KINDS:
        raise InputError(f"'{kind}' is no centroid score; use one of {', '.join(KINDS)}.")
    place = {g: k for k, g in enumerate(expression.genes)}
    common = [k for k, g in enumerate(centroids.genes) if g in place]
    if len(common) < max(5, MIN_SHARE * len(centroids.genes)):
        raise InputError(
            f"{len(common)} of the {len(centroids.genes)} genes of {centroids.name} are in {expression.source}; at "
            "least "
            "half must be. Check that both use the same gene symbols."
        )
    rows = [place[centroids.genes[k]] for k in common]
    centered = expression.values[rows] - np.median(expression.values[rows], axis=1, keepdims=True)
    template = centroids.values[common]
    correlation = _spearman(centered, template)
    prefix = kind.replace("-", "_")
    result: dict[str, dict[str, Value | str]] = {}
    weights = _weights(centroids, kind)
    for j, sample in enumerate(expression.samples):
        row: dict[str, Value | str] = {}
        if kind in ("subtype", "ror"):
            row |= {f"{prefix}_{c}": Value(float(v)) for c, v in zip(centroids.classes, correlation[:, j], strict=True)}
            row[f"{prefix}_nearest"] = centroids.classes[int(np.argmax(correlation[:, j]))]
        if weights is not None:
            row[f"{prefix}_score"] = Value(float(weights @ correlation[:, j]))
        if kind == "70-gene":
            norm = np.linalg.norm(template[:, 0]) * np.linalg.norm(centered[:, j])
            cosine = Value(float(template[:, 0] @ centered[:, j] / norm)) if norm else Value(None, "no variation")
            row |= {"70_gene_cosine": cosine, "70_gene_score": Value(-float(correlation[0, j]))}
        result[sample] = row
    return result


def _weights(centroids: Centroids, kind: str) -> np.ndarray | None:
    keys = [_ALIASES.get(plain(c), plain(c)) for c in centroids.classes]
    if kind == "ror":
        absent = sorted(set(_ROR) - set(keys))
        if absent:
            raise InputError(
                f"{centroids.name} has no class {', '.join(absent)}; ROR-S needs Basal, Her2, LumA and LumB."
            )
        return np.array([_ROR.get(k, 0.0) for k in keys])
    if kind == "p53":
        mutant = [k.startswith("mut") for k in keys]
        wild = [k.startswith(("wild", "wt")) for k in keys]
        if sum(mutant) != 1 or sum(wild) != 1:
            raise InputError(f"{centroids.name} needs one class named mutant and one named wildtype for the p53 score.")
        return np.array(mutant, float) - np.array(wild, float)
    return None


def _spearman(samples: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Correlations (classes, samples) of the columns' ranks; NaN-free, 0 for a constant column."""
    a, b = (rankdata(v, axis=0) for v in (template, samples))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = np.outer(np.sqrt((a * a).sum(axis=0)), np.sqrt((b * b).sum(axis=0)))
    return np.divide(a.T @ b, norm, out=np.zeros_like(norm), where=norm > 0)
