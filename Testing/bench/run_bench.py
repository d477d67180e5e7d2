"""``make bench``: speed and memory, medians of several runs in one session, as build/bench.json.

Every figure is {"value", "unit", "runs", "note"}; a ratio measures both sides in turn in the same session. Whole
analyses run in processes of their own, so that their peak memory is theirs alone. Figures whose data are absent are
left out.
"""

from __future__ import annotations

import argparse
import importlib.util
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
    # What making the exam needed for a moment must not hide what the maps need.
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")
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
    """Import and set-up of each Slicer module in a running session, and of each library; new processes every time."""
    libraries = ("SubregionHabitatLib.analysis", "IITHModuleLib.scoring", "RadiogenomicReportLib.case_pipeline")
    code = "import time; s = time.perf_counter(); import {}; print(time.perf_counter() - s)"
    found = {
        "library_import_max_seconds": figure(
            [max(float(in_new_process(code.format(name))) for name in libraries) for _ in range(RUNS)],
            "s",
            "slowest import of " + ", ".join(libraries) + ", numpy and SimpleITK included",
        )
    }
    if importlib.util.find_spec("slicer") is None:
        return found
    code = f"import sys; sys.path[:0] = [{str(REPOSITORY / 'Testing')!r}]; import bench.run_bench as b; "
    modules = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")
    values = [
        max(float(in_new_process(code + f"print(b.module_seconds({m!r}))")) for m in modules) for _ in range(RUNS)
    ]
    note = "slowest of the three Slicer modules, import and set-up together, in a session that runs already"
    return {"import_max_seconds": figure(values, "s", note), **found}


def module_seconds(name: str) -> float:
    """Import of a Slicer module and set-up of its panel, in this process, after the session has started."""
    from SlicerHost import host

    host.start()

    def load_and_open() -> None:
        host.load_module(name)
        host.open_module(name)

    return seconds(load_and_open)


def in_new_process(code: str) -> str:
    """What ``code`` prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, env=environment(), capture_output=True, text=True).stdout


def bench_networks() -> dict[str, dict]:
    """Similarity network fusion of 1,000 patients, from their features to their groups."""
    from IITHModuleLib.heterogeneity.snf import fused_network
    from IITHModuleLib.heterogeneity.spectral import eigengap_number, spectral_clusters

    rng = np.random.default_rng(0)
    views = [rng.normal(size=(1000, n)) + np.repeat([[0.0], [1.0]], 500, axis=0) for n in (40, 160)]

    def fuse_and_cluster() -> None:
        network = fused_network(views)
        spectral_clusters(network, eigengap_number(network)[0])

    note = "network fusion (20 iterations), eigengap and spectral clusters of 1,000 patients in 2 views"
    return {"snf_1000_seconds": figure([seconds(fuse_and_cluster) for _ in range(RUNS)], "s", note)}


def bench_batch() -> dict[str, dict]:
    from bench_batch import batch_figures

    return batch_figures(RUNS)


def bench_radiomics() -> dict[str, dict]:
    from bench_radiomics import radiomics_speedup

    return radiomics_speedup(RUNS)


def bench_radiomics_512() -> dict[str, dict]:
    from bench_radiomics import radiomics_512_peak_mb

    return radiomics_512_peak_mb(RUNS)


def bench_cohort() -> dict[str, dict]:
    from bench_cohort import maf_figures

    return maf_figures()


BENCHES = {
    "imports": bench_imports,
    "reading": bench_reading,
    "maps": bench_maps,
    "habitats": bench_habitats,
    "ring": bench_ring,
    "networks": bench_networks,
    "radiomics": bench_radiomics,
    "radiomics_512": bench_radiomics_512,
    "batch": bench_batch,
    "simulated": bench_simulated,
    "ucsf": bench_ucsf,
    "cohort": bench_cohort,
}

# Figures that a result is judged by, and the part that measures each.
PART_OF = {
    "analyze_ucsf_seconds": "ucsf",
    "analyze_ucsf_peak_mb": "ucsf",
    "maps_over_copy": "maps",
    "maps_extra_memory_fraction": "maps",
    "habitats_1m_seconds": "habitats",
    "ring_512_seconds": "ring",
    "read_over_pydicom": "reading",
    "radiomics_speedup": "radiomics",
    "radiomics_512_peak_mb": "radiomics_512",
    "snf_1000_seconds": "networks",
    "batch_speedup_2": "batch",
    "import_max_seconds": "imports",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "bench.json")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=list(BENCHES),
        help=f"parts ({', '.join(BENCHES)}) or figures, whose parts are then measured: {', '.join(PART_OF)}",
    )  # fmt: skip
    args = parser.parse_args()
    sys.path[:0] = [str(Path(__file__).parent), *(str(REPOSITORY / module) for module in MODULES)]
    found: dict[str, dict] = {}
    parts = [PART_OF.get(name, name) for name in args.only]
    if unknown := set(parts) - set(BENCHES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join([*BENCHES, *PART_OF])}")
    for name in dict.fromkeys(parts):
        print(f"bench: {name}", file=sys.stderr)
        for key, value in BENCHES[name]().items():
            found[key] = value
            print(f"{key:44s} {value['value']:10.4g} {value['unit']:6s} median of {value['runs']}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
