"""``iith simulate``: what it writes, what it refuses and what it leaves alone."""

from __future__ import annotations

import argparse
import json

import pytest
import SimpleITK as sitk

from RadiogenomicReportLib.command_line import simulate
from SubregionHabitatLib.errors import InputError


def command(*words):
    parser = argparse.ArgumentParser()
    simulate.add_parser(parser.add_subparsers())
    return parser.parse_args(["simulate", *map(str, words)])


def test_writes_exam_region_and_truth(tmp_path, capsys):
    out = tmp_path / "new" / "exam"
    arguments = command("--out", out, "--seed", 6, "--orientation", "axial", "--radius", 9, "--noise", 0)
    arguments.json = True
    assert simulate.run(arguments) == 0
    assert len(list((out / "dicom").glob("*.dcm"))) == 5 * 64
    voi = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "voi.nrrd")))
    zones = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "truth" / "truth_zones.nrrd")))
    assert set(zones.ravel()) == {0, 1, 2, 3}
    assert (voi[zones > 0] == 1).all()
    truth = json.loads((out / "truth" / "truth.json").read_text())
    assert truth["parameters"]["lesion_radii_mm"] == [9.0, 9.0, 9.0]
    assert truth["parameters"]["noise_sigma"] == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["truth"] == truth
    assert "research use only" in captured.err
    assert [path.name for path in out.parent.iterdir()] == ["exam"]


def test_refuses_a_folder_with_content_and_leaves_it_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        simulate.run(command("--out", tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_refuses_a_file_as_folder(tmp_path):
    target = tmp_path / "file"
    target.write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        simulate.run(command("--out", target))
    with pytest.raises(InputError, match="name another"):
        simulate.run(command("--out", target / "below"))
    assert target.read_text() == "keep"


def test_impossible_values_leave_nothing_behind(tmp_path):
    for words in (["--radius", 60], ["--noise", -1], ["--seed", -1], ["--heterogeneity", 9]):
        with pytest.raises(InputError):
            simulate.run(command("--out", tmp_path / "exam", *words))
    assert list(tmp_path.iterdir()) == []
