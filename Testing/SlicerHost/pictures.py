"""A picture of the application window: the panel of a module beside the slice, 3D and plot views."""

from __future__ import annotations

from pathlib import Path

import slicer
from PySide6 import QtCore, QtGui

PANEL_WIDTH, VIEW = 520, QtCore.QSize(380, 300)


def panel(name: str) -> QtGui.QPixmap:
    """The whole panel of a module, as long as it is."""
    widget = getattr(slicer.modules, name.lower()).widgetRepresentation()
    widget.resize(PANEL_WIDTH, max(2 * VIEW.height(), widget.layout().totalHeightForWidth(PANEL_WIDTH), 200))
    widget.show()
    for _turn in range(3):  # layouts settle in steps
        slicer.app.processEvents()
        widget.resize(PANEL_WIDTH, max(2 * VIEW.height(), widget.layout().totalSizeHint().height()))
    picture = widget.grab()
    widget.hide()
    return picture


def window(name: str, path: str | Path) -> None:
    """Panel left, views right, written as PNG; the plot takes the place of the sagittal view when there is a chart."""
    left = panel(name)
    manager = slicer.app.layoutManager()
    plot = manager.plotWidget(0)
    shown = [manager.sliceWidget("Red"), manager.threeDWidget(0), manager.sliceWidget("Green")]
    shown.append(plot if plot.mrmlPlotViewNode().GetPlotChartNodeID() else manager.sliceWidget("Yellow"))
    # beside a tall panel the views stand in one column
    columns = 2 if left.height() < 3 * VIEW.height() else 1
    rows = len(shown) // columns
    width, tall = (VIEW.width() if columns == 2 else 500), max(VIEW.height(), (left.height() - 4 * (rows - 1)) // rows)
    height = max(left.height(), rows * tall + 4 * (rows - 1))
    image = QtGui.QImage(left.width() + columns * (width + 4), height, QtGui.QImage.Format.Format_RGB888)
    image.fill(QtGui.QColor("#3a3a3a"))
    painter = QtGui.QPainter(image)
    painter.drawPixmap(0, 0, left)
    for index, view in enumerate(shown):
        x = left.width() + 4 + (index % columns) * (width + 4)
        painter.drawImage(x, (index // columns) * (tall + 4), view.picture(width, tall))
    painter.end()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if not image.save(str(path)):
        raise OSError(f"could not write {path}")
