"""Between MRML nodes and the library's data classes: the one part of the library that imports slicer and vtk.

Only the three Slicer modules import it. MRML is RAS, the library LPS; arrays are (Z, Y, X) on both sides. Shapes are
checked here, because ``slicer.util.updateVolumeFromArray`` takes any. Node names can hold a patient's name, so they
appear in messages to the user only, never in results.

Results belong to an exam: every result node refers to the exam's nodes (reference role ``EXAM_ROLE``) and says in the
attribute ``KIND_ATTRIBUTE`` what it is. ``ExamResults`` finds them again, so that a second run fills the same nodes.

Every public name of the files is a name of this package. A file is loaded when a name of it is first asked for, because
a panel that opens on an exam needs its phases at once and the analysis (scipy, SimpleITK) later.
"""

from __future__ import annotations

import importlib

_PARTS = {
    "volumes": (
        "FLIP",
        "array_from_matrix",
        "matrix_from_array",
        "geometry_from_ras",
        "ras_from_geometry",
        "volume_array",
        "n_components",
        "refuse_transform",
        "set_volume",
    ),
    "exam_nodes": ("parse_times", "parse_injection", "exam_from_nodes", "dicom_files", "phase_times", "set_sequence"),
    "drawn": ("region_from_segment", "point_from_markups", "region_from_roi"),
    "segments": (
        "LESION_COLOR",
        "RING_COLOR",
        "HABITAT_COLORS",
        "NEOPLASM_TERMINOLOGY",
        "TISSUE_TERMINOLOGY",
        "Segment",
        "segment_names",
        "set_segments",
    ),
    "result_regions": (
        "BREAST_COLOR",
        "SKIN_COLOR",
        "PARENCHYMA_COLORS",
        "BREAST_TITLES",
        "result_segments",
        "breast_segments",
        "check_unchanged",
    ),
    "maps": ("MAP_DISPLAY", "UNIT_ATTRIBUTE", "result_maps", "set_map"),
    "tables": ("Column", "set_table", "table_rows"),
    "result_tables": ("volume_columns", "part_columns", "curve_colors", "set_curves", "set_curve_plot"),
    "results": ("EXAM_ROLE", "KIND_ATTRIBUTE", "FOLDER_EXAM_ATTRIBUTE", "ExamResults"),
    "inputs": ("TIMES_ATTRIBUTE", "AnalysisInputs", "drawn_masks", "note_inputs", "noted_inputs"),
    "packages": ("ensure_packages",),
}
_PART_OF = {name: part for part, names in _PARTS.items() for name in names}


def __getattr__(name: str):
    if name not in _PART_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_PART_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_PART_OF)
