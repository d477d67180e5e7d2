"""Radiomics: speed against PyRadiomics called plainly, and memory on a large exam.

The job: 5 regions x 3 phases x 15 image types of UCSF-BR-06, 21,135 features (93 of each image type, 14 of shape).
``python Testing/bench/bench_radiomics.py`` prints all figures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")
BIN_COUNT = 32
IMAGE_TYPES = (
    "original",
    "wavelet",
    "square",
    "squareroot",
    "logarithm",
    "exponential",
    "gradient",
    "log-sigma-3-0-mm-3D",
)
N_FEATURES = 21135
N_JOBS = 2


def ucsf_case():
    """The exam UCSF-BR-06 and its five regions; None where the data are absent."""
    from SubregionHabitatLib.analysis import analyze_imaging
    from SubregionHabitatLib.exam_files import read_exam
    from SubregionHabitatLib.masks import read_region

    folder = Path(os.environ.get("IITH_TEST_DATA") or REPOSITORY.parent / "shared" / "data") / "ucsf-br-06"
    if not folder.is_dir():
        return None
    exam = read_exam([folder])
    voi = read_region(folder / "mask", exam.geometry, "VOI")
    return exam, analyze_imaging(exam, voi=voi).regions()


def settings():
    """No normalisation, the exam's own grid, 32 bins, 15 image types."""
    from IITHModuleLib.native.image_filters import expand_image_types
    from IITHModuleLib.presets import ImageSettings

    types = expand_image_types(IMAGE_TYPES)
    return ImageSettings(False, 1.0, None, None, "linear", None, BIN_COUNT, 0.0, {}, types)


def native_job(exam, regions, n_jobs: int = N_JOBS) -> dict[tuple[str, str, str], float]:
    """(region, phase, feature) -> value; shape once per region and phase, as PyRadiomics gives it."""
    from IITHModuleLib.feature_engine import make_engine
    from IITHModuleLib.feature_images import SourceImage
    from IITHModuleLib.features import image_rows, shape_rows

    engine, s = make_engine("native"), settings()
    phases = [SourceImage(f"phase{t}", exam.signal[t], "signal", s) for t in range(exam.n_phases)]
    rows = image_rows(phases, exam.geometry, regions, 1, engine, n_jobs=n_jobs)
    found = {(r.region, r.image, r.feature): r.value for r in rows}
    for r in shape_rows(exam.geometry, regions, s, 1, engine):
        found.update({(r.region, phase.name, r.feature): r.value for phase in phases})
    return found


def plain_job(exam, regions) -> dict[tuple[str, str, str], float]:
    """The same by one call of PyRadiomics for each region and phase, on the whole image."""
    import radiomics
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    from SubregionHabitatLib.volume_io import to_sitk

    radiomics.setVerbosity(60)
    extractor = RadiomicsFeatureExtractor(additionalInfo=False, geometryTolerance=1e-3, binCount=BIN_COUNT)
    for name in ("Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient"):
        extractor.enableImageTypeByName(name)
    extractor.enableImageTypeByName("LoG", customArgs={"sigma": [3.0]})
    found = {}
    for t in range(exam.n_phases):
        image = to_sitk(exam.signal[t], exam.geometry)
        for region, mask in regions.items():
            values = extractor.execute(image, to_sitk(mask, exam.geometry))
            found.update({(region, f"phase{t}", name): float(value) for name, value in values.items()})
    return found


def largest_difference(found: dict, expected: dict) -> float:
    """The largest relative difference; raises where one side has a feature that the other lacks."""
    assert set(found) == set(expected)
    return max(
        abs(a - b) / max(abs(a), abs(b)) if (a := found[key]) != (b := expected[key]) else 0.0 for key in expected
    )


def radiomics_speedup(n_runs: int = 5, n_plain: int | None = None) -> dict[str, dict]:
    """radiomics_speedup and the seconds behind it; both sides in turn, in one session, values compared.

    n_plain: runs of the plain side, which takes minutes (as many as ``n_runs`` unless given).
    """
    case = ucsf_case()
    if case is None:
        return {}
    n_plain = n_runs if n_plain is None else n_plain
    plain, native, difference = [], [], 0.0
    for run in range(n_runs):
        if run < n_plain:
            start = time.perf_counter()
            expected = plain_job(*case)
            plain.append(time.perf_counter() - start)
        start = time.perf_counter()
        found = native_job(*case)
        native.append(time.perf_counter() - start)
        assert len(found) == N_FEATURES
        difference = max(difference, largest_difference(found, expected))
    job = "5 regions x 3 phases x 15 image types of UCSF-BR-06, 21,135 features"
    ratio = _median(plain) / _median(native)
    return {
        "radiomics_speedup": _figure(
            ratio, "ratio", n_plain, f"{job}: plain PyRadiomics over ours on {N_JOBS} processes"
        ),
        "radiomics_plain_seconds": _figure(_median(plain), "s", n_plain, f"{job}, PyRadiomics region by region"),
        "radiomics_native_seconds": _figure(_median(native), "s", n_runs, f"{job}, native, {N_JOBS} processes"),
        "radiomics_largest_difference": _figure(difference, "relative", n_runs, "any of the features, native to plain"),
    }


def radiomics_512_peak_mb(n_runs: int = 1) -> dict[str, dict]:
    """Peak memory of preset zhou on a 512x512x160 exam of 5 phases (840 MB), all processes together."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import bench_radiomics as b; print(*b.large_job())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(REPOSITORY / m) for m in MODULES)}
    peaks, seconds = [], []
    for _ in range(n_runs):
        command = [sys.executable, "-c", code, str(Path(__file__).parent)]
        out = subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout.split()
        peaks.append(float(out[0]))
        seconds.append(float(out[1]))
    note = "preset zhou with maps, 5 regions around a lesion of 30 cc, 512x512x160 with 5 phases, exam included"
    return {
        "radiomics_512_peak_mb": _figure(_median(peaks), "MB", n_runs, f"{note}; one process"),
        "radiomics_512_seconds": _figure(_median(seconds), "s", n_runs, f"{note}; one process"),
    }


def large_job() -> tuple[float, float]:
    """Peak resident memory (MB) and seconds of the features of a large exam, in this process."""
    from run_bench import large_exam

    from IITHModuleLib.features import extract_features
    from IITHModuleLib.presets import load_preset
    from RadiogenomicReportLib.stage_clock import peak_memory_mb
    from SubregionHabitatLib.kinetics import compute_maps
    from SubregionHabitatLib.timing import choose_early_late

    exam = large_exam(phases=5)
    maps = compute_maps(exam, choose_early_late(exam.times_s))
    regions, body = _large_regions(exam.geometry)
    start = time.perf_counter()
    table = extract_features(exam, maps, regions, load_preset("zhou"), "native", body)
    seconds = time.perf_counter() - start
    assert len(table.rows) == len(regions) * (14 + 5 * 15 * 93 + 5 * 93)
    return peak_memory_mb(), seconds


def _large_regions(geometry):
    """A ball of 19 mm radius in three shells, a ring of 5 mm around it, and half the image as body."""
    import numpy as np

    axes = [(np.arange(n) - n / 2) * s for n, s in zip(geometry.shape, geometry.spacing_zyx, strict=True)]
    radius = np.sqrt(sum(np.square(a, dtype=np.float32) for a in np.meshgrid(*axes, indexing="ij", sparse=True)))
    regions = {"lesion": radius <= 19}
    for index, (inner, outer) in enumerate(((-1, 9), (9, 15), (15, 19)), start=1):
        regions[f"habitat{index}"] = (radius > inner) & (radius <= outer)
    regions["ring"] = (radius > 19) & (radius <= 24)
    body = np.zeros(geometry.shape, bool)
    body[:, : geometry.shape[1] // 2] = True
    return regions, body


def _median(values: list[float]) -> float:
    import statistics

    return statistics.median(values)


def _figure(value: float, unit: str, runs: int, note: str) -> dict:
    return {"value": float(f"{value:.4g}"), "unit": unit, "runs": runs, "note": note}


if __name__ == "__main__":
    sys.path[:0] = [str(REPOSITORY / m) for m in MODULES]
    for name, figure in {**radiomics_speedup(3, 1), **radiomics_512_peak_mb()}.items():
        print(name, figure)
