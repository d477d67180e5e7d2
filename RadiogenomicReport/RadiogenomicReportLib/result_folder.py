"""A result folder that is either whole or absent: written to a hidden sibling and renamed when complete."""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from SubregionHabitatLib.errors import InputError

CASE_FILE = "case.json"
CASE_SCHEMA = "iith-case/1"
# The file and schema that mark a complete result of a kind.
CASE_RECORD = (CASE_FILE, CASE_SCHEMA)


@contextmanager
def complete_or_absent(target: Path, overwrite: bool = False, record: tuple[str, str] = CASE_RECORD) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``; on success it becomes ``target``, on any error it is removed.

    Raises InputError before any work when ``target`` cannot be written, or exists and may not be replaced. Only an
    earlier result of the same kind (a folder whose ``record`` file has that schema) is ever replaced.
    """
    target = Path(os.path.abspath(target))
    check_target(target, overwrite, record)
    partial = target.parent / f".{target.name}.partial-{uuid.uuid4().hex[:8]}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except OSError as error:
        raise InputError(
            f"The output folder {target} cannot be written ({error.strerror}); choose another with --out."
        ) from error
    with _terminate_as_exit():
        try:
            yield partial
            _move_into_place(partial, target)
        except OSError as error:
            raise InputError(
                f"The result could not be written to {target} ({error.strerror}); free space or choose another --out."
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def check_target(target: Path, overwrite: bool, record: tuple[str, str] = CASE_RECORD) -> None:
    """Raise InputError when ``target`` exists and may not be replaced."""
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"The output {target} is a file; name a folder with --out.")
    if not any(target.iterdir()):
        return
    if not is_result_folder(target, record):
        raise InputError(f"The output folder {target} holds other files; name a new or empty folder with --out.")
    if not overwrite:
        raise InputError(f"The output folder {target} holds an earlier result; add --overwrite or name another folder.")


def is_result_folder(folder: Path, record: tuple[str, str] = CASE_RECORD) -> bool:
    """Whether a folder holds a complete result of this program, of the kind that ``record`` marks."""
    try:
        text = (folder / record[0]).read_text(encoding="utf-8")
        return json.loads(text).get("schema") == record[1]
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _move_into_place(partial: Path, target: Path) -> None:
    if not target.exists():
        partial.rename(target)
        return
    old = target.parent / f".{target.name}.old-{uuid.uuid4().hex[:8]}"
    target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _terminate_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, so that the partial folder is removed; only possible in the main thread."""

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    previous = None
    with suppress(ValueError):
        previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if previous is not None:
            with suppress(ValueError):
                signal.signal(signal.SIGTERM, previous)
