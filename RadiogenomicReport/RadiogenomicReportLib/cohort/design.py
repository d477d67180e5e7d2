"""Design matrices from typed variables: numbers as they are, yes/no and categories as 0/1 columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..clinical.variable_values import Variable


@dataclass(frozen=True)
class Term:
    """One variable in a design. columns: its columns; levels: of a category, the reference first, None for a number."""

    name: str
    label: str
    unit: str
    columns: tuple[int, ...]
    levels: tuple[str, ...] | None


@dataclass(frozen=True)
class Design:
    """matrix (N, P) of complete rows; names (P,): what each column means."""

    matrix: np.ndarray
    names: tuple[str, ...]
    terms: tuple[Term, ...]

    def take(self, names: Sequence[str]) -> Design:
        """The design of some of the variables, in their order here."""
        terms, columns = [], []
        for term in self.terms:
            if term.name in names:
                start = len(columns)
                columns += term.columns
                terms.append(Term(term.name, term.label, term.unit, tuple(range(start, len(columns))), term.levels))
        return Design(self.matrix[:, columns], tuple(self.names[c] for c in columns), tuple(terms))


def build_design(variables: Sequence[Variable], rows: np.ndarray) -> Design:
    """Design of the rows (N,) of bool, in which every variable must be known.

    Raises InputError for a variable with one value only.
    """
    columns, names, terms = [], [], []
    for variable in variables:
        values = variable.values[rows]
        start = len(columns)
        if variable.kind == "category":
            present = tuple(level for level in variable.levels if (values == level).any())
            if len(present) < 2:
                raise _constant(variable)
            for level in present[1:]:
                columns.append((values == level).astype(float))
                names.append(f"{variable.label}: {level} against {present[0]}")
            levels = present
        else:
            if not np.ptp(values) > 0:
                raise _constant(variable)
            columns.append(values.astype(float))
            yes_no = variable.kind in ("yes_no", "event")
            names.append(variable.label if not yes_no else f"{variable.label}: yes against no")
            levels = ("no", "yes") if yes_no else None
        terms.append(Term(variable.name, variable.label, variable.unit, tuple(range(start, len(columns))), levels))
    matrix = np.column_stack(columns) if columns else np.empty((int(rows.sum()), 0))
    return Design(matrix, tuple(names), tuple(terms))


def _constant(variable: Variable) -> InputError:
    return InputError(
        f"{variable.label} has the same value in all patients that can be used; leave it out of the analysis."
    )
