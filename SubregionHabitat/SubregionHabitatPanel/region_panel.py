"""The sections Region and Correct the lesion: where the lesion is sought, finding it, correcting what was found.

Imports qt and slicer; only the module file imports it.
"""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

EDITOR_TAG = "SubregionHabitatEditor"
EFFECTS = ["Paint", "Erase", "Scissors", "Islands", "Threshold", "Smoothing"]


class RegionPanel:
    """Drives the widgets of the two sections; ``panel`` is the module's widget."""

    def __init__(self, panel) -> None:
        self._panel, self.ui = panel, panel.ui
        self.ui.findLesionButton.connect("clicked(bool)", self.onFindLesionButton)
        self.ui.placePointButton.connect("clicked(bool)", self.onPlacePointButton)
        self.ui.placeBoxButton.connect("clicked(bool)", self.onPlaceBoxButton)

    def refresh(self, parameters, hasExam: bool) -> None:
        free = hasExam and not self._panel.running
        searchable = parameters.voiSegmentId or parameters.box is not None or parameters.seedPoint is not None
        self.ui.findLesionButton.enabled = free and bool(searchable)
        self.ui.placePointButton.enabled = self.ui.placeBoxButton.enabled = free

    # a click, a box

    def onPlacePointButton(self, _checked=False) -> None:
        """One click on the lesion: the point is placed in a slice view, then the lesion at it is found."""
        node = _newMarkups("vtkMRMLMarkupsFiducialNode", _("Lesion"))
        self._panel._parameterNode.seedPoint = node
        self._panel.addObserver(node, node.PointPositionDefinedEvent, self._onLesionClicked)

    def onPlaceBoxButton(self, _checked=False) -> None:
        self._panel._parameterNode.box = _newMarkups("vtkMRMLMarkupsROINode", _("Lesion box"))

    def _onLesionClicked(self, node, _event=None) -> None:
        self._panel.removeObserver(node, node.PointPositionDefinedEvent, self._onLesionClicked)
        # after the markups module has finished with the click
        qt.QTimer.singleShot(0, self.onFindLesionButton)

    # the lesion

    def onFindLesionButton(self, _checked=False) -> None:
        panel, parameters = self._panel, self._panel._parameterNode
        if parameters is None:
            return
        found = panel.runLong(
            lambda progress: panel.logic.findLesion(parameters, progress), _("The lesion was not found.")
        )
        if found is None:
            return
        segmentation, volumeCc = found
        with slicer.util.NodeModify(parameters):
            parameters.lesionSegmentation, parameters.lesionSegmentId = segmentation, "lesion"
            # the point has done its work; a drawn lesion and a point exclude each other
            parameters.seedPoint = None
        self._editLesion(parameters)
        panel.showStatus(
            _("Lesion of {volume} cc found. Correct it under 'Correct the lesion' if needed, then compute.").format(
                volume=f"{volumeCc:.2f}"
            )
        )

    def _editLesion(self, parameters) -> None:
        from .exam_views import phase_volume, show_phase
        from .result_views import show_segmentation

        phases, early = self._panel.logic.phases(parameters), self._panel.phases.earlyLate()[0]
        show_phase(phases, early)
        show_segmentation(parameters.lesionSegmentation, in_3d=False)
        self.ui.editorSection.collapsed = False
        editor = self.ui.segmentEditor
        editor.setSegmentationNode(parameters.lesionSegmentation)
        editor.setSourceVolumeNode(phase_volume(phases, early))
        editor.setCurrentSegmentID(parameters.lesionSegmentId)


class LesionEditor:
    """The embedded Segment Editor's life with the scene."""

    def __init__(self, editor) -> None:
        self._editor = editor
        # first its node, so that what the editor selects by itself when it sees the scene is kept
        self.select()
        editor.setEffectNameOrder(EFFECTS)
        editor.unorderedEffectsVisible = False
        editor.setMaximumNumberOfUndoStates(10)

    def select(self) -> None:
        """Settings of this module, apart from those of the Segment Editor module."""
        node = slicer.mrmlScene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(EDITOR_TAG)
            node = slicer.mrmlScene.AddNode(node)
        self._editor.setMRMLSegmentEditorNode(node)

    def enter(self) -> None:
        self.select()
        self._editor.updateWidgetFromMRML()
        self._editor.installKeyboardShortcuts()

    def release(self) -> None:
        self._editor.setActiveEffect(None)
        self._editor.uninstallKeyboardShortcuts()
        self._editor.removeViewObservations()

    def forget(self) -> None:
        """The scene is closing."""
        self.release()
        self._editor.setSegmentationNode(None)


def _newMarkups(className: str, name: str):
    """A new point list or box, which the next click in a slice view places."""
    node = slicer.mrmlScene.AddNewNodeByClass(className, slicer.mrmlScene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    markups = slicer.modules.markups.logic()
    markups.SetActiveList(node)
    markups.StartPlaceMode(False)
    return node
