"""Expression matrices and gene sets: reading, and single-sample scores by gseapy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from IITHModuleLib.cell_values import read_numbers
from IITHModuleLib.table_file import decode, read_bounded, read_text_table, unpacked
from SubregionHabitatLib.errors import InputError

from ..clinical.standard_variables import plain

METHODS = ("ssgsea", "gsva")
_GENE_COLUMNS = ("hugosymbol", "gene", "genesymbol", "symbol", "genename", "geneid", "name", "metabolite", "compound")
_NOT_SAMPLES = ("entrezgeneid", "description", "cytoband", "entrez", "geneid")
MAX_GMT_BYTES = 100_000_000


@dataclass(frozen=True)
class Expression:
    """values (genes, samples); genes and samples name them; notes: genes left out or merged."""

    values: np.ndarray
    genes: tuple[str, ...]
    samples: tuple[str, ...]
    source: str
    sha256: str
    notes: tuple[str, ...] = ()

    def frame(self):
        """The same as a DataFrame, genes in rows."""
        import pandas as pd

        return pd.DataFrame(self.values, index=list(self.genes), columns=list(self.samples))

    def input(self) -> dict[str, str]:
        """What was read, as results note it."""
        n_genes, n_samples = self.values.shape
        noted = f"{n_genes:,} rows in {n_samples:,} sample{'' if n_samples == 1 else 's'}"
        return {"role": "expression", "name": self.source, "sha256": self.sha256, "read_as": noted}


def read_expression(path: Path, min_samples: int = 2) -> Expression:
    """Read a matrix with one row per gene and one column per sample, at least ``min_samples`` of them (CSV or TSV, also
    gzip; cBioPortal's Entrez column is skipped).

    Genes with a missing value are left out; of a gene on several rows the one with the highest mean stays. Raises
    InputError for another table.
    """
    table = read_text_table(Path(path))
    columns = list(table.columns)
    gene_column = next((c for c in columns if plain(c) in _GENE_COLUMNS), columns[0])
    samples = [c for c in columns if c != gene_column and plain(c) not in _NOT_SAMPLES]
    if len(samples) < min_samples:
        raise InputError(
            f"{table.name} has {len(samples)} columns of samples; give genes in rows and samples in columns."
        )
    values = np.column_stack([read_numbers(table.columns[s], table.lines, s, table.name) for s in samples])
    genes = np.array(table.columns[gene_column])
    complete = np.isfinite(values).all(axis=1) & (genes != "")
    notes = []
    if not complete.all():
        notes.append(
            f"{int((~complete).sum()):,} rows of {table.name} have no gene or a missing value and were left out"
        )
    values, genes = values[complete], genes[complete]
    order = np.argsort(-values.mean(axis=1), kind="stable")
    _, first = np.unique(genes[order], return_index=True)
    kept = np.sort(order[first])
    if kept.size < genes.size:
        notes.append(
            f"{genes.size - kept.size:,} rows of {table.name} repeat a gene; the row with the highest mean stays"
        )
    if not kept.size:
        raise InputError(f"{table.name} has no gene with a value in every sample; check the table.")
    return Expression(values[kept], tuple(genes[kept]), tuple(samples), table.name, table.sha256, tuple(notes))


def read_gene_sets(path: Path) -> dict[str, list[str]]:
    """Gene sets of a GMT file: name, description, genes, separated by tabs. Raises InputError naming the line."""
    path = Path(path)
    text, _ = decode(unpacked(path, read_bounded(path, MAX_GMT_BYTES)), path.name)
    sets: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not any(cells):
            continue
        if len(cells) < 3 or not cells[0]:
            raise InputError(
                f"Line {number} of {path.name} is no gene set (name, description, genes with tabs); correct it."
            )
        if cells[0] in sets:
            raise InputError(f"Line {number} of {path.name} names the gene set '{cells[0][:60]}' again; rename one.")
        sets[cells[0]] = list(dict.fromkeys(g for g in cells[2:] if g))
    if not sets:
        raise InputError(f"{path.name} holds no gene set; give a GMT file.")
    return sets


def usable_sets(
    expression: Expression, sets: dict[str, list[str]], min_size: int
) -> tuple[dict[str, list[str]], list[str]]:
    """The sets with at least ``min_size`` measured genes, and a note where others are left out. Raises InputError when
    none is left."""
    measured = set(expression.genes)
    usable = {name: genes for name, genes in sets.items() if len(measured & set(genes)) >= min_size}
    notes = []
    if len(usable) < len(sets):
        notes.append(f"{len(sets) - len(usable)} gene sets have fewer than {min_size} measured genes and were left out")
    if not usable:
        raise InputError(
            f"No gene set has {min_size} genes in {expression.source}; check that both use gene symbols, or lower "
            "--min-genes."
        )
    return usable, notes


def gene_set_scores(
    expression: Expression,
    sets: dict[str, list[str]],
    method: str = "ssgsea",
    min_size: int = 15,
    scaled: bool = True,
):
    """Scores of each set in each sample by gseapy: (scores (sets, samples), names, notes).

    ssgsea: rank-normalized samples, weight 0.25 (Barbie 2009), ``scaled`` by the range of all scores, which needs
    several of them; gsva: Gaussian kernel (Haenzelmann 2013), which needs several samples. Sets with fewer than
    ``min_size`` measured genes are left out. Raises InputError when none is left.
    """
    if method not in METHODS:
        raise InputError(f"'{method}' is no scoring of gene sets; use one of {', '.join(METHODS)}.")
    usable, notes = usable_sets(expression, sets, min_size)
    gseapy = require_gseapy()
    largest = max(len(g) for g in usable.values()) + 1
    common = {"min_size": min_size, "max_size": largest, "threads": 1, "outdir": None, "verbose": False}
    if method == "ssgsea":
        result = gseapy.ssgsea(
            expression.frame(), usable, sample_norm_method="rank", weight=0.25, no_plot=True, **common
        )
        column = "NES" if scaled else "ES"
    else:
        result = gseapy.gsva(expression.frame(), usable, kcdf="Gaussian", **common)
        column = "ES"
    long = result.res2d
    wide = long.assign(score=long[column].astype(float)).pivot(index="Term", columns="Name", values="score")
    names = [name for name in usable if name in wide.index]
    return wide.loc[names, list(expression.samples)].to_numpy(float), names, notes


def require_gseapy():
    """The package gseapy; InputError saying how to get it."""
    try:
        import gseapy
    except ImportError:
        raise InputError("Gene set scores need the package gseapy; run `pip install iith[genomics]`.") from None
    return gseapy
