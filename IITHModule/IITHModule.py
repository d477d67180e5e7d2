"""Slicer module: radiomic features of the regions of one exam, and the scores of models on it."""

from typing import Annotated, NamedTuple

import qt
import slicer
import vtk
from slicer import vtkMRMLSegmentationNode
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

RADIOMICS_EXTENSION = "SlicerRadiomics"
FEATURE_COLUMNS = ("region", "image", "feature", "value", "unit", "reason")


class IITHModule(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("IITH Features and Scores")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["SubregionHabitat"]
        self.parent.contributors = ["The IITH developers"]
        self.parent.helpText = _(
            "Radiomic features of lesion, habitats and ring on every phase and kinetic map, and the scores of the "
            "models shipped with this extension. Features need no other package; PyRadiomics can be used in their "
            "place. Research use only."
        )
        self.parent.acknowledgementText = _("Features follow the definitions of PyRadiomics (van Griethuysen 2017).")


@parameterNodeWrapper
class IITHModuleParameterNode:
    """Inputs and settings. hr, her2 and ageYears: what is not known stays "unknown" or 0; modelNames: empty for all."""

    segmentation: vtkMRMLSegmentationNode
    extractFeatures: bool = True
    preset: Annotated[str, Choice(["mr_default", "ibsi_fbn", "captk", "wang", "zhou"])] = "mr_default"
    engine: Annotated[str, Choice(["native", "pyradiomics"])] = "native"
    hr: Annotated[str, Choice(["unknown", "positive", "negative"])] = "unknown"
    her2: Annotated[str, Choice(["unknown", "positive", "negative"])] = "unknown"
    ageYears: Annotated[float, WithinRange(0.0, 120.0)] = 0.0
    modelNames: str = ""


class IITHModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._running = False

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/IITHModule.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.ui.segmentationSelector.addAttribute("vtkMRMLSegmentationNode", "IITH.kind", "segmentation")
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = IITHModuleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
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

    def onSceneEndClose(self, _caller, _event) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Observe the scene's parameter node; select the only habitat segmentation there is, to save a click."""
        self.setParameterNode(self.logic.getParameterNode())
        if self._parameterNode.segmentation is None:
            nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            habitats = [node for node in nodes if node.GetAttribute("IITH.kind") == "segmentation"]
            if len(habitats) == 1:
                self._parameterNode.segmentation = habitats[0]

    def setParameterNode(self, parameterNode: IITHModuleParameterNode | None) -> None:
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = parameterNode
        self._parameterNodeGuiTag = None
        if parameterNode is not None:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
            self._checkCanApply()

    def _checkCanApply(self, _caller=None, _event=None) -> None:
        if self._parameterNode is None:
            return
        ready = self._parameterNode.segmentation is not None
        self.ui.applyButton.enabled = ready and not self._running
        self.ui.applyButton.toolTip = (
            _("Compute features and scores") if ready else _("Select the result of the Subregion Habitat module")
        )

    def onApplyButton(self, _checked=False) -> None:
        from SubregionHabitatLib.errors import Cancelled
        from SubregionHabitatLib.mrml_bridge import DialogProgress

        self._running = True
        self._checkCanApply()
        dialog = slicer.util.createProgressDialog(
            labelText=_("Starting"), windowTitle=_("IITH Features and Scores"), windowModality=qt.Qt.WindowModal
        )
        try:
            with slicer.util.tryWithErrorDisplay(_("The case could not be measured."), waitCursor=True):
                try:
                    nodes = self.logic.process(self._parameterNode, DialogProgress(dialog))
                    self.ui.statusLabel.text = "\n".join(nodes.notes)
                except Cancelled:
                    self.ui.statusLabel.text = _("Stopped; nothing was changed.")
        finally:
            dialog.close()
            self._running = False
            self._checkCanApply()


class CaseNodes(NamedTuple):
    """The result nodes; featureTable is None when no features were asked for. notes: one sentence each."""

    featureTable: object
    scoreTable: object
    notes: tuple


class VisitNodes(NamedTuple):
    """phenotypeTable: the phenotype of change, distances and changes of size; chart: the distances to every phenotype;
    notes: one sentence each."""

    phenotypeTable: object
    chart: object
    notes: tuple


class BatchNodes(NamedTuple):
    """cohortTable: one row per exam, as cohort.csv; featuresPath: the table of all features; notes: what was printed
    last."""

    cohortTable: object
    featuresPath: object
    notes: tuple


class IITHModuleLogic(ScriptedLoadableModuleLogic):
    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> IITHModuleParameterNode:
        return IITHModuleParameterNode(super().getParameterNode())

    @staticmethod
    def clinicalValues(parameters: IITHModuleParameterNode) -> dict[str, float]:
        """Standard name -> value of the clinical values that are known."""
        known = {"positive": 1.0, "negative": 0.0}
        values = {
            name: known[getattr(parameters, name)] for name in ("hr", "her2") if getattr(parameters, name) in known
        }
        if parameters.ageYears > 0:
            values["age_years"] = parameters.ageYears
        return values

    def process(self, parameters: IITHModuleParameterNode, progress=None) -> CaseNodes:
        """Measure and score what the parameter node selects. Raises InputError with one sentence on bad input."""
        names = [name.strip() for name in parameters.modelNames.replace(";", ",").split(",") if name.strip()]
        return self.processNodes(
            parameters.segmentation,
            preset=parameters.preset if parameters.extractFeatures else None,
            engine=parameters.engine,
            clinical=self.clinicalValues(parameters),
            modelNames=names or None,
            progress=progress,
        )

    def processNodes(
        self, segmentation, preset="mr_default", engine="native", clinical=None, modelNames=None, progress=None
    ) -> CaseNodes:
        """Features and scores of one exam, in place of those of an earlier run on it.

        :param segmentation: result of the SubregionHabitat module
        :param preset: name of a feature preset, None for scores without features
        :param engine: one of IITHModuleLib.feature_engine.ENGINES
        :param clinical: standard name (hr, her2, age_years) -> value
        :param modelNames: model ids or paths, None for all shipped ones
        """
        from IITHModuleLib.any_model import open_model, score_all
        from IITHModuleLib.case_values import user_value
        from IITHModuleLib.derived_rows import with_derived_rows
        from IITHModuleLib.measured_values import case_values
        from IITHModuleLib.model_file import shipped_models
        from SubregionHabitat import SubregionHabitatLogic
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.progress import Part, Silent

        progress = progress or Silent()
        featureEngine = self._engine(engine) if preset is not None else None
        # what can be wrong without measuring is found first
        models = [open_model(name) for name in (shipped_models() if modelNames is None else modelNames)]
        values = {name: user_value(name, value) for name, value in (clinical or {}).items()}
        exam, imaging = SubregionHabitatLogic().repeat(segmentation, Part(progress, 0.0, 0.2))
        features = None
        if featureEngine is not None:
            features = self._features(imaging, preset, featureEngine, Part(progress, 0.2, 0.95))
            features = with_derived_rows(features, imaging)
        scores = score_all(models, case_values(exam, imaging, values), features or with_derived_rows(None, imaging))
        results = mrml_bridge.ExamResults.of(segmentation)
        return self._show(results, features, scores, clinical or {}, models)

    def processVisits(self, first, second, model, progress=None) -> VisitNodes:
        """Phenotype of the change between two visits, with the change of functional tumor volume and longest diameter.

        A visit whose features are not in the scene, or were made with another preset, gets those the model needs. The
        results belong to the second visit. Raises InputError where the visits or the model do not fit, CaseRefused
        where the model refuses the patient.

        :param first, second: results of the SubregionHabitat module on the two exams
        :param model: folder, model.json or id of a model of the kind phenotype_centroid
        """
        from IITHModuleLib.heterogeneity.phenotype_file import FORMAT
        from IITHModuleLib.heterogeneity.phenotype_visits import phenotype_of_visits
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.errors import InputError
        from SubregionHabitatLib.progress import Part, Silent

        progress = progress or Silent()
        loaded = FORMAT.load(model)
        if first is None or second is None or first is second:
            raise InputError("Two visits are needed; select the habitat segmentation of each exam.")
        features, sizes = [], []
        for number, visit in enumerate((first, second)):
            part = Part(progress, 0.5 * number, 0.5 * (number + 1))
            features.append(self._visitFeatures(visit, loaded.model, part))
            sizes.append(visitSize(mrml_bridge.ExamResults.of(visit)))
        found = phenotype_of_visits(loaded, *features, *sizes)
        return showPhenotype(mrml_bridge.ExamResults.of(second), found)

    def _visitFeatures(self, segmentation, model, progress):
        from SubregionHabitatLib import mrml_bridge

        def held():
            table = featureTableOf(mrml_bridge.ExamResults.of(segmentation))
            fits = table is not None and table.preset_digest == model.preset_digest
            return table if fits or (table is not None and not model.preset_digest) else None

        found = held()
        if found is None:
            self.processNodes(segmentation, preset=model.preset, progress=progress)
            found = held()
        return found

    def runBatch(self, cohort, out, options=(), resume=False, progress=None) -> BatchNodes:
        """Analyze every exam of a cohort table, as ``iith batch`` does, in a process of its own; see docs/batch.md.

        Exams that fail are rows with their reason. Cancelling through ``progress`` keeps what is done: call again with
        resume=True. Raises InputError where the table or an option cannot be used.

        :param cohort: path of the CSV table of exams
        :param out: folder for the results
        :param options: further options of ``iith batch``, for example ["--preset", "captk"]
        """
        import csv
        import re
        from pathlib import Path

        from SubregionHabitatLib.progress import Silent
        from SubregionHabitatLib.python_child import run_python

        ended = re.compile(r"^(\d+) of (\d+): (.*)$")

        def readStep(line):
            found = ended.match(line)
            return (int(found[1]) / int(found[2]), found[3]) if found else None

        # --jobs 0: inside Slicer's Python no further processes can be relied on
        arguments = ["batch", cohort, "--out", out, "--jobs", "0", *(["--resume"] if resume else []), *options]
        module = "RadiogenomicReportLib.command_line.main"
        lines = run_python(module, arguments, progress or Silent(), readStep, one_thread=True)
        with (Path(out) / "cohort.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        table = slicer.mrmlScene.AddNewNodeByClass(
            "vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName("IITH cohort")
        )
        showCohort(table, rows)
        return BatchNodes(table, Path(out) / "features_wide.csv.gz", tuple(lines[-2:]))

    @staticmethod
    def _engine(name: str):
        """The feature engine; where PyRadiomics is missing, the extension that brings it is offered first."""
        import importlib.util

        from IITHModuleLib.feature_engine import make_engine

        missing = name == "pyradiomics" and importlib.util.find_spec("radiomics") is None
        if missing and not slicer.app.testingEnabled():
            question = _("This engine needs PyRadiomics. Install the SlicerRadiomics extension, which brings it?")
            if slicer.util.confirmOkCancelDisplay(question):
                slicer.app.extensionsManagerModel().installExtensionFromServer(RADIOMICS_EXTENSION)
        return make_engine(name)

    @staticmethod
    def _features(imaging, presetName, engine, progress):
        from IITHModuleLib.features import extract_features
        from IITHModuleLib.presets import load_preset
        from SubregionHabitatLib.background_run import run_in_background

        preset, regions = load_preset(presetName), imaging.regions()

        def work(itsProgress):
            return extract_features(imaging.exam, imaging.maps, regions, preset, engine, imaging.reference, itsProgress)

        return run_in_background(work, progress)

    @staticmethod
    def _show(results, features, scores, clinical, models) -> CaseNodes:
        import json

        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.mrml_bridge import Column

        featureTable = None
        if features is None:
            results.remove("table.features")
        else:
            featureTable = results.node("table.features", "vtkMRMLTableNode", "IITH features")
            columns = [Column(name, [getattr(row, name) for row in features.rows]) for name in FEATURE_COLUMNS]
            mrml_bridge.set_table(featureTable, columns)
            for name in ("preset", "preset_digest", "engine", "engine_version"):
                featureTable.SetAttribute(f"IITH.{name}", getattr(features, name))
        scoreTable = results.node("table.scores", "vtkMRMLTableNode", "IITH scores")
        mrml_bridge.set_table(scoreTable, scoreColumns(scores))
        request = results.node("inputs.scores", "vtkMRMLTextNode", "IITH scoring settings")
        request.SetText(json.dumps({"clinical": clinical, "models": [model.id for model in models]}))
        notes = [f"{score.model_id}: {score.refusal}" for score in scores if score.refusal is not None]
        notes += [f"{score.model_id}: {warning}" for score in scores for warning in score.warnings]
        return CaseNodes(featureTable, scoreTable, tuple(notes))


def scoreColumns(scores) -> list:
    """The scores as table columns, one row per model; a refused case has no value and says why."""
    from SubregionHabitatLib.mrml_bridge import Column

    def interval(score, index):
        return None if score.ci95 is None else score.ci95[index]

    return [
        Column("model", [s.model_id for s in scores]),
        Column("version", [s.model_version for s in scores]),
        Column("outcome", [s.outcome for s in scores]),
        Column("form", [s.form or "" for s in scores]),
        Column("value", [s.value for s in scores]),
        Column("unit", [s.unit for s in scores]),
        Column("low", [interval(s, 0) for s in scores], description="Lower end of the 95 % confidence interval"),
        Column("high", [interval(s, 1) for s in scores], description="Upper end of the 95 % confidence interval"),
        Column("group", [s.group or "" for s in scores]),
        Column("percentile", [s.percentile_in_training for s in scores], description="Among the training patients"),
        Column("in range", ["" if s.in_range is None else "yes" if s.in_range else "no" for s in scores]),
        Column("refusal", [s.refusal or "" for s in scores]),
        Column("warnings", [" ".join(s.warnings) for s in scores]),
        Column("licence", [s.licence for s in scores]),
        Column("note", [s.note for s in scores]),
    ]


def featureTableOf(results):
    """The features of an exam in the scene as IITHModuleLib's FeatureTable, None where there are none."""
    from IITHModuleLib.features import FeatureRow, FeatureTable
    from SubregionHabitatLib.mrml_bridge import table_rows

    node = results.find("table.features")
    if node is None:
        return None
    rows = tuple(FeatureRow(*(row[n] for n in FEATURE_COLUMNS)) for row in table_rows(node))
    made_by = (node.GetAttribute(f"IITH.{n}") or "" for n in ("preset", "preset_digest", "engine", "engine_version"))
    return FeatureTable(rows, *made_by)


def visitSize(results):
    """Functional tumor volume and longest diameter of an exam in the scene."""
    from IITHModuleLib.heterogeneity.size_change import LesionSize
    from SubregionHabitatLib.mrml_bridge import table_rows

    table = results.find("table.volumes")
    rows = {} if table is None else {(r["region"], r["quantity"]): r["value"] for r in table_rows(table)}
    return LesionSize(*(rows.get(("lesion", name)) for name in ("functional tumor volume", "longest diameter")))


def showPhenotype(results, found) -> VisitNodes:
    """Table and chart of a PhenotypeResult."""
    from SubregionHabitatLib.mrml_bridge import Column, set_table

    score = found.score
    rows = [("phenotype of change", score.phenotype, None, "", score.note)]
    rows.append(("ratio of nearest to second distance", "", score.distance_ratio, "", "near 1: between two phenotypes"))
    rows += [(f"distance to {n}", "", d, "", "") for n, d in zip(score.names, score.distances, strict=True)]
    for size in found.sizes:
        rows.append((f"change of {size.name}", "", size.change_percent, "%", size.reason))
    rows += [(f"warning {i + 1}", warning, None, "", "") for i, warning in enumerate(score.warnings)]
    rows.append(("model", f"{found.model_id} {found.model_version}", None, "", found.licence))
    table = results.node("table.phenotype", "vtkMRMLTableNode", "IITH phenotype of change")
    names = ("quantity", "text", "value", "unit", "note")
    set_table(table, [Column(name, [row[i] for row in rows]) for i, name in enumerate(names)])
    distances = results.node("table.phenotype.distances", "vtkMRMLTableNode", "IITH distances to phenotypes")
    set_table(distances, [Column("phenotype", list(score.names)), Column("distance", list(score.distances))])
    series = results.node("phenotype.series", "vtkMRMLPlotSeriesNode", "distance")
    series.SetAndObserveTableNodeID(distances.GetID())
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
    series.SetLabelColumnName("phenotype")
    series.SetYColumnName("distance")
    chart = results.node("phenotype.chart", "vtkMRMLPlotChartNode", "IITH phenotype of change")
    chart.RemoveAllPlotSeriesNodeIDs()
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(f"Phenotype of change: {score.phenotype}")
    chart.SetYAxisTitle("Distance to the phenotype's center")
    return VisitNodes(table, chart, tuple(score.warnings))


def showCohort(table, rows) -> None:
    """The rows of a cohort.csv in a table node; columns of numbers become numbers."""
    from SubregionHabitatLib.mrml_bridge import Column, set_table

    def column(name):
        texts = [row[name] or "" for row in rows]
        if name not in ("result", "patient", "visit") and any(texts):
            try:
                return Column(name, [float(text) if text else None for text in texts])
            except ValueError:
                pass
        return Column(name, texts)

    set_table(table, [column(name) for name in rows[0]])


class IITHModuleTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_Scores()

    def test_Scores(self):
        from IITHModuleLib.model_file import shipped_models
        from SubregionHabitat import SubregionHabitatLogic, simulatedNodes
        from SubregionHabitatLib.mrml_bridge import table_rows

        self.delayDisplay("Score a simulated exam")
        _simulated, sequence, voi = simulatedNodes()
        habitats = SubregionHabitatLogic().processNodes([sequence], voi=(voi, "voi"))
        logic = IITHModuleLogic()
        nodes = logic.processNodes(habitats.segmentation, preset=None)
        self.assertIsNone(nodes.featureTable)
        self.assertEqual([row["model"] for row in table_rows(nodes.scoreTable)], shipped_models())
        self.delayDisplay("Test passed")
