"""Every test that needs a real Slicer, in one run:

    Slicer --no-main-window --testing --additional-module-paths SubregionHabitat IITHModule RadiogenomicReport \
        --python-script Testing/slicer_tests.py

Runs the self-tests of the three modules, opens each panel, and writes "N passed, N failed". Slicer ends with code 1
when anything failed. Nothing is installed and no network is used.
"""

import sys
import traceback
import unittest

import slicer

MODULES = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")


def open_and_close(name: str) -> None:
    """The panel is made, entered, left, and lives through a closed scene."""
    widget = slicer.util.getModuleWidget(name)
    widget.enter()
    slicer.mrmlScene.Clear(0)
    widget.exit()
    if widget._parameterNode is not None:
        raise AssertionError("the panel still observes its parameter node after it was left")


def self_tests(name: str) -> None:
    module = __import__(name)
    suite = unittest.TestLoader().loadTestsFromTestCase(getattr(module, f"{name}Test"))
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    if not result.wasSuccessful():
        raise AssertionError(f"{len(result.failures)} failures, {len(result.errors)} errors")


def run_all() -> int:
    passed = failed = 0
    for name in MODULES:
        for check in (open_and_close, self_tests):
            try:
                check(name)
                passed += 1
                print(f"passed: {check.__name__} of {name}")
            except Exception:
                traceback.print_exc()
                failed += 1
                print(f"FAILED: {check.__name__} of {name}")
    print(f"{passed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    slicer.util.exit(1 if run_all() else 0)
