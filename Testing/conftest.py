"""Fixtures that several test files share; heavy ones are made once per run."""

from __future__ import annotations

import os
import signal

import pytest

# As the command line does, and before numpy is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Ctrl-C is heard in child processes even when the tests run in the background of a shell, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def simulated():
    """The default simulated exam with its truth."""
    from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam

    return simulate_exam(SimulationParameters(seed=1))


@pytest.fixture(scope="session")
def simulated_imaging(simulated):
    """The imaging half run on the default simulated exam with its VOI."""
    from SubregionHabitatLib.analysis import analyze_imaging
    from SubregionHabitatLib.masks import RegionMask

    return analyze_imaging(simulated.exam, voi=RegionMask(simulated.voi, "simulated VOI"))


@pytest.fixture(scope="session")
def ucsf_exam():
    """The real exam UCSF-BR-06, read from the folder that also holds UCSF's derived maps."""
    from SubregionHabitatLib.exam_files import read_exam
    from support.data import require_data

    return read_exam([require_data("ucsf-br-06")])


@pytest.fixture(scope="session")
def ucsf_imaging(ucsf_exam):
    """UCSF-BR-06 with its imaging half, the lesion found in UCSF's own VOI."""
    from SubregionHabitatLib.analysis import analyze_imaging
    from SubregionHabitatLib.masks import read_region
    from support.data import require_data

    voi = read_region(require_data("ucsf-br-06", "mask"), ucsf_exam.geometry, "VOI")
    return ucsf_exam, analyze_imaging(ucsf_exam, voi=voi)
