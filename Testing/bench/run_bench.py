"""``make bench``: speed and memory, medians of several runs in one session, as build/bench.json.

Every figure is {"value", "unit", "runs", "note"}; a ratio measures both sides in turn in the same session. Whole
analyses run in processes of their own, so that their peak memory is theirs alone. Figures whose data are absent are
left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
RUNS = 5
MODULES = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")


def data_folder() -> Path:
    return Path(os.environ.get("IITH_TEST_DATA") or REPOSITORY.parent / "shared" / "data")


def figure(values: list[float], unit: str, note: str) -> dict:
    return {"value": round(statistics.median(values), 4), "unit": unit, "runs": len(values), "note": note}


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def analyze_figures(name: str, arguments: list[str], note: str) -> dict[str, dict]:
    """Wall time and peak memory of ``iith analyze`` as a user runs it, whole and by stage."""
    walls, cases = [], []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "RadiogenomicReportLib.command_line.main", "analyze", *arguments]
        for run in range(RUNS):
            out = Path(folder) / f"run{run}"
            walls.append(
                seconds(
                    lambda out=out: subprocess.run(
                        [*command, "--out", out], check=True, env=environment(), stderr=subprocess.DEVNULL
                    )
                )
            )
            cases.append(json.loads((out / "case.json").read_text())["provenance"])
    peaks = [max(case["peak_memory_mb"].values()) for case in cases]
    found = {
        f"analyze_{name}_seconds": figure(walls, "s", f"{note}, start of the process included"),
        f"analyze_{name}_peak_mb": figure(peaks, "MB", f"{note}, highest resident memory of the process"),
    }
    for stage in cases[0]["wall_seconds"]:
        found[f"analyze_{name}_{stage}_seconds"] = figure(
            [c["wall_seconds"][stage] for c in cases], "s", f"stage {stage}"
        )
        peak = [c["peak_memory_mb"][stage] for c in cases]
        found[f"analyze_{name}_{stage}_peak_mb"] = figure(peak, "MB", f"highest memory up to the end of stage {stage}")
    return found


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(REPOSITORY / m) for m in MODULES)}


def bench_ucsf() -> dict[str, dict]:
    exam = data_folder() / "ucsf-br-06"
    if not exam.is_dir():
        return {}
    return analyze_figures("ucsf", [str(exam), "--voi", str(exam / "mask")], "UCSF-BR-06 from DICOM to report")


def bench_simulated() -> dict[str, dict]:
    from SubregionHabitatLib.simulation import SimulationParameters, write_simulated_exam

    with tempfile.TemporaryDirectory() as folder:
        exam = Path(folder) / "exam"
        write_simulated_exam(SimulationParameters(seed=1), exam)
        return analyze_figures(
            "simulated", [str(exam / "dicom"), "--voi", str(exam / "voi.nrrd")], "simulated exam from DICOM to report"
        )


def bench_reading() -> dict[str, dict]:
    import pydicom

    from SubregionHabitatLib.dicom_exam import read_dicom_exam

    exam = data_folder() / "ucsf-br-06"
    series = exam / "image_dce_3dfgre_orig"
    if not series.is_dir():
        return {}
    files = sorted(series.glob("*.dcm"))
    ratios = []
    for _ in range(RUNS):
        plain = seconds(lambda: [pydicom.dcmread(path).pixel_array for path in files])
        ratios.append(seconds(lambda: read_dicom_exam(series)) / plain)
    note = "read_dicom_exam over pydicom.dcmread(...).pixel_array of the same 180 files"
    return {"read_over_pydicom": figure(ratios, "ratio", note)}


def large_exam(shape=(160, 512, 512), phases=6):
    """A large exam of smooth random signal, about 1 GB."""
    from SubregionHabitatLib.exam import DceExam, ExamSource, Timing
    from SubregionHabitatLib.geometry import Geometry

    rng = np.random.default_rng(0)
    base = rng.integers(50, 400, size=shape[1:], dtype=np.int16).astype(np.float32)
    signal = np.empty((phases, *shape), dtype=np.float32)
    for t in range(phases):
        signal[t] = base * (1 + 0.3 * t)
        signal[t, ::3] += 20.0 * ((t * 7) % 5)
    return DceExam(
        signal=signal,
        times_s=tuple(float(90 * t) for t in range(phases)),
        geometry=Geometry(shape, (0.7, 0.7, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)),
        timing=Timing("user", "high"),
        source=ExamSource(kind="files"),
    )


def bench_maps() -> dict[str, dict]:
    """Time against copying the same arrays; memory beyond input and returned maps, in a process of its own."""
    from SubregionHabitatLib.kinetics import compute_maps
    from SubregionHabitatLib.timing import choose_early_late

    exam = large_exam()
    choice = choose_early_late(exam.times_s)
    ratios = []
    for _ in range(RUNS):
        copying = seconds(exam.signal.copy)
        ratios.append(seconds(partial(compute_maps, exam, choice)) / copying)
    found = {"maps_over_copy": figure(ratios, "ratio", "maps of 512x512x160x6 float32 over one copy of the signal")}
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import run_bench; print(run_bench.maps_extra_memory_fraction())"
    )
    del exam
    fractions = [
        float(subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], check=True, env=environment(),
                             capture_output=True, text=True).stdout) for _ in range(RUNS)
    ]  # fmt: skip
    note = "peak memory beyond input and returned maps, over the input, 512x512x160x6 float32"
    found["maps_extra_memory_fraction"] = figure(fractions, "ratio", note)
    return found


def maps_extra_memory_fraction() -> float:
    from RadiogenomicReportLib.stage_clock import peak_memory_mb
    from SubregionHabitatLib.kinetics import compute_maps
    from SubregionHabitatLib.timing import choose_early_late

    exam = large_exam()
    choice = choose_early_late(exam.times_s)
    before = peak_memory_mb()
    maps = compute_maps(exam, choice)
    returned = sum(array.nbytes for _, array in maps.items()) + maps.time_to_peak.nbytes
    extra = peak_memory_mb() - before - returned / 2**20
    return max(extra, 0.0) / (exam.signal.nbytes / 2**20)


def bench_habitats() -> dict[str, dict]:
    from SubregionHabitatLib.habitats import winsorised_z_scores
    from SubregionHabitatLib.kmeans import kmeans

    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(m, 1.0, size=(1_000_000 // 3 + 1, 4)) for m in (-1.0, 0.3, 1.5)])[:1_000_000]
    values = [seconds(lambda: kmeans(winsorised_z_scores(rows, 1.0)[0], 3, 20, 0)) for _ in range(RUNS)]
    return {"habitats_1m_seconds": figure(values, "s", "z-scores and k-means (k=3, 20 starts) of 1,000,000 voxels")}


def bench_ring() -> dict[str, dict]:
    from SubregionHabitatLib.geometry import Geometry
    from SubregionHabitatLib.ring import peritumoral_ring

    geometry = Geometry((160, 512, 512), (0.7, 0.7, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    z, y, x = np.ogrid[:160, :512, :512]
    lesion = (z - 80) ** 2 + (0.7 * (y - 256)) ** 2 + (0.7 * (x - 200)) ** 2 <= 20**2
    values = [seconds(lambda: peritumoral_ring(lesion, geometry, 5.0)) for _ in range(RUNS)]
    return {"ring_512_seconds": figure(values, "s", "5 mm ring of a lesion of 20 mm radius in a 512x512x160 exam")}


def bench_imports() -> dict[str, dict]:
    """The slowest import of a Slicer module's library, in processes of their own."""
    libraries = ("SubregionHabitatLib.analysis", "IITHModuleLib.scoring", "RadiogenomicReportLib.case_pipeline")
    slowest = []
    for _ in range(RUNS):
        times = []
        for name in libraries:
            code = f"import time; s = time.perf_counter(); import {name}; print(time.perf_counter() - s)"
            run = subprocess.run(
                [sys.executable, "-c", code], check=True, env=environment(), capture_output=True, text=True
            )
            times.append(float(run.stdout))
        slowest.append(max(times))
    return {"import_max_seconds": figure(slowest, "s", "slowest import of " + ", ".join(libraries))}


def bench_radiomics() -> dict[str, dict]:
    from bench_radiomics import radiomics_512_peak_mb, radiomics_speedup

    return {**radiomics_speedup(RUNS), **radiomics_512_peak_mb()}


def bench_cohort() -> dict[str, dict]:
    from bench_cohort import maf_figures

    return maf_figures()


BENCHES = {
    "imports": bench_imports,
    "reading": bench_reading,
    "maps": bench_maps,
    "habitats": bench_habitats,
    "ring": bench_ring,
    "radiomics": bench_radiomics,
    "simulated": bench_simulated,
    "ucsf": bench_ucsf,
    "cohort": bench_cohort,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "bench.json")
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES))
    args = parser.parse_args()
    sys.path[:0] = [str(Path(__file__).parent), *(str(REPOSITORY / module) for module in MODULES)]
    found: dict[str, dict] = {}
    for name in args.only:
        print(f"bench: {name}", file=sys.stderr)
        for key, value in BENCHES[name]().items():
            found[key] = value
            print(f"{key:44s} {value['value']:10.4g} {value['unit']:6s} median of {value['runs']}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
