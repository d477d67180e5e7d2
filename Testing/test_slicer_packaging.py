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


def test_every_package_of_the_libraries_is_installed_by_pip():
    block = re.search(
        r"^packages = \[\n(.*?)^\]", (REPOSITORY / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE
    )
    named = set(re.findall(r'"([\w.]+)"', block.group(1))) - {"IITHResources"}
    folders = [f.parent for m in lists.MODULES for f in (REPOSITORY / m / f"{m}Lib").rglob("__init__.py")]
    assert named == {".".join(folder.relative_to(REPOSITORY).parts[1:]) for folder in folders}


def test_libraries_import_neither_slicer_nor_vtk_nor_qt():
    wanted = re.compile(r"^\s*(?:import|from)\s+(slicer|vtk|qt|ctk)\b", re.MULTILINE)
    files = [f for m in lists.MODULES for f in (REPOSITORY / m / f"{m}Lib").rglob("*.py")]
    assert {f.parent.name for f in files if wanted.search(f.read_text(encoding="utf-8"))} == {"mrml_bridge"}


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


RUN_INSTALLED = """
import sys
from pathlib import Path
sys.path.insert(0, {testing!r})
from SlicerHost import host, widgets
host.start(installed=Path({folder!r}))
import slicer
for name in host.MODULES:
    module = host.load_module(name)
    assert Path(module.__file__).parent == Path({folder!r}), module.__file__
slicer.app.finish_startup()
for name in host.MODULES:
    test = getattr(sys.modules[name], name + "Test")()
    test.messageDelay = 0
    test.runTest()
    slicer.mrmlScene.Clear(0)
    host.open_module(name)
    host.leave_module(name)
assert widgets.slot_errors == [], widgets.slot_errors
libraries = [
    m for n, m in sys.modules.items() if n.split(".")[0].endswith(("Lib", "Panel")) and getattr(m, "__file__", None)
]
outside = [m.__file__ for m in libraries if not m.__file__.startswith({folder!r})]
assert not outside, outside
print("installed tree works")
"""


def test_a_tree_of_what_cmake_installs_works_in_the_host(tmp_path):
    """Nothing is forgotten in the lists: self-tests and panels run from the installed files alone."""
    import shutil
    import subprocess
    import sys

    pytest.importorskip("slicer", reason="slicer-core is not installed")
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
    folder = tmp_path / "qt-scripted-modules"
    for module in lists.MODULES:
        text = (REPOSITORY / module / "CMakeLists.txt").read_text(encoding="utf-8")
        for variable in ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"):
            for name in re.search(rf"set\({variable}\n(.*?)\)", text, re.S)[1].split():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(REPOSITORY / module / name, folder / name)
    keep_out = shutil.ignore_patterns("CMakeLists.txt", "__pycache__")
    shutil.copytree(REPOSITORY / "Resources", folder / "Resources" / "IITH", ignore=keep_out)
    code = RUN_INSTALLED.format(testing=str(REPOSITORY / "Testing"), folder=str(folder))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code] if sys.version_info >= (3, 11) else [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert "installed tree works" in done.stdout, done.stderr[-3000:]


def test_the_catalogue_entry_is_one_that_slicers_index_takes():
    import json

    entry = json.loads((REPOSITORY / "IITH.json").read_text(encoding="utf-8"))
    known = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "build_subdirectory",
             "enabled", "tier", "dicom_support_rule"}  # fmt: skip
    assert {"$schema", "category", "scm_url"} <= set(entry) <= known
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert (entry["category"], entry["tier"]) == ("Quantification", 3)
    assert (REPOSITORY / "LICENSE").is_file()
