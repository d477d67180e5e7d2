"""Writing small text files that are whole or as before, whenever a process is stopped."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from .errors import InputError


def write_whole_text(path: Path, text: str, what: str = "file") -> None:
    """Write ``text`` in UTF-8 beside ``path`` and put it in its place; missing folders are made.

    Raises InputError, naming ``what`` and the path, where it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise InputError(
            f"The {what} cannot be written to {path} ({error.strerror}); free space or name another place."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
