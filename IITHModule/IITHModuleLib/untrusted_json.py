"""Reading JSON from files nobody vouches for: bounded size and depth, finite numbers, no double keys."""

from __future__ import annotations

import hashlib
import json
import math
import re
import stat
from pathlib import Path

from SubregionHabitatLib.errors import InputError

MAX_DEPTH = 24
MAX_BRACKETS = 1_000_000  # every list and object costs memory many times its two letters
_BRACKET = re.compile(r"[\[\]{}]")
_STRING = re.compile(r'"[^"]*"')


def read_json(path: Path, what: str, max_bytes: int) -> tuple[dict, str]:
    """The JSON object in ``path`` and the SHA-256 of its bytes.

    The size is looked at before anything is read. Raises InputError, always one sentence naming the file,
    for a file that is missing, too large, not text, not JSON, nested deeper than MAX_DEPTH, with a key
    twice, with NaN, Infinity or a number too large for a float, or whose top level is not an object.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not a file; give the path of a {what}.")
        if status.st_size > max_bytes:
            raise InputError(
                f"{path} has {status.st_size:,} bytes; a {what} has at most {max_bytes:,}. Give the right file."
            )
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); give the path of a {what}.") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file, so it is no {what}; give a JSON file.") from None
    return _parse(text, path, what), hashlib.sha256(data).hexdigest()


def _parse(text: str, path: Path, what: str) -> dict:
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        raise InputError(f"{path} holds more than {MAX_BRACKETS:,} lists, so it is no {what}; give another file.")
    if _depth(text) > MAX_DEPTH:
        raise InputError(f"{path} is nested deeper than {MAX_DEPTH} levels, so it is no {what}; give another file.")
    try:
        content = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_bounded_int,
            object_pairs_hook=_no_double_keys,
        )
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a valid {what} ({_short(error)}); get the file again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} does not hold a JSON object, so it is no {what}; give another file.")
    return content


def _depth(text: str) -> int:
    """Deepest nesting of brackets outside strings, found without parsing; stops one beyond MAX_DEPTH."""
    # Without escaped characters a string ends at the next quote: a pattern that needs no memory however long it is.
    plain = _STRING.sub("", text.replace("\\\\", "").replace('\\"', ""))
    deepest = level = 0
    for match in _BRACKET.finditer(plain):
        level += 1 if match.group() in "[{" else -1
        if level > deepest:
            deepest = level
            if deepest > MAX_DEPTH:
                break
    return deepest


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is not a number")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds the number {text[:30]}, which is too large")
    return value


def _bounded_int(text: str) -> int:
    if len(text) > 18:
        raise ValueError("it holds an integer of more than 18 digits")
    return int(text)


def _no_double_keys(pairs: list) -> dict:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("it holds one key twice")
    return result


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def check_schema(content: dict, schema_path: Path, path: Path, what: str) -> None:
    """Validate against a JSON Schema file where the jsonschema package is at hand; InputError if it fails.

    Inside Slicer jsonschema may be absent. The caller's own checks of meaning run in any case.
    """
    try:
        import jsonschema
    except ImportError:
        return
    schema = json.loads(schema_path.read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(content))
    if error is not None:
        place = "/".join(str(p) for p in error.absolute_path) or "top level"
        raise InputError(
            f"{path} is not a valid {what}: {place[:80]}: {_short(error.message)}; use the file as it was published."
        )
