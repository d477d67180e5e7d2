"""What docs/slicer.md tells a reader to run is run here; what it shows exists."""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from support.slicer_session import scene, session

host = session()

import slicer

REPOSITORY = Path(__file__).resolve().parents[1]
TUTORIAL = REPOSITORY / "docs" / "slicer.md"


def script(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lines_for_the_python_console_make_a_report(scene, tmp_path, monkeypatch):
    for name in host.MODULES:
        host.load_module(name)
    (lines,) = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(lines, str(TUTORIAL), "exec"), names)  # noqa: S102
    assert names["report"].path == tmp_path / "report.html"
    assert "research use only" in (tmp_path / "report.html").read_text(encoding="utf-8").lower()


def test_the_script_without_a_window_holds_the_same_lines():
    text = (REPOSITORY / "docs" / "slicer_headless.py").read_text(encoding="utf-8")
    for call in (
        "loadSimulatedExam()",
        "SubregionHabitatLogic().processNodes",
        "RadiogenomicReportLogic().processNodes",
    ):
        assert call in text
        assert call in TUTORIAL.read_text(encoding="utf-8")
    assert callable(script(REPOSITORY / "docs" / "slicer_headless.py").main)


def test_the_tutorial_shows_and_names_what_exists():
    text = TUTORIAL.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (TUTORIAL.parent / target).exists(), target
    for name in host.MODULES:
        module, (row,) = host.load_module(name), re.findall(rf"\| `{name}` \| (.*?) \|", text)
        for method in re.findall(r"`(\w+)`", row):
            assert hasattr(getattr(module, f"{name}Logic"), method)
        assert getattr(slicer.modules, name.lower()).title in text


def test_the_run_inside_a_real_slicer_knows_every_module():
    assert script(REPOSITORY / "Testing" / "slicer_tests.py").MODULES == host.MODULES
