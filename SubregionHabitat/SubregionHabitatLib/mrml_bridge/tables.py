"""Table nodes from columns, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vtk
from vtk.util import numpy_support


@dataclass(frozen=True)
class Column:
    """A table column: text where all values are text (None becomes ""), else numbers (None becomes NaN)."""

    name: str
    values: Sequence
    unit: str = ""
    description: str = ""


def set_table(table, columns: Sequence[Column]) -> None:
    """Make ``columns`` the content of a table node, read-only for the user."""
    if len({len(c.values) for c in columns}) > 1:
        raise ValueError("columns of different lengths")
    table.SetLocked(False)
    table.RemoveAllColumns()
    for column in columns:
        table.AddColumn(_vtk_column(column))
        if column.unit:
            table.SetColumnUnitLabel(column.name, column.unit)
        if column.description:
            table.SetColumnDescription(column.name, column.description)
    table.SetUseColumnTitleAsColumnHeader(True)
    table.SetLocked(True)


def _vtk_column(column: Column):
    if column.values and all(v is None or isinstance(v, str) for v in column.values):
        array = vtk.vtkStringArray()
        for value in column.values:
            array.InsertNextValue("" if value is None else str(value))
    else:
        numbers = np.array([np.nan if v is None else float(v) for v in column.values], dtype=np.float64)
        array = numpy_support.numpy_to_vtk(numbers, deep=True)
    array.SetName(column.name)
    return array


def table_rows(table) -> list[dict]:
    """The rows of a table node as dictionaries; numbers are float, NaN becomes None."""
    content = table.GetTable()
    columns = [content.GetColumn(i) for i in range(content.GetNumberOfColumns())]
    rows = []
    for index in range(content.GetNumberOfRows()):
        values = [column.GetValue(index) for column in columns]
        rows.append(
            {
                column.GetName(): None if isinstance(value, float) and np.isnan(value) else value
                for column, value in zip(columns, values, strict=True)
            }
        )
    return rows
