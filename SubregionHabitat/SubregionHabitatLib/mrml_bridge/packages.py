"""Python packages that are offered for install when they are first needed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import slicer

from ..errors import InputError

# Packages that Slicer brings along and that an installation must never replace.
_PROTECTED = ("numpy", "scipy", "SimpleITK", "vtk", "pydicom")


def ensure_packages(requirements: Mapping[str, str], requester: str) -> None:
    """Offer to install what is missing; ``requirements`` maps an import name to a pip requirement.

    The packages that Slicer itself brings stay at their versions. In testing mode nothing is installed.
    Raises InputError when a package is still missing afterwards, because the user declined or pip failed.
    """
    missing = [pip_name for name, pip_name in requirements.items() if importlib.util.find_spec(name) is None]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{n}=={v}\n" for n, v in _installed(_PROTECTED)), encoding="utf-8")
        try:
            _install(missing, constraints, requester)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            raise InputError(f"{requester} needs {', '.join(missing)}, which was not installed ({error}).") from error
    importlib.invalidate_caches()
    still = [pip_name for name, pip_name in requirements.items() if importlib.util.find_spec(name) is None]
    if still:
        raise InputError(f"{requester} needs {', '.join(still)}; install it in Slicer's Python and run again.")


def _installed(names: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for name in names:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _install(missing: list[str], constraints: Path, requester: str) -> None:
    try:
        import slicer.packaging as packaging
    except ImportError:  # Slicer 5.10 and before
        if slicer.app.testingEnabled():
            return
        question = f"{requester} needs these Python packages: {', '.join(missing)}. Install them now?"
        if not slicer.util.confirmOkCancelDisplay(question):
            raise RuntimeError("declined") from None
        slicer.util.pip_install(f'{" ".join(missing)} -c "{constraints}"')
    else:
        packaging.pip_ensure(missing, constraints=constraints, requester=requester)
