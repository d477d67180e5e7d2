"""What the CMake files package: every file once, nothing forgotten, nothing in vain."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import update_cmake_lists as lists

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("module", lists.MODULES)
def test_every_file_is_listed_and_every_listed_file_exists(module):
    found = lists.differences(module)
    assert not found, "run `python Testing/update_cmake_lists.py`:\n" + "\n".join(found)


def test_the_check_sees_a_forgotten_and_a_vanished_file(tmp_path):
    folder = tmp_path / "Mod"
    (folder / "ModLib" / "__pycache__").mkdir(parents=True)
    (folder / "Resources" / "UI").mkdir(parents=True)
    for name in ("Mod.py", "ModLib/__init__.py", "ModLib/__pycache__/x.cpython-311.pyc", "Resources/UI/Mod.ui"):
        (folder / name).write_text("")
    (folder / "CMakeLists.txt").write_text(
        "set(MODULE_PYTHON_SCRIPTS\n  Mod.py\n  ModLib/gone.py\n  )\nset(MODULE_PYTHON_RESOURCES\n  )\nafter()\n"
    )
    assert lists.differences("Mod", tmp_path) == [
        "Mod/CMakeLists.txt: add ModLib/__init__.py to MODULE_PYTHON_SCRIPTS",
        "Mod/CMakeLists.txt: remove ModLib/gone.py from MODULE_PYTHON_SCRIPTS",
        "Mod/CMakeLists.txt: add Resources/UI/Mod.ui to MODULE_PYTHON_RESOURCES",
    ]
    lists.rewrite("Mod", tmp_path)
    assert lists.differences("Mod", tmp_path) == []
    assert (folder / "CMakeLists.txt").read_text().endswith("after()\n")


def test_no_two_modules_install_one_path():
    paths = [name for module in lists.MODULES for names in lists.wanted(module).values() for name in names]
    assert len(paths) == len(set(paths))
    assert not [name for name in paths if name.startswith("Resources/IITH/")]


def test_no_stray_python_file_is_taken_for_a_module():
    for module in lists.MODULES:
        assert [p.name for p in (REPOSITORY / module).glob("*.py")] == [f"{module}.py"]


def test_the_shared_resources_are_copied_and_installed_where_the_library_looks():
    text = (REPOSITORY / "Resources" / "CMakeLists.txt").read_text()
    copy, install = re.search(r"file\(COPY.*?\)\n", text, re.S)[0], re.search(r"install\(.*?\)\n", text, re.S)[0]
    assert "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/Resources/IITH" in copy
    assert "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/Resources/IITH" in install
    assert "COMPONENT RuntimeLibraries" in install
    assert "${CMAKE_CURRENT_SOURCE_DIR}/\n" in copy + install
    top = (REPOSITORY / "CMakeLists.txt").read_text()
    for folder in (*lists.MODULES, "Resources"):
        assert f"add_subdirectory({folder})" in top
    assert "project(IITH)" in top


def test_a_slicer_install_finds_its_resources(tmp_path):
    """The installed layout: all libraries and Resources/IITH in one folder, without the repository around them."""
    import shutil
    import subprocess
    import sys

    for module in ("SubregionHabitat", "IITHModule"):
        shutil.copytree(REPOSITORY / module / f"{module}Lib", tmp_path / f"{module}Lib")
    shutil.copytree(REPOSITORY / "Resources", tmp_path / "Resources" / "IITH")
    code = "from IITHModuleLib.resources import resource_path; print(resource_path('Presets', 'mr_default.json'))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert Path(done.stdout.strip()) == tmp_path / "Resources" / "IITH" / "Presets" / "mr_default.json"


@pytest.mark.parametrize("module", lists.MODULES)
def test_panels_connect_every_mrml_widget_and_bind_parameters_dynamically(module):
    root = ElementTree.parse(REPOSITORY / module / "Resources" / "UI" / f"{module}.ui").getroot()
    used = {w.get("name"): w.get("class") for w in root.iter("widget")}
    top = root.find("widget").get("name")
    mrml = {name for name, cls in used.items() if cls.startswith("qMRML") and name != top}
    connected = {c.findtext("receiver") for c in root.iterfind("connections/connection")}
    assert connected == mrml
    known = {c.findtext("class") for c in root.iterfind("customwidgets/customwidget")}
    assert {cls for cls in used.values() if cls.startswith(("qMRML", "ctk"))} <= known
    for entry in root.iter("property"):
        if entry.get("name") == "SlicerParameterName":
            assert entry.get("stdset") == "0"


@pytest.mark.parametrize("module", lists.MODULES)
def test_icons_are_drawings_of_modest_size(module):
    icon = REPOSITORY / module / "Resources" / "Icons" / f"{module}.svg"
    assert ElementTree.parse(icon).getroot().tag.endswith("svg")
    assert icon.stat().st_size < 20_000
