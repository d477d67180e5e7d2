"""Variant call format by vcfpy: mutations of the tumor samples, with genes and effects by SnpEff or VEP."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from IITHModuleLib.table_file import decode, read_bounded, unpacked
from SubregionHabitatLib.errors import InputError

from .mutations import MalformedRow, Mutations, as_fractions

# Sequence ontology term -> MAF class, the most severe first, in Ensembl's order; "Frame_Shift" and "In_Frame" are told
# apart into insertions and deletions by length below, "By_Length" into all four.
_CLASSES = {
    "transcript_ablation": "Splice_Site",
    "splice_acceptor_variant": "Splice_Site",
    "splice_donor_variant": "Splice_Site",
    "exon_loss_variant": "Splice_Site",
    "stop_gained": "Nonsense_Mutation",
    "frameshift_variant": "Frame_Shift",
    "stop_lost": "Nonstop_Mutation",
    "start_lost": "Translation_Start_Site",
    "initiator_codon_variant": "Translation_Start_Site",
    "inframe_insertion": "In_Frame",
    "conservative_inframe_insertion": "In_Frame",
    "disruptive_inframe_insertion": "In_Frame",
    "inframe_deletion": "In_Frame",
    "conservative_inframe_deletion": "In_Frame",
    "disruptive_inframe_deletion": "In_Frame",
    "missense_variant": "Missense_Mutation",
    "rare_amino_acid_variant": "Missense_Mutation",
    "protein_altering_variant": "By_Length",
    "coding_sequence_variant": "By_Length",
    "splice_donor_5th_base_variant": "Splice_Region",
    "splice_region_variant": "Splice_Region",
    "splice_donor_region_variant": "Splice_Region",
    "splice_polypyrimidine_tract_variant": "Splice_Region",
    "incomplete_terminal_codon_variant": "Silent",
    "start_retained_variant": "Silent",
    "stop_retained_variant": "Silent",
    "synonymous_variant": "Silent",
    "mature_miRNA_variant": "RNA",
    "5_prime_UTR_premature_start_codon_gain_variant": "5'UTR",
    "5_prime_UTR_variant": "5'UTR",
    "3_prime_UTR_variant": "3'UTR",
    "non_coding_transcript_exon_variant": "RNA",
    "intron_variant": "Intron",
    "non_coding_transcript_variant": "RNA",
    "upstream_gene_variant": "5'Flank",
    "downstream_gene_variant": "3'Flank",
    "intergenic_region": "IGR",
    "intergenic_variant": "IGR",
}
_SEVERITY = {name: k for k, name in enumerate(_CLASSES)}


def read_vcf(path: Path, tumor_samples: Sequence[str] = (), passed_only: bool = True) -> Mutations:
    """Read a VCF file (plain or gzip).

    tumor_samples: columns to read; by default those that the header calls tumor (##tumor_sample), else all but the ones
    it calls normal. passed_only: leave out calls whose FILTER is neither PASS nor empty. Sites where a sample shows no
    variant read are no mutation of it. Raises InputError for what is no VCF or without gene annotations.
    """
    try:
        import vcfpy
    except ImportError:
        raise InputError(f"Reading {path} needs the package vcfpy; run `pip install iith[genomics]`.") from None
    path = Path(path)
    data = read_bounded(path)
    text, _ = decode(unpacked(path, data), path.name)
    if not text.startswith("##fileformat=VCF"):
        raise InputError(f"{path.name} is no VCF file (its first line is not ##fileformat=VCF...); give a VCF.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vcfpy mends small faults of headers and says so
        try:
            reader = vcfpy.Reader.from_stream(io.StringIO(text))
        except Exception as error:  # vcfpy raises many kinds of errors on damaged headers
            raise InputError(f"The header of {path.name} cannot be read ({_short(error)}); correct the VCF.") from None
        samples = _tumor_samples(reader, text, tumor_samples, path.name)
        annotation = _annotation(reader, path.name)
        rows, malformed, filtered = _records(reader, samples, annotation, passed_only, text)
    # Shares from read counts are fractions whatever the file's own VAF field is written in.
    vaf, counted = (np.array([r[k] for r in rows], dtype=t) for k, t in ((3, float), (4, bool)))
    written, how = as_fractions(np.where(counted, np.nan, vaf), "VCF")
    vaf = np.where(counted, vaf, written)
    notes = (f"{filtered:,} calls of {path.name} did not pass its filters and were left out",) if filtered else ()
    return Mutations(
        *(np.array([r[k] for r in rows], dtype=object) for k in range(3)),
        vaf=vaf,
        samples=tuple(samples),
        source=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        vaf_source="allele depths" if rows and counted.all() else how,
        malformed=tuple(malformed),
        notes=notes,
    )


def _tumor_samples(reader, text: str, wanted: Sequence[str], name: str) -> list[str]:
    present = list(reader.header.samples.names)
    if wanted:
        absent = [s for s in wanted if s not in present]
        if absent:
            raise InputError(
                f"{name} has no sample '{absent[0][:40]}' among its {len(present)}; take a name of its #CHROM line."
            )
        return list(wanted)
    head = [line for line in text[:1_000_000].split("\n") if line.startswith("##")]
    tumor = [line.split("=", 1)[1].strip() for line in head if line.startswith("##tumor_sample=")]
    normal = [line.split("=", 1)[1].strip() for line in head if line.startswith("##normal_sample=")]
    found = [s for s in tumor if s in present] or [s for s in present if s not in normal and s.upper() != "NORMAL"]
    if not found:
        raise InputError(f"{name} has no tumor sample; name it with --tumor-sample.")
    return found


def _annotation(reader, name: str) -> tuple[str, int, int]:
    """INFO key, and the places of consequence and gene in its fields."""
    if "ANN" in reader.header.info_ids():
        return "ANN", 1, 3
    if "CSQ" in reader.header.info_ids():
        text = reader.header.get_info_field_info("CSQ").description or ""
        fields = text.split("Format:")[-1].strip().strip('"').split("|")
        if "Consequence" in fields and "SYMBOL" in fields:
            return "CSQ", fields.index("Consequence"), fields.index("SYMBOL")
    raise InputError(
        f"{name} names no genes (neither SnpEff's ANN nor VEP's CSQ with SYMBOL in INFO); annotate it or give a MAF."
    )


def _records(reader, samples: list[str], annotation, passed_only: bool, text: str):
    rows, malformed, filtered = [], [], 0
    line = text[: text.find("\n#CHROM") + 1].count("\n") + 1
    iterator = iter(reader)
    while True:
        line += 1
        try:
            record = next(iterator)
        except StopIteration:
            break
        except Exception as error:  # a row that vcfpy cannot parse
            malformed.append(MalformedRow(line, _short(error)))
            if len(malformed) > 1000:
                raise InputError(
                    f"More than 1,000 rows of the VCF cannot be read (line {malformed[0].line})."
                ) from None
            continue
        if passed_only and [f for f in record.FILTER if f not in ("PASS", ".")]:
            filtered += 1
            continue
        for number, alternative in enumerate(record.ALT, start=1):
            gene, variant_class = _effect(record, number, alternative, annotation)
            for sample in samples:
                call = record.call_for_sample.get(sample)
                vaf, by_counts, mutated = _call_vaf(call, number)
                if mutated:
                    rows.append((sample, gene, variant_class, vaf, by_counts))
    return rows, malformed, filtered


def _effect(record, number: int, alternative, annotation) -> tuple[str, str]:
    """Gene and MAF class of the most severe annotation of an alternative allele."""
    key, consequence_at, gene_at = annotation
    best, gene = None, ""
    names = {alternative.value, _vep_allele(record, alternative), ""} if key == "CSQ" else {alternative.value, ""}
    for entry in record.INFO.get(key) or []:
        fields = str(entry).split("|")
        if len(fields) <= max(consequence_at, gene_at):
            continue
        if len(record.ALT) > 1 and fields[0] not in names:
            continue
        for term in fields[consequence_at].split("&"):
            if term in _SEVERITY and (best is None or _SEVERITY[term] < _SEVERITY[best]):
                best, gene = term, fields[gene_at]
    name = _CLASSES.get(best, "Unknown")
    grown = len(alternative.value or "") - len(record.REF)
    if name == "By_Length":
        name = "Missense_Mutation" if not grown else "In_Frame" if grown % 3 == 0 else "Frame_Shift"
    if name in ("Frame_Shift", "In_Frame"):
        name += "_Ins" if grown > 0 else "_Del"
    return gene or "Unknown", name


def _vep_allele(record, alternative) -> str:
    """The allele as VEP writes it: without the first base where all alleles of a site with an indel share it."""
    alleles = [record.REF, *(a.value or "" for a in record.ALT)]
    indel = any(len(a) != len(record.REF) for a in alleles)
    if indel and len({a[:1] for a in alleles}) == 1:
        return (alternative.value or "")[1:] or "-"
    return alternative.value or ""


def _call_vaf(call, number: int) -> tuple[float, bool, bool]:
    """VAF of a call (NaN where unknown), whether it comes from read counts, and whether the sample has the variant."""
    if call is None:
        return np.nan, False, False
    data = call.data
    depths = data.get("AD")
    if isinstance(depths, list) and len(depths) > number and None not in depths:
        total = sum(depths)
        return (depths[number] / total if total else np.nan), True, depths[number] > 0
    for key in ("AF", "FREQ", "VAF"):
        value = data.get(key)
        value = value[number - 1] if isinstance(value, list) and len(value) >= number else value
        if value is not None and not isinstance(value, list):
            try:
                share = float(str(value).rstrip("%"))
            except ValueError:
                continue
            return (share / 100 if "%" in str(value) else share), False, share > 0
    alleles = str(data.get("GT") or "").replace("|", "/").split("/")
    return np.nan, False, str(number) in alleles


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
