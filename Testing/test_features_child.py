"""Features from a process of its own (as inside Slicer), and the runner of such processes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from IITHModuleLib.feature_child import extract_in_child
from IITHModuleLib.features import extract_features
from IITHModuleLib.presets import load_preset
from SubregionHabitatLib import python_child
from SubregionHabitatLib.analysis import analyze_imaging
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.progress import Silent
from SubregionHabitatLib.python_child import run_python
from SubregionHabitatLib.simulation import simulate_exam
from support import cohorts


@pytest.fixture(scope="module")
def imaging():
    simulated = simulate_exam(cohorts.PARAMETERS)
    return analyze_imaging(simulated.exam, voi=RegionMask(simulated.voi, "voi"))


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Write a module that ``run_python`` finds and return its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> str:
        (tmp_path / "child_script.py").write_text(text)
        return "child_script"

    return write


class Recorded:
    def __init__(self, stop_at: str | None = None) -> None:
        self.steps, self.stop_at = [], stop_at

    def step(self, fraction: float, message: str) -> None:
        self.steps.append((fraction, message))
        if message == self.stop_at:
            raise Cancelled("stopped")


def no_step(line):
    return None


def test_the_child_gives_the_table_of_the_same_call_here(imaging):
    regions, progress = imaging.regions(), Recorded()
    arguments = (imaging.exam, imaging.maps, regions)
    found = extract_in_child(*arguments, "captk", "native", imaging.reference, progress)
    assert found == extract_features(*arguments, load_preset("captk"), "native", imaging.reference)
    fractions = [fraction for fraction, _ in progress.steps]
    assert fractions == sorted(fractions)
    assert progress.steps[0] == (0.0, "handing the exam over")
    assert progress.steps[-1][0] == 1.0


def test_what_the_child_refuses_is_said_here(imaging):
    with pytest.raises(InputError, match=r"^The feature engine nothing is unknown; choose one of native"):
        extract_in_child(imaging.exam, imaging.maps, imaging.regions(), "captk", "nothing", imaging.reference)
    with pytest.raises(InputError, match="preset nothing is unknown"):
        extract_in_child(imaging.exam, imaging.maps, imaging.regions(), "nothing", "native", None)


def test_stopping_ends_the_child_and_what_it_started(script, tmp_path):
    name = script(
        "import os, subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{p.pid}}')\n"
        "print('go', flush=True)\ntime.sleep(600)\n"
    )
    start = time.monotonic()
    with pytest.raises(Cancelled):
        run_python(name, [], Recorded("go"), lambda line: (0.5, line))
    assert time.monotonic() - start < 30
    if os.path.isdir("/proc"):
        deadline = time.monotonic() + 10
        pids = (tmp_path / "pids").read_text().split()
        while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(_runs(pid) for pid in pids)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_exit_codes_become_what_they_mean(script):
    assert run_python(script("print('a')\nprint('b')"), [], Silent(), no_step) == ["a", "b"]
    with pytest.raises(InputError, match=r"^the table is empty$"):
        run_python(script("print('iith x: the table is empty'); raise SystemExit(2)"), [], Silent(), no_step)
    with pytest.raises(Cancelled):
        run_python(script("raise SystemExit(130)"), [], Silent(), no_step)
    with pytest.raises(RuntimeError, match=r"exit code 1.*ValueError: deep"):
        run_python(script("raise ValueError('deep')"), [], Silent(), no_step)


def test_the_child_gets_arguments_paths_and_one_thread(script, monkeypatch):
    name = script("import os, sys\nprint(sys.argv[1:], os.environ['OMP_NUM_THREADS'])\nimport IITHModuleLib")
    assert run_python(name, ["a b", "ä"], Silent(), no_step, one_thread=True) == ["['a b', 'ä'] 1"]


def test_slicers_python_is_taken_where_there_is_one(tmp_path, monkeypatch):
    assert python_child.python_executable() == sys.executable
    slicer_python = tmp_path / "PythonSlicer"
    slicer_python.write_text("#!/bin/sh\n")
    slicer_python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    if os.name == "posix":
        assert python_child.python_executable() == str(slicer_python)
