"""Cells and tiles to patients: aggregates by definition, outlines against closed forms, bad files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from RadiogenomicReportLib.command_line.main import main
from RadiogenomicReportLib.pathology.cell_tables import CellMeasurements, read_cell_table
from RadiogenomicReportLib.pathology.nuclei import outline_features
from RadiogenomicReportLib.pathology.patient_aggregates import patient_rows
from SubregionHabitatLib.errors import InputError


def qupath(path, n_patients: int = 12, n_cells: int = 60, seed: int = 0):
    """A table as QuPath exports detections; the spread of area rises with the patient's number."""
    rng = np.random.default_rng(seed)
    head = ["Image", "Object ID", "Classification", "Centroid X µm", "Nucleus: Area µm^2", "Nucleus: Circularity"]
    lines = ["\t".join(head)]
    for k in range(n_patients):
        for c in range(n_cells):
            area, shape = 50 + rng.normal() * (2 + k), rng.uniform(0.6, 1)
            name = "Tumor" if c % 3 else "Stroma"
            lines.append(f"P{k:02d}.svs\tid{c}\t{name}\t{c}\t{area:.4f}\t{shape:.4f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_aggregates_are_those_of_numpy(tmp_path):
    path = qupath(tmp_path / "q.tsv")
    cells = CellMeasurements()
    read_cell_table(path, cells, length=3)
    rows, _ = patient_rows(cells, 20)
    with path.open(encoding="utf-8") as stream:
        table = [r for r in csv.DictReader(stream, delimiter="\t") if r["Image"] == "P03.svs"]
    area = np.array([float(r["Nucleus: Area µm^2"]) for r in table if r["Classification"] == "Tumor"])
    row = rows["P03"]
    key = "tumor|Nucleus: Area µm^2|"
    expected = {
        "min": area.min(), "q1": np.percentile(area, 25), "median": np.median(area), "q3": np.percentile(area, 75),
        "max": area.max(), "sd": area.std(ddof=1), "mad": 1.4826 * np.median(np.abs(area - np.median(area))),
    }  # fmt: skip
    assert {k: row[key + k] for k in expected} == pytest.approx(expected)
    assert (row["tumor|objects"], row["stroma|objects"], row["all|objects"]) == (40, 20, 60)
    assert not any("Centroid" in k for k in row)


def test_decimal_commas_of_a_table_give_the_same_numbers(tmp_path):
    path = qupath(tmp_path / "q.tsv", 2)
    (tmp_path / "c.tsv").write_text(path.read_text(encoding="utf-8").replace(".", ",").replace(",svs", ".svs"))
    first, second = CellMeasurements(), CellMeasurements()
    read_cell_table(path, first)
    read_cell_table(tmp_path / "c.tsv", second)
    assert patient_rows(second, 20) == patient_rows(first, 20)


def test_morphological_heterogeneity_is_the_mean_z_of_the_sds(tmp_path):
    cells = CellMeasurements()
    read_cell_table(qupath(tmp_path / "q.tsv"), cells)
    rows, _ = patient_rows(cells, 20)
    keys = ["tumor|Nucleus: Area µm^2|sd", "tumor|Nucleus: Circularity|sd"]
    table = np.array([[row[k] for k in keys] for row in rows.values()])
    z = (table - table.mean(axis=0)) / table.std(axis=0, ddof=1)
    assert [row["tumor|mith"] for row in rows.values()] == pytest.approx(z.mean(axis=1))
    assert np.corrcoef(np.arange(12), [row["tumor|mith"] for row in rows.values()])[0, 1] > 0.6
    few = CellMeasurements()
    read_cell_table(qupath(tmp_path / "f.tsv", n_patients=4), few)
    fewer, reasons = patient_rows(few, 50)
    assert not any(k.endswith("mith") for row in fewer.values() for k in row)
    assert any("needs 10 patients" in r for r in reasons)
    assert reasons["stroma: fewer than 50 objects"] == 8


def test_outlines_of_known_shapes():
    square = outline_features(np.array([[0, 0], [2, 0], [4, 0], [4, 2], [4, 4], [0, 4]], float))
    assert (square["area"], square["perimeter"], square["solidity"]) == pytest.approx((16, 16, 1))
    assert square["circularity"] == pytest.approx(np.pi / 4)
    assert square["eccentricity"] == pytest.approx(0, abs=1e-6)
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = outline_features(np.column_stack([7 + 5 * np.cos(angle), 3 + 5 * np.sin(angle)]))
    assert circle["curvature_mean"] == pytest.approx(1 / 5, rel=1e-4)
    assert circle["curvature_sd"] == pytest.approx(0, abs=1e-6)
    assert circle["circularity"] == pytest.approx(1, rel=1e-4)
    ellipse = outline_features(np.column_stack([10 * np.cos(angle), 4 * np.sin(angle)]))
    assert (ellipse["major_axis"], ellipse["minor_axis"]) == pytest.approx((20, 8), rel=1e-3)
    assert ellipse["eccentricity"] == pytest.approx(np.sqrt(1 - 0.16), rel=1e-3)
    notch = outline_features(np.array([[0, 0], [4, 0], [4, 4], [2, 2], [0, 4]], float))
    assert notch["solidity"] == pytest.approx(12 / 16)
    assert np.isnan(outline_features(np.array([[0, 0], [1, 1], [2, 2], [3, 3], [1, 1]], float))["area"])


def test_the_command_reads_tables_and_hovernet_and_sets_variables_beside(tmp_path):
    rng = np.random.default_rng(1)
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    nuclei = {}
    for k in range(40):
        radius = rng.uniform(4, 8)
        points = np.column_stack([50 + radius * np.cos(angle), 40 + radius * np.sin(angle)])
        nuclei[str(k)] = {"contour": points.tolist(), "type": k % 2 + 1, "centroid": [50, 40]}
    nuclei["broken"] = {"contour": [[1, 1]], "type": 1}
    (tmp_path / "P00.json").write_text(json.dumps({"mag": 40, "nuc": nuclei}))
    beside = tmp_path / "beside.csv"
    beside.write_text("patient,TIL percent\nP00,30\n")
    arguments = ["pathology", str(tmp_path / "P00.json"), str(qupath(tmp_path / "q.tsv", 2)), "--barcode-length", "3"]
    arguments += ["--min-cells", "10", "--beside", str(beside), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    with (tmp_path / "out" / "pathology.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [r["patient"] for r in rows] == ["P00", "P01"]
    assert rows[0]["TIL percent"] == "30"
    assert rows[1]["TIL percent"] == ""
    assert float(rows[0]["neoplastic|objects"]) == 20
    assert 0.98 < float(rows[0]["neoplastic|circularity|median"]) <= 1
    record = json.loads((tmp_path / "out" / "pathology.json").read_text(encoding="utf-8"))
    assert any("1 nuclei" in note for note in record["notes"])


BAD_FILES = {
    "absent": (None, [], "does not exist"),
    "binary": ("Image\tA\x00\n", [], "binary"),
    "no patient": ("a\tb\n1\t2\n", [], "no column for the patient or image"),
    "no such column": ("Image\tb\nx\t2\n", ["--patient-column", "case"], "(case); name the right one"),
    "nothing measured": ("Image\tName\nx\t2\n", [], "no measurement"),
    "no numbers": ("Image\tnote\nx\tgood\n", [], "no column of numbers"),
    "no rows": ("Image\tarea\n", [], "no row below its header"),
    "column twice": ("Image\tarea\tarea\nx\t1\t2\n", [], "column twice"),
    "no patient in a row": ("Image\tarea\nx\t1\n\t2\n", [], "Line 3 of bad.tsv has no Image"),
    "long row": ("Image\tarea\nx\t1\nx\t1\t2\n", [], "cannot be read as a table"),
    "too few cells wanted": ("Image\tarea\nx\t1\n", ["--min-cells", "1"], "at least 2"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_say_one_line_and_write_nothing(tmp_path, capsys, case):
    text, more, message = BAD_FILES[case]
    path = tmp_path / "bad.tsv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    before = {p.name for p in tmp_path.iterdir()}
    assert main(["pathology", str(path), *more, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert message in error[0]
    assert {p.name for p in tmp_path.iterdir()} == before


def test_a_json_that_is_no_hovernet_file_is_refused(tmp_path, capsys):
    (tmp_path / "x.json").write_text('{"nuc": [1]}')
    assert main(["pathology", str(tmp_path / "x.json"), "--out", str(tmp_path / "out")]) == 2
    assert "no HoVer-Net file" in capsys.readouterr().err


def test_cells_that_are_no_numbers_are_counted(tmp_path):
    text = "Image\tarea\n" + "x\t1\n" * 30 + "x\toops\n"
    (tmp_path / "t.tsv").write_text(text)
    cells = CellMeasurements()
    read_cell_table(tmp_path / "t.tsv", cells)
    assert cells.notes == ["1 cells of 'area' in t.tsv are no numbers and were left out"]
    with pytest.raises(InputError, match="no object with a measurement"):
        patient_rows(CellMeasurements())
