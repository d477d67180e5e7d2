"""What models read that no image tells, before anything is scored: the clinical inputs of each of their forms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from .case_values import KNOWN_VALUES, is_table_value

# Standard values that are measured on the images of the case.
MEASURED = ("ftv_mm3", "lesion_volume_mm3", "enhancing_fraction")
# The standard values that only the user can give, in the order of their definitions.
CLINICAL = tuple(name for name in KNOWN_VALUES if name not in MEASURED)


@dataclass(frozen=True)
class Lack:
    """What one model lacks. refused: none of its forms can answer; else one with fewer inputs does.

    names: standard values; columns: inputs that only a patient table holds (vaf_GENE, table:COLUMN).
    """

    model_id: str
    refused: bool
    names: tuple[str, ...]
    columns: tuple[str, ...]


def clinical_inputs(forms: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """The inputs of each form of a model that no image tells. forms: the names of each form's inputs."""
    return tuple(tuple(n for n in form if is_table_value(n) and n not in MEASURED) for form in forms)


def lack(model_id: str, forms: Sequence[Collection[str]], given: Collection[str]) -> Lack | None:
    """What of its clinical inputs a model lacks, None where its first form has them all.

    A model answers by its first form whose inputs are all there; the last form asks for the least.
    """
    complete = next((i for i, form in enumerate(forms) if set(form) <= set(given)), None)
    if complete == 0 or not forms:
        return None
    wanted = forms[-1] if complete is None else forms[0]
    missing = [name for name in wanted if name not in given]
    return Lack(
        model_id,
        complete is None,
        tuple(name for name in CLINICAL if name in missing),
        tuple(name for name in missing if name not in KNOWN_VALUES),
    )
