"""Slicer module: from a breast DCE-MRI exam in the scene to kinetic maps, lesion, habitats and peritumoral ring."""

import pathlib
from typing import Annotated, NamedTuple

import qt
import slicer
import vtk
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

# Regions that are segments: each has the parameters <role>Segmentation and <role>SegmentId and the widget
# <role>Selector. The words name it in messages.
SEGMENT_ROLES = {
    "voi": "VOI",
    "lesion": "lesion",
    "omit": "omit region",
    "added": "added region",
    "removed": "removed region",
    "otherLesions": "other lesions",
}


class SubregionHabitat(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Subregion Habitat")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["Volumes", "Segmentations", "Sequences", "Markups", "Tables", "Plots"]
        self.parent.contributors = ["The IITH developers"]
        self.parent.helpText = _(
            "Motion and bias field correction, kinetic maps, lesion, perfusion habitats and a peritumoral ring of a "
            "breast DCE-MRI exam. The lesion is drawn, or found by its enhancement in a segment, in a box or at a "
            "point. Research use only."
        )
        self.parent.acknowledgementText = _(
            "Methods after Chitalia 2023 (kinetic maps), Zhou 2024 and Wu 2018 (habitats, spatial interaction) and "
            "the UCSF functional tumor volume."
        )


@parameterNodeWrapper
class SubregionHabitatParameterNode:
    """Inputs and settings; the defaults are those of SubregionHabitatLib.analysis.ImagingParameters.

    Percentages stand where the library has shares. earlyPhase, latePhase: 0 lets the timing rule choose.
    injectionText: seconds from the pre-contrast phase, empty when not known. habitatModel: file made by
    ``iith habitats``, empty for habitats of this lesion alone.
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
    registration: Annotated[str, Choice(["none", "rigid", "bspline"])] = "none"
    n4: bool = False
    keepPrepared: bool = False
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


class SubregionHabitatWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._updating = False
        self._running = False

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/SubregionHabitat.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = SubregionHabitatLogic()

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.showCurvesButton.connect("clicked(bool)", self.onShowCurvesButton)
        # segment selectors and checkable lists have no connector in parameterNodeWrapper
        for selector in self._segmentSelectors().values():
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self._onRegionSelected)
            selector.connect("currentSegmentChanged(QString)", self._onRegionSelected)
        self.ui.phasesSelector.connect("checkedNodesChanged()", self._onPhasesChecked)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        self.initializeParameterNode()

    def exit(self) -> None:
        self.setParameterNode(None)

    def onSceneStartClose(self, _caller, _event) -> None:
        self.setParameterNode(None)
        self.logic.forget()

    def onSceneEndClose(self, _caller, _event) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Observe the scene's parameter node; select the only DCE sequence there is, to save a click."""
        self.setParameterNode(self.logic.getParameterNode())
        parameters = self._parameterNode
        sequences = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
        sequences = [node for node in sequences if not node.GetAttribute("IITH.kind")]
        if parameters.dceSequence is None and not len(parameters.phaseVolumes) and len(sequences) == 1:
            parameters.dceSequence = sequences[0]

    def setParameterNode(self, parameterNode: SubregionHabitatParameterNode | None) -> None:
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._parameterNode = parameterNode
        self._parameterNodeGuiTag = None
        if parameterNode is not None:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self._onParametersModified()

    def _onParametersModified(self, _caller=None, _event=None) -> None:
        if self._parameterNode is None or self._updating:
            return
        parameters = self._parameterNode
        self._updating = True
        try:
            for role, selector in self._segmentSelectors().items():
                selector.setCurrentNode(getattr(parameters, f"{role}Segmentation"))
                selector.setCurrentSegmentID(getattr(parameters, f"{role}SegmentId"))
            checked = [node for node in parameters.phaseVolumes if node is not None]
            for node in self.ui.phasesSelector.checkedNodes():
                if node not in checked:
                    self.ui.phasesSelector.setCheckState(node, qt.Qt.Unchecked)
            for node in checked:
                self.ui.phasesSelector.setCheckState(node, qt.Qt.Checked)
        finally:
            self._updating = False
        self.ui.phasesLabel.text = self.logic.describePhases(parameters)
        self._checkCanApply()

    def _segmentSelectors(self) -> dict:
        return {role: getattr(self.ui, f"{role}Selector") for role in SEGMENT_ROLES}

    def _onRegionSelected(self, *_arguments) -> None:
        if self._parameterNode is None or self._updating:
            return
        with slicer.util.NodeModify(self._parameterNode):
            for role, selector in self._segmentSelectors().items():
                setattr(self._parameterNode, f"{role}Segmentation", selector.currentNode())
                setattr(self._parameterNode, f"{role}SegmentId", selector.currentSegmentID() or "")

    def _onPhasesChecked(self, *_arguments) -> None:
        if self._parameterNode is not None and not self._updating:
            self._parameterNode.phaseVolumes = list(self.ui.phasesSelector.checkedNodes())

    def _checkCanApply(self) -> None:
        parameters = self._parameterNode
        hasExam = bool(self.logic.examNodes(parameters))
        drawn = bool(parameters.voiSegmentId or parameters.lesionSegmentId)
        hasRegion = drawn or parameters.box is not None or parameters.seedPoint is not None
        self.ui.applyButton.enabled = hasExam and hasRegion and not self._running
        if self.ui.applyButton.enabled:
            self.ui.applyButton.toolTip = _("Compute maps, lesion, habitats and ring")
        elif not hasExam:
            self.ui.applyButton.toolTip = _("Select the DCE sequence, or the volumes of its phases with their times")
        else:
            self.ui.applyButton.toolTip = _(
                "Select the segment of the region of interest or of the lesion, a box, or a seed point"
            )
        self.ui.showCurvesButton.enabled = hasExam and self.logic.curveChart(parameters) is not None

    def onApplyButton(self, _checked=False) -> None:
        from SubregionHabitatLib.errors import Cancelled
        from SubregionHabitatLib.mrml_bridge import DialogProgress

        self._running = True
        self._checkCanApply()
        dialog = slicer.util.createProgressDialog(
            labelText=_("Starting"), windowTitle=_("Subregion Habitat"), windowModality=qt.Qt.WindowModal
        )
        try:
            with slicer.util.tryWithErrorDisplay(_("The exam could not be analyzed."), waitCursor=True):
                try:
                    nodes = self.logic.process(self._parameterNode, DialogProgress(dialog))
                    self.ui.statusLabel.text = "\n".join(nodes.warnings)
                except Cancelled:
                    self.ui.statusLabel.text = _("Stopped; nothing was changed.")
        finally:
            dialog.close()
            self._running = False
            if self._parameterNode is not None:
                self._checkCanApply()

    def onShowCurvesButton(self, _checked=False) -> None:
        slicer.modules.plots.logic().ShowChartInLayout(self.logic.curveChart(self._parameterNode))


class ImagingNodes(NamedTuple):
    """The result nodes of one run; ``maps`` by map name, ``warnings`` one sentence each.

    preparedSequence: the phases as measured, None unless they were corrected and asked for.
    """

    maps: dict
    segmentation: object
    volumesTable: object
    curvesTable: object
    curvesChart: object
    warnings: tuple
    partsTable: object
    preparedSequence: object


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
        from SubregionHabitatLib.mrml_bridge import ExamResults

        nodes = self.examNodes(parameters)
        return ExamResults(nodes).find("curves.chart") if nodes else None

    @staticmethod
    def imagingParameters(parameters: SubregionHabitatParameterNode):
        """The settings of the parameter node as the library's ImagingParameters."""
        from SubregionHabitatLib.analysis import ImagingParameters
        from SubregionHabitatLib.habitats import HabitatParameters
        from SubregionHabitatLib.lesion import FtvParameters, LesionParameters
        from SubregionHabitatLib.preparation import PreparationParameters
        from SubregionHabitatLib.registration import RegistrationParameters

        return ImagingParameters(
            preparation=PreparationParameters(
                registration=RegistrationParameters(mode=parameters.registration),
                n4=parameters.n4,
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
        :param omit, added, removed, otherLesions: (segmentation node, segment ID), see DrawnRegions
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
        return ImagingNodes(maps, segmentation, volumesTable, curvesTable, chart, result.warnings, partsTable, prepared)


def simulatedNodes():
    """A small simulated exam in the scene, for tests: (SimulatedExam, sequence node, segmentation with "voi")."""
    from SubregionHabitatLib.mrml_bridge import TISSUE_TERMINOLOGY, Segment, set_segments, set_sequence, set_volume
    from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam

    simulated = simulate_exam(SimulationParameters(shape=(32, 80, 80), spacing_mm=(2.0, 2.0, 4.0)))
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "DCE")
    set_sequence(sequence, simulated.exam)
    reference = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "phase 0")
    set_volume(reference, simulated.exam.signal[0], simulated.exam.geometry)
    voi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "VOI")
    segment = Segment("voi", "VOI", (1.0, 1.0, 1.0), TISSUE_TERMINOLOGY, simulated.voi)
    set_segments(voi, [segment], simulated.exam.geometry, reference)
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
