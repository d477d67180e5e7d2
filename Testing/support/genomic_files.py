"""Small genomic files of a cohort and of one patient for tests."""

from __future__ import annotations

import numpy as np

MAF_HEADER = "Hugo_Symbol\tVariant_Classification\tTumor_Sample_Barcode\tt_ref_count\tt_alt_count\n"


def maf_text(rows) -> str:
    """A MAF of (gene, class, sample, reference reads, variant reads)."""
    return "#version 2.4\n" + MAF_HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows)


def segment_text(rows) -> str:
    """Segments of (sample, chromosome, start, end, log2 ratio)."""
    return "Sample\tChromosome\tStart\tEnd\tSegment_Mean\n" + "".join("\t".join(map(str, r)) + "\n" for r in rows)


def expression_text(samples, n_genes: int = 60, seed: int = 3) -> str:
    values = np.random.default_rng(seed).normal(6, 2, (n_genes, len(samples)))
    lines = ["gene\t" + "\t".join(samples)]
    lines += [f"G{k}\t" + "\t".join(f"{v:.4f}" for v in row) for k, row in enumerate(values)]
    return "\n".join(lines) + "\n"


def write_cohort(folder, n: int = 5) -> list[str]:
    """m.maf, s.seg, e.tsv and sets.gmt of ``n`` patients with TCGA's barcodes, which differ between the files."""
    rng = np.random.default_rng(8)
    patients = [f"TCGA-AA-{k:04d}" for k in range(n)]
    mutations = []
    for patient in patients:
        for _ in range(9):
            gene, kind = f"G{rng.integers(0, 20)}", ("Missense_Mutation", "Silent")[int(rng.integers(0, 4) == 0)]
            mutations.append((gene, kind, f"{patient}-01A-11D", rng.integers(20, 60), rng.integers(10, 50)))
    (folder / "m.maf").write_text(maf_text(mutations), encoding="utf-8")
    segments = [(f"{p}-01A-11D", 1 + i, 1, 1000, round(rng.normal(), 3)) for p in patients for i in range(3)]
    (folder / "s.seg").write_text(segment_text(segments), encoding="utf-8")
    (folder / "e.tsv").write_text(expression_text([f"{p}-01A-22R" for p in patients]), encoding="utf-8")
    sets = {"UP": range(20), "DOWN": range(20, 44), "SMALL": range(3)}
    lines = [f"{name}\tx\t" + "\t".join(f"G{k}" for k in genes) for name, genes in sets.items()]
    (folder / "sets.gmt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return patients
