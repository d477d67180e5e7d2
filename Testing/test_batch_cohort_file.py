"""The cohort file: what is read, what is refused in one line, and the names of the exams' folders."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from RadiogenomicReportLib.batch_names import exam_names
from RadiogenomicReportLib.cohort_file import read_cohort
from RadiogenomicReportLib.command_line.batch import row_options
from RadiogenomicReportLib.command_line.main import build_parser, main
from SubregionHabitatLib.errors import InputError


def cohort(tmp_path, text, name="cohort.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8"))
    return path


def options(tmp_path, text, *arguments) -> list[argparse.Namespace]:
    path = cohort(tmp_path, text)
    args = build_parser().parse_args(["batch", str(path), "--out", "o", *arguments])
    found = read_cohort(path)
    return [row_options(row, args, found.folder) for row in found.rows]


def test_columns_are_read_whatever_their_spelling_and_the_rest_is_carried(tmp_path):
    found = read_cohort(
        cohort(
            tmp_path,
            '\ufeffPatient ID,Visit,EXAM,Seed-Point,Age Years,HER2,Site,\n A 1 ,T0,x,"1,2,3",50,1,Lyon,\n,,,\n',
        )
    )
    (row,) = found.rows
    assert (row.patient, row.visit, row.line) == ("A 1", "T0", 2)
    assert row.cells == {"exam": "x", "seed_point": "1,2,3", "age": "50", "her2": "1"}
    assert found.carried == ("Age Years", "HER2", "Site")
    assert row.carried == {"Age Years": "50", "HER2": "1", "Site": "Lyon"}
    assert found.unknown() == ("Site",)


def test_tabs_in_a_tsv_file_and_lines_of_cells_with_line_breaks(tmp_path):
    found = read_cohort(cohort(tmp_path, 'patient\texam\tnote\n1\ta\t"x\ny"\n2\tb\t\n', "c.tsv"))
    assert [(row.patient, row.line) for row in found.rows] == [("1", 2), ("2", 4)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column patient"),
        ("exam,voi\na,b\n", "no column patient"),
        ("patient,voi\na,b\n", "no column exam"),
        ("patient,exam\n", "holds no exam"),
        ("patient,exam,voi,VOI\n1,a,b,c\n", "the column voi more than once"),
        ("patient,exam,patient_id\n1,a,2\n", "the column patient more than once"),
        ("patient;exam\n1;a\n", "separated by semicolons"),
        ("patient,exam,times\n1,a,0,90,180\n", "has 5 cells and the header 3"),
        ("patient,exam\n,a\n", "Line 2 of the cohort cohort.csv names no patient"),
        ("patient,visit,exam\nP7,T0,a\nP7,T1,b\nP7,T0,c\n", "patient P7, visit T0 on lines 2 and 4"),
        ("patient,exam\nP7,a\nP7,b\n", "patient P7 on lines 2 and 3"),
        ('patient,exam\n1,"a\n', "cannot be read"),
        ("patient,exam,reason\nP7,a,b\n", "column reason has the name of a column of the results"),
    ],
)
def test_faults_of_the_table_are_refused_in_one_line(tmp_path, capsys, text, words):
    assert main(["batch", str(cohort(tmp_path, text)), "--out", str(tmp_path / "o")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("columns carried")]
    assert len(lines) == 1
    assert words in lines[0]
    assert not (tmp_path / "o").exists()


def test_files_that_are_no_table(tmp_path):
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00patient")
    for name in ("binary.csv", "missing.csv", "."):
        with pytest.raises(InputError, match="cannot be read"):
            read_cohort(tmp_path / name)


def test_cells_of_a_row_win_over_the_options_of_all(tmp_path):
    (tmp_path / "times.csv").write_text("time_s\n0\n90\n")
    first, second, third = options(
        tmp_path,
        "patient,exam,voi,times,early,late,no_times,injection,space\n"
        '1,a.nrrd; b.nrrd,v/m.nrrd,times.csv,2,,yes,12.5,RAS\n2,/abs/dicom,,,,5,,,\n3,a,,"0,60",,,0,,\n',
        *("--times", "0,100,200", "--early", "1", "--ring", "4", "--n4"),
    )
    assert first.exam == [tmp_path / "a.nrrd", tmp_path / "b.nrrd"]
    assert first.voi == tmp_path / "v" / "m.nrrd"
    assert (first.times, first.early, first.late) == (str(tmp_path / "times.csv"), 2, None)
    assert (first.no_times, first.injection, first.space) == (True, 12.5, "ras")
    assert second.exam == [Path("/abs/dicom")]
    assert (second.times, second.early, second.late, second.voi) == ("0,100,200", 1, 5, None)
    assert (third.times, third.no_times, third.ring, third.n4) == ("0,60", False, 4.0, True)


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [("early", "two", "whole number"), ("injection", "x", "not a number"), ("no_times", "perhaps", "1 .yes. or 0"),
     ("space", "mni", "give one of lps")],
)  # fmt: skip
def test_cells_that_cannot_be_used_name_their_column(tmp_path, column, cell, words):
    with pytest.raises(InputError, match=words) as error:
        options(tmp_path, f"patient,exam,{column}\n1,a,{cell}\n")
    assert str(error.value).startswith(column)


HOSTILE = [
    ("P1", "T0"), ("../../etc/passwd", ""), ("a/b", "c\\d"), ("line\nbreak", "\x00"), ("=cmd|' /C calc'!A0", "x"),
    ("..", ""), (".", "."), ("con", ""), ("NUL.txt", ""), (" ", " "), ("é" * 300, "T0"), ("-rf", ""), ("~", "$HOME"),
]  # fmt: skip


def test_folder_names_stay_inside_the_folder_and_apart():
    names = exam_names(HOSTILE)
    assert names[0] == "P1_T0"
    assert len({name.lower() for name in names}) == len(HOSTILE)
    for name in names:
        assert Path("/base", name).resolve().parent == Path("/base")
        assert len(name) <= 100
        assert name.isascii()
        assert not set(name) & set('/\\:*?"<>|\n\0 ~$=')
        assert name[0] not in ".-"
        assert name.split(".")[0].lower() not in ("con", "nul")


def test_exams_that_would_share_a_folder_get_names_apart_in_any_order():
    exams = [("a_b", "c"), ("a", "b_c"), ("P1", ""), ("p1", ""), ("x", "1")]
    names = exam_names(exams)
    assert len({name.lower() for name in names}) == 5
    assert names[4] == "x_1"
    assert exam_names(exams[::-1]) == names[::-1]
