"""What ``iith genomics`` does with its files, as one function from a plan to a result."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields
from pathlib import Path

from IITHModuleLib.table_file import decode, read_bounded
from IITHModuleLib.training.table import file_digest
from SubregionHabitatLib.errors import InputError

from ..clinical.patient_table import read_patient_table
from ..cohort.figures_association import volcano
from ..figures_style import report_style
from .centroid_scores import LABEL, centroid_scores, read_centroids
from .copy_number import copy_number_burden
from .expression import Expression, gene_set_scores, read_expression, read_gene_sets
from .genomics_folder import GenomicsResult
from .group_differences import Differential, differential_abundance, differential_expression, preranked_gsea
from .maf_file import read_maf
from .mutations import Mutations, joined
from .sample_features import Value, frequent_genes, mutation_features
from .vcf_file import read_vcf


@dataclass(frozen=True)
class GenomicsPlan:
    """Files and settings; every file is optional, but one must be given."""

    maf: tuple[Path, ...] = ()
    vcf: tuple[Path, ...] = ()
    tumor_samples: tuple[str, ...] = ()
    territory_mb: float | None = None
    genes: tuple[str, ...] = ()
    top_genes: int = 0
    samples: Path | None = None
    segments: Path | None = None
    log2_threshold: float = 0.2
    ploidy: float = 2.0
    expression: Path | None = None
    gmt: tuple[Path, ...] = ()
    set_score: str = "ssgsea"
    min_genes: int = 15
    centroids: tuple[tuple[str, Path], ...] = ()
    groups: Path | None = None
    group: str | None = None
    counts: bool = False
    metabolites: Path | None = None
    pathways: Path | None = None
    barcode_length: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        if not (self.maf or self.vcf or self.segments or self.expression or self.metabolites):
            raise InputError(
                "No genomic file is given; name at least one with --maf, --vcf, --segments or --expression."
            )
        if (self.gmt or self.centroids) and self.expression is None:
            raise InputError("--gmt and --centroids score an expression matrix; name it with --expression.")
        if self.expression is not None and not (self.gmt or self.centroids or self.groups):
            raise InputError(
                "Nothing is asked of the expression matrix; score it with --gmt or --centroids, or compare two groups "
                "with --groups."
            )
        if (self.groups is None) != (self.group is None):
            raise InputError("Name the groups with both --groups TABLE and --group NAME.")
        if (self.metabolites is None) != (self.pathways is None) or (self.metabolites and self.groups is None):
            raise InputError("Abundance scores need --metabolites, --pathways, --groups and --group together.")
        if self.barcode_length is not None and not 1 <= self.barcode_length <= 60:
            raise InputError("--barcode-length is a number of characters from 1 to 60.")
        if self.min_genes < 1 or self.top_genes < 0 or self.log2_threshold <= 0:
            raise InputError("--min-genes and --log2-threshold are above 0 and --top-genes is not negative.")

    def parameters(self) -> dict:
        """All settings with file names without their folders."""
        result = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Path):
                value = value.name
            elif isinstance(value, tuple):
                value = [
                    v.name if isinstance(v, Path) else [v[0], v[1].name] if isinstance(v, tuple) else v for v in value
                ]
            result[f.name] = value
        return result

    def patient(self, sample: str) -> str:
        """The patient that a sample belongs to."""
        return sample if self.barcode_length is None else sample[: self.barcode_length]


def run_genomics(plan: GenomicsPlan) -> GenomicsResult:
    """Carry out a plan. Raises InputError where a file does not fit or two samples are of one patient."""
    result = GenomicsResult()
    if plan.maf or plan.vcf:
        _add_mutations(plan, result)
    if plan.segments is not None:
        burden = copy_number_burden(plan.segments, plan.log2_threshold, plan.ploidy)
        result.inputs.append(burden.input(plan.segments.name))
        result.add(_by_patient(plan, burden.features, plan.segments.name))
    expression = None
    if plan.expression is not None:
        expression = read_expression(plan.expression)
        result.inputs.append(expression.input())
        result.notes += expression.notes
        if plan.gmt or plan.centroids:
            result.add(_by_patient(plan, expression_scores(plan, expression, result), expression.source))
    if plan.groups is not None:
        _add_differences(plan, expression, result)
    named = [(path, "gene sets") for path in plan.gmt] + [(plan.pathways, "pathways"), (plan.groups, "groups")]
    named.append((plan.samples, "list of samples"))
    result.inputs += [{"name": p.name, "sha256": file_digest(p), "read_as": what} for p, what in named if p is not None]
    return result


def _by_patient(plan: GenomicsPlan, features: dict, source: str) -> dict:
    found: dict[str, str] = {}
    for sample in features:
        patient = plan.patient(sample)
        if found.setdefault(patient, sample) != sample:
            raise InputError(
                f"{source} has two samples of the patient '{patient[:40]}' ({found[patient][:40]} and {sample[:40]}); "
                "keep "
                "one sample per patient."
            )
    return {plan.patient(sample): row for sample, row in features.items()}


def _add_mutations(plan: GenomicsPlan, result: GenomicsResult) -> None:
    mutations = read_mutations(plan, result)
    samples = sample_list(plan.samples) if plan.samples is not None else ()
    if not samples:
        result.notes.append(
            "A sample without any mutation in the files has no row, because it may not have been sequenced; list all "
            "sequenced samples with --samples to count them as 0."
        )
    genes = list(dict.fromkeys([*plan.genes, *frequent_genes(mutations, plan.top_genes)]))
    features = mutation_features(mutations, plan.territory_mb, genes, samples)
    result.add(_by_patient(plan, features, mutations.source))


def read_mutations(plan: GenomicsPlan, result: GenomicsResult) -> Mutations:
    """The mutations of a plan's files together; inputs, malformed rows and notes go to ``result``."""
    parts = [("MAF", read_maf(p)) for p in plan.maf]
    parts += [("VCF", read_vcf(p, plan.tumor_samples)) for p in plan.vcf]
    for role, part in parts:
        noted = {"role": role, "name": part.source, "sha256": part.sha256, "read_as": f"VAF from {part.vaf_source}"}
        result.inputs.append(noted)
        result.malformed += [{"file": part.source, "line": m.line, "reason": m.reason} for m in part.malformed]
        result.notes += part.notes
    return joined([part for _, part in parts])


def sample_list(path: Path) -> list[str]:
    """The samples of a file with one a line. Raises InputError for an empty one."""
    text, _ = decode(read_bounded(path, 50_000_000), path.name)
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise InputError(f"The sample list {path.name} is empty; write one sample per line.")
    return found


def expression_scores(plan: GenomicsPlan, expression: Expression, result: GenomicsResult) -> dict:
    """Gene set and centroid scores of every sample: sample -> name -> Value or text; inputs and notes go to
    ``result``."""
    features: dict[str, dict[str, Value | str]] = {s: {} for s in expression.samples}
    for path in plan.gmt:
        scores, set_names, notes = gene_set_scores(
            expression, gene_sets_of(path, result), plan.set_score, plan.min_genes
        )
        result.notes += notes
        for name, row in zip(set_names, scores, strict=True):
            for sample, value in zip(expression.samples, row, strict=True):
                features[sample][f"{plan.set_score}_{name}"] = _score_value(float(value))
    for kind, path in plan.centroids:
        centroids = read_centroids(path)
        result.inputs.append(centroids.input(kind))
        result.notes.append(f"The {kind} score from {centroids.name} is a {LABEL}, not the clinical test.")
        for sample, row in centroid_scores(expression, centroids, kind).items():
            features[sample] |= row
    return features


def gene_sets_of(path: Path, result: GenomicsResult) -> dict[str, list[str]]:
    """The gene sets of a GMT file, which is noted among the inputs of ``result``."""
    sets = read_gene_sets(path)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    noted = {"role": "gene sets", "name": Path(path).name, "sha256": digest, "read_as": f"{len(sets):,} gene sets"}
    result.inputs.append(noted)
    return sets


def _score_value(value: float) -> Value:
    # The scaling divides by the range of all scores, which is 0 where they are all alike.
    return (
        Value(value) if math.isfinite(value) else Value(None, "the scores of the file do not vary, so none has a scale")
    )


def _add_differences(plan: GenomicsPlan, expression: Expression | None, result: GenomicsResult) -> None:
    table = read_patient_table([plan.groups])
    texts = table.variable(plan.group).texts()
    of_patient = {p: t for p, t in zip(table.patients, texts, strict=True) if t is not None}

    def labels(matrix: Expression) -> dict[str, str]:
        found = {s: of_patient[plan.patient(s)] for s in matrix.samples if plan.patient(s) in of_patient}
        if not found:
            raise InputError(f"No sample of {matrix.source} is a patient of {plan.groups.name}; check the names.")
        return found

    if expression is not None:
        found = differential_expression(expression, labels(expression), plan.counts)
        _add_differential(found, result)
        sets = {name: genes for path in plan.gmt for name, genes in read_gene_sets(path).items()}
        if sets:
            rows = preranked_gsea(found, sets, plan.min_genes, seed=plan.seed)
            head = ["set", "n_genes", "es", "nes", "p", "fdr", "leading_genes"]
            result.tables["gsea"] = (head, [[r[h] for h in head] for r in rows])
    if plan.metabolites is not None:
        matrix = read_expression(plan.metabolites)
        result.inputs.append({**matrix.input(), "role": "metabolites"})
        rows = differential_abundance(matrix, read_gene_sets(plan.pathways), labels(matrix))
        head = ["pathway", "n_metabolites", "increased", "decreased", "score"]
        result.tables["pathway_abundance"] = (head, [[r[h] for h in head] for r in rows])


def _add_differential(found: Differential, result: GenomicsResult) -> None:
    head = ["gene", "log2_fold_change", "statistic", "p", "adjusted_p"]
    columns = (found.genes, found.log2_fold_change, found.statistic, found.p, found.adjusted_p)
    rows = sorted((list(r) for r in zip(*columns, strict=True)), key=lambda r: r[3] if r[3] == r[3] else 2.0)
    result.tables["differential_expression"] = (head, [[r[0], *(float(v) for v in r[1:])] for r in rows])
    first, second = found.groups
    result.notes.append(
        f"Differential expression: {second} (n = {found.sizes[1]}) against {first} (n = {found.sizes[0]}), "
        f"{found.method}."
    )
    shown = [r for r in rows if r[3] == r[3]]
    if len(shown) > 1:
        adjusted = [r[4] if r[4] == r[4] else 1.0 for r in shown]
        with report_style():
            result.figures["volcano"] = volcano(
                [r[1] for r in shown], [r[3] for r in shown], adjusted, [r[0] for r in shown],
                f"log2 fold change, {second} over {first}"[:80],
            )  # fmt: skip
