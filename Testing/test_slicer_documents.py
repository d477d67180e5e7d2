"""What docs/slicer.md tells a reader to run is run here; what it shows exists."""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import update_module_pages as pages

from support.slicer_session import scene, session

host = session()

import slicer

from SubregionHabitatLib import mrml_bridge as bridge

REPOSITORY = Path(__file__).resolve().parents[1]
TUTORIAL = REPOSITORY / "docs" / "slicer.md"


def script(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lines_for_the_python_console_make_a_report(coarse, tmp_path, monkeypatch):
    (lines,) = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(lines, str(TUTORIAL), "exec"), names)  # noqa: S102
    assert names["report"].path == tmp_path / "report.html"
    assert "research use only" in (tmp_path / "report.html").read_text(encoding="utf-8").lower()


@pytest.fixture
def coarse(scene, monkeypatch):
    """The modules, with a coarse exam as the simulated one; its full size is that of the window's tests."""
    for name in host.MODULES:
        host.load_module(name)
    module = sys.modules["SubregionHabitat"]
    monkeypatch.setattr(module, "loadSimulatedExam", lambda: module.simulatedNodes()[1:])


def run_script(monkeypatch, report: Path) -> int:
    """Exit code of docs/slicer_headless.py as Slicer runs it."""
    codes = []
    monkeypatch.setattr(slicer.util, "exit", codes.append)
    monkeypatch.setattr(sys, "argv", ["slicer_headless.py", str(report)])
    runpy.run_path(str(REPOSITORY / "docs" / "slicer_headless.py"), run_name="__main__")
    (code,) = codes
    return code


def test_the_script_without_a_window_makes_a_report_and_ends_slicer(coarse, tmp_path, monkeypatch, capsys):
    report = tmp_path / "report.html"
    assert run_script(monkeypatch, report) == 0
    assert capsys.readouterr().out == f"research use only: {report}\n"
    assert "pcr-ispy2-v1" in report.read_text(encoding="utf-8")
    # an existing report is not replaced: the script says so and Slicer ends with 1
    assert run_script(monkeypatch, report) == 1
    assert "report.html exists" in capsys.readouterr().err


def test_the_tutorial_shows_and_names_what_exists():
    text = TUTORIAL.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (TUTORIAL.parent / target).exists(), target
    for name in host.MODULES:
        host.load_module(name)
        assert getattr(slicer.modules, name.lower()).title in text


@pytest.mark.parametrize("module", pages.PAGES)
def test_every_control_stands_on_the_page_of_its_module(module):
    path = REPOSITORY / "docs" / pages.PAGES[module]
    assert path.read_text(encoding="utf-8") == pages.updated(module), "run `python Testing/update_module_pages.py`"
    shown = {control.shown for control in pages.controls(module)}
    assert len(shown) > 15
    assert set(re.findall(r"\*\*([^*]+)\*\*", path.read_text(encoding="utf-8").split(pages.START)[0])) <= shown | {
        "simulated"
    }


@pytest.mark.parametrize("module", pages.PAGES)
def test_methods_and_nodes_that_a_page_names_exist(module):
    text = (REPOSITORY / "docs" / pages.PAGES[module]).read_text(encoding="utf-8")
    logic = getattr(host.load_module(module), f"{module}Logic")
    methods = re.findall(r"^\| `(\w+)\(([\w, ]*)\)` \|", text, re.MULTILINE)
    assert len(methods) >= 5
    for method, arguments in methods:
        known = inspect.signature(getattr(logic, method)).parameters
        assert list(dict.fromkeys(arguments.split(", "))) == [n for n in known if n not in ("self", "settings")]
    sources = "\n".join(f.read_text("utf-8") for f in REPOSITORY.glob("*/*Panel/*.py"))
    files = [*(REPOSITORY / m / f"{m}.py" for m in host.MODULES), *Path(bridge.__file__).parent.glob("*.py")]
    sources += "\n".join(file.read_text("utf-8") for file in files)
    for node in re.findall(r"`IITH ([^`]+)`", text.split("## Logic")[0]):
        known = f'"IITH {node}"' in sources or node.replace(" ", "_") in bridge.MAP_DISPLAY or f'"{node}"' in sources
        assert known, node


def test_the_help_of_a_module_leads_to_its_page(scene):
    from SubregionHabitatPanel.documentation import PAGES

    entry = json.loads((REPOSITORY / "IITH.json").read_text(encoding="utf-8"))
    assert entry["scm_url"].removesuffix(".git") + "/blob/main/docs/" == PAGES
    for name, page in pages.PAGES.items():
        host.load_module(name)
        assert f'href="{PAGES}{page}"' in getattr(slicer.modules, name.lower()).helpText


def test_the_run_inside_a_real_slicer_passes(scene, capsys):
    run = script(REPOSITORY / "Testing" / "slicer_tests.py")
    assert run.MODULES == host.MODULES
    for name in host.MODULES:
        host.open_module(name)
        host.leave_module(name)
    assert run.run_all() == 0
    assert "6 passed, 0 failed" in capsys.readouterr().out
