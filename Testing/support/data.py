"""Where the tests find the real exams and outcome tables, which are never part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def data_folder() -> Path:
    """IITH_TEST_DATA, else the folder ``shared/data`` beside the repository."""
    chosen = os.environ.get("IITH_TEST_DATA")
    return Path(chosen) if chosen else REPOSITORY.parent / "shared" / "data"


def require_data(*parts: str) -> Path:
    """The path of a real data file or folder; skips the test with a message where it is absent."""
    path = data_folder().joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real data not found: {'/'.join(parts)} (set IITH_TEST_DATA to the folder that holds it)")
    return path
