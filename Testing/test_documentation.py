"""What the documents say of the tests is true: named tests exist, and every input form has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = sorted((TESTS.parent / "docs").glob("*.md"))


def functions() -> set[str]:
    return {
        name
        for path in TESTS.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


@pytest.mark.parametrize("path", DOCS, ids=[path.name for path in DOCS])
def test_tests_that_a_document_names_exist(path):
    text = path.read_text(encoding="utf-8")
    files = set(re.findall(r"`(?:Testing/)?(test_\w+\.py)`", text))
    assert {name for name in files if not (TESTS / name).is_file()} == set()
    assert set(re.findall(r"`(test_\w+)`", text)) - functions() == set()


def test_every_input_form_has_a_test():
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", (TESTS.parent / "docs" / "reading.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 20
    for number, row in rows:
        assert re.search(r"`test_\w+`", row.split("|")[-1]), number
