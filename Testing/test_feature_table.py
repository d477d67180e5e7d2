"""One table from result folders: wide and tidy hold the same, cells are safe, bytes depend on the content alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
import time

import pytest

from RadiogenomicReportLib.command_line.main import main
from RadiogenomicReportLib.feature_table import TableExam, write_feature_table
from RadiogenomicReportLib.table_writer import number_cell, safe_cell, write_table
from SubregionHabitatLib.errors import InputError

ROWS = {
    "first": [
        ("lesion", "mask", "original_shape_MeshVolume", "1234.5", "mm3", ""),
        ("lesion", "phase0", "original_firstorder_Mean", "-0.1", "signal", ""),
        ("ring", "phase0", "original_firstorder_Mean", "", "signal", "the region is empty"),
    ],
    "second": [
        ("lesion", "mask", "original_shape_MeshVolume", "1e-300", "mm3", ""),
        ("lesion", "phase1", "original_firstorder_Mean", "3", "signal", ""),
    ],
}


@pytest.fixture
def results(tmp_path):
    for name, rows in ROWS.items():
        write_result(tmp_path / name, rows)
    return [tmp_path / name for name in ROWS]


def write_result(folder, rows, preset="a"):
    folder.mkdir(parents=True)
    radiomics = {"preset": preset, "preset_digest": "0" * 8, "engine": "native"}
    (folder / "case.json").write_text(json.dumps({"schema": "iith-case/1", "parameters": {"radiomics": radiomics}}))
    with (folder / "features.csv").open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(
            [("region", "image", "feature", "value", "unit", "reason"), *rows]
        )
    return folder


def table(path):
    data = path.read_bytes()
    text = gzip.decompress(data).decode() if path.suffix == ".gz" else data.decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_wide_and_tidy_hold_the_same_values(results, tmp_path, capsys):
    assert main(["features", *map(str, results), "--out", str(tmp_path / "w.csv.gz"), "--wide"]) == 0
    assert main(["features", *map(str, results), "--out", str(tmp_path / "t.csv"), "--tidy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["features"] == 4
    wide, tidy = table(tmp_path / "w.csv.gz"), table(tmp_path / "t.csv")
    assert [row["result"] for row in wide] == ["first", "second"]
    assert list(wide[0]) == [
        "result", "patient", "visit", "preset", "preset_digest", "engine",
        "lesion|mask|original_shape_MeshVolume", "lesion|phase0|original_firstorder_Mean",
        "ring|phase0|original_firstorder_Mean", "lesion|phase1|original_firstorder_Mean",
    ]  # fmt: skip
    assert {(r["preset"], r["preset_digest"], r["engine"]) for r in wide + tidy} == {("a", "00000000", "native")}
    assert len(tidy) == 5
    assert tidy[2]["reason"] == "the region is empty"
    from_tidy = {(row["result"], "|".join((row["region"], row["image"], row["feature"]))): row["value"] for row in tidy}
    from_wide = {(row["result"], name): value for row in wide for name, value in row.items() if "|" in name}
    assert {key: value for key, value in from_wide.items() if value} == {k: v for k, v in from_tidy.items() if v}
    assert from_wide["second", "lesion|phase0|original_firstorder_Mean"] == ""


def test_the_same_results_give_the_same_bytes_at_another_time_and_name(results, tmp_path, monkeypatch):
    exams = [TableExam(folder.name, folder) for folder in results]
    write_feature_table(exams, tmp_path / "a.csv.gz")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_feature_table(exams, tmp_path / "b.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


def test_results_of_one_name_go_by_their_paths_and_mixed_presets_are_told(results, tmp_path, capsys):
    other = write_result(tmp_path / "x" / "first", ROWS["second"], preset="b")
    assert main(["features", str(results[0]), str(other), "--out", str(tmp_path / "w.csv")]) == 0
    assert [row["result"] for row in table(tmp_path / "w.csv")] == [str(results[0]), str(other)]
    assert "do not compare: a (00000000, native), b (00000000, native)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "case.json").unlink(), "no result folder"),
        (lambda f: (f / "features.csv").unlink(), "no usable features.csv"),
        (lambda f: (f / "features.csv").write_text("a,b\n"), "its columns are not"),
        (lambda f: (f / "features.csv").open("a").write("lesion,ser\n"), "line 5 is not complete"),
        (lambda f: (f / "features.csv").open("a").write("a,b,c,1e999,,\n"), "no finite number"),
        (lambda f: (f / "features.csv").open("a").write("a,b,c,=1+1,,\n"), "no finite number"),
        (lambda f: (f / "features.csv").open("a").write("a,b,c,1,,\na,b,c,1,,\n"), "line 6 repeats a|b|c"),
        (lambda f: (f / "features.csv").write_bytes(b"\xff\xfe"), "no usable features.csv"),
    ],
)
def test_damaged_results_are_named_and_no_table_is_left(results, tmp_path, capsys, damage, words):
    damage(results[0])
    assert main(["features", *map(str, results), "--out", str(tmp_path / "w.csv")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert str(results[0]) in lines[0]
    assert not list(tmp_path.glob("*.csv")) + list(tmp_path.glob(".*"))


def test_tables_that_cannot_be_written(results, tmp_path, capsys):
    for out, words in (("w.xlsx", "must end in .csv or .csv.gz"), ("first/case.json/w.csv", "cannot be written")):
        assert main(["features", str(results[0]), "--out", str(tmp_path / out)]) == 2
        assert words in capsys.readouterr().err
    assert main(["features", str(results[0]), str(results[0]), "--out", str(tmp_path / "w.csv")]) == 2
    assert "named twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("@SUM(A1)", "'@SUM(A1)"), ("-2+3", "'-2+3"),
        ("\t=1", "'=1"), ("\r\n=1", "'=1"), ("a\nb\x00c", "a b c"), ("-1.5e-3", "-1.5e-3"), ("+5", "+5"), ("-", "-"),
        ("+", "+"), ("", ""), ("-inf", "'-inf"), ("Müller", "Müller"), ("-١", "'-١"),
    ],
)  # fmt: skip
def test_cells_that_are_no_formula(text, cell):
    assert safe_cell(text) == cell
    assert safe_cell(cell) == cell


def test_numbers_keep_all_their_digits_and_missing_ones_are_empty():
    assert [number_cell(v) for v in (0.1 + 0.2, -3, 0.0, None)] == ["0.30000000000000004", "-3", "0.0", ""]


def test_a_table_that_fails_on_the_way_leaves_the_earlier_one(tmp_path):
    write_table(tmp_path / "t.csv", ["a"], [["1"]])

    def rows():
        yield ["2"]
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        write_table(tmp_path / "t.csv", ["a"], rows())
    assert (tmp_path / "t.csv").read_text() == "a\n1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
