"""The Qt and CTK widgets that module panels and Slicer's parameter connectors use, on PySide6.

Qt's classes are Qt's own. CTK's are composed of Qt widgets with the properties and signals that panels use.
"""

from __future__ import annotations

import math

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .pythonqt import PythonQt, adopt, application, call_slot, slot_errors

__all__ = ["application", "call_slot", "slot_errors"]

application()

QT_WIDGETS = (
    "QAbstractButton", "QButtonGroup", "QCheckBox", "QDialog", "QDoubleSpinBox", "QFormLayout", "QFrame", "QGridLayout",
    "QGroupBox", "QHBoxLayout", "QLabel", "QLineEdit", "QListWidget", "QMenu", "QMessageBox", "QPlainTextEdit",
    "QProgressBar", "QProgressDialog", "QPushButton", "QRadioButton", "QScrollArea", "QSlider", "QSpinBox", "QSplitter",
    "QStackedWidget", "QTabWidget", "QTableView", "QTableWidget", "QTextBrowser", "QTextEdit",
    "QToolButton", "QVBoxLayout", "QWidget",
)  # fmt: skip
globals().update({name: adopt(getattr(QtWidgets, name)) for name in QT_WIDGETS})

QWidget, QCheckBox, QPushButton = (globals()[name] for name in ("QWidget", "QCheckBox", "QPushButton"))
QProgressDialog, QDoubleSpinBox = globals()["QProgressDialog"], globals()["QDoubleSpinBox"]


class QComboBox(PythonQt, QtWidgets.QComboBox):
    """With Qt's own signals; in a panel file its items are those of the parameter."""


class ctkComboBox(QComboBox):
    _default = ""
    defaultText = Property(str, lambda self: self._default, lambda self, text: setattr(self, "_default", text))


class ctkCheckBox(QCheckBox):
    pass


class ctkCheckablePushButton(QPushButton):
    checkBoxControlsButtonToggleState = Property(bool, lambda _self: False, lambda _self, _value: None)


class ctkDoubleSpinBox(QDoubleSpinBox):
    pass


class ctkSliderWidget(PythonQt, QtWidgets.QWidget):
    """A slider beside a spin box; what is written is held inside minimum..maximum."""

    valueChanged = Signal(float)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        self._spin.setRange(0.0, 100.0)
        self._slider.setRange(0, 1000)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)
        self.setFocusProxy(self._spin)
        self._spin.valueChanged.connect(self._spun)
        self._slider.sliderMoved.connect(self._moved)

    def _spun(self, value: float) -> None:
        span = self._spin.maximum() - self._spin.minimum()
        self._slider.setValue(
            round(1000 * (value - self._spin.minimum()) / span) if span and math.isfinite(span) else 0
        )
        self.valueChanged.emit(value)

    def _moved(self, step: int) -> None:
        self._spin.setValue(self._spin.minimum() + step / 1000 * (self._spin.maximum() - self._spin.minimum()))

    def _set_limit(self, lower=None, upper=None) -> None:
        if lower is not None:
            self._spin.setMinimum(lower)
        if upper is not None:
            self._spin.setMaximum(upper)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._spin.setRange(minimum, maximum)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    value = Property(float, lambda self: self._spin.value(), lambda self, value: self._spin.setValue(value))
    minimum = Property(float, lambda self: self._spin.minimum(), lambda self, value: self._set_limit(lower=value))
    maximum = Property(float, lambda self: self._spin.maximum(), lambda self, value: self._set_limit(upper=value))
    singleStep = Property(float, lambda self: self._spin.singleStep(), lambda self, v: self._spin.setSingleStep(v))
    pageStep = Property(float, lambda _self: 10.0, lambda _self, _value: None)
    decimals = Property(int, lambda self: self._spin.decimals(), lambda self, value: self._spin.setDecimals(value))
    suffix = Property(str, lambda self: self._spin.suffix(), lambda self, text: self._spin.setSuffix(text))
    prefix = Property(str, lambda self: self._spin.prefix(), lambda self, text: self._spin.setPrefix(text))
    specialValueText = Property(
        str, lambda self: self._spin.specialValueText(), lambda self, text: self._spin.setSpecialValueText(text)
    )


class ctkDoubleSlider(ctkSliderWidget):
    pass


class ctkRangeWidget(PythonQt, QtWidgets.QWidget):
    """Two spin boxes."""

    valuesChanged = Signal(float, float)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._ends, self._silent = (QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self)), False
        for spin, value in zip(self._ends, (0.0, 99.0), strict=True):
            spin.setRange(0.0, 99.0)
            spin.setValue(value)
            layout.addWidget(spin)
            spin.valueChanged.connect(self._changed)

    def _changed(self, _value) -> None:
        if not self._silent:
            self.valuesChanged.emit(*(spin.value() for spin in self._ends))

    def setRange(self, minimum: float, maximum: float) -> None:
        for spin in self._ends:
            spin.setRange(minimum, maximum)

    def setValues(self, minimum: float, maximum: float) -> None:
        before = tuple(spin.value() for spin in self._ends)
        self._silent = True
        for spin, value in zip(self._ends, (minimum, maximum), strict=True):
            spin.setValue(value)
        self._silent = False
        if tuple(spin.value() for spin in self._ends) != before:
            self._changed(None)

    def _end(self, index: int) -> float:
        return self._ends[index].value()

    minimum = Property(
        float, lambda self: self._ends[0].minimum(), lambda self, v: self.setRange(v, self._ends[0].maximum())
    )
    maximum = Property(
        float, lambda self: self._ends[0].maximum(), lambda self, v: self.setRange(self._ends[0].minimum(), v)
    )
    minimumValue = Property(float, lambda self: self._end(0), lambda self, v: self.setValues(v, self._end(1)))
    maximumValue = Property(float, lambda self: self._end(1), lambda self, v: self.setValues(self._end(0), v))

    def _set_decimals(self, number: int) -> None:
        for spin in self._ends:
            spin.setDecimals(number)

    decimals = Property(int, lambda self: self._ends[0].decimals(), _set_decimals)


class ctkDoubleRangeSlider(ctkRangeWidget):
    pass


class ctkPathLineEdit(PythonQt, QtWidgets.QWidget):
    """A line for a path with a browse button, which does nothing here."""

    currentPathChanged = Signal(str)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._line, browse = QtWidgets.QLineEdit(self), QtWidgets.QToolButton(self)
        browse.setText("…")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        layout.addWidget(browse)
        self.setFocusProxy(self._line)
        self._line.textChanged.connect(self._changed)
        self._filters, self._name_filters, self._key, self._history = "", [], "", []

    def _changed(self, path: str) -> None:
        self.currentPathChanged.emit(path)

    def addCurrentPathToHistory(self) -> None:
        self._history.append(self._line.text())

    currentPath = Property(str, lambda self: self._line.text(), lambda self, path: self._line.setText(path))
    filters = Property(str, lambda self: self._filters, lambda self, value: setattr(self, "_filters", value))
    nameFilters = Property(
        "QStringList", lambda self: self._name_filters, lambda self, value: setattr(self, "_name_filters", value)
    )
    settingKey = Property(str, lambda self: self._key, lambda self, value: setattr(self, "_key", value))


class ctkDirectoryButton(QPushButton):
    directoryChanged = Signal(str)

    def _set_directory(self, path: str) -> None:
        if path != self.directory:
            self._directory = path
            self.setText(path)
            self.directoryChanged.emit(path)

    directory = Property(str, lambda self: self.__dict__.get("_directory", ""), _set_directory)


class ctkColorPickerButton(QPushButton):
    colorChanged = Signal(QtGui.QColor)

    def _set_color(self, color) -> None:
        self._color = QtGui.QColor(color)
        self.colorChanged.emit(self._color)

    color = Property(QtGui.QColor, lambda self: self.__dict__.get("_color", QtGui.QColor()), _set_color)


class ctkCollapsibleButton(PythonQt, QtWidgets.QWidget):
    """A bar that folds away the widgets in it."""

    contentsCollapsed = Signal(bool)

    def __init__(self, *args) -> None:
        text = next((a for a in args if isinstance(a, str)), "")
        super().__init__(next((a for a in args if isinstance(a, QtWidgets.QWidget)), None))
        self._bar, self._collapsed = QtWidgets.QPushButton(text, self), False
        self._bar.setStyleSheet("text-align: left; font-weight: bold; padding: 3px 8px")
        self._bar.clicked.connect(lambda: self._set_collapsed(not self._collapsed))
        height = self._bar.sizeHint().height()
        self.setContentsMargins(0, height, 0, 0)
        self.setMinimumHeight(height)
        self.setFocusProxy(self._bar)

    def resizeEvent(self, event) -> None:
        self._bar.setGeometry(0, 0, event.size().width(), self._bar.sizeHint().height())

    def refresh(self) -> None:
        """Hide or show what is inside; called when children were added."""
        mark = "▶" if self._collapsed else "▼"
        self._bar.setText(f"{mark}  {self._bar.text().lstrip('▶▼ ')}")
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget) and child is not self._bar:
                child.setVisible(not self._collapsed)
        self.setMaximumHeight(self._bar.sizeHint().height() if self._collapsed else 16777215)

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed != self._collapsed:
            self._collapsed = collapsed
            self.refresh()
            self.contentsCollapsed.emit(collapsed)

    text = Property(str, lambda self: self._bar.text().lstrip("▶▼ "), lambda self, text: self._bar.setText(text))
    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)
    collapsedHeight = Property(int, lambda _self: 0, lambda _self, _value: None)
