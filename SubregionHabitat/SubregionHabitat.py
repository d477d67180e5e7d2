"""Slicer module: from a breast DCE-MRI exam in the scene to kinetic maps, lesion, habitats and peritumoral ring."""

import pathlib
from typing import Annotated, NamedTuple

import qt
import slicer
from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSequenceNode,
)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from SubregionHabitatPanel.module_panel import ModulePanel, connectSegmentSelectors, showSegmentSelections

# Regions that are segments: each has the parameters <role>Segmentation and <role>SegmentId and the widget
# <role>Selector. The words name it in messages.
SEGMENT_ROLES = {
    "voi": "VOI",
    "lesion": "lesion",
    "omit": "omit region",
    "added": "added region",
    "removed": "removed region",
    "otherLesions": "other lesions",
    "breast": "breast mask",
}


class SubregionHabitat(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Subregion Habitat")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["Volumes", "Segmentations", "Sequences", "Markups", "Tables", "Plots"]
        self.parent.contributors = ["The IITH developers"]
        self.parent.helpText = _(
            "Breast mask, motion and bias field correction, kinetic maps, lesion, perfusion habitats, peritumoral ring "
            "and background enhancement of a breast DCE-MRI exam. The lesion is drawn, or found by its enhancement in "
            "a segment, in a box or at a point. Research use only."
        )
        self.parent.acknowledgementText = _(
            "Methods after Chitalia 2023 (kinetic maps), Zhou 2024 and Wu 2018 (habitats, spatial interaction) and "
            "the UCSF functional tumor volume."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Offer the simulated exam in the Sample Data module; it is made on this machine, no network is used."""
    try:
        import SampleData
    except ImportError:  # the Sample Data module is switched off
        return
    folder = pathlib.Path(__file__).parent / "Resources" / "Icons"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="IITH",
        sampleName="SimulatedBreastDCE",
        customDownloader=loadSimulatedExam,
        thumbnailFileName=str(folder / "SimulatedBreastDCE.png"),
    )


def loadSimulatedExam(_source=None) -> list:
    """The default simulated exam as a DCE sequence with a segment around its lesion: [sequence, segmentation]."""
    from SubregionHabitatPanel.exam_views import ExamPhases, show_phase

    _simulated, sequence, voi = simulatedNodes(small=False)
    show_phase(ExamPhases.of([sequence]), 1)
    return [sequence, voi]


@parameterNodeWrapper
class SubregionHabitatParameterNode:
    """Inputs and settings; the defaults are those of SubregionHabitatLib.analysis.ImagingParameters.

    Percentages stand where the library has shares. earlyPhase, latePhase: 0 lets the timing rule choose.
    injectionText: seconds from the pre-contrast phase, empty when not known. habitatModel: file made by
    ``iith habitats``, empty for habitats of this lesion alone. From previewPhase to show3D: what the views show.
    """

    dceSequence: vtkMRMLSequenceNode
    phaseVolumes: list[vtkMRMLScalarVolumeNode]
    timesText: str = ""
    injectionText: str = ""
    acceptNoTimes: bool = False
    voiSegmentation: vtkMRMLSegmentationNode
    voiSegmentId: str = ""
    box: vtkMRMLMarkupsROINode
    seedPoint: vtkMRMLMarkupsFiducialNode
    lesionSegmentation: vtkMRMLSegmentationNode
    lesionSegmentId: str = ""
    omitSegmentation: vtkMRMLSegmentationNode
    omitSegmentId: str = ""
    addedSegmentation: vtkMRMLSegmentationNode
    addedSegmentId: str = ""
    removedSegmentation: vtkMRMLSegmentationNode
    removedSegmentId: str = ""
    otherLesionsSegmentation: vtkMRMLSegmentationNode
    otherLesionsSegmentId: str = ""
    breastSegmentation: vtkMRMLSegmentationNode
    breastSegmentId: str = ""
    registration: Annotated[str, Choice(["none", "rigid", "bspline"])] = "none"
    n4: bool = False
    keepPrepared: bool = False
    findBreast: bool = True
    skinMm: Annotated[float, WithinRange(0.0, 10.0)] = 2.0
    fatSignal: Annotated[str, Choice(["auto", "suppressed", "bright"])] = "auto"
    parenchymaFeatures: bool = False
    peThresholdPercent: Annotated[float, WithinRange(10.0, 150.0)] = 70.0
    background: Annotated[str, Choice(["auto", "on", "off"])] = "auto"
    backgroundPercent: Annotated[float, WithinRange(10.0, 100.0)] = 60.0
    backgroundPercentile: Annotated[float, WithinRange(1.0, 100.0)] = 95.0
    omitted: Annotated[str, Choice(["zero", "left_out"])] = "zero"
    minNeighbours: Annotated[int, WithinRange(0, 26)] = 4
    neighboursWithin: Annotated[str, Choice(["voi", "image"])] = "voi"
    minSer: Annotated[float, WithinRange(0.0, 3.0)] = 0.0
    minSerInclusive: bool = True
    keepParts: Annotated[str, Choice(["largest", "all", "seed"])] = "largest"
    minPartMm3: Annotated[float, WithinRange(0.0, 100000.0)] = 65.0
    earlyPhase: Annotated[int, WithinRange(0, 999)] = 0
    latePhase: Annotated[int, WithinRange(0, 999)] = 0
    peakSearch: Annotated[str, Choice(["all_post", "selected", "early"])] = "all_post"
    wosMode: Annotated[str, Choice(["normalised", "chitalia"])] = "normalised"
    habitatMode: Annotated[str, Choice(["per_tumour", "two_level"])] = "per_tumour"
    habitatModel: pathlib.Path
    habitatCount: Annotated[int, WithinRange(2, 6)] = 3
    chooseCount: Annotated[str, Choice(["no", "silhouette", "gap"])] = "no"
    kmeansStarts: Annotated[int, WithinRange(1, 200)] = 20
    seed: Annotated[int, WithinRange(0, 2147483647)] = 20260
    winsorPercent: Annotated[float, WithinRange(0.0, 20.0)] = 1.0
    neighbourhood: Annotated[str, Choice(["in_plane_8", "faces_6", "full_26"])] = "in_plane_8"
    ringRadiusMm: Annotated[float, WithinRange(1.0, 20.0)] = 5.0
    ringDistanceFrom: Annotated[str, Choice(["surface", "voxel_centres"])] = "surface"
    clipRing: bool = True
    airPercent: Annotated[float, WithinRange(0.0, 50.0)] = 5.0
    previewPhase: Annotated[int, WithinRange(0, 999)] = 1
    curveUnderCursor: bool = False
    curvePoint: vtkMRMLMarkupsFiducialNode
    shownMap: Annotated[str, Choice(["pe_early", "pe_peak", "ser", "wis", "wos", "time_to_peak"])] = "pe_early"
    show3D: bool = True


class SubregionHabitatWidget(ModulePanel, ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self._observedPoint = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.setupPanel(SubregionHabitatLogic())

    def beforeScene(self) -> None:
        # first its node, so that what the editor selects by itself when it sees the scene is kept
        self._selectEditorNode()
        editor = self.ui.segmentEditor
        editor.setEffectNameOrder(["Paint", "Erase", "Scissors", "Islands", "Threshold", "Smoothing"])
        editor.unorderedEffectsVisible = False
        editor.setMaximumNumberOfUndoStates(10)

    def connectPanel(self) -> None:
        ui = self.ui
        for button, slot in {
            "applyButton": self.onApplyButton,
            "showCurvesButton": self.onShowCurvesButton,
            "findLesionButton": self.onFindLesionButton,
            "placePointButton": self.onPlacePointButton,
            "placeBoxButton": self.onPlaceBoxButton,
            "timesFromImagesButton": self.onTimesFromImagesButton,
            "showPreButton": lambda: self.showPhase(0),
            "showEarlyButton": lambda: self.showPhase(self._earlyLate()[0]),
            "showLateButton": lambda: self.showPhase(self._earlyLate()[1]),
        }.items():
            getattr(ui, button).connect("clicked(bool)", slot)
        ui.timesTable.setColumnCount(2)
        ui.timesTable.setHorizontalHeaderLabels([_("Phase"), _("Time (s)")])
        ui.timesTable.connect("cellChanged(int,int)", self._onTimeEdited)
        ui.phaseSlider.connect("valueChanged(int)", self._onPhaseSlider)
        connectSegmentSelectors(self, self._segmentSelectors())
        ui.phasesSelector.connect("checkedNodesChanged()", self._onPhasesChecked)
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            self.addObserver(crosshair, crosshair.CursorPositionModifiedEvent, self._onCursorMoved)

    # life with the scene

    def enter(self) -> None:
        ModulePanel.enter(self)
        self._selectEditorNode()
        self.ui.segmentEditor.updateWidgetFromMRML()
        self.ui.segmentEditor.installKeyboardShortcuts()

    def exit(self) -> None:
        self._releaseEditor()
        ModulePanel.exit(self)

    def cleanup(self) -> None:
        self._releaseEditor()
        ModulePanel.cleanup(self)

    def onSceneStartClose(self, caller=None, event=None) -> None:
        self._releaseEditor()
        self.ui.segmentEditor.setSegmentationNode(None)
        self.ui.volumesTable.setMRMLTableNode(None)
        self.ui.segmentsTable.setSegmentationNode(None)
        self._observedPoint = None
        ModulePanel.onSceneStartClose(self, caller, event)
        self.logic.forget()

    def onSceneEndClose(self, caller=None, event=None) -> None:
        if self.parent.isEntered:
            self._selectEditorNode()
        ModulePanel.onSceneEndClose(self, caller, event)

    def _selectEditorNode(self) -> None:
        """The editor's settings of this module, apart from those of the Segment Editor module."""
        tag = "SubregionHabitatEditor"
        node = slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(tag)
            node = slicer.mrmlScene.AddNode(node)
        self.ui.segmentEditor.setMRMLSegmentEditorNode(node)

    def _releaseEditor(self) -> None:
        self.ui.segmentEditor.setActiveEffect(None)
        self.ui.segmentEditor.uninstallKeyboardShortcuts()
        self.ui.segmentEditor.removeViewObservations()

    def fillDefaults(self, parameters: SubregionHabitatParameterNode) -> None:
        """Select the only DCE sequence there is, to save a click."""
        sequences = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
        sequences = [node for node in sequences if not node.GetAttribute("IITH.kind")]
        if parameters.dceSequence is None and not len(parameters.phaseVolumes) and len(sequences) == 1:
            parameters.dceSequence = sequences[0]

    def onParametersChanged(self, parameters: SubregionHabitatParameterNode) -> None:
        showSegmentSelections(parameters, self._segmentSelectors())
        checked = [node for node in parameters.phaseVolumes if node is not None]
        for node in self.ui.phasesSelector.checkedNodes():
            if node not in checked:
                self.ui.phasesSelector.setCheckState(node, qt.Qt.Unchecked)
        for node in checked:
            self.ui.phasesSelector.setCheckState(node, qt.Qt.Checked)
        self.ui.phasesLabel.text = self.logic.describePhases(parameters)
        self._listTimes(parameters)
        self._observeCurvePoint(parameters.curvePoint)
        self._checkCanApply(parameters)
        self._showResults(parameters)

    # phases

    def _listTimes(self, parameters) -> None:
        table, phases = self.ui.timesTable, self.logic.phases(parameters)
        blocked = table.blockSignals(True)
        table.setRowCount(0 if phases is None else len(phases.volumes))
        for row in range(table.rowCount):
            # the frames of a sequence get other names when a scene is saved
            named = "" if parameters.dceSequence is not None else f": {phases.volumes[row].GetName()}"
            name = qt.QTableWidgetItem(_("Phase {number}").format(number=row) + named)
            name.setFlags(qt.Qt.ItemIsEnabled)
            table.setItem(row, 0, name)
            table.setItem(row, 1, qt.QTableWidgetItem(f"{phases.times_s[row]:g}" if phases.known else ""))
        table.blockSignals(blocked)
        self.ui.timesFromImagesButton.enabled = bool(parameters.timesText)
        last = max(0, table.rowCount - 1)
        blocked = self.ui.phaseSlider.blockSignals(True)
        self.ui.phaseSlider.maximum = last
        self.ui.phaseSlider.value = min(parameters.previewPhase, last)
        self.ui.phaseSlider.blockSignals(blocked)
        for name in ("phaseSlider", "showPreButton", "showEarlyButton", "showLateButton"):
            getattr(self.ui, name).enabled = phases is not None
        self.ui.phaseNameLabel.text = (
            "" if phases is None else _("{number} of {last}").format(number=self.ui.phaseSlider.value, last=last)
        )

    def _onTimeEdited(self, _row: int, _column: int) -> None:
        """The whole column becomes the typed times, once it is complete."""
        table = self.ui.timesTable
        texts = [table.item(row, 1).text().strip() for row in range(table.rowCount)]
        if self._parameterNode is not None and all(texts):
            self._parameterNode.timesText = ", ".join(texts)

    def onTimesFromImagesButton(self, _checked=False) -> None:
        self._parameterNode.timesText = ""

    def _earlyLate(self) -> tuple:
        parameters = self._parameterNode
        return self.logic.phases(parameters).early_late(parameters.earlyPhase or None, parameters.latePhase or None)

    def _onPhaseSlider(self, number: int) -> None:
        if self._parameterNode is not None and not self._updating:
            self.showPhase(number)

    def showPhase(self, number: int) -> None:
        from SubregionHabitatPanel.exam_views import show_phase

        phases = self.logic.phases(self._parameterNode)
        if phases is not None:
            self._parameterNode.previewPhase = int(number)
            show_phase(phases, int(number))

    def _observeCurvePoint(self, node) -> None:
        if node is self._observedPoint:
            return
        if self._observedPoint is not None:
            for event in (self._observedPoint.PointModifiedEvent, self._observedPoint.PointPositionDefinedEvent):
                self.removeObserver(self._observedPoint, event, self._onCurvePointMoved)
        self._observedPoint = node
        if node is not None:
            for event in (node.PointModifiedEvent, node.PointPositionDefinedEvent):
                self.addObserver(node, event, self._onCurvePointMoved)
            self._onCurvePointMoved(node)

    def _onCurvePointMoved(self, node, _event=None) -> None:
        if node.GetNumberOfControlPoints():
            self._showCurveAt(node.GetNthControlPointPositionWorld(0))

    def _onCursorMoved(self, crosshair, _event=None) -> None:
        if self._parameterNode is not None and self._parameterNode.curveUnderCursor and not self.running:
            ras = [0.0, 0.0, 0.0]
            if crosshair.GetCursorPositionRAS(ras):
                self._showCurveAt(ras)

    def _showCurveAt(self, ras) -> None:
        from SubregionHabitatPanel.exam_views import show_curve

        phases = None if self._parameterNode is None else self.logic.phases(self._parameterNode)
        if phases is not None:
            self.ui.curveLabel.text = show_curve(phases, ras)

    # regions

    def _segmentSelectors(self) -> dict:
        return {role: getattr(self.ui, f"{role}Selector") for role in SEGMENT_ROLES}

    def _onPhasesChecked(self, *_arguments) -> None:
        if self._parameterNode is not None and not self._updating:
            self._parameterNode.phaseVolumes = list(self.ui.phasesSelector.checkedNodes())

    def onPlacePointButton(self, _checked=False) -> None:
        """One click on the lesion: the point is placed in a slice view, then the lesion at it is found."""
        node = self._newMarkups("vtkMRMLMarkupsFiducialNode", _("Lesion"))
        self._parameterNode.seedPoint = node
        self.addObserver(node, node.PointPositionDefinedEvent, self._onLesionClicked)

    def onPlaceBoxButton(self, _checked=False) -> None:
        self._parameterNode.box = self._newMarkups("vtkMRMLMarkupsROINode", _("Lesion box"))

    @staticmethod
    def _newMarkups(className: str, name: str):
        node = slicer.mrmlScene.AddNewNodeByClass(className, slicer.mrmlScene.GenerateUniqueName(name))
        node.CreateDefaultDisplayNodes()
        markups = slicer.modules.markups.logic()
        markups.SetActiveList(node)
        markups.StartPlaceMode(False)
        return node

    def _onLesionClicked(self, node, _event=None) -> None:
        self.removeObserver(node, node.PointPositionDefinedEvent, self._onLesionClicked)
        # after the markups module has finished with the click
        qt.QTimer.singleShot(0, self.onFindLesionButton)

    def onFindLesionButton(self, _checked=False) -> None:
        parameters = self._parameterNode
        if parameters is None:
            return
        found = self.runLong(
            lambda progress: self.logic.findLesion(parameters, progress), _("The lesion was not found.")
        )
        if found is None:
            return
        segmentation, volumeCc = found
        with slicer.util.NodeModify(parameters):
            parameters.lesionSegmentation, parameters.lesionSegmentId = segmentation, "lesion"
            # the point has done its work; a drawn lesion and a point exclude each other
            parameters.seedPoint = None
        self._editLesion(parameters)
        self.showStatus(
            _("Lesion of {volume} cc found. Correct it under 'Correct the lesion' if needed, then compute.").format(
                volume=f"{volumeCc:.2f}"
            )
        )

    def _editLesion(self, parameters) -> None:
        from SubregionHabitatLib.mrml_bridge import ExamResults
        from SubregionHabitatPanel.exam_views import show_phase, show_segmentation

        phases = self.logic.phases(parameters)
        show_phase(phases, self._earlyLate()[0])
        show_segmentation(parameters.lesionSegmentation, in_3d=False)
        self.ui.editorSection.collapsed = False
        editor = self.ui.segmentEditor
        editor.setSegmentationNode(parameters.lesionSegmentation)
        editor.setSourceVolumeNode(ExamResults(phases.nodes).find("view.phase"))
        editor.setCurrentSegmentID(parameters.lesionSegmentId)

    # results

    def _checkCanApply(self, parameters) -> None:
        hasExam = bool(self.logic.examNodes(parameters))
        drawn = bool(parameters.voiSegmentId or parameters.lesionSegmentId)
        hasRegion = drawn or parameters.box is not None or parameters.seedPoint is not None
        self.ui.applyButton.enabled = hasExam and hasRegion and not self.running
        if self.ui.applyButton.enabled:
            self.ui.applyButton.toolTip = _("Compute maps, lesion, habitats and ring")
        elif not hasExam:
            self.ui.applyButton.toolTip = _("Select the DCE sequence, or the volumes of its phases with their times")
        else:
            self.ui.applyButton.toolTip = _(
                "Select the segment of the region of interest or of the lesion, a box, or a seed point"
            )
        searchable = parameters.voiSegmentId or parameters.box is not None or parameters.seedPoint is not None
        self.ui.findLesionButton.enabled = hasExam and bool(searchable) and not self.running
        self.ui.placePointButton.enabled = self.ui.placeBoxButton.enabled = hasExam and not self.running
        self.ui.showCurvesButton.enabled = hasExam and self.logic.curveChart(parameters) is not None

    def _showResults(self, parameters) -> None:
        """Tables of an earlier run on the selected exam, and the views when another map or 3D is chosen."""
        results = self.logic.results(parameters)
        segmentation = results.find("segmentation") if results else None
        self.ui.segmentsTable.setSegmentationNode(segmentation)
        self.ui.volumesTable.setMRMLTableNode(results.find("table.volumes") if results else None)
        self.ui.resultsSection.enabled = segmentation is not None
        wanted = (segmentation, parameters.shownMap, parameters.show3D)
        if segmentation is not None and not self.running and wanted != self._shownResults:
            from SubregionHabitatPanel.exam_views import show_map, show_segmentation

            show_map(results, parameters.shownMap)
            show_segmentation(segmentation, parameters.show3D)
        self._shownResults = wanted

    _shownResults = (None, "", False)

    def onApplyButton(self, _checked=False) -> None:
        parameters = self._parameterNode
        nodes = self.runLong(
            lambda progress: self.logic.process(parameters, progress), _("The exam could not be analyzed.")
        )
        if nodes is None:
            return
        self.showStatus("\n".join(nodes.warnings))
        if self._parameterNode is None:
            return
        if parameters.voiSegmentation is not None and parameters.voiSegmentation.GetDisplayNode() is not None:
            parameters.voiSegmentation.GetDisplayNode().SetVisibility(False)
        self._shownResults = (None, "", False)
        self._onModified()
        slicer.modules.plots.logic().ShowChartInLayout(nodes.curvesChart)

    def onShowCurvesButton(self, _checked=False) -> None:
        slicer.modules.plots.logic().ShowChartInLayout(self.logic.curveChart(self._parameterNode))


class ImagingNodes(NamedTuple):
    """The result nodes of one run; ``maps`` by map name, ``warnings`` one sentence each.

    preparedSequence: the phases as measured, None unless they were corrected and asked for; breastSegmentation: breast,
    skin and parenchyma.
    """

    maps: dict
    segmentation: object
    volumesTable: object
    curvesTable: object
    curvesChart: object
    warnings: tuple
    partsTable: object
    preparedSequence: object
    breastSegmentation: object


class SubregionHabitatLogic(ScriptedLoadableModuleLogic):
    # (key of the inputs, result) of the last analysis that corrected the exam, which can take minutes
    _lastCorrected = None

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> SubregionHabitatParameterNode:
        return SubregionHabitatParameterNode(super().getParameterNode())

    @staticmethod
    def examNodes(parameters: SubregionHabitatParameterNode) -> list:
        """The sequence, or else the phase volumes; empty when nothing is selected."""
        if parameters.dceSequence is not None:
            return [parameters.dceSequence]
        return [node for node in parameters.phaseVolumes if node is not None]

    def phases(self, parameters: SubregionHabitatParameterNode):
        """The phases of the selected exam for viewing (exam_views.ExamPhases), None where there are none."""
        nodes = self.examNodes(parameters)
        if not nodes:
            return None
        from SubregionHabitatLib.errors import InputError
        from SubregionHabitatLib.mrml_bridge import parse_times
        from SubregionHabitatPanel.exam_views import ExamPhases

        try:
            return ExamPhases.of(nodes, parse_times(parameters.timesText))
        except InputError:
            return None

    def findLesion(self, parameters: SubregionHabitatParameterNode, progress=None) -> tuple:
        """(segmentation with the segment "lesion", volume in cc): the lesion alone, for the user to correct.

        Raises InputError as ``process``.
        """
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.analysis import find_lesion
        from SubregionHabitatLib.background_run import run_in_background
        from SubregionHabitatLib.progress import Silent

        nodes = self.examNodes(parameters)
        times = mrml_bridge.parse_times(parameters.timesText)
        injection = mrml_bridge.parse_injection(parameters.injectionText)
        exam = mrml_bridge.exam_from_nodes(nodes, times, injection, parameters.acceptNoTimes)
        segments = {
            role: (getattr(parameters, f"{role}Segmentation"), getattr(parameters, f"{role}SegmentId"))
            for role in SEGMENT_ROLES
            if role != "lesion"
        }
        regions = self._regions(segments, parameters.box, parameters.seedPoint, exam.geometry)
        settings = self.imagingParameters(parameters)
        lesion = run_in_background(lambda p: find_lesion(exam, regions, settings, p), progress or Silent())
        segmentation = mrml_bridge.ExamResults(nodes).node("lesion.found", "vtkMRMLSegmentationNode", "IITH lesion")
        segment = mrml_bridge.Segment(
            "lesion", _("Lesion"), mrml_bridge.LESION_COLOR, mrml_bridge.NEOPLASM_TERMINOLOGY, lesion.mask
        )
        reference = nodes[0].GetNthDataNode(0) if nodes[0].IsA("vtkMRMLSequenceNode") else nodes[0]
        mrml_bridge.set_segments(segmentation, [segment], exam.geometry, reference)
        return segmentation, lesion.volume_cc

    def describePhases(self, parameters: SubregionHabitatParameterNode) -> str:
        """The phases with the times they will be used with, or what is missing, for the user to check."""
        nodes = self.examNodes(parameters)
        if not nodes:
            return ""
        from SubregionHabitatLib.errors import InputError
        from SubregionHabitatLib.mrml_bridge import parse_times, phase_times

        try:
            times, timing = phase_times(nodes, parse_times(parameters.timesText), parameters.acceptNoTimes)
        except InputError as error:
            lines = [str(error)]
            if parameters.dceSequence is None:
                lines += [_("{number}. {volume}").format(number=i + 1, volume=n.GetName()) for i, n in enumerate(nodes)]
            return "\n".join(lines)
        if not timing.known:
            return _("{count} phases in the order of the list, times not known: no slopes per minute").format(
                count=len(times)
            )
        if parameters.dceSequence is None:
            return "\n".join(
                _("{volume}: {time} s").format(volume=node.GetName(), time=f"{time:g}")
                for node, time in zip(nodes, times, strict=True)
            )
        listed = ", ".join(f"{time - min(times):g}" for time in times)
        return _("{count} phases at {times} s (from {source})").format(
            count=len(times), times=listed, source=timing.source
        )

    def curveChart(self, parameters: SubregionHabitatParameterNode):
        """The plot chart of an earlier run on the selected exam, or None."""
        results = self.results(parameters)
        return results.find("curves.chart") if results else None

    def results(self, parameters: SubregionHabitatParameterNode):
        """The ExamResults of the selected exam, None where no exam is selected."""
        nodes = self.examNodes(parameters)
        if not nodes:
            return None
        from SubregionHabitatLib.mrml_bridge import ExamResults

        return ExamResults(nodes)

    @staticmethod
    def imagingParameters(parameters: SubregionHabitatParameterNode):
        """The settings of the parameter node as the library's ImagingParameters."""
        from SubregionHabitatLib.analysis import ImagingParameters
        from SubregionHabitatLib.breast_mask import BreastParameters
        from SubregionHabitatLib.feature_regions import REGION_GROUPS, STANDARD_REGIONS
        from SubregionHabitatLib.habitats import HabitatParameters
        from SubregionHabitatLib.lesion import FtvParameters, LesionParameters
        from SubregionHabitatLib.preparation import PreparationParameters
        from SubregionHabitatLib.registration import RegistrationParameters

        return ImagingParameters(
            preparation=PreparationParameters(
                registration=RegistrationParameters(mode=parameters.registration),
                n4=parameters.n4,
                breast=BreastParameters(
                    automatic=parameters.findBreast, skin_mm=parameters.skinMm, fat_signal=parameters.fatSignal
                ),
                air_share_of_p99=parameters.airPercent / 100,
            ),
            early=parameters.earlyPhase or None,
            late=parameters.latePhase or None,
            peak_search=parameters.peakSearch,
            wos_mode=parameters.wosMode,
            ftv=FtvParameters(
                pe_threshold_percent=parameters.peThresholdPercent,
                background=parameters.background,
                background_fraction=parameters.backgroundPercent / 100,
                min_neighbours=parameters.minNeighbours,
                min_ser=parameters.minSer,
                background_percentile=parameters.backgroundPercentile,
                omitted=parameters.omitted,
                neighbours_within=parameters.neighboursWithin,
                min_ser_inclusive=parameters.minSerInclusive,
            ),
            lesion=LesionParameters(keep=parameters.keepParts, min_component_mm3=parameters.minPartMm3),
            habitats=HabitatParameters(
                k=parameters.habitatCount,
                n_init=parameters.kmeansStarts,
                seed=parameters.seed,
                winsor_percent=parameters.winsorPercent,
                mode=parameters.habitatMode,
                choose_k=parameters.chooseCount,
            ),
            ring_mm=parameters.ringRadiusMm,
            ring_distance_from=parameters.ringDistanceFrom,
            clip_ring=parameters.clipRing,
            neighbourhood=parameters.neighbourhood,
            feature_regions=REGION_GROUPS if parameters.parenchymaFeatures else STANDARD_REGIONS,
        )

    def process(self, parameters: SubregionHabitatParameterNode, progress=None) -> ImagingNodes:
        """Analyze what the parameter node selects. Raises InputError with one sentence for what is missing."""
        segments = {
            role: (getattr(parameters, f"{role}Segmentation"), getattr(parameters, f"{role}SegmentId"))
            for role in SEGMENT_ROLES
        }
        return self.processNodes(
            self.examNodes(parameters),
            timesText=parameters.timesText,
            imagingParameters=self.imagingParameters(parameters),
            progress=progress,
            box=parameters.box,
            seedPoint=parameters.seedPoint,
            injectionText=parameters.injectionText,
            acceptNoTimes=parameters.acceptNoTimes,
            habitatModel=parameters.habitatModel if parameters.habitatModel != pathlib.Path() else None,
            keepPrepared=parameters.keepPrepared,
            **segments,
        )

    def processNodes(
        self,
        examNodes,
        timesText="",
        voi=None,
        lesion=None,
        imagingParameters=None,
        progress=None,
        *,
        box=None,
        seedPoint=None,
        omit=None,
        added=None,
        removed=None,
        otherLesions=None,
        breast=None,
        injectionText="",
        acceptNoTimes=False,
        habitatModel=None,
        keepPrepared=False,
    ) -> ImagingNodes:
        """Analyze an exam and put the results into the scene, in place of those of an earlier run on it.

        :param examNodes: one sequence node in a list, or one scalar volume node per phase
        :param timesText: seconds per phase, in the order of ``examNodes``; needed for volumes
        :param voi, lesion: (segmentation node, segment ID); one of these, ``box`` or ``seedPoint`` is needed
        :param imagingParameters: SubregionHabitatLib.analysis.ImagingParameters
        :param progress: see SubregionHabitatLib.progress; raising Cancelled leaves the scene as it was
        :param box: markups ROI node in place of ``voi``
        :param seedPoint: point list node with one point in the lesion
        :param omit, added, removed, otherLesions, breast: (segmentation node, segment ID), see DrawnRegions
        :param injectionText: seconds from the pre-contrast phase, empty when not known
        :param acceptNoTimes: measure an exam without times, then without slopes per minute
        :param habitatModel: file made by ``iith habitats``; its centres and settings then apply
        :param keepPrepared: put the phases into the scene as they were measured, if they were corrected
        """
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.analysis import ImagingParameters
        from SubregionHabitatLib.habitat_file import load_habitat_model

        times, injection = mrml_bridge.parse_times(timesText), mrml_bridge.parse_injection(injectionText)
        model = None if habitatModel is None else load_habitat_model(habitatModel)
        exam = mrml_bridge.exam_from_nodes(examNodes, times, injection, acceptNoTimes)
        segments = {
            "voi": voi,
            "lesion": lesion,
            "omit": omit,
            "added": added,
            "removed": removed,
            "otherLesions": otherLesions,
            "breast": breast,
        }
        regions = self._regions(segments, box, seedPoint, exam.geometry)
        inputs = mrml_bridge.AnalysisInputs(exam, imagingParameters or ImagingParameters(), regions, model)
        result = self._analyze(inputs, progress)
        results = mrml_bridge.ExamResults(examNodes)
        nodes = self._show(results, result, keepPrepared and result.exam is not exam)
        mrml_bridge.note_inputs(results, inputs, times, nodes.maps["pe_early"])
        self._remember(inputs, result)
        return nodes

    def repeat(self, segmentation, progress=None):
        """Exam and ImagingResult behind a habitat segmentation, computed anew from what was noted beside it.

        The last analysis that corrected the exam is at hand and not computed anew. Raises InputError when the
        segmentation is no such result, or was edited since.
        """
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.errors import InputError

        if segmentation is None:
            raise InputError(
                "No habitat segmentation is selected; run the Subregion Habitat module and select its result."
            )
        inputs = mrml_bridge.noted_inputs(mrml_bridge.ExamResults.of(segmentation))
        last = SubregionHabitatLogic._lastCorrected
        if last is not None and last[0] == inputs.key:
            result = last[1]
        else:
            result = self._analyze(inputs, progress)
            self._remember(inputs, result)
        mrml_bridge.check_unchanged(segmentation, result)
        return inputs.exam, result

    @staticmethod
    def _analyze(inputs, progress):
        """The analysis; with a progress on a thread of its own, so that the window answers and Cancel works at once."""
        from SubregionHabitatLib.analysis import analyze_imaging
        from SubregionHabitatLib.background_run import run_in_background

        def work(itsProgress):
            return analyze_imaging(
                inputs.exam,
                inputs.parameters,
                progress=itsProgress,
                regions=inputs.regions,
                habitat_model=inputs.habitat_model,
            )

        return work(None) if progress is None else run_in_background(work, progress)

    @staticmethod
    def _remember(inputs, result) -> None:
        if result.exam is not inputs.exam:
            SubregionHabitatLogic._lastCorrected = (inputs.key, result)

    @staticmethod
    def forget() -> None:
        """Let go of the corrected exam that is kept in memory."""
        SubregionHabitatLogic._lastCorrected = None

    @staticmethod
    def _regions(segments, box, seedPoint, geometry):
        """What was drawn, as the library's DrawnRegions on the exam's grid."""
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.analysis import DrawnRegions
        from SubregionHabitatLib.errors import InputError

        masks = {
            role: mrml_bridge.region_from_segment(*selected, geometry, SEGMENT_ROLES[role])
            for role, selected in segments.items()
            if selected is not None and (selected[0] is not None or selected[1])
        }
        if box is not None and "voi" in masks:
            raise InputError("A segment and a box are selected as region of interest; deselect one of them.")
        if box is not None:
            masks["voi"] = mrml_bridge.region_from_roi(box, geometry)
        if "otherLesions" in masks:
            masks["other_lesions"] = masks.pop("otherLesions")
        seed = None if seedPoint is None else mrml_bridge.point_from_markups(seedPoint, geometry)
        return DrawnRegions(**masks, seed_lps=seed)

    @staticmethod
    def _show(results, result, keepPrepared) -> ImagingNodes:
        from SubregionHabitatLib import mrml_bridge

        geometry, timesKnown = result.maps.geometry, result.exam.timing.known
        maps = {}
        for name, (array, unit) in mrml_bridge.result_maps(result).items():
            maps[name] = results.node(f"map.{name}", "vtkMRMLScalarVolumeNode", f"IITH {name}")
            mrml_bridge.set_map(maps[name], name, array, geometry, result.lesion.mask)
            maps[name].SetAttribute(mrml_bridge.UNIT_ATTRIBUTE, unit)
        results.remove("map.", keep=[f"map.{name}" for name in maps])
        segmentation = results.node("segmentation", "vtkMRMLSegmentationNode", "IITH habitats")
        segments = mrml_bridge.result_segments(result)
        mrml_bridge.set_segments(segmentation, segments, geometry, maps["pe_early"])
        breast = results.node("breast", "vtkMRMLSegmentationNode", "IITH breast")
        mrml_bridge.set_segments(breast, mrml_bridge.breast_segments(result), geometry, maps["pe_early"])
        breast.GetDisplayNode().SetVisibility(False)
        volumesTable = results.node("table.volumes", "vtkMRMLTableNode", "IITH volumes")
        mrml_bridge.set_table(volumesTable, mrml_bridge.volume_columns(result))
        partsTable = results.node("table.parts", "vtkMRMLTableNode", "IITH lesion parts")
        mrml_bridge.set_table(partsTable, mrml_bridge.part_columns(result))
        curvesTable = results.node("curves.table", "vtkMRMLTableNode", "IITH curves")
        mrml_bridge.set_curves(curvesTable, result.curves, timesKnown)
        chart = results.node("curves.chart", "vtkMRMLPlotChartNode", "IITH enhancement")
        series = {
            curve.region: results.node(f"curves.series.{curve.region}", "vtkMRMLPlotSeriesNode", curve.region)
            for curve in result.curves
        }
        results.remove("curves.series.", keep=[f"curves.series.{region}" for region in series])
        colors = mrml_bridge.curve_colors(result)
        mrml_bridge.set_curve_plot(chart, series, curvesTable, colors, timesKnown)
        prepared = None
        if keepPrepared:
            prepared = results.node("prepared", "vtkMRMLSequenceNode", "IITH corrected exam")
            mrml_bridge.set_sequence(prepared, result.exam)
        else:
            results.remove("prepared")
        return ImagingNodes(
            maps, segmentation, volumesTable, curvesTable, chart, result.warnings, partsTable, prepared, breast
        )


def simulatedNodes(small: bool = True):
    """A simulated exam in the scene: (SimulatedExam, sequence node, segmentation with the segment "voi").

    small: coarse, for tests; else the exam of ``iith simulate``.
    """
    from SubregionHabitatLib.mrml_bridge import TISSUE_TERMINOLOGY, Segment, set_segments, set_sequence
    from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam

    coarse = {"shape": (32, 80, 80), "spacing_mm": (2.0, 2.0, 4.0)} if small else {}
    simulated = simulate_exam(SimulationParameters(**coarse))
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Simulated DCE")
    set_sequence(sequence, simulated.exam)
    voi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Simulated VOI")
    segment = Segment("voi", "VOI", (1.0, 1.0, 1.0), TISSUE_TERMINOLOGY, simulated.voi, filled=False)
    set_segments(voi, [segment], simulated.exam.geometry, sequence.GetNthDataNode(0))
    return simulated, sequence, voi


class SubregionHabitatTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_SimulatedExam()
        self.setUp()
        self.test_MissingRegion()

    def test_SimulatedExam(self):
        self.delayDisplay("Analyze a simulated exam")
        simulated, sequence, voi = simulatedNodes()
        logic = SubregionHabitatLogic()
        parameters = logic.getParameterNode()
        parameters.dceSequence = sequence
        parameters.voiSegmentation = voi
        parameters.voiSegmentId = "voi"
        nodes = logic.process(parameters)
        self.assertEqual(
            list(nodes.segmentation.GetSegmentation().GetSegmentIDs()),
            ["lesion", "habitat1", "habitat2", "habitat3", "ring"],
        )
        found = slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, "lesion", nodes.maps["pe_early"]) > 0
        overlap = 2 * (found & simulated.truth_lesion).sum() / (found.sum() + simulated.truth_lesion.sum())
        self.assertGreater(overlap, 0.9)
        self.delayDisplay("Test passed")

    def test_MissingRegion(self):
        from SubregionHabitatLib.errors import InputError

        self.delayDisplay("An exam without a region is refused")
        _simulated, sequence, _voi = simulatedNodes()
        with self.assertRaises(InputError):
            SubregionHabitatLogic().processNodes([sequence])
        self.delayDisplay("Test passed")
