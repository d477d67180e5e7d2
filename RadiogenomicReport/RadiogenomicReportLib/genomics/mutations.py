"""Somatic mutations of many samples, whatever file they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

# What changes the protein (maftools' vc_nonSyn plus the start site, as in algorithms.md section 10).
NON_SYNONYMOUS = frozenset(
    (
        "Missense_Mutation", "Nonsense_Mutation", "Nonstop_Mutation", "Frame_Shift_Ins", "Frame_Shift_Del",
        "In_Frame_Ins", "In_Frame_Del", "Splice_Site", "Translation_Start_Site",
    )
)  # fmt: skip
OTHER_CLASSES = frozenset(
    (
        "Silent", "Intron", "3'UTR", "5'UTR", "3'Flank", "5'Flank", "IGR", "RNA", "Splice_Region", "Targeted_Region",
        "lincRNA", "De_novo_Start_InFrame", "De_novo_Start_OutOfFrame", "Start_Codon_SNP", "Start_Codon_Ins",
        "Start_Codon_Del", "Stop_Codon_Ins", "Stop_Codon_Del", "Read-through", "Fusion", "Unknown", "Synonymous",
    )
)  # fmt: skip


@dataclass(frozen=True)
class MalformedRow:
    """A row that could not be used: its line in the file and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Mutations:
    """One entry per mutation and sample: sample, gene, variant_class (MAF names), vaf in 0..1 with NaN where unknown.

    samples: all that the file names, also those without a usable row; source: file name; sha256 of its bytes;
    vaf_source: where the fractions come from; malformed: rows left out; notes: what was assumed.
    """

    sample: np.ndarray
    gene: np.ndarray
    variant_class: np.ndarray
    vaf: np.ndarray
    samples: tuple[str, ...]
    source: str
    sha256: str
    vaf_source: str
    malformed: tuple[MalformedRow, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def non_synonymous(self) -> np.ndarray:
        """Which entries change the protein (N,)."""
        classes, inverse = np.unique(self.variant_class.astype(str), return_inverse=True)
        return np.array([c in NON_SYNONYMOUS for c in classes], dtype=bool)[inverse] if len(self) else np.zeros(0, bool)

    def of(self, sample: str) -> Mutations:
        """The mutations of one sample alone."""
        mine = self.sample == sample
        parts = {name: getattr(self, name)[mine] for name in ("sample", "gene", "variant_class", "vaf")}
        return replace(self, **parts, samples=(sample,))


def as_fractions(values: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """VAFs as fractions: percent or fractions is decided over the whole file, never per sample.

    Returns the fractions and how they were read.
    """
    known = values[np.isfinite(values)]
    if known.size and known.max() > 1:
        return values / 100, f"{name}, read as percent"
    return values, f"{name}, read as fractions"


def joined(parts: Sequence[Mutations]) -> Mutations:
    """Mutations of several files together."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Mutations(
        sample=np.concatenate([p.sample for p in parts]),
        gene=np.concatenate([p.gene for p in parts]),
        variant_class=np.concatenate([p.variant_class for p in parts]),
        vaf=np.concatenate([p.vaf for p in parts]),
        samples=tuple(dict.fromkeys(s for p in parts for s in p.samples)),
        source=", ".join(p.source for p in parts),
        sha256=first.sha256,
        vaf_source="; ".join(dict.fromkeys(p.vaf_source for p in parts)),
        malformed=tuple(m for p in parts for m in p.malformed),
        notes=tuple(n for p in parts for n in p.notes),
    )
