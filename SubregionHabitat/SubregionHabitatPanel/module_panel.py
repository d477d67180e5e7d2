"""What the panels of the three Slicer modules have in common: their life with the scene, and long work in them.

Imported by the module files alone; it needs nothing but Slicer itself, so that loading a module stays quick. A panel
has the widgets ``applyButton``, ``progressBar``, ``cancelButton`` and ``statusLabel`` in its .ui file.
"""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _


class PanelProgress:
    """A library's progress in a panel: moves its bar, lets the window answer, and raises Cancelled when asked to."""

    def __init__(self, panel: ModulePanel) -> None:
        self._panel = panel

    def step(self, fraction: float, message: str) -> None:
        from SubregionHabitatLib.errors import Cancelled

        self._panel.showProgress(fraction, message)
        slicer.app.processEvents()
        if self._panel.stopRequested:
            raise Cancelled("Stopped; nothing was changed.")


class ModulePanel:
    """Mixin for a ScriptedLoadableModuleWidget with VTKObservationMixin.

    A subclass implements ``connectPanel()`` (connect widgets, once), ``fillDefaults(parameters)`` (choose what there is
    only one of) and ``onParametersChanged(parameters)`` (bring what the parameter node has no connector for up to date,
    and enable buttons). It starts long work by ``runLong``.
    """

    logic = None
    _parameterNode = None
    _guiTag = None
    _updating = False
    # the panel whose work is running: one at a time, since the toolkits' settings are shared
    _atWork: list = []  # noqa: RUF012 - shared by all panels on purpose
    stopRequested = False

    def setupPanel(self, logic) -> None:
        """Load ``UI/<module>.ui`` and connect it to the scene; called by ``setup``."""
        self.uiWidget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(self.uiWidget)
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.logic = logic
        self.beforeScene()
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndClose)
        self.ui.progressBar.visible = False
        self.ui.cancelButton.visible = False
        self.ui.cancelButton.connect("clicked(bool)", self.onCancelButton)
        self.connectPanel()
        self.initializeParameterNode()

    def beforeScene(self) -> None:
        """What must be set before the widgets see the scene."""

    # life cycle

    def cleanup(self) -> None:
        self.stopRequested = True
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        self.initializeParameterNode()

    def exit(self) -> None:
        """Another module is chosen: work that runs here goes on."""
        self.setParameterNode(None)

    def onSceneStartClose(self, _caller=None, _event=None) -> None:
        self.stopRequested = True
        self.setParameterNode(None)

    def onSceneEndClose(self, _caller=None, _event=None) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Observe the scene's parameter node."""
        self.setParameterNode(self.logic.getParameterNode())
        self.fillDefaults(self._parameterNode)

    def setParameterNode(self, parameterNode) -> None:
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onModified)
        self._parameterNode = parameterNode
        self._guiTag = None
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onModified)
            self._onModified()

    def _onModified(self, _caller=None, _event=None) -> None:
        if self._parameterNode is None or self._updating:
            return
        self._updating = True
        try:
            self.onParametersChanged(self._parameterNode)
            self._showNoPaths()
        finally:
            self._updating = False

    def _showNoPaths(self) -> None:
        """A path that is not chosen is written "." by parameterNodeWrapper; the line for it is better empty."""
        for widget in vars(self.ui).values():
            if getattr(widget, "currentPath", None) == ".":
                blocked = widget.blockSignals(True)
                widget.currentPath = ""
                widget.blockSignals(blocked)

    # long work

    @property
    def running(self) -> bool:
        return self in ModulePanel._atWork

    def onCancelButton(self, _checked=False) -> None:
        self.stopRequested = True
        self.ui.cancelButton.enabled = False

    def showProgress(self, fraction: float, message: str) -> None:
        self.ui.progressBar.value = max(0, min(100, round(100 * fraction)))
        self.ui.progressBar.format = f"{message} (%p %)"

    def showStatus(self, text: str, failed: bool = False) -> None:
        self.ui.statusLabel.text = text
        self.ui.statusLabel.styleSheet = "color: #b00020" if failed else ""

    def runLong(self, work, failure: str):
        """What ``work(progress)`` returns; None when it was stopped or refused, which the panel then says.

        work changes the scene at its end only, after its last step of progress. An InputError is shown as its sentence;
        any other exception is a bug and is shown with ``failure``, and raised.
        """
        from SubregionHabitatLib.errors import Cancelled, InputError

        if ModulePanel._atWork:
            self.showStatus(_("Another computation is running; wait for it or stop it."), failed=True)
            return None
        ModulePanel._atWork.append(self)
        self.stopRequested = False
        self._showRunning(True)
        try:
            with slicer.util.tryWithErrorDisplay(failure):
                try:
                    return work(PanelProgress(self))
                except Cancelled:
                    self.showStatus(_("Stopped; nothing was changed."))
                except InputError as error:
                    self.showStatus(str(error), failed=True)
                    slicer.util.errorDisplay(str(error))
        finally:
            ModulePanel._atWork.remove(self)
            self._showRunning(False)
        return None

    def _showRunning(self, running: bool) -> None:
        self.ui.progressBar.visible = running
        self.ui.cancelButton.visible = running
        self.ui.cancelButton.enabled = running
        if running:
            self.showStatus("")
            self.showProgress(0.0, _("Starting"))
        self._onModified()


def connectSegmentSelectors(panel: ModulePanel, selectors: dict) -> None:
    """Segment selectors have no connector in parameterNodeWrapper: each role has two parameters instead.

    selectors: role -> qMRMLSegmentSelectorWidget; the parameters are ``<role>Segmentation`` and ``<role>SegmentId``.
    """

    def store(*_arguments) -> None:
        parameters = panel._parameterNode
        if parameters is None or panel._updating:
            return
        with slicer.util.NodeModify(parameters):
            for role, selector in selectors.items():
                setattr(parameters, f"{role}Segmentation", selector.currentNode())
                setattr(parameters, f"{role}SegmentId", selector.currentSegmentID() or "")

    for selector in selectors.values():
        selector.connect("currentNodeChanged(vtkMRMLNode*)", store)
        selector.connect("currentSegmentChanged(QString)", store)


def showSegmentSelections(parameters, selectors: dict) -> None:
    for role, selector in selectors.items():
        selector.setCurrentNode(getattr(parameters, f"{role}Segmentation"))
        selector.setCurrentSegmentID(getattr(parameters, f"{role}SegmentId"))
