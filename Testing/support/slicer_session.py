"""A running session of the headless Slicer host for tests; tests skip where slicer-core or PySide6 is not installed."""

from __future__ import annotations

import os
import sys

import pytest

# Set by the test that repeats the Slicer tests on Slicer's own framework instead of the stand-ins.
SOURCE_VARIABLE = "IITH_SLICER_HOST_SOURCE"


def session():
    """The host module with its session started; skips without slicer-core."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
    from SlicerHost import host

    host.start(os.environ.get(SOURCE_VARIABLE))
    return host


@pytest.fixture
def scene(monkeypatch):
    """The session's scene, empty; afterwards no panel is open and no slot or observer has failed."""
    host = session()
    import slicer

    from SlicerHost import widgets

    failed: list[BaseException] = []
    # an exception in a VTK observer goes to sys.excepthook, as Slicer's console would show it
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: failed.append(error))
    widgets.slot_errors.clear()
    slicer.mrmlScene.Clear(0)
    # the application always has these; a test that clears the singletons too, or loads others, takes them out
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    logic = slicer.app.applicationLogic()
    for node in (logic.GetInteractionNode(), logic.GetSelectionNode()):
        other = slicer.mrmlScene.GetFirstNodeByClass(node.GetClassName())
        if other is not None and other is not node:
            slicer.mrmlScene.RemoveNode(other)
        if node.GetScene() is None:
            slicer.mrmlScene.AddNode(node)
    yield slicer.mrmlScene
    for name in host.MODULES:
        host.close_module(name)
    slicer.mrmlScene.Clear(0)
    left = [*failed, *widgets.slot_errors]
    widgets.slot_errors.clear()
    assert not left, f"errors in slots or observers: {left!r}"
