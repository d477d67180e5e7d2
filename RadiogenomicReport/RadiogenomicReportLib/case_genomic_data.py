"""Genomic data as a part of a case: read only where they are asked for, their identity beside the patient's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .genomics.case_genomics import CaseGenomics, CaseGenomicsPlan


def read_genomics(plan: CaseGenomicsPlan | None) -> CaseGenomics | None:
    """What a plan reads; None without one. Raises InputError as ``case_genomics``."""
    if plan is None:
        return None
    from .genomics.case_genomics import case_genomics

    return case_genomics(plan)


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
