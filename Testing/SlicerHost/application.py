"""Stand-ins for ``slicer.app``, ``slicer.modules.<name>`` and the Qt names that have no widget."""

# ruff: noqa: RUF012 - tables and records shared by a class are what is wanted here
from __future__ import annotations

import tempfile
import traceback
from pathlib import Path

from . import ui_loader, widgets


class Settings:
    """QSettings in memory, shared by all instances, forgotten at the end of the process."""

    _store: dict = {}

    def value(self, key, default=None):
        return self._store.get(key, default)

    def setValue(self, key, value) -> None:
        self._store[key] = value

    def contains(self, key) -> bool:
        return key in self._store


class ModuleManager:
    def __init__(self) -> None:
        self.modules: dict = {}
        self._about_to_unload: list = []

    def module(self, name):
        return self.modules.get(name)

    def connect(self, _signal, slot) -> None:
        self._about_to_unload.append(slot)

    def disconnect(self, _signal, slot) -> None:
        self._about_to_unload.remove(slot)

    def unload(self, name) -> None:
        for slot in list(self._about_to_unload):
            slot(name)


class Application:
    """``slicer.app`` as far as ``slicer.util`` and scripted modules ask it: testing mode, no window."""

    applicationName = "Slicer"
    majorVersion, minorVersion, revision = 5, 12, "0"
    documentationBaseUrl = "https://slicer.readthedocs.io/"

    def __init__(self, application_logic) -> None:
        self._logic = application_logic
        self._modules = ModuleManager()
        self._startup: list = []
        self._temporary = tempfile.TemporaryDirectory(prefix="slicer-host-")
        self.cursor_depth = 0

    @property
    def temporaryPath(self) -> str:
        return self._temporary.name

    def testingEnabled(self) -> bool:
        return True

    def applicationLogic(self):
        return self._logic

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def layoutManager(self):
        return None

    def processEvents(self) -> None:
        pass

    def topLevelWidgets(self) -> list:
        return []

    def setOverrideCursor(self, _cursor) -> None:
        self.cursor_depth += 1

    def restoreOverrideCursor(self) -> None:
        self.cursor_depth -= 1

    def userSettings(self) -> Settings:
        return Settings()

    settings = revisionUserSettings = userSettings

    def translate(self, _context, text: str) -> str:
        return text

    def connect(self, signal: str, slot) -> None:
        if signal != "startupCompleted()":
            raise AttributeError(signal)
        self._startup.append(slot)

    def finish_startup(self) -> None:
        """Run what modules connected to ``startupCompleted()``; an exception is kept, not raised."""
        for slot in self._startup:
            try:
                slot()
            except Exception as error:
                widgets.slot_errors.append(error)
                traceback.print_exc()
        self._startup.clear()


class CoreModule:
    """``slicer.modules.volumes`` and the like: a C++ module, here its logic only."""

    def __init__(self, logic) -> None:
        self._logic = logic

    def logic(self):
        return self._logic


class ScriptedModule:
    """What Slicer passes to a scripted module as ``parent`` and offers as ``slicer.modules.<lower>``."""

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path
        self.title, self.helpText, self.acknowledgementText = "", "", ""
        self.categories, self.dependencies, self.contributors = [], [], []
        self.icon, self.hidden, self.index, self.associatedNodeTypes = None, False, -1, []
        self._widget = None

    def logic(self):
        return None

    def widgetRepresentation(self):
        return self._widget


class ModuleWidget(widgets.qMRMLWidget):
    """The panel that holds a module's widget; ``isEntered`` while the module is the shown one."""

    _properties = {"isEntered": False}

    def __init__(self, python_widget=None) -> None:
        super().__init__()
        self.__dict__["_python"] = python_widget
        widgets.QVBoxLayout(self)

    def self(self):
        return self._python


class QFile:
    ReadOnly = 1

    def __init__(self, path) -> None:
        self.path = str(path)

    def exists(self) -> bool:
        return Path(self.path).is_file()

    def open(self, _mode) -> bool:
        return True


class QUiLoader:
    def load(self, file: QFile):
        return ui_loader.load_ui(file.path)


class QIcon:
    def __init__(self, path: str = "") -> None:
        self.path = path


class QColor:
    def __init__(self, name: str = "#ff000000") -> None:
        self._name = name

    def name(self, _format=0) -> str:
        return self._name


class QTimer:
    @staticmethod
    def singleShot(_milliseconds: int, slot) -> None:
        widgets.call_slot(slot, ())


class QUrl:
    def __init__(self, text: str = "") -> None:
        self.text = text

    @staticmethod
    def fromLocalFile(path: str) -> QUrl:
        return QUrl("file://" + path)


class QDesktopServices:
    opened: list = []

    @staticmethod
    def openUrl(url: QUrl) -> bool:
        QDesktopServices.opened.append(url)
        return True


class Qt:
    WaitCursor, Unchecked, Checked, WindowModal = 3, 0, 2, 1
