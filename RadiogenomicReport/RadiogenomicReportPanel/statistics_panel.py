"""The Cohort statistics tab: ``iith survival`` in a process of its own. Imports slicer; only the module imports it."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _

from SubregionHabitatPanel.process_watch import ProcessWatch

REPORT = "report.html"


class StatisticsPanel:
    """Drives the widgets of the tab. panel: the module's widget; requirements: packages that are offered if missing."""

    def __init__(self, panel, requirements: dict) -> None:
        self._panel, self.ui, self._requirements = panel, panel.ui, requirements
        self._watch = ProcessWatch(self._note, self._end)
        self._last_line = ""
        self.ui.statisticsButton.connect("clicked(bool)", self.onRun)
        self.ui.statisticsStopButton.connect("clicked(bool)", self.onStop)
        self.ui.showStatisticsButton.connect("clicked(bool)", self.onShow)

    @property
    def running(self) -> bool:
        return self._watch.running

    def poll(self) -> None:
        self._watch.poll()

    def refresh(self, parameters) -> None:
        ready = parameters.patientTable != Path() and parameters.statisticsFolder != Path()
        ready = ready and bool(parameters.statisticNames.strip())
        self.ui.statisticsButton.enabled = ready and not self.running
        self.ui.statisticsButton.toolTip = (
            _("Analyze the cohort") if ready else _("Choose a table, a result folder, and what is analyzed.")
        )
        self.ui.statisticsStopButton.enabled = self.running
        self.ui.showStatisticsButton.enabled = self._report(parameters).is_file() and not self.running

    @staticmethod
    def _report(parameters) -> Path:
        return parameters.statisticsFolder / REPORT

    def onRun(self, _checked=False) -> None:
        from SubregionHabitatLib.errors import InputError
        from SubregionHabitatLib.mrml_bridge import ensure_packages

        try:
            ensure_packages(self._requirements, "IITH")
        except InputError as error:
            self.ui.statisticsLabel.text = str(error)
            return
        parameters = self._panel._parameterNode
        names = ",".join(name.strip() for name in parameters.statisticNames.split(",") if name.strip())
        arguments = ["survival", parameters.patientTable, "--out", parameters.statisticsFolder]
        arguments += [f"--{parameters.statisticKind}", names]
        if parameters.columnMapping.strip():
            arguments += ["--columns", parameters.columnMapping.strip()]
        for option, text in (("--outcome-time", parameters.outcomeTime), ("--event", parameters.outcomeEvent)):
            if text.strip():
                arguments += [option, text.strip()]
        if parameters.covariates.strip():
            arguments += ["--covariates", parameters.covariates.strip()]
        if parameters.overwrite:
            arguments.append("--overwrite")
        self._last_line = ""
        self._watch.start(arguments)
        self.ui.statisticsLabel.text = _("Running")
        self.refresh(parameters)

    def _note(self, line: str) -> None:
        if line.strip():
            self._last_line = line.strip().removeprefix("iith survival: ").removeprefix("iith: ")
            self.ui.statisticsLabel.text = self._last_line

    def _end(self, _code: int, stopped: bool) -> None:
        self.ui.statisticsLabel.text = _("Stopped; nothing was changed.") if stopped else self._last_line
        if self._panel._parameterNode is not None:
            self.refresh(self._panel._parameterNode)

    def onStop(self, _checked=False) -> None:
        self.stop()

    def stop(self) -> None:
        self._watch.stop()

    def onShow(self, _checked=False) -> None:
        self._panel.showPage(self._report(self._panel._parameterNode))
