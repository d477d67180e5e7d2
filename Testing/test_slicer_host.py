"""The stand-ins behave as Slicer does in the points that the modules rely on.

The same tests run on Slicer's own framework where its sources are at hand (test_slicer_sources.py).
"""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import enum
import pathlib
from typing import Annotated, Optional

import numpy as np
import pytest

from support.slicer_session import scene, session

session()

import slicer
import vtk
from slicer.parameterNodeWrapper import Choice, Default, FloatRange, RangeBounds, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from SlicerHost import mrml_widgets, ui_loader, widgets


class Plane(enum.Enum):
    AXIAL = "a"
    SAGITTAL = "s"


@parameterNodeWrapper
class Everything:
    number: Annotated[int, WithinRange(2, 10)] = 3
    real: float = 1.5
    flag: bool = True
    text: str = "abc"
    plane: Plane
    path: pathlib.Path
    volume: slicer.vtkMRMLScalarVolumeNode
    volumes: list[slicer.vtkMRMLScalarVolumeNode]
    words: Annotated[list[str], Default(["a", "b"])]
    maybe: Optional[int]  # noqa: UP045 - both spellings are stored alike
    limits: Annotated[FloatRange, RangeBounds(0, 10), Default(FloatRange(1, 2))]
    choice: Annotated[str, Choice(["one", "two"])] = "one"


def parameter_node(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    return node, Everything(node)


def test_every_type_is_stored_as_slicer_stores_it(scene):
    node, parameters = parameter_node(scene)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters.number, parameters.flag, parameters.plane = 5, False, Plane.SAGITTAL
    parameters.path, parameters.volume, parameters.volumes = pathlib.Path("a/b"), volume, [volume]
    parameters.maybe = 7
    stored = {name: node.GetParameter(name) for name in node.GetParameterNames()}
    assert stored == {
        "number": "5",
        "real": "1.5",
        "flag": "False",
        "text": "abc",
        "plane": "SAGITTAL",
        "path": str(pathlib.Path("a/b")),
        "volume": "",
        "volumes.len": "1",
        "volumes.0": "",
        "words.len": "2",
        "words.0": "a",
        "words.1": "b",
        "maybe.0": "7",
        "limits._minimum": "1",
        "limits._maximum": "2",
        "choice": "one",
    }
    assert node.GetNodeReference("volume") is volume
    assert node.GetNodeReference("volumes.0") is volume
    parameters.maybe = None
    assert (node.GetParameter("maybe.1"), node.HasParameter("maybe.0")) == ("True", False)


def test_stored_values_are_read_back_by_a_second_wrapper(scene):
    node, parameters = parameter_node(scene)
    parameters.words.append("c")
    parameters.limits = FloatRange(3, 4)
    parameters.plane = Plane.SAGITTAL
    again = Everything(node)
    assert list(again.words) == ["a", "b", "c"]
    assert (again.limits.minimum, again.limits.maximum) == (3, 4)
    assert again.plane is Plane.SAGITTAL
    assert again.maybe is None
    assert again.default("number").value == 3


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("number", np.int64(4), TypeError),
        ("number", 4.0, TypeError),
        ("number", 11, ValueError),
        ("number", None, ValueError),
        ("real", np.float32(1), TypeError),
        ("path", "a/b", TypeError),
        ("choice", "three", ValueError),
        ("text", 5, TypeError),
    ],
)
def test_a_wrong_value_raises_and_leaves_the_old_one(scene, name, value, error):
    _node, parameters = parameter_node(scene)
    before = getattr(parameters, name)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_numpy_float64_is_a_float_and_a_wrong_node_class_is_refused(scene):
    _node, parameters = parameter_node(scene)
    parameters.real = np.float64(2.25)
    assert parameters.real == 2.25
    with pytest.raises(TypeError):
        parameters.volume = scene.AddNewNodeByClass("vtkMRMLTableNode")
    assert parameters.volume is None


def test_a_misspelt_name_is_a_plain_attribute(scene):
    node, parameters = parameter_node(scene)
    parameters.nubmer = 7
    assert not node.HasParameter("nubmer")
    with pytest.raises(ValueError, match="nubmer"):
        parameters.setValue("nubmer", 7)


def test_one_event_per_assignment_none_for_an_equal_value(scene):
    node, parameters = parameter_node(scene)
    events = []
    node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: events.append(1))
    parameters.number = 4
    parameters.words = ["x", "y", "z"]
    assert len(events) == 2
    parameters.number = 4
    assert len(events) == 2
    with slicer.util.NodeModify(parameters):
        parameters.number, parameters.text = 5, "new"
    assert len(events) == 3


def test_a_change_made_elsewhere_is_seen_and_a_removed_node_reads_none(scene):
    node, parameters = parameter_node(scene)
    node.SetParameter("number", "9")
    assert parameters.number == 9
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters.volume = volume
    scene.RemoveNode(volume)
    assert parameters.volume is None


def test_lists_are_observed_and_do_not_add(scene):
    node, parameters = parameter_node(scene)
    assert not isinstance(parameters.words, list)
    parameters.words += ["c"]
    assert node.GetParameter("words.2") == "c"
    with pytest.raises(NotImplementedError):
        parameters.words + ["d"]  # noqa: RUF005
    del parameters.words[0]
    assert (node.GetParameter("words.len"), node.HasParameter("words.2")) == ("2", False)


@pytest.mark.parametrize("datatype", [set, bytes, complex, np.ndarray])
def test_types_slicer_cannot_store_fail_at_class_creation(datatype):
    with pytest.raises(Exception, match="serializer"):
        parameterNodeWrapper(type("Broken", (), {"__annotations__": {"value": datatype}, "__module__": __name__}))


def test_an_implicit_default_outside_the_range_fails_when_wrapping(scene):
    broken = type("Broken", (), {"__annotations__": {"value": Annotated[int, WithinRange(2, 10)]}})
    with pytest.raises(ValueError, match="range"):
        parameterNodeWrapper(broken)(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


def test_reserved_names_are_refused():
    with pytest.raises(ValueError, match="reserved"):
        parameterNodeWrapper(type("Broken", (), {"__annotations__": {"default": int}, "default": 1}))


class PanelLogic(ScriptedLoadableModuleLogic):
    pass


def test_the_parameter_node_is_a_singleton_that_survives_closing_without_its_content(scene):
    logic = PanelLogic()
    node = logic.getParameterNode()
    assert node.GetID() == "vtkMRMLScriptedModuleNodePanel"
    assert logic.getParameterNode() is node
    assert PanelLogic().getParameterNode() is node
    node.SetParameter("a", "1")
    scene.Clear(0)
    assert scene.IsNodePresent(node)
    assert not node.HasParameter("a")
    assert node.GetAttribute("ModuleName") is None
    assert logic.getParameterNode() is node
    assert node.GetAttribute("ModuleName") == "Panel"


class Gui:
    """What slicer.util.childWidgetVariables returns: one attribute per widget."""

    def __init__(self, **named) -> None:
        for parameter, widget in named.items():
            widget.setProperty("SlicerParameterName", parameter)
            setattr(self, parameter, widget)
        self.label = widgets.QLabel("no parameter")


def selector(scene):
    widget = mrml_widgets.qMRMLNodeComboBox()
    widget.setMRMLScene(scene)
    return widget


def test_widgets_and_parameters_follow_each_other_until_disconnected(scene):
    _node, parameters = parameter_node(scene)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    gui = Gui(
        number=widgets.QSpinBox(),
        real=widgets.QDoubleSpinBox(),
        flag=widgets.QCheckBox(),
        text=widgets.QLineEdit(),
        plane=widgets.QComboBox(),
        path=widgets.ctkPathLineEdit(),
        volume=selector(scene),
        limits=widgets.ctkRangeWidget(),
        choice=widgets.QComboBox(),
    )
    tag = parameters.connectGui(gui)
    assert tag == 0
    assert (gui.number.value, gui.number.minimum, gui.number.maximum) == (3, 2, 10)
    assert (gui.flag.checked, gui.text.text, gui.choice.currentText) == (True, "abc", "one")
    assert gui.volume.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    gui.number.value, gui.real.value, gui.flag.checked, gui.text.text = 7, 2.5, False, "typed"
    gui.plane.currentIndex, gui.choice.currentIndex = 1, 1
    gui.volume.setCurrentNode(volume)
    gui.limits.setValues(4, 5)
    gui.path.currentPath = "x.html"
    assert (parameters.number, parameters.real, parameters.flag, parameters.text) == (7, 2.5, False, "typed")
    assert (parameters.plane, parameters.choice, parameters.volume) == (Plane.SAGITTAL, "two", volume)
    assert (parameters.limits.minimum, parameters.path) == (4, pathlib.Path("x.html"))
    parameters.number, parameters.volume = 4, None
    assert (gui.number.value, gui.volume.currentNode()) == (4, None)
    parameters.disconnectGui(tag)
    gui.number.value = 9
    parameters.text = "later"
    assert (parameters.number, gui.text.text) == (4, "typed")


def test_an_unknown_parameter_name_or_an_unfit_widget_is_refused(scene):
    _node, parameters = parameter_node(scene)
    with pytest.raises(ValueError, match="nobody"):
        parameters.connectGui(Gui(nobody=widgets.QSpinBox()))
    with pytest.raises(RuntimeError):
        parameters.connectGui(Gui(number=widgets.QLineEdit()))
    with pytest.raises(RuntimeError):
        parameters.connectGui(Gui(real=widgets.ctkSliderWidget()))


def test_widgets_are_as_strict_as_pythonqt():
    box = widgets.QCheckBox("text")
    heard = []
    box.toggled.connect(heard.append)
    box.checked = False
    assert heard == []
    box.checked = True
    assert heard == [True]
    with pytest.raises(AttributeError):
        box.chekced = False
    with pytest.raises(AttributeError):
        box.value  # noqa: B018
    button = widgets.QPushButton()
    button.connect("clicked(bool)", lambda: heard.append("click"))
    button.enabled = False
    button.click()
    button.enabled = True
    button.click()
    assert heard == [True, "click"]


def test_an_exception_in_a_slot_is_reported_and_not_raised(capsys):
    button = widgets.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.click()
    assert isinstance(widgets.slot_errors.pop(), ZeroDivisionError)
    assert "ZeroDivisionError" in capsys.readouterr().err


UI = """<ui><class>W</class><widget class="qMRMLWidget" name="W"><layout class="QVBoxLayout" name="l"><item>
<widget class="{cls}" name="sel"><property name="{prop}"><bool>true</bool></property></widget></item></layout></widget>
<connections><connection><sender>W</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>{receiver}</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""


def test_a_panel_file_hands_the_scene_to_its_selectors(tmp_path, scene):
    file = tmp_path / "w.ui"
    file.write_text(UI.format(cls="qMRMLNodeComboBox", prop="noneEnabled", receiver="sel"))
    panel = slicer.util.loadUI(str(file))
    ui = slicer.util.childWidgetVariables(panel)
    assert (ui.sel.enabled, ui.sel.noneEnabled) == (False, True)
    panel.setMRMLScene(scene)
    assert ui.sel.enabled


@pytest.mark.parametrize(
    ("cls", "prop", "receiver"),
    [
        ("qMRMLNodeComboBax", "noneEnabled", "sel"),
        ("qMRMLNodeComboBox", "noneEnabeld", "sel"),
        ("qMRMLNodeComboBox", "noneEnabled", "sell"),
        ("QLabel", "wordWrap", "sel"),
    ],
)
def test_a_slip_in_a_panel_file_is_an_error(tmp_path, cls, prop, receiver):
    file = tmp_path / "w.ui"
    file.write_text(UI.format(cls=cls, prop=prop, receiver=receiver))
    with pytest.raises(RuntimeError):
        ui_loader.load_ui(str(file))
