"""The genomic values of one patient, beside the imaging of a case: from files, or from a row of ``iith genomics``.

The same functions as for a cohort give the same numbers. What tells who the patient is (the sample's name, and names of
files of one sample, which are often called after the patient) is kept apart from what is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..cohort.provenance import software_versions
from .centroid_scores import read_centroids
from .copy_number import copy_number_burden
from .expression import Expression, gene_set_scores, read_expression, usable_sets
from .feature_terms import UNSCALED, gene_feature, genomic_unit
from .genomics_folder import GenomicsResult
from .genomics_run import GenomicsPlan, expression_scores, gene_sets_of, read_mutations, sample_list
from .genomics_table import read_genomics_table, table_values
from .mutations import Mutations
from .sample_choice import SampleChoice
from .sample_features import Value, mutation_features, vaf_sums

# What a case holds at most: more says nothing to a reader of one report.
MAX_VARIANTS = 50
MAX_NAMED_ROWS = 20
MAX_VALUES = 20_000
MAX_TEXT = 200
_SETTINGS = ("territory_mb", "genes", "log2_threshold", "ploidy", "set_score", "min_genes", "barcode_length")


@dataclass(frozen=True)
class CaseGenomicsPlan:
    """What is read of one patient: ``files`` (mutations, segments, expression), or ``table``, a genomics.csv.

    sample: the names of the patient's sample; several where the files call it differently. Empty where every file
    holds one sample alone.
    """

    files: GenomicsPlan | None = None
    table: Path | None = None
    sample: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.files is None) == (self.table is None):
            raise InputError("Give genomic files (--maf, --expression ...) or a table of `iith genomics`, not both.")
        if self.files is not None and self.files.maf and self.files.vcf:
            raise InputError(
                "Mutations were given as MAF and as VCF, where each would count twice; give one patient's as one kind."
            )
        if self.files is not None and (self.files.groups is not None or self.files.top_genes):
            raise InputError("Groups and most mutated genes belong to a cohort; run `iith genomics` for them.")


@dataclass(frozen=True)
class Variant:
    """A non-synonymous variant: gene, MAF class, and VAF in 0..1, None where it is not known."""

    gene: str
    variant_class: str
    vaf: float | None


@dataclass(frozen=True)
class CaseGenomics:
    """The genomic values of one patient.

    values: (name, Value or text) in order; variants: at most MAX_VARIANTS by falling VAF, of ``genes`` where these were
    chosen; n_variants: how many there are of them; inputs, notes, malformed: as shown, without identity; identity: the
    names that say who it is, for those who ask; vaf_sums: sum of the VAFs of each gene that is known to be mutated or
    was asked for.
    """

    values: tuple[tuple[str, Value | str], ...]
    variants: tuple[Variant, ...] | None = None
    n_variants: int = 0
    genes: tuple[str, ...] = ()
    inputs: tuple[dict, ...] = ()
    notes: tuple[str, ...] = ()
    malformed: tuple[dict, ...] = ()
    parameters: dict = field(default_factory=dict)
    identity: dict = field(default_factory=dict)
    vaf_sums: dict[str, Value] = field(default_factory=dict)

    def vaf_sum(self, gene: str) -> Value | None:
        """Sum of the VAFs of a gene's non-synonymous variants, 0 without one; None where no mutations were read."""
        if gene in self.vaf_sums:
            return self.vaf_sums[gene]
        return None if self.variants is None else Value(0.0)

    def to_json(self) -> dict:
        """The part "genomics" of a case; it holds no name of a sample."""
        return {
            "values": [_value_json(name, value) for name, value in self.values],
            "variants": None
            if self.variants is None
            else {
                "n": self.n_variants,
                "genes": list(self.genes),
                "shown": [{"gene": v.gene, "class": v.variant_class, "vaf": v.vaf} for v in self.variants],
            },
            "inputs": list(self.inputs),
            "notes": list(self.notes),
            "n_malformed_rows": len(self.malformed),
            "malformed_rows": list(self.malformed[:MAX_NAMED_ROWS]),
            "parameters": self.parameters,
            "software": software_versions("gseapy", "vcfpy"),
        }


def _value_json(name: str, value: Value | str) -> dict:
    if isinstance(value, str):
        return {"name": name[:MAX_TEXT], "value": value[:MAX_TEXT], "unit": "", "reason": None}
    return {"name": name[:MAX_TEXT], "value": value.value, "unit": genomic_unit(name), "reason": value.reason}


def case_genomics(plan: CaseGenomicsPlan) -> CaseGenomics:
    """Read what a plan names and keep one patient's values.

    Raises InputError for a file that cannot be read, that holds no or more than one sample of the patient, or when the
    files may be of different patients.
    """
    return _of_files(plan.files, plan.sample) if plan.table is None else _of_table(plan.table, plan.sample)


def _of_table(path: Path, names: Sequence[str]) -> CaseGenomics:
    table, patients = read_genomics_table(path)
    choice = SampleChoice(names, lambda name: name)
    row = patients.index(choice.one(patients, table.name))
    choice.check()
    result = GenomicsResult(notes=list(table.notes))
    result.inputs.append({"role": "table", "name": table.name, "sha256": table.sha256, "read_as": "a patient's row"})
    return _case(table_values(path, table, row), result, choice, {})


def _of_files(plan: GenomicsPlan, names: Sequence[str]) -> CaseGenomics:
    choice, result, values = SampleChoice(names, plan.patient), GenomicsResult(), {}
    mine = None
    if plan.maf or plan.vcf:
        mine = _own_mutations(plan, choice, result)
        values |= mutation_features(mine, plan.territory_mb, plan.genes)[mine.samples[0]]
    if plan.segments is not None:
        burden = copy_number_burden(plan.segments, plan.log2_threshold, plan.ploidy)
        result.inputs.append(burden.input(plan.segments.name))
        values |= burden.features[choice.one(tuple(burden.features), plan.segments.name)]
    if plan.expression is not None:
        expression = read_expression(plan.expression, min_samples=1)
        result.inputs.append(expression.input())
        result.notes += expression.notes
        sample = choice.one(expression.samples, expression.source)
        values |= _expression_values(plan, expression, sample, result)
    choice.check()
    settings = {name: value for name, value in plan.parameters().items() if name in _SETTINGS}
    return _case(values, result, choice, settings, mine, plan.genes)


def _case(values, result, choice, settings, mutations: Mutations | None = None, genes=()) -> CaseGenomics:
    """What was read as it is shown: without what tells who the patient is."""
    if len(values) > MAX_VALUES:
        raise InputError(f"The genomic input gives {len(values):,} values; give fewer gene sets or columns.")
    files = [entry["name"] for entry in result.inputs]
    kind = {entry["name"]: entry["role"] for entry in result.inputs}
    variants, n_variants = (None, 0) if mutations is None else _variants(mutations, genes)
    shown = {name: _shown_value(value, choice, files) for name, value in values.items()}
    return CaseGenomics(
        values=tuple(shown.items()),
        variants=variants,
        n_variants=n_variants,
        genes=tuple(genes) if mutations is not None else (),
        inputs=tuple({**entry, "name": choice.shown(entry["name"])} for entry in result.inputs),
        notes=tuple(dict.fromkeys(choice.text(note, files) for note in result.notes)),
        malformed=tuple(
            {"file": kind[row["file"]], "line": row["line"], "reason": choice.text(row["reason"], files)}
            for row in result.malformed
        ),
        parameters=settings,
        identity=choice.identity(files),
        vaf_sums=_sums_of_table(shown) if mutations is None else vaf_sums(mutations),
    )


def _sums_of_table(values: Mapping[str, Value | str]) -> dict[str, Value]:
    named = ((gene_feature(name), value) for name, value in values.items())
    return {found[0]: value for found, value in named if found and found[1] == "vaf_sum" and isinstance(value, Value)}


def _shown_value(value: Value | str, choice: SampleChoice, files: Sequence[str]) -> Value | str:
    if isinstance(value, str) or value.reason is None:
        return value
    return Value(value.value, choice.text(value.reason, files))


def _own_mutations(plan: GenomicsPlan, choice: SampleChoice, result: GenomicsResult) -> Mutations:
    mutations = read_mutations(plan, result)
    sequenced = sample_list(plan.samples) if plan.samples is not None else ()
    known = tuple(dict.fromkeys([*mutations.samples, *sequenced]))
    absent = "" if plan.vcf else "one without any mutation must be listed by --samples, any other name is wrong"
    files = [p.name for p in (*plan.maf, *plan.vcf)]
    return mutations.of(choice.one(known, mutations.source, files, absent))


def _variants(mutations: Mutations, genes: Sequence[str]) -> tuple[tuple[Variant, ...], int]:
    """The non-synonymous variants (of ``genes``, where these are chosen) by falling VAF, unknown ones last; and their
    number, of which at most MAX_VARIANTS are returned."""
    kept = mutations.non_synonymous
    if genes:
        kept &= np.isin(mutations.gene.astype(str), list(genes))
    rows = zip(mutations.gene[kept], mutations.variant_class[kept], mutations.vaf[kept].astype(float), strict=True)
    found = [Variant(str(g)[:MAX_TEXT], str(c), float(v) if np.isfinite(v) else None) for g, c, v in rows]
    found.sort(key=lambda v: (v.vaf is None, -(v.vaf or 0.0), v.gene, v.variant_class))
    return tuple(found[:MAX_VARIANTS]), len(found)


def _expression_values(plan: GenomicsPlan, expression: Expression, sample: str, result: GenomicsResult) -> dict:
    """Scores of a sample: in a matrix of several as for the cohort, else those that need no other sample."""
    if np.ptp(expression.values[:, expression.samples.index(sample)]) == 0:
        raise InputError(f"All genes of the sample in {expression.source} have one value; check the file.")
    n = len(expression.samples)
    if n == 1:
        return _scores_of_one(plan, expression, result)
    values = expression_scores(plan, expression, result)[sample]
    if plan.gmt and plan.set_score == "ssgsea":
        result.notes.append(f"ssGSEA ranks within the sample; scaled by the range of all scores of {n:,} samples.")
    elif plan.gmt:
        result.notes.append(f"GSVA compares each gene with the {n:,} samples of the file.")
    if plan.centroids:
        result.notes.append(f"Centroid scores: genes are median-centered over the {n:,} samples of the file.")
    return values


def _scores_of_one(plan: GenomicsPlan, expression: Expression, result: GenomicsResult) -> dict:
    values: dict[str, Value] = {}
    for path in plan.gmt:
        sets = gene_sets_of(path, result)
        if plan.set_score == "gsva":
            usable, notes = usable_sets(expression, sets, plan.min_genes)
            values |= {
                f"gsva_{name}": Value(None, "GSVA needs the samples of a cohort beside this one") for name in usable
            }
        else:
            scores, names, notes = gene_set_scores(expression, sets, "ssgsea", plan.min_genes, scaled=False)
            values |= {f"{UNSCALED}{name}": Value(float(v)) for name, v in zip(names, scores[:, 0], strict=True)}
        result.notes += notes
    if plan.gmt and plan.set_score == "ssgsea":
        result.notes.append(
            "ssGSEA of one sample: ranks within it, not scaled, as the scale is the range over a cohort; it does not "
            "compare with the scaled scores of `iith genomics`."
        )
    for kind, path in plan.centroids:
        centroids = read_centroids(path)
        result.inputs.append(centroids.input(kind))
        reason = "its genes are centered over a cohort, and the file holds one sample"
        values[f"{kind.replace('-', '_')}_score"] = Value(None, reason)
    return values
