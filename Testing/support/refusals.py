"""The places where a library refuses its input, and which of their messages a test asserts."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A message counts as asserted where this many of its words in a row, which no other message has (where it has such
# words), stand in a test; of a shorter piece of text all its words.
WORDS = 3


@dataclass(frozen=True)
class Refusal:
    """One ``InputError(...)``: where it stands, and the fixed pieces of its message between what is filled in."""

    file: str
    line: int
    pieces: tuple[str, ...]

    def phrases(self) -> set[str]:
        """Runs of WORDS words of every piece; of a message without any, its pieces of two words and more."""
        runs = {run for piece in self.pieces for run in _runs(words_of(piece))}
        return runs or {" ".join(words_of(piece)) for piece in self.pieces if len(words_of(piece)) > 1}


def refusals(folder: Path) -> list[Refusal]:
    """Every InputError made with a message of its own in the Python files below ``folder``."""
    return [refusal for path in sorted(folder.rglob("*.py")) for refusal in _in_file(path, folder)]


def not_asserted(found: list[Refusal], tests: Path) -> list[Refusal]:
    """The refusals whose message no test names."""
    strings = (text for path in tests.rglob("test_*.py") for text in _strings(path))
    asserted = {run for text in strings for run in _runs(words_of(text), short=True)}
    count = Counter(phrase for refusal in found for phrase in refusal.phrases())

    def telling(refusal: Refusal) -> set[str]:
        phrases = refusal.phrases()
        return {p for p in phrases if count[p] == 1} or phrases

    return [refusal for refusal in found if not telling(refusal) & asserted]


def words_of(text: str) -> list[str]:
    """Words without punctuation and without the marks of regular expressions."""
    return re.findall(r"[\w'%-]+", text.replace("\\", ""))


def _runs(words: list[str], short: bool = False) -> Iterator[str]:
    for n in range(2 if short else WORDS, WORDS + 1):
        for i in range(len(words) - n + 1):
            yield " ".join(words[i : i + n])


def _in_file(path: Path, folder: Path) -> Iterator[Refusal]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError" and node.args:
            pieces = tuple(_pieces(node.args[0]))
            if any(len(words_of(piece)) > 1 for piece in pieces):
                yield Refusal(str(path.relative_to(folder)), node.lineno, pieces)


def _pieces(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield from (v.value for v in node.values if isinstance(v, ast.Constant))
    elif isinstance(node, ast.BinOp):
        yield from _pieces(node.left)
        yield from _pieces(node.right)


def _strings(path: Path) -> Iterator[str]:
    """Text of every string of a test, the pieces of one between ".*" and what is filled in apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    comments = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in comments:
            yield from re.split(r"\.[*+]\??|\[\^?[^\]]*\][*+]?|\\d\+?|\(|\)|\|", node.value)
