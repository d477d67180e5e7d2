"""Slicer module: the results of one exam in the scene to an HTML report and a case file."""

import contextlib
import pathlib
import shutil
import tempfile
from typing import Annotated, NamedTuple

import qt
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

# What the report needs beyond Slicer's own packages: import name -> pip requirement.
REQUIREMENTS = {"jinja2": "jinja2>=3.1", "matplotlib": "matplotlib>=3.9"}
PDF_REQUIREMENTS = {**REQUIREMENTS, "reportlab": "reportlab>=4.2"}
COHORT_REQUIREMENTS = {
    **PDF_REQUIREMENTS,
    "pandas": "pandas>=2.2",
    "statsmodels": "statsmodels>=0.14",
    "lifelines": "lifelines>=0.30",
}
# Slicer 5.12 brings it; before, it would need a later pydicom than Slicer's own and is then not installed.
DICOM_REQUIREMENTS = {"highdicom": "highdicom>=0.27"}


class RadiogenomicReport(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Radiogenomic Report")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["SubregionHabitat", "IITHModule"]
        self.parent.contributors = ["The IITH developers"]
        self.parent.helpText = _(
            "One report of an exam's maps, habitats, ring, features and scores as HTML or PDF, the case as JSON, and "
            "the results as DICOM objects. It names no patient. Research use only."
        )
        self.parent.helpText += " " + page_link("slicer-radiogenomic-report.md")
        self.parent.acknowledgementText = ""


@parameterNodeWrapper
class RadiogenomicReportParameterNode:
    """segmentation: result of the SubregionHabitat module; reportPath: the HTML file to write.

    hr to lvi: as in IITHModulePanel.clinical_fields; what is unknown here is taken from the scoring in the scene.
    mutationFile (MAF or VCF) to genomicGenes: genomic data of the patient; a territory of 0 is not known. From
    patientTable on: the cohort statistics.
    """

    segmentation: vtkMRMLSegmentationNode
    reportPath: pathlib.Path
    overwrite: bool = False
    hr: Annotated[str, Choice(["unknown", "positive", "negative"])] = "unknown"
    her2: Annotated[str, Choice(["unknown", "positive", "negative"])] = "unknown"
    ageYears: Annotated[float, WithinRange(0.0, 120.0)] = 0.0
    nStage: Annotated[str, Choice(["unknown", "N0", "N1", "N2", "N3"])] = "unknown"
    longestDiameterMm: Annotated[float, WithinRange(0.0, 400.0)] = 0.0
    longestDiameterChange: Annotated[float, WithinRange(-101.0, 500.0)] = -101.0
    ki67: Annotated[str, Choice(["unknown", "high", "low"])] = "unknown"
    lvi: Annotated[str, Choice(["unknown", "present", "absent"])] = "unknown"
    clinicalFile: pathlib.Path
    mutationFile: pathlib.Path
    segmentsFile: pathlib.Path
    expressionFile: pathlib.Path
    geneSetsFile: pathlib.Path
    genomicSample: str = ""
    territoryMb: Annotated[float, WithinRange(0.0, 3300.0)] = 0.0
    genomicGenes: str = ""
    writePdf: bool = False
    writeNumbers: bool = False
    writeDicom: bool = False
    dicomExam: pathlib.Path
    patientTable: pathlib.Path
    columnMapping: str = ""
    outcomeTime: str = ""
    outcomeEvent: str = ""
    statisticKind: Annotated[str, Choice(["model", "score", "group"])] = "model"
    statisticNames: str = ""
    covariates: str = ""
    statisticsFolder: pathlib.Path


class RadiogenomicReportWidget(ModulePanel, ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self._written = None
        self._viewer = None
        self.statistics = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.setupPanel(RadiogenomicReportLogic())

    def beforeScene(self) -> None:
        self.ui.segmentationSelector.addAttribute("vtkMRMLSegmentationNode", "IITH.kind", "segmentation")

    def connectPanel(self) -> None:
        from RadiogenomicReportPanel.statistics_panel import StatisticsPanel

        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.showButton.connect("clicked(bool)", self.onShowButton)
        self.ui.openButton.connect("clicked(bool)", self.onOpenButton)
        self.ui.readClinicalButton.connect("clicked(bool)", self.onReadClinicalButton)
        self.statistics = StatisticsPanel(self, COHORT_REQUIREMENTS)

    def cleanup(self) -> None:
        self.statistics.stop()
        self._viewer = None
        ModulePanel.cleanup(self)

    def fillDefaults(self, parameters: RadiogenomicReportParameterNode) -> None:
        """Select the only habitat segmentation there is, to save a click."""
        if parameters.segmentation is None:
            nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            habitats = [node for node in nodes if node.GetAttribute("IITH.kind") == "segmentation"]
            if len(habitats) == 1:
                parameters.segmentation = habitats[0]

    def onParametersChanged(self, parameters: RadiogenomicReportParameterNode) -> None:
        from RadiogenomicReportPanel.genomic_fields import show_fields

        hasFile = parameters.reportPath != pathlib.Path()
        ready = parameters.segmentation is not None and hasFile
        self.ui.applyButton.enabled = ready and not self.running
        if ready:
            self.ui.applyButton.toolTip = _("Write the report")
        elif hasFile:
            self.ui.applyButton.toolTip = _("Select the result of the Subregion Habitat module")
        else:
            self.ui.applyButton.toolTip = _("Name the HTML file to write")
        self.ui.openButton.enabled = self.ui.showButton.enabled = self._written is not None
        self.ui.readClinicalButton.enabled = parameters.clinicalFile != pathlib.Path()
        show_fields(self.ui, parameters)
        self.statistics.refresh(parameters)

    def onReadClinicalButton(self, _checked=False) -> None:
        from IITHModulePanel.clinical_fields import store_values
        from SubregionHabitatLib.errors import InputError

        try:
            values = self.logic.clinicalOfFile(self._parameterNode.clinicalFile)
        except InputError as error:
            self.showStatus(str(error), failed=True)
            return
        with slicer.util.NodeModify(self._parameterNode):
            store_values(self._parameterNode, values)

    def onApplyButton(self, _checked=False) -> None:
        parameters = self._parameterNode
        written = self.runLong(
            lambda progress: self.logic.process(parameters, progress), _("The report could not be written.")
        )
        if written is None:
            return
        self._written = written.path
        self.ui.reportPathEdit.addCurrentPathToHistory()
        self.showStatus("\n".join(written.notes))
        self._onModified()

    def onShowButton(self, _checked=False) -> None:
        self.showPage(self._written)

    def onOpenButton(self, _checked=False) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._written)))

    def showPage(self, path: pathlib.Path) -> None:
        """A page in a window of Slicer; in the web browser where Slicer was built without one."""
        if not hasattr(slicer, "qSlicerWebWidget"):
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))
            return
        self._viewer = slicer.qSlicerWebWidget()
        self._viewer.windowTitle = _("IITH report - research use only")
        self._viewer.resize(1000, 1000)
        self._viewer.url = path.absolute().as_uri()
        self._viewer.show()


class Report(NamedTuple):
    """path: the HTML or PDF file; caseText: text node with the case as JSON; notes: what the report lacks."""

    path: pathlib.Path
    caseText: object
    notes: tuple


class CaseOfScene(NamedTuple):
    """exam: as in the scene; imaging: its ImagingResult; case: the content of case.json; clock: times of the stages;
    notes: what the case lacks."""

    exam: object
    imaging: object
    case: dict
    clock: object
    notes: tuple


class CohortStatistics(NamedTuple):
    """path: the result folder; tables: table nodes by name; text: text node with all numbers as JSON; warnings: what
    limits the numbers."""

    path: pathlib.Path
    tables: dict
    text: object
    warnings: tuple


class RadiogenomicReportLogic(ScriptedLoadableModuleLogic):
    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> RadiogenomicReportParameterNode:
        return RadiogenomicReportParameterNode(super().getParameterNode())

    @staticmethod
    def clinicalOfFile(path: pathlib.Path) -> dict[str, float]:
        """Standard name -> value of a table with one patient. Raises InputError for a file that is none."""
        import argparse

        from RadiogenomicReportLib.command_line.clinical import add_clinical_arguments, clinical_values

        parser = argparse.ArgumentParser()
        add_clinical_arguments(parser)
        return clinical_values(parser.parse_args(["--clinical", str(path)]))

    def process(self, parameters: RadiogenomicReportParameterNode, progress=None) -> Report:
        """Write every form that the parameter node asks for: all of them, or none. InputError as processNodes."""
        from IITHModule import IITHModuleLogic
        from RadiogenomicReportLib.case_numbers import case_numbers
        from RadiogenomicReportLib.case_report import CasePictures, case_report_html
        from RadiogenomicReportLib.report_output import report_files, write_files
        from RadiogenomicReportLib.report_target import check_beside, checked_report_path
        from RadiogenomicReportPanel.genomic_fields import genomics_plan
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.background_run import run_in_background
        from SubregionHabitatLib.progress import Part, Silent

        progress = progress or Silent()
        path = checked_report_path(parameters.reportPath, parameters.overwrite)
        stem, forms = path.stem, {"pdf" if path.suffix.lower() == ".pdf" else "html"}
        forms |= {name for name, yes in {"pdf": parameters.writePdf, "csv": parameters.writeNumbers}.items() if yes}
        check_beside(path, forms, parameters.writeDicom, parameters.overwrite)
        needed = PDF_REQUIREMENTS if "pdf" in forms else REQUIREMENTS
        mrml_bridge.ensure_packages(needed | (DICOM_REQUIREMENTS if parameters.writeDicom else {}), "IITH")
        clinical = IITHModuleLogic.clinicalValues(parameters)
        genomics = self._readGenomics(genomics_plan(parameters), Part(progress, 0.0, 0.1))
        found = self._case(parameters.segmentation, Part(progress, 0.1, 0.4), clinical, genomics)

        def draw(itsProgress) -> dict:
            itsProgress.step(0.1, "drawing the report")
            pictures = CasePictures.from_result(found.imaging.exam, found.imaging)
            numbers = case_numbers(found.case)
            return report_files(stem, lambda: case_report_html(found.case, pictures), numbers, sorted(forms))

        with tempfile.TemporaryDirectory() as temporary:
            folders = {}
            if parameters.writeDicom:
                objects = pathlib.Path(temporary) / "objects"
                exam = parameters.dicomExam if parameters.dicomExam != pathlib.Path() else None
                self._writeDicom(objects, parameters.segmentation, found, exam, Part(progress, 0.4, 0.7))
                folders[f"{stem}-dicom"] = objects
            made = run_in_background(draw, Part(progress, 0.7, 0.98))
            files = {f"{stem}-{name}" if name == "numbers.csv" else name: data for name, data in made.items()}
            if path.suffix.lower() == ".htm":
                files[path.name] = files.pop(f"{stem}.html")
            write_files(path.parent, files, folders)
        return Report(path, self._caseText(parameters.segmentation, found.case), found.notes)

    @staticmethod
    def _readGenomics(plan, progress):
        """The patient's genomic values; None without a plan. What reading them needs is offered for install first."""
        from RadiogenomicReportLib.case_genomic_data import read_genomics
        from RadiogenomicReportPanel.genomic_fields import genomic_requirements
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.background_run import run_in_background

        if plan is None:
            return None
        mrml_bridge.ensure_packages(genomic_requirements(plan), "IITH")
        progress.step(0.0, "genomic files")
        return run_in_background(lambda _progress: read_genomics(plan), progress)

    def processNodes(self, segmentation, path, overwrite=False, progress=None, genomics=None) -> Report:
        """Write the report of the exam that a habitat segmentation belongs to; never with a patient's name.

        :param segmentation: result of the SubregionHabitat module
        :param path: HTML or PDF file; an existing one is replaced only with ``overwrite``
        :param genomics: CaseGenomicsPlan with genomic files of the patient, or a row of a table
        """
        from RadiogenomicReportLib.case_report import CasePictures, case_report_html
        from RadiogenomicReportLib.report_output import report_files
        from RadiogenomicReportLib.report_target import checked_report_path, write_whole
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.progress import Part, Silent

        progress = progress or Silent()
        path = checked_report_path(pathlib.Path(path), overwrite)
        form = "pdf" if path.suffix.lower() == ".pdf" else "html"
        mrml_bridge.ensure_packages(PDF_REQUIREMENTS if form == "pdf" else REQUIREMENTS, "IITH")
        read = self._readGenomics(genomics, Part(progress, 0.0, 0.1))
        found = self._case(segmentation, Part(progress, 0.1, 0.5), genomics=read)
        progress.step(0.5, "report")
        pictures = CasePictures.from_result(found.imaging.exam, found.imaging)
        with found.clock.stage("report"):
            content = report_files("report", lambda: case_report_html(found.case, pictures), (), [form])
        write_whole(path, content[f"report.{form}"])
        return Report(path, self._caseText(segmentation, found.case), found.notes)

    def exportNumbers(self, segmentation, folder, progress=None) -> list:
        """Write numbers.csv and numbers.json with every number of the report into a folder; returns the paths.

        Earlier files of these names are replaced. Raises InputError as processNodes.
        """
        from RadiogenomicReportLib.case_numbers import case_numbers
        from RadiogenomicReportLib.report_output import check_folder, numbers_csv, numbers_json, write_files

        folder = pathlib.Path(folder)
        check_folder(folder)
        numbers = case_numbers(self._case(segmentation, progress).case)
        files = {"numbers.csv": numbers_csv(numbers), "numbers.json": numbers_json("report", numbers)}
        return write_files(folder, files)

    def exportDicom(self, segmentation, folder, examFolder=None, identity=False, maps="lesion", progress=None) -> list:
        """Write segmentation, kinetic maps and measurement report as DICOM into a new or empty folder.

        :param segmentation: result of the SubregionHabitat module
        :param examFolder: folder of the exam's DICOM files; None takes them from Slicer's DICOM database
        :param identity: copy patient and study attributes from the exam instead of replacing them
        :param maps: "lesion" (maps around lesion and ring), "whole" or "none"
        :return: paths of the files
        Raises InputError when the files are not those of the exam in the scene, or highdicom is absent.
        """
        from RadiogenomicReportLib.report_target import check_new_folder
        from RadiogenomicReportLib.result_folder import complete_or_absent
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.progress import Part, Silent

        progress = progress or Silent()
        folder = pathlib.Path(folder)
        check_new_folder(folder)
        mrml_bridge.ensure_packages(DICOM_REQUIREMENTS, "IITH")
        found = self._case(segmentation, Part(progress, 0.0, 0.4))
        with complete_or_absent(folder) as partial:
            names = self._writeDicom(partial, segmentation, found, examFolder, Part(progress, 0.4, 1.0), identity, maps)
        return [folder / name for name in names]

    def _writeDicom(self, folder, segmentation, found, examFolder, progress, identity=False, maps="lesion") -> list:
        """Names of the objects written into ``folder``; the work is beside the window's thread."""
        from RadiogenomicReportLib.case_dicom import arrays_on_exam, case_arrays
        from RadiogenomicReportLib.dicom_out.writer import write_dicom_objects
        from SubregionHabitatLib.background_run import run_in_background
        from SubregionHabitatLib.dicom_exam import read_dicom_exam
        from SubregionHabitatLib.progress import Part

        with self._examFiles(segmentation, examFolder) as files:

            def work(itsProgress) -> list:
                exam = read_dicom_exam(files, progress=Part(itsProgress, 0.0, 0.5), allow_no_times=True)
                arrays = arrays_on_exam(case_arrays(found.imaging), found.exam, exam)
                itsProgress.step(0.5, "DICOM objects")
                written = write_dicom_objects(folder, exam, found.case, arrays, identity, maps)
                itsProgress.step(1.0, "done")
                return [path.name for path in written]

            return run_in_background(work, progress)

    @contextlib.contextmanager
    def _examFiles(self, segmentation, examFolder):
        """The folder with the exam's DICOM files; links to those that the DICOM database knows where none is named."""
        from SubregionHabitatLib import mrml_bridge
        from SubregionHabitatLib.errors import InputError

        if examFolder is not None:
            if not pathlib.Path(examFolder).is_dir():
                raise InputError(f"The DICOM folder {examFolder} does not exist; choose the exam's folder.")
            yield pathlib.Path(examFolder)
            return
        paths = mrml_bridge.dicom_files(mrml_bridge.ExamResults.of(segmentation).exam_nodes)
        with tempfile.TemporaryDirectory() as folder:
            for number, path in enumerate(paths):
                target = pathlib.Path(folder) / f"{number:06d}.dcm"
                try:
                    target.symlink_to(path)
                except OSError:  # Windows without the right to make links
                    shutil.copyfile(path, target)
            yield pathlib.Path(folder)

    def _case(self, segmentation, progress=None, clinical=None, genomics=None) -> CaseOfScene:
        """The case of the exam that a habitat segmentation belongs to, with features and scores as in the scene.

        clinical: standard name -> value, in place of those of the scoring in the scene; genomics: CaseGenomics.
        """
        from IITHModule import featuresOfScene
        from IITHModuleLib.any_model import score_all
        from IITHModuleLib.case_values import user_value
        from IITHModuleLib.derived_rows import with_derived_rows
        from IITHModuleLib.measured_values import case_values
        from RadiogenomicReportLib.case_file import build_case
        from RadiogenomicReportLib.case_genomic_data import genomic_values, with_genomics
        from RadiogenomicReportLib.stage_clock import StageClock
        from SubregionHabitat import SubregionHabitatLogic
        from SubregionHabitatLib import mrml_bridge

        clock = StageClock()
        with clock.stage("imaging"):
            exam, imaging = SubregionHabitatLogic().repeat(segmentation, progress)
        results = mrml_bridge.ExamResults.of(segmentation)
        features = featuresOfScene(results)
        with clock.stage("scores"):
            noted, models = self._scoring(results)
            given = {name: user_value(name, value) for name, value in (clinical or {}).items()}
            values = case_values(exam, imaging, noted | given | genomic_values(genomics, models))
            scores = score_all(models, values, features or with_derived_rows(None, imaging))
        case = with_genomics(build_case(exam, imaging, features, values, scores, clock), genomics)
        return CaseOfScene(exam, imaging, case, clock, tuple(self._notes(features, models, genomics)))

    @staticmethod
    def _caseText(segmentation, case):
        """The text node with the case as JSON."""
        import json

        from SubregionHabitatLib import mrml_bridge

        text = mrml_bridge.ExamResults.of(segmentation).node("case", "vtkMRMLTextNode", "IITH case")
        text.SetText(json.dumps(case, indent=1, allow_nan=False))
        return text

    def analyzeSurvival(self, tables, folder, columns=None, overwrite=False, **settings) -> CohortStatistics:
        """Survival statistics of patients in table nodes (several are joined on the patient), as `iith survival`.

        :param tables: table nodes with one row per patient
        :param folder: result folder to write: report, numbers, figures
        :param columns: column mapping: a shipped name or a JSON file
        :param settings: fields of SurvivalPlan, such as model=("age", "er") or score="hi", time and event
        """
        from RadiogenomicReportLib.cohort.survival_analysis import analyze_survival
        from RadiogenomicReportLib.cohort.survival_folder import RECORD, survival_tables, write_survival
        from RadiogenomicReportLib.cohort.survival_plan import SurvivalPlan
        from RadiogenomicReportPanel.cohort_nodes import cohort_nodes, patients_of_tables

        patients = patients_of_tables(tables, columns, COHORT_REQUIREMENTS)
        plan = SurvivalPlan(**settings)
        result = analyze_survival(patients, plan)
        path = write_survival(pathlib.Path(folder), result, patients, plan, show_identity=False, overwrite=overwrite)
        text = (path / RECORD[0]).read_text(encoding="utf-8")
        nodes, textNode = cohort_nodes("survival", survival_tables(result.content), text)
        return CohortStatistics(path, nodes, textNode, tuple(result.content["warnings"]))

    def associate(self, tables, folder, columns=None, overwrite=False, **settings) -> CohortStatistics:
        """Associations of a group or score in table nodes with all other variables, as `iith associate`.

        :param settings: fields of AssociationPlan, such as group="phenotype" or score="hi"
        """
        from RadiogenomicReportLib.cohort.association_analysis import (
            RECORD,
            AssociationPlan,
            analyze_associations,
            association_tables,
            write_associations,
        )
        from RadiogenomicReportPanel.cohort_nodes import cohort_nodes, patients_of_tables

        patients = patients_of_tables(tables, columns, COHORT_REQUIREMENTS)
        plan = AssociationPlan(**settings)
        content = analyze_associations(patients, plan)
        path = write_associations(pathlib.Path(folder), content, patients, plan, overwrite)
        text = (path / RECORD[0]).read_text(encoding="utf-8")
        nodes, textNode = cohort_nodes("association", association_tables(content), text)
        return CohortStatistics(path, nodes, textNode, tuple(content["skipped"]))

    @staticmethod
    def _scoring(results):
        """Clinical values and models of the last scoring in the scene; none where nothing was scored."""
        import json

        from IITHModuleLib.any_model import open_model
        from IITHModuleLib.case_values import user_value
        from SubregionHabitatLib.errors import InputError

        text = results.find("inputs.scores")
        if text is None:
            return {}, []
        try:
            noted = json.loads(text.GetText() or "")
            given, names = dict(noted["clinical"]), list(noted["models"])
            clinical = {str(name): user_value(str(name), float(value)) for name, value in given.items()}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(
                "The scoring settings in the scene are damaged; run the IITH Features and Scores module again."
            ) from None
        return clinical, [open_model(str(name)) for name in names]

    @staticmethod
    def _notes(features, models, genomics):
        if features is None:
            yield _("No radiomic features are part of the report; compute them in IITH Features and Scores.")
        if not models:
            yield _("No model scores are part of the report; compute them in IITH Features and Scores.")
        if genomics is not None and genomics.malformed:
            text = _("{count} rows of the genomic files were left out; the report names their lines.")
            yield text.format(count=len(genomics.malformed))


class RadiogenomicReportTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_Report()

    def test_Report(self):
        import json
        import tempfile

        from SubregionHabitat import SubregionHabitatLogic, simulatedNodes

        self.delayDisplay("Report on a simulated exam")
        _simulated, sequence, voi = simulatedNodes()
        habitats = SubregionHabitatLogic().processNodes([sequence], voi=(voi, "voi"))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "report.html"
            report = RadiogenomicReportLogic().processNodes(habitats.segmentation, path)
            self.assertIn("research use only", path.read_text(encoding="utf-8").lower())
        self.assertEqual(json.loads(report.caseText.GetText())["schema"], "iith-case/1")
        self.delayDisplay("Test passed")
