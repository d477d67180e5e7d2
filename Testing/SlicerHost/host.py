"""Start a Slicer-like session on ``slicer-core`` and load scripted modules into it as Slicer does."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import shiboken6

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")
# C++ module logics that scripted modules and slicer.util call, with the class that slicer-core has for each.
LOGICS = {
    "colors": ("vtkSlicerColorLogic", "Colors"),
    "volumes": ("vtkSlicerVolumesLogic", "Volumes"),
    "terminologies": ("vtkSlicerTerminologiesModuleLogic", "Terminologies"),
    "segmentations": ("vtkSlicerSegmentationsModuleLogic", "Segmentations"),
    "sequences": ("vtkSlicerSequencesLogic", "Sequences"),
    "subjecthierarchy": ("vtkSlicerSubjectHierarchyModuleLogic", "SubjectHierarchy"),
    "markups": ("vtkSlicerMarkupsLogic", "Markups"),
    "plots": ("vtkSlicerPlotsLogic", "Plots"),
    "tables": ("vtkSlicerTablesLogic", "Tables"),
}
_started: dict = {}


def start(slicer_source: str | None = None, installed: Path | None = None):
    """The scene of a running session; started on the first call, the same session after that.

    slicer_source: a checkout of Slicer's sources; its ScriptedLoadableModule, parameterNodeWrapper, i18n and
    packaging are then used in place of the stand-ins. One process runs one or the other, else RuntimeError.
    installed: the one folder that holds all modules of an installed extension, in place of the repository's three.
    """
    if _started:
        if _started["source"] != slicer_source:
            raise RuntimeError("this process already runs the other kind of session; use a new process")
        return _started["scene"]
    import slicer
    import slicer.util

    _install_qt(slicer)
    _start_scene(slicer)
    if slicer_source is None:
        _install_framework(slicer)
    else:
        slicer.__path__.append(str(Path(slicer_source) / "Base" / "Python" / "slicer"))
    _started.update(source=slicer_source, scene=slicer.mrmlScene, installed=installed)
    for name in MODULES:
        folder = str(_module_file(name).parent)
        if folder not in sys.path:
            sys.path.append(folder)
    return slicer.mrmlScene


def _module_file(name: str) -> Path:
    return (_started["installed"] or REPOSITORY / name) / f"{name}.py"


def _install_qt(slicer) -> None:
    from . import application, mrml_widgets, segment_editor, widgets

    qt, ctk = types.ModuleType("qt"), types.ModuleType("ctk")
    for source in (widgets, mrml_widgets, segment_editor, application):
        for name, value in vars(source).items():
            if name.startswith("Q"):
                setattr(qt, name, value)
            elif name.startswith("ctk"):
                setattr(ctk, name, value)
            elif name.startswith(("qMRML", "qSlicer")):
                setattr(slicer, name, value)
    qt.QSettings = application.Settings
    sample_data = types.ModuleType("SampleData")
    sample_data.SampleDataLogic = application.SampleDataLogic
    sys.modules["SampleData"] = sample_data
    slicer.qSlicerScriptedLoadableModule = application.ScriptedModule
    slicer.qSlicerScriptedLoadableModuleWidget = application.ModuleWidget
    sys.modules["qt"], sys.modules["ctk"] = qt, ctk


def _start_scene(slicer) -> None:
    from . import application, views

    application_logic = slicer.vtkSlicerApplicationLogic()
    scene = slicer.vtkMRMLScene()
    application_logic.SetMRMLScene(scene)
    slicer.mrmlScene = scene
    slicer.app = application.Application(application_logic)
    slicer.modules = types.ModuleType("slicer.modules")
    sys.modules["slicer.modules"] = slicer.modules
    for name, (class_name, module_name) in LOGICS.items():
        logic = _quietly(getattr(slicer, class_name))
        logic.SetMRMLApplicationLogic(application_logic)
        application_logic.SetModuleLogic(module_name, logic)
        _quietly(logic.SetMRMLScene, scene)
        module = application.CoreModule(logic)
        setattr(slicer.modules, name, module)
        slicer.app.moduleManager().modules[module_name] = module
    slicer.app._layout_manager = views.LayoutManager(application_logic)
    _add_color_table(scene)
    scene.AddObserver(scene.EndCloseEvent, lambda *_: _add_color_table(scene))


def _add_color_table(scene) -> None:
    """Viridis, which Slicer's color logic reads from a file that slicer-core does not ship."""
    import slicer

    if scene.GetNodeByID("vtkMRMLColorTableNodeFileViridis.txt") is not None:
        scene.RemoveNode(scene.GetNodeByID("vtkMRMLColorTableNodeFileViridis.txt"))
    from matplotlib import colormaps

    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetSingletonTag("FileViridis.txt")
    node.SetName("Viridis")
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetNumberOfColors(256)
    for index, color in enumerate(colormaps["viridis"](range(256))):
        node.SetColor(index, f"{index}", *(float(part) for part in color))
    scene.AddNode(node)


def _quietly(call, *arguments):
    """Without VTK's messages: the terminology logic logs that slicer-core ships no terminology files."""
    import vtk

    before = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        return call(*arguments)
    finally:
        vtk.vtkLogger.SetStderrVerbosity(before)


def _install_framework(slicer) -> None:
    stand_ins = {
        "i18n": "i18n",
        "packaging": "packaging",
        "ScriptedLoadableModule": "scripted_loadable_module",
        "parameterNodeWrapper": "parameter_node_wrapper",
    }
    for name, file in stand_ins.items():
        module = importlib.import_module(f".{file}", __package__)
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)


def load_module(name: str):
    """Execute ``<name>/<name>.py`` as a module of that name and register it; returns the Python module."""
    import slicer

    from . import application

    if name in slicer.app.moduleManager().modules:
        return sys.modules[name]
    path = _module_file(name)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    parent = application.ScriptedModule(name, str(path))
    setattr(slicer.modules, name.lower(), parent)
    setattr(slicer.modules, f"{name}Instance", getattr(module, name)(parent))
    if not parent.title:
        raise RuntimeError(f"{name} has an empty title: Slicer does not load it")
    slicer.app.moduleManager().modules[name] = parent
    return module


def open_module(name: str):
    """What selecting the module does: make its widget the first time, set it up, enter it. Returns it."""
    import slicer

    from . import application

    module = load_module(name)
    parent = getattr(slicer.modules, name.lower())
    if parent.widgetRepresentation() is None:
        panel = application.ModuleWidget()
        widget = getattr(module, f"{name}Widget")(panel)
        panel._python = widget
        parent._widget = panel
        setattr(slicer.modules, f"{name}Widget", widget)
        widget.setup()
        panel.setMRMLScene(slicer.mrmlScene)
    widget = parent.widgetRepresentation().self()
    if not parent.widgetRepresentation().isEntered:
        parent.widgetRepresentation().isEntered = True
        widget.enter()
    return widget


def leave_module(name: str) -> None:
    """What selecting another module does."""
    import slicer

    parent = getattr(slicer.modules, name.lower(), None)
    panel = None if parent is None else parent.widgetRepresentation()
    if panel is not None and panel.isEntered:
        panel.self().exit()
        panel.isEntered = False


def close_module(name: str) -> None:
    """Leave the module and unload its widget, so that the next ``open_module`` sets up a new one."""
    import slicer

    parent = getattr(slicer.modules, name.lower(), None)
    if parent is not None and parent.widgetRepresentation() is not None:
        leave_module(name)
        slicer.app.moduleManager().unload(name)
        # as in Slicer the widgets are gone then, and with them what they observe in the scene
        shiboken6.delete(parent.widgetRepresentation())
        parent._widget = None
        delattr(slicer.modules, f"{name}Widget")


def save_scene(path: Path) -> None:
    """Write the scene as an .mrb bundle."""
    import slicer

    slicer.mrmlScene.SetURL(str(path))
    if not slicer.mrmlScene.WriteToMRB(str(path)):
        raise RuntimeError(f"could not write {path}")


def load_scene(path: Path, folder: Path) -> None:
    """Close the scene and read an .mrb bundle, unpacked into ``folder`` (an existing empty folder)."""
    import zipfile

    import slicer

    with zipfile.ZipFile(path) as bundle:
        bundle.extractall(folder)
    slicer.mrmlScene.SetURL(str(next(folder.rglob("*.mrml"))))
    if not slicer.mrmlScene.Connect():
        raise RuntimeError(f"could not read {path}")
