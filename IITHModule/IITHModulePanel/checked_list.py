"""Lists with check marks, which have no connector in parameterNodeWrapper. Imports qt."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import qt


def checked_names(widget) -> list[str]:
    """The names of the checked items of a QListWidget."""
    return [item.data(qt.Qt.UserRole) for item in _items(widget) if item.checkState() == qt.Qt.Checked]


def show_names(widget, names: Mapping[str, str], checked: Collection[str]) -> None:
    """List ``names`` (name -> shown text), with check marks at ``checked``; no signal is sent."""
    blocked = widget.blockSignals(True)
    if [item.data(qt.Qt.UserRole) for item in _items(widget)] != list(names):
        widget.clear()
        for name, text in names.items():
            item = qt.QListWidgetItem(text)
            item.setData(qt.Qt.UserRole, name)
            widget.addItem(item)
    for item in _items(widget):
        wanted = item.data(qt.Qt.UserRole) in checked
        item.setCheckState(qt.Qt.Checked if wanted else qt.Qt.Unchecked)
    widget.blockSignals(blocked)


def _items(widget) -> list:
    return [widget.item(row) for row in range(widget.count)]
