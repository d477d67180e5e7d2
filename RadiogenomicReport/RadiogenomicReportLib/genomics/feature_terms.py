"""Plain words and units for the genomic features of a patient."""

from __future__ import annotations

_TERMS = {
    "nonsynonymous_mutations": ("Non-synonymous mutations", "mutations"),
    "tmb_per_mb": ("Tumor mutational burden", "mutations/Mb"),
    "math": ("Mutant-allele tumor heterogeneity (MATH)", "1"),
    "cnb": ("Copy-number burden, share of the measured autosomes", "1"),
    "cnb_gain": ("Gained share of the measured autosomes", "1"),
    "cnb_loss": ("Lost share of the measured autosomes", "1"),
}
_GENE_UNITS = {"_mutated": "0/1", "_mutations": "variants", "_vaf_sum": "1"}
UNSCALED = "ssgsea_unscaled_"
_SETS = {UNSCALED: "ssGSEA, not scaled", "ssgsea_": "ssGSEA, scaled", "gsva_": "GSVA"}
_CENTROIDS = {
    "subtype_": "Centroid of subtype",
    "ror_": "ROR-S-like",
    "70_gene_": "70-gene-like",
    "p53_": "p53-like",
}


def gene_feature(name: str) -> tuple[str, str] | None:
    """(gene, which of mutated, mutations, vaf_sum) of a gene's feature; None for any other name."""
    for ending in _GENE_UNITS:
        if name.endswith(ending) and len(name) > len(ending) and name not in _TERMS:
            return name.removesuffix(ending), ending[1:]
    return None


def genomic_unit(name: str) -> str:
    """The unit of a feature; "1" for shares, scores and ratios."""
    if name in _TERMS:
        return _TERMS[name][1]
    gene = gene_feature(name)
    return "1" if gene is None else _GENE_UNITS[f"_{gene[1]}"]


def genomic_name(name: str) -> str:
    """A feature in plain words, its own name where none are known."""
    if name in _TERMS:
        return _TERMS[name][0]
    for start, words in _SETS.items():
        if name.startswith(start):
            return f"{name.removeprefix(start)} ({words})"
    for start, words in _CENTROIDS.items():
        if name.startswith(start):
            return f"{words}, {name.removeprefix(start).replace('_', ' ')} (research approximation)"
    return name
