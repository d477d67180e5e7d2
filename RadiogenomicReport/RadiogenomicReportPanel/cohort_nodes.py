"""Tables of patients in the scene as the library's table, and statistics as nodes. Imports slicer."""

from __future__ import annotations

import slicer


def patients_of_tables(tables, columns, requirements: dict):
    """The table nodes as one table of patients; called by their numbers, because a name may be a patient's.

    columns: a column mapping's name or file; requirements: packages that are offered if missing. Raises InputError
    where no table is given or they cannot be joined.
    """
    from IITHModuleLib.table_file import table_of_cells
    from RadiogenomicReportLib.clinical.column_mapping import EMPTY, load_mapping
    from RadiogenomicReportLib.clinical.patient_table import join_tables
    from SubregionHabitatLib import mrml_bridge
    from SubregionHabitatLib.errors import InputError

    nodes = [node for node in tables if node is not None]
    if not nodes:
        raise InputError("No table is selected; select at least one table of patients.")
    mrml_bridge.ensure_packages(requirements, "IITH")
    texts = []
    for number, node in enumerate(nodes, start=1):
        rows = mrml_bridge.table_rows(node)
        header = [node.GetColumnName(i) for i in range(node.GetNumberOfColumns())]
        cells = [[row[name] for name in header] for row in rows]
        texts.append(table_of_cells(f"table {number}", header, cells))
    return join_tables(texts, load_mapping(columns) if columns else EMPTY)


def cohort_nodes(kind: str, tables: dict, text: str) -> tuple[dict, object]:
    """Table nodes by name and a text node of a result; those of an earlier run of the kind are filled anew.

    tables: name -> (head, rows)."""
    from SubregionHabitatLib import mrml_bridge

    def node(name, class_name):
        attribute = f"cohort.{kind}.{name}"
        for found in slicer.util.getNodesByClass(class_name):
            if found.GetAttribute("IITH.cohort") == attribute:
                return found
        made = slicer.mrmlScene.AddNewNodeByClass(class_name, f"IITH {kind}: {name}".replace("_", " "))
        made.SetAttribute("IITH.cohort", attribute)
        return made

    nodes = {}
    for name, (head, rows) in tables.items():
        columns = [mrml_bridge.Column(h, _column_values([row[k] for row in rows])) for k, h in enumerate(head)]
        nodes[name] = node(name, "vtkMRMLTableNode")
        mrml_bridge.set_table(nodes[name], columns)
    text_node = node("numbers", "vtkMRMLTextNode")
    text_node.SetText(text)
    return nodes, text_node


def _column_values(cells):
    """Numbers where every filled cell is one, else the texts."""
    try:
        return [float(cell) if cell != "" else None for cell in cells]
    except ValueError:
        return list(cells)
