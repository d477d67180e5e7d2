"""Patient tables: what is recognized, converted and joined, and one clear line for each kind of bad input."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from RadiogenomicReportLib.clinical.column_mapping import load_mapping
from RadiogenomicReportLib.clinical.patient_table import read_patient_table
from SubregionHabitatLib.errors import InputError
from support.data import require_data


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def mapping(path, columns: dict, **more):
    path.write_text(json.dumps({"schema": "iith-columns/1", "columns": columns, **more}), encoding="utf-8")
    return load_mapping(str(path))


CLINICAL = (
    "Patient ID,Age at diagnosis,ER Status,HER2,Ki-67,pT,N stage,Grade,Menopausal status,LVI,pCR,RFS_months,"
    "RFS_status\n"
    "A,45,Positive,2+,20,T2,N0,G2,pre,yes,0,12,0:DiseaseFree\n"
    "B,61.5,Negative,3+,NA,pT1c,pN1,3,Postmenopausal,No,1,24,1:Recurred/Progressed\n"
    "C,,unknown,1+,35.5,T4b,NX,I,peri,,,6,0\n"
)


def test_columns_are_recognized_with_units_and_codes(tmp_path):
    table = read_patient_table([write(tmp_path / "t.csv", CLINICAL)])
    assert table.patients == ("A", "B", "C")
    assert table.lines == (2, 3, 4)
    assert set(table.recognized()) == {
        "age", "er", "her2", "ki67", "t_stage", "n_stage", "grade", "menopause", "lvi", "pcr", "rfs_time", "rfs_event"
    }  # fmt: skip
    np.testing.assert_array_equal(table.variable("age").values, [45, 61.5, np.nan])
    np.testing.assert_array_equal(table.variable("er").values, [1, 0, np.nan])
    assert list(table.variable("her2").values) == ["equivocal", "positive", "negative"]
    np.testing.assert_array_equal(table.variable("ki67").values, [20, np.nan, 35.5])
    assert list(table.variable("t_stage").values) == ["T2", "T1", "T4"]
    assert list(table.variable("n_stage").values) == ["N0", "N1", "NX"]
    assert list(table.variable("grade").values) == ["2", "3", "1"]
    assert table.variable("menopause").levels == ("pre", "peri", "post")
    np.testing.assert_array_equal(table.variable("lvi").values, [1, 0, np.nan])
    np.testing.assert_allclose(table.variable("rfs_time").values, [365.25, 730.5, 182.625])
    np.testing.assert_array_equal(table.variable("rfs_event").values, [0, 1, 0])


def test_separators_decimal_commas_encodings_and_gzip(tmp_path):
    text = "patient;age;größe\nA;45,5;1.234,5\nB;60;7\n"
    table = read_patient_table([write(tmp_path / "t.csv", text)])
    np.testing.assert_array_equal(table.variable("age").values, [45.5, 60])
    latin = tmp_path / "latin.tsv"
    latin.write_bytes("patient\tage\tOrt\nA\t45\tKöln\nB\t46\tBonn\n".encode("cp1252"))
    table = read_patient_table([latin])
    assert list(table.variable("Ort").values) == ["Köln", "Bonn"]
    assert "Windows-1252" in table.notes[0]
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(b'\xef\xbb\xbfpatient,x\nA,1,\n\nB,"1,234"\n'))
    table = read_patient_table([packed])
    np.testing.assert_array_equal(table.variable("x").values, [1, 1234])
    assert table.lines == (2, 4)


@pytest.mark.parametrize(
    ("separator", "cells", "values"),
    [
        (",", ('"0,512"', '"1,234"', '"12,5"'), [0.512, 1.234, 12.5]),  # the column shows what its commas are
        (",", ('"1,234"', '"12,000"', "890"), [1234, 12000, 890]),
        (",", ('"1,234,567"', '"1,234.5"', "-2"), [1234567, 1234.5, -2]),
        (";", ("1,234", "12,000", "890"), [1.234, 12, 890]),  # where semicolons separate, commas are decimal signs
        ("\t", ("1,5e-3", "2,250", "0"), [0.0015, 2.25, 0]),
        (";", ("1.234,5", "1.234", "12,5"), [1234.5, 1234, 12.5]),
    ],
)
def test_commas_in_numbers_are_read_by_column_and_separator(tmp_path, separator, cells, values):
    text = "\n".join(separator.join(row) for row in (("patient", "size"), *zip("ABC", cells, strict=True)))
    table = read_patient_table([write(tmp_path / "t.csv", text + "\n")])
    np.testing.assert_allclose(table.variable("size").values, values, rtol=1e-15)


def test_contradicting_commas_and_impossible_follow_up_are_refused(tmp_path):
    table = read_patient_table([write(tmp_path / "t.csv", 'patient,size\nA,"1,5"\nB,"1,234,567"\n')])
    with pytest.raises(InputError, match="are decimal signs in some cells"):
        table.variable("size").values  # noqa: B018
    table = read_patient_table([write(tmp_path / "t.csv", "patient;size\nA;12,5\nB;1.234\n")])
    with pytest.raises(InputError, match="points before three digits"):
        table.variable("size").values  # noqa: B018
    table = read_patient_table([write(tmp_path / "t.csv", "patient,rfs_years\nA,900\nB,3\n")])
    with pytest.raises(InputError, match=r"Line 2 of t\.csv: the follow-up time rfs_years is longer than a century"):
        table.variable("rfs_time").values  # noqa: B018


def test_a_formula_whose_result_is_not_saved_is_named(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (("patient", "age"), ("A", 50), ("B", "=25+25")):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match=r"Row 3 of t\.xlsx holds a formula whose result is not saved \(B3\)"):
        read_patient_table([tmp_path / "t.xlsx"])


def test_workbook_sheets_are_joined_on_the_patient(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "one"
    for row in (["subject", "age", "seen"], [7, 50, None], [8, 60.5, None]):
        book.active.append(row)
    second = book.create_sheet("two")
    for row in (["SubjectID", "os_days", "os_event"], [8, 100, True], [9, 5, False]):
        second.append(row)
    book.save(tmp_path / "book.xlsx")
    table = read_patient_table([tmp_path / "book.xlsx"], mapping(tmp_path / "m.json", {}, sheets=["one", "two"]))
    assert table.patients == ("8",)
    np.testing.assert_array_equal(table.variable("age").values, [60.5])
    np.testing.assert_array_equal(table.variable("os_event").values, [1])
    assert any("1 of 2 rows" in note for note in table.notes)


def test_derived_columns_and_dates(tmp_path):
    text = (
        "patient,start,relapse,last,v1,v2,er,pr\n"
        "A,2010-01-01,,2012-01-01,10,5,0,1\nB,2010-06-15,2010-07-15,2011-01-01,4,0,0,\nC,2011-02-01,,,0,1,0,0\n"
    )
    columns = {
        "rfs_time": {"days_between": ["start", "relapse", "last"]},
        "rfs_event": {"present": "relapse", "kind": "event"},
        "change": {"change": ["v1", "v2"]},
        "ratio": {"ratio": ["v2", "v1"], "at_most": 0.4},
        "hr": {"any_positive": ["er", "pr"]},
        "v": {"column": "v1", "zero_is_missing": True, "transform": "log", "unit": "cm3"},
    }
    table = read_patient_table([write(tmp_path / "t.csv", text)], mapping(tmp_path / "m.json", columns))
    np.testing.assert_array_equal(table.variable("rfs_time").values, [730, 30, np.nan])
    np.testing.assert_array_equal(table.variable("rfs_event").values, [0, 1, 0])
    np.testing.assert_array_equal(table.variable("change").values, [-50, -100, np.nan])
    np.testing.assert_array_equal(table.variable("ratio").values, [0.4, 0, np.nan])
    # B: ER negative and PR unknown, so hormone receptor status is unknown.
    np.testing.assert_array_equal(table.variable("hr").values, [1, np.nan, 0])
    np.testing.assert_allclose(table.variable("v").values, [np.log(10), np.log(4), np.nan])
    assert "would divide by 0" in table.variable("change").notes[0]
    np.testing.assert_allclose(table.variable("log:v2").values, [np.log(5), np.nan, 0])


@pytest.mark.parametrize(
    ("starts", "ends"),
    [
        (("31/12/2010", "30/12/2010"), ("02/01/2011", "13/01/2011")),
        (("12/31/2010", "12/30/2010"), ("01/02/2011", "01/13/2011")),
        (("31.12.2010", "30.12.2010"), ("2.1.2011", "13.1.2011")),
        (("2010-12-31", "2010-12-30 00:00"), ("2011-01-02", "2011-01-13")),
    ],
)
def test_dates_whose_order_the_column_tells(tmp_path, starts, ends):
    text = "patient,a,b\n" + "".join(f"{k},{a},{b}\n" for k, (a, b) in enumerate(zip(starts, ends, strict=True)))
    spec = {"t": {"days_between": ["a", "b"]}}
    table = read_patient_table([write(tmp_path / "t.csv", text)], mapping(tmp_path / "m.json", spec))
    np.testing.assert_array_equal(table.variable("t").values, [2, 14])


def test_fractions_of_ki67_are_told_from_percent(tmp_path):
    table = read_patient_table([write(tmp_path / "t.csv", "patient,ki67\nA,0.2\nB,0.35\nC,1\n")])
    np.testing.assert_allclose(table.variable("ki67").values, [20, 35, 100])
    assert "read as fractions" in table.variable("ki67").notes[0]


def test_shipped_mappings_fit_their_tables():
    duke = read_patient_table(
        [require_data("duke", "outcomes.csv"), require_data("duke", "imaging_features.csv.gz")], load_mapping("duke")
    )
    for name in duke.mapping.columns:
        assert duke.variable(name).known.sum() > 600
    known = duke.variable("log_volume").known & duke.variable("enhancing_fraction").known
    known &= duke.variable("rfs_time").values > 0
    assert (known.sum(), duke.variable("rfs_event").values[known].sum()) == (908, 118)
    ispy = read_patient_table(
        [require_data("ispy1", "I-SPY_1_All_Patient_Clinical_and_Outcome_Data.xlsx")], load_mapping("ispy1")
    )
    assert len(ispy) == 221
    first = ispy.variable("ld_early_change").values[0]
    assert first == pytest.approx(100 * (78 - 88) / 88)


GOOD = "patient,age,er,rfs_days,rfs_event\nA,45,1,100,0\nB,50,0,200,1\n"
BAD_TABLES = {
    "absent": (None, {}, "age", "does not exist"),
    "binary": (b"patient,age\nA,\x00\x01\n", {}, "age", "binary"),
    "damaged gzip": (b"\x1f\x8b\x08\x00garbage", {}, "age", "damaged gzip"),
    "no rows": ("patient,age\n", {}, "age", "no row below its header"),
    "column twice": ("patient,age,age\nA,1,2\n", {}, "age", "column 'age' twice"),
    "long row": ("patient,age\nA,45\nB,50,51\n", {}, "age", "Line 3 of .* 3 cells"),
    "no patient": ("patient,age\nA,45\n,50\n", {}, "age", "Line 3 of .* no patient"),
    "patient twice": ("patient,age\nA,45\nB,50\nA,45\n", {}, "age", "'A' is on lines 2 and 4 of .* twice"),
    "patient in conflict": ("patient,age\nA,45\nA,46\n", {}, "age", "conflicting values .age: '45' and '46'"),
    "text for a number": ("patient,age\nA,45\nB,old\n", {}, "age", "Line 3 of .* 'old', which is no number"),
    "impossible age": ("patient,age\nA,45\nB,450\n", {}, "age", "Line 3 of .* 450, outside the possible 15 to 110"),
    "unknown stage": ("patient,t_stage\nA,T2\nB,T7\n", {}, "t_stage", "Line 3 of .* unknown code 'T7'"),
    "yes or no": ("patient,er\nA,1\nB,5\n", {}, "er", "Line 3 of .* not yes or no"),
    "negative time": ("patient,rfs_days\nA,5\nB,-1\n", {}, "rfs_time", "Line 3 of .* negative"),
    "no time unit": ("patient,RFS\nA,5\nB,1\n", {}, "rfs_time", "unit of the follow-up times in 'RFS' is unknown"),
    "no such column": (GOOD, {}, "grade", "no variable or column 'grade'"),
    "two ages": ("patient,age,Age_years\nA,45,45\nB,50,50\n", {}, "age", "both look like Age"),
    "unmapped code": (GOOD, {"er": {"column": "er", "codes": {"1": "yes"}}}, "er", "Line 3 of .* does not name"),
    "mapped column absent": (GOOD, {"x": {"column": "nothing"}}, "x", "no column 'nothing'"),
    "wrong unit": (GOOD, {"age": {"column": "age", "unit": "mm"}}, "age", "'mm', which cannot be turned into 'years'"),
    "dates backwards": (
        "patient,a,b\nA,2011-01-01,2010-01-01\n", {"t": {"days_between": ["a", "b"]}}, "t", "ends before it begins"
    ),
    "no date": ("patient,a,b\nA,2011-01-01,soon\n", {"t": {"days_between": ["a", "b"]}}, "t", "Line 2 of .* no date"),
    "day or month": (
        "patient,a,b\nA,01/02/2011,03/04/2011\n", {"t": {"days_between": ["a", "b"]}}, "t", "do not tell day from month"
    ),
    "too many texts": (
        "patient,x\n" + "".join(f"{k},text{k}\n" for k in range(40)), {}, "x", "40 different texts"
    ),
    "log of a text": ("patient,x\nA,a\nB,b\n", {"x": {"column": "x", "transform": "log"}}, "x", "only numbers have"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables_are_refused_in_one_sentence(tmp_path, case):
    content, columns, name, message = BAD_TABLES[case]
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_patient_table([path], mapping(tmp_path / "m.json", columns)).variable(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_bad_mappings_and_workbooks_are_refused(tmp_path):
    with pytest.raises(InputError, match="no column mapping 'nobody'; use one of duke, ispy1"):
        load_mapping("nobody")
    with pytest.raises(InputError, match="not a valid column mapping"):
        mapping(tmp_path / "m.json", {"x": {"column": "a", "ratio": ["a", "b"]}})
    with pytest.raises(InputError, match="not a valid column mapping"):
        mapping(tmp_path / "m.json", {"x": {"colum": "a"}})
    with pytest.raises(InputError, match=r"workbook broken\.xlsx cannot be read"):
        read_patient_table([write(tmp_path / "broken.xlsx", "no zip")])
    with pytest.raises(InputError, match=r"No patient of a\.csv is in b\.csv"):
        read_patient_table([write(tmp_path / "a.csv", "id,x\nA,1\n"), write(tmp_path / "b.csv", "id,y\nB,1\n")])
    with pytest.raises(InputError, match="no patient column to join on"):
        read_patient_table([write(tmp_path / "a.csv", "id,x\nA,1\n"), write(tmp_path / "b.csv", "x,y\nB,1\n")])
