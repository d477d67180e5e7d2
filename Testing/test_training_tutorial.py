"""The commands of docs/training.md, one after the other, on simulated exams small enough for a test."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from IITHModuleLib.model_file import load_model
from SubregionHabitatLib.simulation import simulate_exam
from SubregionHabitatLib.volume_io import write_volume
from support.cohorts import MODULES, PARAMETERS, REPOSITORY, write_cohort

N_EXAMS = 14


def commands() -> list[str]:
    """The code blocks of the tutorial's section."""
    text = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    section = text.split("## The tutorial")[1].split("\n## ")[0]
    return [block.strip() for block in re.findall(r"```\n(.*?)```", section, re.DOTALL)]


def prepared(folder: Path) -> dict[str, str]:
    """A folder with the command ``iith`` on its path; the environment that finds it."""
    (folder / "bin").mkdir()
    script = folder / "bin" / "iith"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m RadiogenomicReportLib.command_line.main "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    python = folder / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return os.environ | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / m) for m in MODULES),
    }


def small_lesions(folder: Path) -> list[dict]:
    """Balls of different size in the simulated lesion, as drawn lesions, and the cells that name them."""
    simulated = simulate_exam(PARAMETERS)
    geometry = simulated.exam.geometry
    voxels = np.argwhere(simulated.voi)
    spacing = np.array(geometry.spacing_mm)[::-1]
    grid = np.stack(np.indices(simulated.voi.shape), axis=-1)
    away = np.linalg.norm((grid - voxels.mean(axis=0)) * spacing, axis=-1)
    folder.mkdir()
    cells = []
    for k in range(N_EXAMS):
        ball = away <= 6 + 0.5 * k
        write_volume(folder / f"ball{k}.nrrd", ball.astype(np.uint8), geometry)
        volume = ball.sum() * geometry.voxel_volume_mm3
        cells.append({"patient": f"SIM-{k:04d}", "visit": "", "lesion": f"ball{k}.nrrd", "voi": "",
                      "wanted_volume_mm3": f"{volume:.0f}"})  # fmt: skip
    return cells


def test_the_tutorial_runs_as_it_is_written(tmp_path):
    blocks = commands()
    assert [b.split()[1] for b in blocks if b.startswith("iith")] == ["simulate-cohort", "batch", "train", "score"]
    environment = prepared(tmp_path)
    # Exams of the documented size take minutes: smaller ones of the same layout take their place, with a coarse preset.
    write_cohort(tmp_path / "exams", N_EXAMS, small_lesions(tmp_path / "exams"))
    done = {}
    for block in blocks[1:]:
        shell = block
        if block.startswith("iith batch"):
            shell += " --preset exams/coarse.json --jobs 0"
        found = subprocess.run(
            ["/bin/sh", "-ec", shell], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, f"{block}\n{found.stderr}"
        done[block.split("\n")[0]] = found.stdout
    model = load_model(tmp_path / "my-response")
    assert model.id == "my-response"
    assert model.forms[0].n == N_EXAMS
    size = next(f for f in model.forms[0].features if f.name == "lesion|kinetic|kinetic_size_LogVolume")
    assert size.unit == "ln mm3"
    assert len(model.forms[0].features) == 2
    card = (tmp_path / "my-response" / "MODEL_CARD.md").read_text()
    for text in ("### Null check", "### Decision curve", "log lesion volume alone", "Events per input"):
        assert text in card
    scores = done["iith score my-response results/exams/SIM-0000"]
    one, table = scores.split("patient_id,", 1)
    assert "percentile in training" in one
    assert "95 % interval" in one
    assert table.count("\n") == N_EXAMS + 1
    value = float(re.search(r"probability of outcome: ([0-9.e-]+)", one)[1])
    rows = list(csv.DictReader(f"patient_id,{table}".splitlines()))
    (row,) = [r for r in rows if r["patient_id"] == "SIM-0000"]
    assert float(row["value"]) == pytest.approx(value, rel=5e-3)
    recorded = json.loads((tmp_path / "my-response" / "model.json").read_text())["training"]["command"]
    assert sorted(shlex.split(recorded)) == sorted(shlex.split(blocks[3].replace("results/", "")))
