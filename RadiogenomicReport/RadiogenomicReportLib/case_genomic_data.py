"""Genomic data as a part of a case: read only where they are asked for, their identity beside the patient's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from IITHModuleLib.case_values import CaseValue, gene_of_value

if TYPE_CHECKING:
    from .genomics.case_genomics import CaseGenomics, CaseGenomicsPlan


def read_genomics(plan: CaseGenomicsPlan | None) -> CaseGenomics | None:
    """What a plan reads; None without one. Raises InputError as ``case_genomics``."""
    if plan is None:
        return None
    from .genomics.case_genomics import case_genomics

    return case_genomics(plan)


def genomic_values(genomics: CaseGenomics | None, models: Iterable) -> dict[str, CaseValue]:
    """The inputs vaf_GENE of ``models`` that the genomic data hold: name -> value, or the reason why it is missing."""
    if genomics is None:
        return {}
    names = {f.name for model in models for form in getattr(model, "forms", ()) for f in form.features}
    genes = {name: gene for name in sorted(names) if (gene := gene_of_value(name)) is not None}
    found = {name: genomics.vaf_sum(gene) for name, gene in genes.items()}
    return {name: CaseValue(v.value, "1", "genomic data", v.reason) for name, v in found.items() if v is not None}


def with_genomics(case: dict, genomics: CaseGenomics | None, identity: bool = False) -> dict:
    """The case with the key "genomics", which replaces an earlier one; unchanged without genomics.

    identity: name the sample and its files beside the patient.
    """
    if genomics is None:
        return case
    case = {**case, "genomics": genomics.to_json()}
    if identity:
        case["identity"] = {**case.get("identity", {}), **genomics.identity}
    return case
