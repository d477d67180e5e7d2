"""The Batch tab: a cohort table analyzed by ``iith batch`` in a process of its own, watched row by row.

Imports qt and slicer; only the module file imports it.
"""

from __future__ import annotations

import contextlib
import csv
import re
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from SubregionHabitatPanel.process_watch import ProcessWatch

# As the Subregion Habitat panel at first: below, enhancement is mostly noise.
SHOWN_FROM_PERCENT = 20.0
COLUMNS = ("patient", "visit", "status", "lesion_volume_cc", "reason")
_ENDED = re.compile(r"^\d+ of \d+: (?P<name>.+?) (?:(?P<done>done) in .*|failed: (?P<reason>.*?))(?: \([^()]*\))?$")


class BatchPanel:
    """Drives the widgets of the tab; ``panel`` is the module's widget."""

    def __init__(self, panel) -> None:
        self._panel, self.ui = panel, panel.ui
        self._rows, self._shown, self._last_line = [], None, ""
        self._watch = ProcessWatch(self._note, self._end)
        table = self.ui.batchTable
        table.setColumnCount(len(COLUMNS))
        table.setHorizontalHeaderLabels([_("Patient"), _("Visit"), _("Status"), _("Lesion (cc)"), _("Reason")])
        self.ui.batchButton.connect("clicked(bool)", self.onRun)
        self.ui.batchStopButton.connect("clicked(bool)", self.onStop)
        self.ui.openCaseButton.connect("clicked(bool)", self.onOpenCase)
        table.connect("itemSelectionChanged()", self._enable)
        table.connect("cellDoubleClicked(int,int)", self.onOpenCase)

    @property
    def running(self) -> bool:
        return self._watch.running

    def poll(self) -> None:
        self._watch.poll()

    # what is shown

    def refresh(self, parameters) -> None:
        """List the table that is chosen, with what the result folder holds."""
        chosen = (parameters.cohortFile, parameters.batchFolder)
        if chosen != self._shown and not self.running:
            self._shown = chosen
            self._list(*chosen)
        self._enable()

    def _list(self, cohort: Path, folder: Path) -> None:
        self._rows, self.ui.batchLabel.text = [], ""
        if cohort != Path():
            self._rows = self._read_cohort(cohort)
        if folder != Path():
            self._read_results(folder)
        self._fill()

    def _read_cohort(self, cohort: Path) -> list[dict]:
        from RadiogenomicReportLib.batch_names import exam_names
        from RadiogenomicReportLib.cohort_file import read_cohort
        from SubregionHabitatLib.errors import InputError

        try:
            rows = read_cohort(cohort).rows
        except InputError as error:
            self.ui.batchLabel.text = str(error)
            return []
        folders = exam_names([(row.patient, row.visit) for row in rows])
        return [
            {"patient": r.patient, "visit": r.visit, "name": r.name(), "folder": f, "status": "", "reason": ""}
            for r, f in zip(rows, folders, strict=True)
        ]

    def _read_results(self, folder: Path) -> None:
        """Statuses of an ended run from its cohort.csv, of a stopped one from the folders that are whole."""
        for row in self._rows:
            if row["status"] == "" and (folder / "exams" / row["folder"] / "case.json").is_file():
                row["status"] = "done"
        try:
            with open(folder / "cohort.csv", encoding="utf-8", newline="") as file:
                found = {(line.get("patient", ""), line.get("visit", "")): line for line in csv.DictReader(file)}
        except (OSError, UnicodeDecodeError, csv.Error):
            return
        for row in self._rows:
            line = found.get((row["patient"], row["visit"]), {})
            row.update({name: line[name] or "" for name in ("status", "reason", "lesion_volume_cc") if name in line})

    def _fill(self) -> None:
        table = self.ui.batchTable
        table.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            for column, name in enumerate(COLUMNS):
                text = _shown(name, row.get(name, "")) or (_("waiting") if name == "status" and self.running else "")
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                table.setItem(number, column, item)

    def _enable(self) -> None:
        parameters = self._panel._parameterNode
        if parameters is None:
            return
        chosen = bool(self._rows) and parameters.batchFolder != Path()
        self.ui.batchButton.enabled = chosen and not self.running
        self.ui.batchButton.toolTip = (
            _("Analyze every exam of the table") if chosen else _("Choose a cohort table and a result folder first.")
        )
        self.ui.batchStopButton.enabled = self.running
        row = self._selected()
        self.ui.openCaseButton.enabled = row is not None and row["status"] == "done"

    def _selected(self):
        number = self.ui.batchTable.currentRow()
        return self._rows[number] if 0 <= number < len(self._rows) else None

    # the run

    def onRun(self, _checked=False) -> None:
        parameters = self._panel._parameterNode
        arguments = ["batch", parameters.cohortFile, "--out", parameters.batchFolder, "--jobs", parameters.batchJobs]
        if parameters.batchResume:
            arguments.append("--resume")
        for row in self._rows:
            row.update(status="", reason="", lesion_volume_cc="")
        self._folder, self._last_line = parameters.batchFolder, ""
        self._watch.start(arguments)
        self.ui.batchLabel.text = _("Running")
        self._fill()
        self._enable()

    def _note(self, line: str) -> None:
        ended = _ENDED.match(line)
        if ended:
            for row in self._rows:
                if row["name"] == ended["name"]:
                    row.update(status="done" if ended["done"] else "failed", reason=ended["reason"] or "")
        if line.strip():
            self._last_line = line.strip()
            self.ui.batchLabel.text = self._last_line
        self._fill()

    def _end(self, code: int, stopped: bool) -> None:
        self._read_results(self._folder)
        self._fill()
        self._enable()
        done = sum(row["status"] == "done" for row in self._rows)
        if stopped:
            text = _("Stopped with {done} of {all} exams done; go on by checking 'Go on with an earlier run'.")
        elif code == 0:
            text = _("Done: {done} of {all} exams.")
        else:
            text = self._last_line or _("The run ended with an error.")
        self.ui.batchLabel.text = text.format(done=done, all=len(self._rows)) if stopped or code == 0 else text

    def onStop(self, _checked=False) -> None:
        self.stop()

    def stop(self) -> None:
        """End the run at once; whole results stay."""
        self._watch.stop()

    # a case

    def onOpenCase(self, *_arguments) -> None:
        row = self._selected()
        if row is not None and row["status"] == "done":
            folder = self._panel._parameterNode.batchFolder / "exams" / row["folder"]
            self._panel.runLong(lambda progress: open_case(folder, row["folder"]), _("The case could not be opened."))


def _shown(column: str, text: str) -> str:
    """Volumes to two places, which is what a reader compares."""
    if column == "lesion_volume_cc":
        with contextlib.suppress(ValueError):
            return f"{float(text):.2f}"
    return text


def open_case(folder: Path, name: str):
    """Maps and regions of a result folder as nodes; returns the segmentation. Raises InputError when one is missing."""
    from RadiogenomicReportLib.case_result import read_result
    from SubregionHabitatLib import mrml_bridge
    from SubregionHabitatLib.volume_io import read_volume
    from SubregionHabitatPanel.result_views import show_segmentation

    read_result(folder)  # whole and sound, or an InputError
    scene, volumes = slicer.mrmlScene, {}
    labels = {path.stem: read_volume(path) for path in sorted((folder / "labels").glob("*.nrrd"))}
    for path in sorted((folder / "maps").glob("*.nrrd")):
        array, geometry = read_volume(path)
        if path.stem in mrml_bridge.MAP_DISPLAY:
            volumes[path.stem] = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name} {path.stem}")
            mrml_bridge.set_map(volumes[path.stem], path.stem, array, geometry, labels["lesion"][0] > 0)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    arrays = {key: array for key, (array, _geometry) in labels.items()}
    first = next(iter(volumes.values()))
    mrml_bridge.set_segments(segmentation, _segments(arrays), labels["lesion"][1], first)
    _show_map(folder, name, volumes, arrays)
    show_segmentation(segmentation, in_3d=True)
    return segmentation


def _show_map(folder: Path, name: str, volumes: dict, labels: dict) -> None:
    """Early enhancement where the breast enhances, over the early phase around the lesion that the result keeps."""
    import numpy as np

    from SubregionHabitatLib import mrml_bridge
    from SubregionHabitatLib.tissue_labels import BREAST_LABELS
    from SubregionHabitatLib.volume_io import read_volume
    from SubregionHabitatPanel.result_views import show_inside
    from SubregionHabitatPanel.shown_map import map_title

    anatomy, volume = None, volumes.get("pe_early", next(iter(volumes.values())))
    region = np.ones(labels["lesion"].shape, dtype=bool)
    if (folder / "images" / "early.nrrd").is_file():
        anatomy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name} early phase")
        mrml_bridge.set_volume(anatomy, *read_volume(folder / "images" / "early.nrrd"))
        anatomy.CreateDefaultDisplayNodes()
    if "tissue" in labels:
        region = np.isin(labels["tissue"], BREAST_LABELS)
    if "pe_peak" in volumes:
        region &= slicer.util.arrayFromVolume(volumes["pe_peak"]) >= SHOWN_FROM_PERCENT
    region |= labels["lesion"] > 0
    shown = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{name} map in the breast")
    shown.SetSaveWithScene(False)
    show_inside(shown, volume, region, map_title("pe_early", "%"))
    slicer.util.setSliceViewerLayers(background=anatomy, foreground=shown, foregroundOpacity=1.0, fit=True)


def _segments(labels: dict) -> list:
    """Lesion, habitats and ring of a result folder as segments, in the colors of the Subregion Habitat module."""
    from SubregionHabitatLib.mrml_bridge import (
        HABITAT_COLORS,
        LESION_COLOR,
        NEOPLASM_TERMINOLOGY,
        RING_COLOR,
        TISSUE_TERMINOLOGY,
        Segment,
    )

    habitats = labels["habitats"]
    return [
        Segment("lesion", "Lesion", LESION_COLOR, NEOPLASM_TERMINOLOGY, labels["lesion"] > 0, filled=False),
        *(
            Segment(f"habitat{i}", f"Habitat {i}", HABITAT_COLORS[i - 1], NEOPLASM_TERMINOLOGY, habitats == i)
            for i in range(1, int(habitats.max()) + 1)
        ),
        Segment("ring", "Peritumoral ring", RING_COLOR, TISSUE_TERMINOLOGY, labels["ring"] > 0),
    ]
