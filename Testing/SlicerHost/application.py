"""Stand-ins for ``slicer.app``, ``slicer.modules.<name>`` and the Qt names that have no widget."""

# ruff: noqa: RUF012 - tables and records shared by a class are what is wanted here
from __future__ import annotations

import tempfile
import traceback
from pathlib import Path

from PySide6 import QtCore, QtGui, QtWidgets

from . import mrml_widgets, ui_loader, widgets
from .pythonqt import adopt


class Settings:
    """QSettings in memory, shared by all instances, forgotten at the end of the process."""

    _store: dict = {}

    def value(self, key, default=None):
        return self._store.get(key, default)

    def setValue(self, key, value) -> None:
        self._store[key] = value

    def contains(self, key) -> bool:
        return key in self._store


class SampleDataLogic:
    """What scripted modules register in Slicer's Sample Data module: sample name -> arguments."""

    registered: dict = {}

    @classmethod
    def registerCustomSampleDataSource(cls, category="Custom", sampleName=None, customDownloader=None, **more) -> None:
        cls.registered[sampleName] = {"category": category, "customDownloader": customDownloader, **more}


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
        self._layout_manager = None
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
        return self._layout_manager

    def processEvents(self) -> None:
        widgets.application().processEvents()

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


class ModuleWidget(mrml_widgets.qMRMLWidget):
    """The panel that holds a module's widget; ``isEntered`` while the module is the shown one."""

    def __init__(self, python_widget=None) -> None:
        super().__init__()
        self._python, self._entered = python_widget, False
        widgets.QVBoxLayout(self)

    def self(self):
        return self._python

    isEntered = QtCore.Property(
        bool, lambda self: self._entered, lambda self, value: self.__dict__.__setitem__("_entered", value)
    )


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


class QTimer(adopt(QtCore.QTimer)):
    """Qt's timer; ``singleShot(0, slot)`` runs at once, so that tests need no event loop for it."""

    @staticmethod
    def singleShot(milliseconds: int, slot) -> None:
        if milliseconds <= 0:
            widgets.call_slot(slot, ())
        else:
            QtCore.QTimer.singleShot(milliseconds, lambda: widgets.call_slot(slot, ()))


QColor = QtGui.QColor
QSize, QObject = QtCore.QSize, QtCore.QObject
QTableWidgetItem, QListWidgetItem = QtWidgets.QTableWidgetItem, QtWidgets.QListWidgetItem
QHeaderView, QAbstractItemView, QSizePolicy = QtWidgets.QHeaderView, QtWidgets.QAbstractItemView, QtWidgets.QSizePolicy


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


class _QtNames(type):
    """Enum values by their short names, as PythonQt has them: ``Qt.Checked`` for ``Qt.CheckState.Checked``."""

    def __getattr__(cls, name):
        for group in vars(QtCore.Qt).values():
            members = getattr(group, "__members__", {})
            if name in members:
                return members[name]
        raise AttributeError(f"Qt has no {name!r}")


class Qt(metaclass=_QtNames):
    pass
