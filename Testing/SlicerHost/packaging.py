"""Stand-in for ``slicer.packaging`` in testing mode: it checks and never installs, as Slicer does there."""

from __future__ import annotations

import importlib.metadata
import logging
import re


def pip_check(requirement: str) -> bool:
    """True when a distribution of that name is installed (versions are left to the real thing)."""
    name = re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def pip_ensure(requirements, constraints=None, skip_packages=None, prompt_install=True, prompt_restart=True,
               requester=None, skip_in_testing=True, show_progress=True):  # fmt: skip
    names = requirements.split() if isinstance(requirements, str) else [str(r) for r in requirements]
    missing = [name for name in names if not pip_check(name)]
    if missing:
        logging.info("Testing mode is enabled: skipping pip_ensure for %s", missing)
