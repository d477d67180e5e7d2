"""Versions of what a cohort result was made with."""

from __future__ import annotations

import platform
from importlib import metadata

from SubregionHabitatLib import __version__

_PACKAGES = ("numpy", "scipy", "pandas", "statsmodels", "lifelines", "matplotlib")


def software_versions(*more: str) -> dict[str, str]:
    """Versions of this program, Python and the packages that compute, with ``more`` where they are installed."""
    versions = {"iith": __version__, "python": platform.python_version()}
    for package in (*_PACKAGES, *more):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
