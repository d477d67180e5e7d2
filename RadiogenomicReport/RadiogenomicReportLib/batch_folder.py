"""The folder of a cohort: whose it is, who works in it now, and what an ended run left behind."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from IITHModuleLib.untrusted_json import read_json
from SubregionHabitatLib.errors import InputError

from .batch_task import write_json

BATCH_FILE = "batch.json"
BATCH_SCHEMA = "iith-batch/1"
EXAMS = "exams"
LOCK_FILE = ".lock"
# What result_folder.complete_or_absent and the writers of single files use while they work.
_LEFT_BEHIND = re.compile(r"\..*\.(partial|old)-[0-9a-f]{8}")


@contextmanager
def batch_folder(out: Path, resume: bool) -> Iterator[Path]:
    """Yield the folder of a cohort, made if needed, locked against a second run and freed of unfinished results.

    Raises InputError where ``out`` holds something else, an earlier cohort without ``resume``, or is in use.
    """
    out = Path(os.path.abspath(out))
    _check(out, resume)
    try:
        (out / EXAMS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The output folder {out} cannot be written ({error.strerror}); choose another with --out."
        ) from error
    with _lock(out):
        write_json(out / BATCH_FILE, {"schema": BATCH_SCHEMA})
        remove_leftovers(out)
        try:
            yield out
        finally:
            remove_leftovers(out)


def remove_leftovers(out: Path) -> None:
    """Remove what killed processes had not finished."""
    for folder in (out, out / EXAMS):
        for path in folder.iterdir():
            if _LEFT_BEHIND.fullmatch(path.name):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _check(out: Path, resume: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"The output {out} is a file; name a folder with --out.")
    held = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    if held - {EXAMS} and not _is_batch(out):
        raise InputError(f"The output folder {out} holds other files; name a new or empty folder with --out.")
    if held and not resume:
        raise InputError(f"The output folder {out} holds an earlier cohort; add --resume or name another folder.")


def _is_batch(out: Path) -> bool:
    try:
        content, _ = read_json(out / BATCH_FILE, "cohort record", 1_000_000)
    except InputError:
        return False
    return content.get("schema") == BATCH_SCHEMA


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Refuse a second run in the same folder. The system frees the lock when a process ends, however it ends."""
    with (out / LOCK_FILE).open("a+b") as stream:
        try:
            _take(stream)
        except BlockingIOError:
            raise InputError(f"Another `iith batch` works in {out}; wait for it or name another folder.") from None
        except OSError:
            pass  # file systems without locks
        yield


def _take(stream) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from None
    else:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
