"""What `iith batch` promises, in full, on 24 simulated exams: python Testing/check_batch_24.py [--work DIR] [PART ..]

Parts: `killed` (SIGKILL to all processes at three random moments, then --resume), `corrupt` (one damaged exam),
`dask` (a local scheduler with two workers, one killed in the middle); all by default. Tables must be byte for byte
those of an undisturbed run. Prints what was measured and ends with 1 when a promise is broken. The test suite holds
the same with fewer exams (test_batch_run.py, test_batch_dask.py). DIR keeps cohort and undisturbed run between calls.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / name) for name in ("Testing", "SubregionHabitat", "IITHModule", "RadiogenomicReport")]

from support import cohorts  # noqa: E402

N = 24
N_KILLS = 3
CORRUPT = 11


def check_killed(cohort: Path, reference: Path, work: Path, seed: int) -> list[tuple[str, object, bool]]:
    """Kill the whole process group while exams are in flight, three times; then let a resumed run finish."""
    out, moments = work / "killed", random.Random(seed)
    n_done = sorted(moments.sample(range(N - 4), N_KILLS))
    finished = []
    for n in n_done:
        cohorts.kill_group(cohorts.start(cohort, out, "--resume"), out, n, moments.uniform(0.2, 2.0))
        finished.append(len(list(out.glob("exams/*/task.json"))))
    code, printed, _ = cohorts.finish(cohorts.start(cohort, out, "--resume", "--json"))
    return [
        ("finished exams at each SIGKILL", finished, len(finished) == N_KILLS),
        ("exams kept by the last run", _number(printed, "kept"), _number(printed, "kept") == finished[-1]),
        ("exit code after resuming", code, code == 0),
        ("tables byte-identical to the undisturbed run", *_same(out, reference)),
        ("unfinished files left", len(cohorts.leftovers(out)), not cohorts.leftovers(out)),
    ]


def check_corrupt(cohort: Path, reference: Path, work: Path, seed: int) -> list[tuple[str, object, bool]]:
    """One exam with a truncated phase among the 24: its row says why, every other row is that of the sound cohort."""
    inputs = work / "corrupt-inputs"
    shutil.copytree(cohort.parent, inputs)
    phase = inputs / f"exam{CORRUPT}" / "phase2.nrrd"
    phase.write_bytes(phase.read_bytes()[:200])
    out = work / "corrupt"
    code, printed, _ = cohorts.finish(cohorts.start(inputs / cohort.name, out, "--json"))
    found, sound = (cohorts.read_rows(folder / "cohort.csv") for folder in (out, reference))
    failed = [row for row in found if row["status"] == "failed"]
    others = [a == b for a, b in zip(found, sound, strict=True) if a["status"] == "done"]
    return [
        ("exit code", code, code == 0),
        ("exams that arrive", _number(printed, "done"), _number(printed, "done") == N - 1),
        ("their rows equal those of the sound cohort", sum(others), sum(others) == N - 1),
        (
            "reported exam and reason",
            " ".join(f"{row['patient']}: {row['reason']}" for row in failed).replace(str(work), "DIR"),
            [row["patient"] for row in failed] == [f"P{CORRUPT:02d}"] and "phase2.nrrd" in failed[0]["reason"],
        ),
    ]


def check_dask(cohort: Path, reference: Path, work: Path, seed: int) -> list[tuple[str, object, bool]]:
    """Two workers of a local Dask scheduler; one is killed when about half of the exams are done."""
    import distributed

    out = work / "dask"
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit=0
    ) as cluster:

        def kill_one_in_the_middle() -> None:
            while len(list(out.glob("exams/*/task.json"))) < N // 2:
                time.sleep(0.05)
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one_in_the_middle, daemon=True)
        killer.start()
        arguments = ("--scheduler", cluster.scheduler_address, "--json")
        code, printed, _ = cohorts.finish(cohorts.start(cohort, out, *arguments))
        killer.join(5)
        replaced = bool(killed) and cluster.workers[0].pid != killed[0]
    return [
        ("a worker was killed in the middle", replaced, replaced),
        ("exit code", code, code == 0),
        ("exams done", _number(printed, "done"), _number(printed, "done") == N),
        ("tables byte-identical to the undisturbed local run", *_same(out, reference)),
    ]


PARTS = {"killed": check_killed, "corrupt": check_corrupt, "dask": check_dask}


def undisturbed(work: Path) -> tuple[Path, Path, float]:
    """The cohort, the folder of a run that nothing disturbs, and its seconds (NaN where both were there)."""
    cohort, out = work / "cohort" / "cohort.csv", work / "undisturbed"
    made_by, sources = work / "sources.txt", sources_digest()
    if not made_by.is_file() or made_by.read_text() != sources:  # results of another state of the program
        shutil.rmtree(out, ignore_errors=True)
        made_by.write_text(sources)
    if not cohort.is_file():
        cohorts.write_cohort(cohort.parent, N)
    if (out / cohorts.TABLES[0]).is_file():
        return cohort, out, float("nan")
    start = time.monotonic()
    code, _, errors = cohorts.finish(cohorts.start(cohort, out, "--resume"))
    if code:
        raise SystemExit(f"The undisturbed run failed: {errors}")
    return cohort, out, time.monotonic() - start


def sources_digest() -> str:
    """SHA-256 over the program: a run is compared with an undisturbed one of the same sources alone."""
    digest = hashlib.sha256()
    for folder in ("SubregionHabitat", "IITHModule", "RadiogenomicReport", "Resources"):
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in (".py", ".json", ".html", ".css"):
                digest.update(path.relative_to(REPOSITORY).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _same(out: Path, reference: Path) -> tuple[str, bool]:
    found, expected = cohorts.tables(out), cohorts.tables(reference)
    same = [name for name in expected if found[name] == expected[name]]
    return f"{len(same)} of {len(expected)} ({sum(map(len, expected.values())):,} bytes)", len(same) == len(expected)


def _number(printed: str, name: str) -> int:
    import json

    return json.loads(printed)[name] if printed.strip() else -1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--work", type=Path, help="folder to keep, new or of an earlier call")
    parser.add_argument("--seed", type=int, default=2026, help="of the moments of the SIGKILLs")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    work = args.work or Path(tempfile.mkdtemp(prefix="iith-batch-24-"))
    work.mkdir(parents=True, exist_ok=True)
    ok = True
    try:
        cohort, reference, seconds = undisturbed(work)
        print(f"undisturbed run of {N} simulated exams, 2 processes: {seconds:.0f} s", flush=True)
        for part in args.parts or PARTS:
            for name in (part, f"{part}-inputs"):
                shutil.rmtree(work / name, ignore_errors=True)
            for what, value, holds in PARTS[part](cohort, reference, work, args.seed):
                ok &= holds
                print(f"{part}: {what}: {value}{'' if holds else '   <-- BROKEN'}", flush=True)
    finally:
        if args.work is None:
            shutil.rmtree(work, ignore_errors=True)
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
