"""Bench of cohort statistics: parsing a MAF file."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

RUNS = 5
N_ROWS = 50_000


def write_maf(path: Path, n_rows: int = N_ROWS, n_columns: int = 114) -> None:
    """A MAF file as wide as GDC's with random mutations of 400 samples."""
    rng = np.random.default_rng(0)
    classes = ("Missense_Mutation", "Nonsense_Mutation", "Silent", "Frame_Shift_Del", "Intron", "Splice_Site")
    first = ["Hugo_Symbol", "Variant_Classification", "Tumor_Sample_Barcode", "t_depth", "t_ref_count", "t_alt_count"]
    filler = [f"column_{k}" for k in range(n_columns - len(first))]
    genes, samples = rng.integers(0, 9000, n_rows), rng.integers(0, 400, n_rows)
    kind, ref, alt = rng.integers(0, 6, n_rows), rng.integers(10, 200, n_rows), rng.integers(0, 80, n_rows)
    rest = "\t".join(["text"] * len(filler))
    with path.open("w", encoding="utf-8") as stream:
        stream.write("#version 2.4\n" + "\t".join([*first, *filler]) + "\n")
        for k in range(n_rows):
            counts = f"{ref[k] + alt[k]}\t{ref[k]}\t{alt[k]}"
            stream.write(f"GENE{genes[k]}\t{classes[kind[k]]}\tTCGA-{samples[k]:04d}\t{counts}\t{rest}\n")


def maf_figures() -> dict[str, dict]:
    """Seconds to read 50,000 rows and to make one row of features per sample."""
    import pandas  # noqa: F401  the import is no part of the time

    from RadiogenomicReportLib.genomics.maf_file import read_maf
    from RadiogenomicReportLib.genomics.sample_features import frequent_genes, mutation_features

    times = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.maf"
        write_maf(path)
        for _ in range(RUNS):
            start = time.perf_counter()
            mutations = read_maf(path)
            mutation_features(mutations, 35.0, frequent_genes(mutations, 20))
            times.append(time.perf_counter() - start)
    note = "MAF of 50,000 rows and 114 columns read, checked and turned into features of 400 samples"
    value = {"value": round(statistics.median(times), 4), "unit": "s", "runs": RUNS, "note": note}
    return {"maf_50000_seconds": value}
