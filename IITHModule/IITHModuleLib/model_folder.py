"""Writing a model folder so that it is either whole or as before."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from SubregionHabitatLib.errors import InputError


@contextmanager
def whole_model_folder(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder beside ``folder`` to write into; it takes its place when the block ends without an error.

    Raises InputError where ``check_model_target`` does.
    """
    check_model_target(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield work
        work.chmod(0o755)
        if folder.exists() and any(folder.iterdir()):
            old = work.with_name(work.name + "-old")
            os.replace(folder, old)
            os.replace(work, folder)
            shutil.rmtree(old)
        else:
            if folder.exists():
                folder.rmdir()
            os.replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_model_target(folder: Path, overwrite: bool) -> None:
    """Raise InputError when the folder is not empty, unless it is a model and ``overwrite`` is set."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder for the model.")
    if folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise InputError(
                f"{folder} exists and is not empty; give another folder, or --overwrite to replace the model."
            )
        if not (folder / "model.json").is_file():
            raise InputError(f"{folder} is not a model folder, so it is not replaced; give another folder.")
