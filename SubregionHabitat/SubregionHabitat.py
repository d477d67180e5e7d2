"""Slicer module: from a breast DCE-MRI exam in the scene to kinetic maps, lesion, habitats and peritumoral ring."""

import pathlib
from typing import Annotated

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

from SubregionHabitatPanel.documentation import page_link
from SubregionHabitatPanel.drawn_regions import SEGMENT_ROLES, drawn_regions, selected_segments
from SubregionHabitatPanel.module_panel import ModulePanel, connectSegmentSelectors, showSegmentSelections
from SubregionHabitatPanel.sample_data import (
    loadSimulatedExam,  # noqa: F401 - for the Python console
    registerSampleData,
    simulatedNodes,
)
from SubregionHabitatPanel.shown_map import ShownMap


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
        self.parent.helpText += " " + page_link("slicer-subregion-habitat.md")
        self.parent.acknowledgementText = _(
            "Methods after Chitalia 2023 (kinetic maps), Zhou 2024 and Wu 2018 (habitats, spatial interaction) and "
            "the UCSF functional tumor volume."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


@parameterNodeWrapper
class SubregionHabitatParameterNode:
    """Inputs and settings; the defaults are those of SubregionHabitatLib.analysis.ImagingParameters.

    Percentages stand where the library has shares. earlyPhase, latePhase: 0 lets the timing rule choose.
    injectionText: seconds from the pre-contrast phase, empty when not known. habitatModel: file made by
    ``iith habitats``, empty for habitats of this lesion alone. From previewPhase on: what the views show.
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
    shownMap: ShownMap
    shownFromPercent: Annotated[float, WithinRange(0.0, 150.0)] = 20.0
    show3D: bool = True
    outlinesOnly: bool = False


class SubregionHabitatWidget(ModulePanel, ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.editor = self.phases = self.region = self.results = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.setupPanel(SubregionHabitatLogic())

    def beforeScene(self) -> None:
        from SubregionHabitatPanel.region_panel import LesionEditor

        self.editor = LesionEditor(self.ui.segmentEditor)

    def connectPanel(self) -> None:
        from SubregionHabitatPanel.phases_panel import PhasesPanel
        from SubregionHabitatPanel.region_panel import RegionPanel
        from SubregionHabitatPanel.results_panel import ResultsPanel

        self.phases, self.region, self.results = PhasesPanel(self), RegionPanel(self), ResultsPanel(self)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        connectSegmentSelectors(self, self._segmentSelectors())

    def _segmentSelectors(self) -> dict:
        return {role: getattr(self.ui, f"{role}Selector") for role in SEGMENT_ROLES}

    # life with the scene

    def enter(self) -> None:
        ModulePanel.enter(self)
        self.editor.enter()

    def exit(self) -> None:
        self.editor.release()
        ModulePanel.exit(self)

    def cleanup(self) -> None:
        self.editor.release()
        ModulePanel.cleanup(self)

    def onSceneStartClose(self, caller=None, event=None) -> None:
        self.editor.forget()
        self.results.forget()
        self.phases.forget()
        ModulePanel.onSceneStartClose(self, caller, event)
        self.logic.forget()

    def onSceneEndClose(self, caller=None, event=None) -> None:
        if self.parent.isEntered:
            self.editor.select()
        ModulePanel.onSceneEndClose(self, caller, event)

    def fillDefaults(self, parameters: SubregionHabitatParameterNode) -> None:
        """Select the only DCE sequence there is, to save a click."""
        sequences = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
        sequences = [node for node in sequences if not node.GetAttribute("IITH.kind")]
        if parameters.dceSequence is None and not len(parameters.phaseVolumes) and len(sequences) == 1:
            parameters.dceSequence = sequences[0]

    def onParametersChanged(self, parameters: SubregionHabitatParameterNode) -> None:
        hasExam = bool(self.logic.examNodes(parameters))
        showSegmentSelections(parameters, self._segmentSelectors())
        self.phases.refresh(parameters)
        self.region.refresh(parameters, hasExam)
        self._checkCanApply(parameters, hasExam)
        self.results.refresh(parameters)

    def _checkCanApply(self, parameters, hasExam: bool) -> None:
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
        self.results.showAgain()
        self.results.showCurves()


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
        drawn = selected_segments(parameters, "lesion")
        regions = drawn_regions(drawn, parameters.box, parameters.seedPoint, exam.geometry)
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
        from SubregionHabitatPanel.phase_text import describe_phases

        return describe_phases(nodes, parameters.timesText, parameters.acceptNoTimes)

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
        from SubregionHabitatPanel.settings import imaging_parameters

        return imaging_parameters(parameters)

    def process(self, parameters: SubregionHabitatParameterNode, progress=None):
        """Analyze what the parameter node selects. Returns and raises as ``processNodes``."""
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
            **selected_segments(parameters),
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
    ):
        """Analyze an exam and put the results into the scene, in place of those of an earlier run on it.

        Returns ImagingNodes (SubregionHabitatPanel.result_nodes). Raises InputError, one sentence for what is missing.

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
        from SubregionHabitatPanel.result_nodes import show_results

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
        regions = drawn_regions(segments, box, seedPoint, exam.geometry)
        inputs = mrml_bridge.AnalysisInputs(exam, imagingParameters or ImagingParameters(), regions, model)
        result = self._analyze(inputs, progress)
        results = mrml_bridge.ExamResults(examNodes)
        nodes = show_results(results, result, keepPrepared and result.exam is not exam)
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
