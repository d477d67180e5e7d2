"""The Slicer tests again on Slicer's own ScriptedLoadableModule and parameterNodeWrapper.

Runs where the environment variable SLICER_SOURCE_DIR names a checkout of Slicer's sources (5.12 or later).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.slicer_session import SOURCE_VARIABLE

FILES = ("test_slicer_host.py", "test_slicer_modules.py", "test_slicer_inputs.py")
TESTING = Path(__file__).resolve().parent


def test_modules_run_on_slicers_own_framework():
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    source = os.environ.get("SLICER_SOURCE_DIR")
    if not source:
        pytest.skip("SLICER_SOURCE_DIR names no checkout of Slicer's sources")
    framework = Path(source) / "Base" / "Python" / "slicer" / "ScriptedLoadableModule.py"
    assert framework.is_file(), f"{source} does not hold Slicer's sources"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES],
        cwd=TESTING, env={**os.environ, SOURCE_VARIABLE: source}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
