"""Slice, 3D and plot views that render without a screen, and the layout manager that holds them.

Slices and 3D are drawn by Slicer's own slice logic and displayable managers, plots by matplotlib from the chart's
nodes. Nothing is rendered before a picture is asked for.
"""

from __future__ import annotations

import io

import slicer
import vtk
from PySide6 import QtGui
from vtk.util import numpy_support

SLICE_VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
# Columns: right of the view, up in the view, out of the view, in RAS.
ORIENTATIONS = {
    "Axial": ((-1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "Coronal": ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    "Sagittal": ((0, 0, 1), (-1, 0, 0), (0, 1, 0)),
}
SLICE_MANAGERS = ("vtkMRMLModelSliceDisplayableManager", "vtkMRMLSegmentationsDisplayableManager2D",
                  "vtkMRMLMarkupsDisplayableManager", "vtkMRMLColorLegendDisplayableManager")  # fmt: skip
SPACE_MANAGERS = ("vtkMRMLCameraDisplayableManager", "vtkMRMLViewDisplayableManager",
                  "vtkMRMLModelDisplayableManager", "vtkMRMLSegmentationsDisplayableManager3D",
                  "vtkMRMLMarkupsDisplayableManager")  # fmt: skip


def _singleton(class_name: str, tag: str, layout_name: str = ""):
    scene = slicer.mrmlScene
    found = scene.GetSingletonNode(tag, class_name)
    if found is None:
        node = getattr(slicer, class_name)()
        node.SetSingletonTag(tag)
        if layout_name:
            node.SetLayoutName(layout_name)
        node.SetName(layout_name or tag)
        found = scene.AddNode(node)
    return found


def _window(width: int, height: int):
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetMultiSamples(4)
    renderer = vtk.vtkRenderer()
    window.AddRenderer(renderer)
    window.SetSize(width, height)
    return window, renderer


def _managers(factory, names: tuple, renderer, node):
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = factory.InstantiateDisplayableManagers(renderer)
    group.SetMRMLDisplayableNode(node)
    return group


def _announce_legends() -> None:
    """The legends' manager knows those that come while it lives: in Slicer views are there before the nodes."""
    scene = slicer.mrmlScene
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode")):
        scene.InvokeEvent(scene.NodeAddedEvent, scene.GetNthNodeByClass(index, "vtkMRMLColorLegendDisplayNode"))


def _picture(window) -> QtGui.QImage:
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = (
        numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()
    )
    return QtGui.QImage(pixels.tobytes(), width, height, 3 * width, QtGui.QImage.Format.Format_RGB888).copy()


def _add_presets(node) -> None:
    for name, axes in ORIENTATIONS.items():
        matrix = vtk.vtkMatrix3x3()
        for row in range(3):
            for column in range(3):
                matrix.SetElement(row, column, axes[row][column])
        node.AddSliceOrientationPreset(name, matrix)


class SliceWidget:
    def __init__(self, name: str, application_logic) -> None:
        self._name, self._application_logic = name, application_logic
        self._logic = None

    def mrmlSliceNode(self):
        node = _singleton("vtkMRMLSliceNode", self._name, self._name)
        if node.GetNumberOfSliceOrientationPresets() == 0:
            _add_presets(node)
        if node.GetOrientation() != SLICE_VIEWS[self._name]:
            node.SetOrientation(SLICE_VIEWS[self._name])
        return node

    def mrmlSliceCompositeNode(self):
        return _singleton("vtkMRMLSliceCompositeNode", self._name, self._name)

    def sliceLogic(self):
        """Made when first asked for: it follows every change of the scene, which costs time."""
        if self._logic is None:
            self._logic = slicer.vtkMRMLSliceLogic()
            self._logic.SetMRMLApplicationLogic(self._application_logic)
            self._logic.SetMRMLScene(slicer.mrmlScene)
            self._logic.SetSliceNode(self.mrmlSliceNode())
            self.mrmlSliceCompositeNode()
        return self._logic

    def picture(self, width: int, height: int) -> QtGui.QImage:
        logic, node = self.sliceLogic(), self.mrmlSliceNode()
        window, renderer = _window(width, height)
        logic.ResizeSliceNode(width, height)
        logic.UpdatePipeline()
        mapper, actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        connection = logic.GetImageDataConnection()
        if connection is not None:
            mapper.SetInputConnection(connection)
            actor.SetMapper(mapper)
            actor.GetProperty().SetDisplayLocationToBackground()
            renderer.AddActor2D(actor)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(self._application_logic)
        # where the color legend looks up what its view shows
        self._application_logic.SetSliceLogics(slicer.app.layoutManager().mrmlSliceLogics())
        interactor = vtk.vtkRenderWindowInteractor()
        interactor.SetRenderWindow(window)
        group = _managers(factory, SLICE_MANAGERS, renderer, node)
        _announce_legends()
        window.Render()
        window.Render()
        picture = _picture(window)
        group.SetMRMLDisplayableNode(None)
        return picture


class ThreeDWidget:
    def __init__(self, application_logic) -> None:
        self._application_logic = application_logic

    def mrmlViewNode(self):
        return _singleton("vtkMRMLViewNode", "1", "1")

    def threeDView(self):
        return self

    def resetFocalPoint(self) -> None:
        pass

    def picture(self, width: int, height: int) -> QtGui.QImage:
        node = self.mrmlViewNode()
        window, renderer = _window(width, height)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(self._application_logic)
        interactor = vtk.vtkRenderWindowInteractor()
        interactor.SetRenderWindow(window)
        node.SetBoxVisible(False)
        node.SetAxisLabelsVisible(False)
        group = _managers(factory, SPACE_MANAGERS, renderer, node)
        renderer.ResetCamera()
        window.Render()
        picture = _picture(window)
        group.SetMRMLDisplayableNode(None)
        return picture


class PlotWidget:
    def mrmlPlotViewNode(self):
        return _singleton("vtkMRMLPlotViewNode", "PlotView1", "PlotView1")

    def picture(self, width: int, height: int) -> QtGui.QImage:
        chart = slicer.mrmlScene.GetNodeByID(self.mrmlPlotViewNode().GetPlotChartNodeID() or "")
        image = QtGui.QImage()
        image.loadFromData(_draw_chart(chart, width, height))
        return image


def _draw_chart(chart, width: int, height: int) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    nodes = [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())] if chart else []
    for node in nodes:
        table = node.GetTableNode().GetTable()
        x, y = (table.GetColumnByName(c) for c in (node.GetXColumnName(), node.GetYColumnName()))
        points = [(x.GetValue(i), y.GetValue(i)) for i in range(table.GetNumberOfRows())]
        line = {node.LineStyleNone: ""}.get(node.GetLineStyle(), "-")
        marker = {node.MarkerStyleNone: ""}.get(node.GetMarkerStyle(), "o")
        style = {"color": node.GetColor(), "ls": line, "marker": marker, "ms": 5, "label": node.GetName()}
        axes.plot(*zip(*points, strict=True), **style)
    if chart:
        axes.set(title=chart.GetTitle() or "", xlabel=chart.GetXAxisTitle() or "", ylabel=chart.GetYAxisTitle() or "")
        if chart.GetLegendVisibility() and nodes:
            axes.legend(fontsize=8)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


class LayoutManager:
    """``slicer.app.layoutManager()``: three slice views, one 3D view, one plot view."""

    def __init__(self, application_logic) -> None:
        self._slices = {name: SliceWidget(name, application_logic) for name in SLICE_VIEWS}
        self._space, self._plot = ThreeDWidget(application_logic), PlotWidget()
        self.layoutLogic = lambda: self
        self.ensure_nodes()

    def ensure_nodes(self) -> None:
        """The view nodes that the application always has."""
        self._layout = _singleton("vtkMRMLLayoutNode", "vtkMRMLLayoutNode")
        _singleton("vtkMRMLCrosshairNode", "default").SetName("Crosshair")
        for widget in self._slices.values():
            widget.mrmlSliceNode()
            widget.mrmlSliceCompositeNode()
        self._space.mrmlViewNode()
        self._plot.mrmlPlotViewNode()

    def GetLayoutNode(self):
        return self._layout

    @property
    def layout(self) -> int:
        return self._layout.GetViewArrangement()

    def setLayout(self, layout: int) -> None:
        self._layout.SetViewArrangement(layout)

    def sliceViewNames(self) -> tuple:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> SliceWidget:
        return self._slices[name]

    def mrmlSliceLogics(self):
        found = vtk.vtkCollection()
        for widget in self._slices.values():
            found.AddItem(widget.sliceLogic())
        return found

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        pass

    threeDViewCount = plotViewCount = 1

    def threeDWidget(self, _index: int) -> ThreeDWidget:
        return self._space

    def plotWidget(self, _index: int) -> PlotWidget:
        return self._plot
