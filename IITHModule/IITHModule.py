"""Slicer module: radiomic features of the regions of one exam, and the scores of models on it."""

import pathlib
from typing import Annotated

import slicer
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

from SubregionHabitatPanel.documentation import page_link
from SubregionHabitatPanel.module_panel import ModulePanel

RADIOMICS_EXTENSION = "SlicerRadiomics"


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
        self.parent.helpText += " " + page_link("slicer-iith.md")
        self.parent.acknowledgementText = _("Features follow the definitions of PyRadiomics (van Griethuysen 2017).")


@parameterNodeWrapper
class IITHModuleParameterNode:
    """Inputs and settings. From hr to lvi as in IITHModulePanel.clinical_fields.

    modelNames: separated by commas, empty for all shipped ones; regions, images: names, empty for all.
    """

    segmentation: vtkMRMLSegmentationNode
    extractFeatures: bool = True
    preset: Annotated[str, Choice(["mr_default", "ibsi_fbn", "captk", "wang", "zhou"])] = "mr_default"
    engine: Annotated[str, Choice(["native", "pyradiomics"])] = "native"
    hr: Annotated[str, Choice(["unknown", "positive", "negative"])] = "unknown"
    her2: Annotated[str, Choice(["unknown", "positive", "negative"])] = "unknown"
    ageYears: Annotated[float, WithinRange(0.0, 120.0)] = 0.0
    nStage: Annotated[str, Choice(["unknown", "N0", "N1", "N2", "N3"])] = "unknown"
    longestDiameterMm: Annotated[float, WithinRange(0.0, 400.0)] = 0.0
    longestDiameterChange: Annotated[float, WithinRange(-101.0, 500.0)] = -101.0
    ki67: Annotated[str, Choice(["unknown", "high", "low"])] = "unknown"
    lvi: Annotated[str, Choice(["unknown", "present", "absent"])] = "unknown"
    modelNames: str = ""
    regions: list[str]
    images: list[str]
    firstVisit: vtkMRMLSegmentationNode
    secondVisit: vtkMRMLSegmentationNode
    phenotypeModel: pathlib.Path
    cohortFile: pathlib.Path
    batchFolder: pathlib.Path
    batchResume: bool = False
    batchJobs: Annotated[int, WithinRange(0, 16)] = 0


class IITHModuleWidget(ModulePanel, ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.batch = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.setupPanel(IITHModuleLogic())

    def beforeScene(self) -> None:
        for name in ("segmentationSelector", "firstSelector", "secondSelector"):
            getattr(self.ui, name).addAttribute("vtkMRMLSegmentationNode", "IITH.kind", "segmentation")

    def connectPanel(self) -> None:
        from IITHModulePanel.batch_panel import BatchPanel

        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.compareButton.connect("clicked(bool)", self.onCompareButton)
        self.ui.showDistributionButton.connect("clicked(bool)", self.onShowDistributionButton)
        for listed in ("regionsList", "imagesList", "modelsList"):
            getattr(self.ui, listed).connect("itemChanged(QListWidgetItem*)", self._onListsChecked)
        self.batch = BatchPanel(self)

    def cleanup(self) -> None:
        self.batch.stop()
        ModulePanel.cleanup(self)

    def onSceneStartClose(self, caller=None, event=None) -> None:
        for table in (self.ui.scoresTable, self.ui.featuresTable, self.ui.changesTable):
            table.setMRMLTableNode(None)
        ModulePanel.onSceneStartClose(self, caller, event)

    def fillDefaults(self, parameters: IITHModuleParameterNode) -> None:
        """Select the only habitat segmentation there is, to save a click; the two there are as visits."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        habitats = [node for node in nodes if node.GetAttribute("IITH.kind") == "segmentation"]
        if parameters.segmentation is None and len(habitats) == 1:
            parameters.segmentation = habitats[0]
        if parameters.firstVisit is None and parameters.secondVisit is None and len(habitats) == 2:
            parameters.firstVisit, parameters.secondVisit = habitats

    def _onListsChecked(self, _item=None) -> None:
        if self._parameterNode is None or self._updating:
            return
        from IITHModulePanel.checked_list import checked_names

        with slicer.util.NodeModify(self._parameterNode):
            self._parameterNode.regions = checked_names(self.ui.regionsList)
            self._parameterNode.images = checked_names(self.ui.imagesList)
            shipped = self.logic.modelTexts()
            others = [name for name in self.logic.modelNames(self._parameterNode) if name not in shipped]
            self._parameterNode.modelNames = ", ".join([*checked_names(self.ui.modelsList), *others])

    def onParametersChanged(self, parameters: IITHModuleParameterNode) -> None:
        from IITHModulePanel.checked_list import show_names

        show_names(self.ui.regionsList, self.logic.regionNames(parameters.segmentation), list(parameters.regions))
        show_names(self.ui.imagesList, self.logic.imageNames(parameters.segmentation), list(parameters.images))
        chosen = self.logic.modelNames(parameters)
        show_names(self.ui.modelsList, self.logic.modelTexts(), chosen)
        self._showClinicalFields(parameters)
        for name in ("regionsList", "imagesList", "presetCombo"):
            getattr(self.ui, name).enabled = parameters.extractFeatures
        ready = parameters.segmentation is not None
        self.ui.applyButton.enabled = ready and not self.running
        self.ui.applyButton.toolTip = (
            _("Compute features and scores") if ready else _("Select the result of the Subregion Habitat module")
        )
        both = parameters.firstVisit is not None and parameters.secondVisit is not None
        self.ui.compareButton.enabled = both and not self.running
        self.ui.compareButton.toolTip = (
            _("Compare the two visits") if both else _("Select the habitat segmentations of two visits first.")
        )
        self._showResults(parameters)
        self.batch.refresh(parameters)

    def _showClinicalFields(self, parameters) -> None:
        from IITHModulePanel.clinical_fields import show_fields

        wanted = self.logic.clinicalInputs(parameters)
        show_fields(self.ui, wanted)
        self.ui.clinicalNoneLabel.visible = not wanted
        self.ui.modelInputsLabel.text = self.logic.missingInputs(parameters)
        self.ui.modelInputsLabel.visible = self.ui.modelInputsLabel.text != ""

    def _showResults(self, parameters) -> None:
        results = self.logic.results(parameters.segmentation)
        scores = results.find("table.scores") if results else None
        self.ui.scoresTable.setMRMLTableNode(scores)
        self.ui.featuresTable.setMRMLTableNode(results.find("table.features") if results else None)
        self.ui.indexLabel.text = scores.GetAttribute("IITH.index_text") or "" if scores else ""
        self.ui.scoresText.html = scores.GetAttribute("IITH.html") or "" if scores else ""
        self.ui.showDistributionButton.enabled = bool(results and results.find("index.chart"))
        visits = self.logic.results(parameters.secondVisit)
        changes = visits.find("table.changes") if visits else None
        self.ui.changesTable.setMRMLTableNode(changes)
        self.ui.visitsLabel.text = changes.GetAttribute("IITH.text") or "" if changes else ""

    # work

    def onApplyButton(self, _checked=False) -> None:
        parameters = self._parameterNode
        nodes = self.runLong(
            lambda progress: self.logic.process(parameters, progress), _("The case could not be measured.")
        )
        if nodes is None:
            return
        self.showStatus("\n".join(nodes.notes))
        self._onModified()
        if self.ui.showDistributionButton.enabled:
            self.onShowDistributionButton()

    def onShowDistributionButton(self, _checked=False) -> None:
        chart = self.logic.results(self._parameterNode.segmentation).find("index.chart")
        slicer.modules.plots.logic().ShowChartInLayout(chart)

    def onCompareButton(self, _checked=False) -> None:
        parameters = self._parameterNode
        done = self.runLong(
            lambda progress: self.logic.compareVisits(parameters, progress), _("The visits could not be compared.")
        )
        if done is not None:
            self._onModified()


class IITHModuleLogic(ScriptedLoadableModuleLogic):
    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> IITHModuleParameterNode:
        return IITHModuleParameterNode(super().getParameterNode())

    @staticmethod
    def clinicalValues(parameters: IITHModuleParameterNode) -> dict[str, float]:
        """Standard name -> value of the clinical values that are known; of any parameter node with these fields."""
        from IITHModulePanel.clinical_fields import given_values

        return given_values(parameters)

    def process(self, parameters: IITHModuleParameterNode, progress=None):
        """Measure and score what the parameter node selects. Raises InputError with one sentence on bad input."""
        return self.processNodes(
            parameters.segmentation,
            preset=parameters.preset if parameters.extractFeatures else None,
            engine=parameters.engine,
            clinical=self.clinicalValues(parameters),
            modelNames=self.modelNames(parameters) or None,
            progress=progress,
            regions=list(parameters.regions) or None,
            images=list(parameters.images) or None,
        )

    @staticmethod
    def modelNames(parameters: IITHModuleParameterNode) -> list[str]:
        """The models that are asked for; empty means all shipped ones."""
        return [name.strip() for name in parameters.modelNames.replace(";", ",").split(",") if name.strip()]

    @staticmethod
    def results(segmentation):
        """The ExamResults that a habitat segmentation belongs to, None where there is none."""
        if segmentation is None:
            return None
        from SubregionHabitatLib.errors import InputError
        from SubregionHabitatLib.mrml_bridge import ExamResults

        try:
            return ExamResults.of(segmentation)
        except InputError:
            return None

    @staticmethod
    def regionNames(segmentation) -> dict[str, str]:
        """Region -> shown name."""
        if segmentation is None:
            return {}
        from SubregionHabitatLib.mrml_bridge import segment_names

        return segment_names(segmentation)

    def imageNames(self, segmentation) -> dict[str, str]:
        """Image -> shown name, of the phases and maps that features can be computed on."""
        results = self.results(segmentation)
        if results is None:
            return {}
        from SubregionHabitatPanel.shown_map import map_titles

        first = results.exam_nodes[0]
        n_phases = first.GetNumberOfDataNodes() if first.IsA("vtkMRMLSequenceNode") else len(results.exam_nodes)
        maps = [node.GetAttribute("IITH.kind") for node in results.all()]
        maps = [kind[4:] for kind in maps if kind.startswith("map.") and kind != "map.time_to_peak"]
        phases = {f"phase{i}": _("Phase {number}").format(number=i) for i in range(n_phases)}
        return phases | {name: map_titles()[name] for name in maps}

    def modelTexts(self) -> dict[str, str]:
        """Shipped model -> what a list shows of it."""
        from IITHModulePanel.model_choice import shipped_models

        return {name: f"{name}: {content['title']}" for name, content in shipped_models().items()}

    def clinicalInputs(self, parameters: IITHModuleParameterNode) -> list[str]:
        """The standard values that the chosen models read and that no image tells."""
        from IITHModulePanel.model_choice import read_values

        return read_values(self.modelNames(parameters))

    def missingInputs(self, parameters: IITHModuleParameterNode) -> str:
        """What each chosen model lacks of the clinical values that it reads, one sentence a line; empty: nothing."""
        from IITHModulePanel.model_choice import missing_values

        return "\n".join(missing_values(self.modelNames(parameters), self.clinicalValues(parameters)))

    def compareVisits(self, parameters: IITHModuleParameterNode, progress=None):
        """Table node with sizes, habitats and phenotype of change of two visits; it belongs to the second one.

        Raises InputError when the visits are one and the same, or features that the model needs were not computed.
        """
        from IITHModuleLib.visit_changes import compare_visits
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.errors import CaseRefused, InputError
        from SubregionHabitatLib.progress import Silent

        progress = progress or Silent()
        nodes = (parameters.firstVisit, parameters.secondVisit)
        if None in nodes:
            raise InputError("Two visits are needed; select the habitat segmentation of each.")
        if nodes[0] is nodes[1]:
            raise InputError("The same exam is selected twice; select the habitat segmentation of the other visit.")
        progress.step(0.1, _("reading the results"))
        visits = [mrml_bridge.ExamResults.of(node) for node in nodes]
        volumes = [results.find("table.volumes") for results in visits]
        if None in volumes:
            raise InputError("A visit has no table of volumes; run the Subregion Habitat module on it again.")
        rows = [mrml_bridge.table_rows(table) for table in volumes]
        features = [featuresOfScene(results) for results in visits]
        model = parameters.phenotypeModel if parameters.phenotypeModel != pathlib.Path() else None
        try:
            changes, text = compare_visits(rows, features, model)
        except CaseRefused as refusal:
            raise InputError(str(refusal)) from None
        progress.step(0.9, _("table of changes"))
        table = visits[1].node("table.changes", "vtkMRMLTableNode", "IITH change between visits")
        names = ("region", "quantity", "unit", "first", "second", "change", "change_percent", "reason")
        labels = ("region", "quantity", "unit", "first visit", "second visit", "change", "change (%)", "reason")
        columns = zip(names, labels, strict=True)
        mrml_bridge.set_table(table, [mrml_bridge.Column(s, [getattr(c, n) for c in changes]) for n, s in columns])
        table.SetAttribute("IITH.text", text)
        return table

    def processNodes(
        self,
        segmentation,
        preset="mr_default",
        engine="native",
        clinical=None,
        modelNames=None,
        progress=None,
        *,
        regions=None,
        images=None,
    ):
        """Features and scores of one exam, in place of those of an earlier run on it.

        :param segmentation: result of the SubregionHabitat module
        :param preset: name of a feature preset, None for scores without features
        :param engine: one of IITHModuleLib.feature_engine.ENGINES
        :param clinical: standard name (hr, her2, age_years) -> value
        :param modelNames: model ids or paths, None for all shipped ones
        :param regions, images: names of those to compute features of, None for all
        """
        from IITHModuleLib.any_model import open_model, score_all
        from IITHModuleLib.case_values import user_value
        from IITHModuleLib.derived_rows import with_derived_rows
        from IITHModuleLib.measured_values import case_values
        from IITHModuleLib.model_file import shipped_models
        from IITHModulePanel.result_nodes import show_case
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
            chosen = (regions, images)
            features = self._features(imaging, preset, featureEngine, chosen, Part(progress, 0.2, 0.95))
            features = with_derived_rows(features, imaging)
        scores = score_all(models, case_values(exam, imaging, values), features or with_derived_rows(None, imaging))
        results = mrml_bridge.ExamResults.of(segmentation)
        return show_case(results, features, scores, clinical or {}, models)

    def processVisits(self, first, second, model, progress=None):
        """Phenotype of the change between two visits, with the change of functional tumor volume and longest diameter.

        A visit whose features are not in the scene, or were made with another preset, gets those the model needs. The
        results belong to the second visit. Raises InputError where the visits or the model do not fit, CaseRefused
        where the model refuses the patient.

        :param first, second: results of the SubregionHabitat module on the two exams
        :param model: folder, model.json or id of a model of the kind phenotype_centroid
        """
        from IITHModuleLib.heterogeneity.phenotype_file import FORMAT
        from IITHModuleLib.heterogeneity.phenotype_visits import phenotype_of_visits
        from IITHModulePanel.result_nodes import show_phenotype, visit_size
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
            sizes.append(visit_size(mrml_bridge.ExamResults.of(visit)))
        found = phenotype_of_visits(loaded, *features, *sizes)
        return show_phenotype(mrml_bridge.ExamResults.of(second), found)

    def _visitFeatures(self, segmentation, model, progress):
        from SubregionHabitatLib import mrml_bridge

        def held():
            table = featuresOfScene(mrml_bridge.ExamResults.of(segmentation))
            fits = table is not None and table.preset_digest == model.preset_digest
            return table if fits or (table is not None and not model.preset_digest) else None

        found = held()
        if found is None:
            self.processNodes(segmentation, preset=model.preset, progress=progress)
            found = held()
        return found

    def runBatch(self, cohort, out, options=(), resume=False, progress=None):
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

        from IITHModulePanel.result_nodes import BatchNodes, show_cohort
        from SubregionHabitatLib.progress import Silent
        from SubregionHabitatLib.python_child import IITH, run_python

        ended = re.compile(r"^(\d+) of (\d+): (.*)$")

        def readStep(line):
            found = ended.match(line)
            return (int(found[1]) / int(found[2]), found[3]) if found else None

        # --jobs 0: inside Slicer's Python no further processes can be relied on
        arguments = ["batch", cohort, "--out", out, "--jobs", "0", *(["--resume"] if resume else []), *options]
        lines = run_python(IITH, arguments, progress or Silent(), readStep, one_thread=True)
        with (Path(out) / "cohort.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        table = slicer.mrmlScene.AddNewNodeByClass(
            "vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName("IITH cohort")
        )
        show_cohort(table, rows)
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
    def _features(imaging, presetName, engine, chosen, progress):
        """Computed in a child of Slicer's Python, so that the window stays free and Cancel is heard at once."""
        from IITHModuleLib.feature_child import extract_in_child
        from IITHModuleLib.presets import load_preset
        from SubregionHabitatLib.errors import InputError

        names, images = chosen
        load_preset(presetName)  # a name that is wrong is found before anything is started
        regions = imaging.regions()
        unknown = [name for name in names or () if name not in regions]
        if unknown:
            raise InputError(f"There is no region '{unknown[0]}'; the regions are {', '.join(regions)}.")
        regions = {name: mask for name, mask in regions.items() if names is None or name in names}
        return extract_in_child(
            imaging.exam, imaging.maps, regions, presetName, engine.name, imaging.reference, progress, images
        )


def featuresOfScene(results):
    """The feature table of the scene as the library's FeatureTable, or None when there is none."""
    from IITHModulePanel.result_nodes import features_of_scene

    return features_of_scene(results)


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
