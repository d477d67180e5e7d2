"""Copy-number burden from a segment file: the share of the measured genome that is gained or lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from IITHModuleLib.cell_values import read_numbers
from IITHModuleLib.table_file import read_text_table
from SubregionHabitatLib.errors import InputError

from ..clinical.standard_variables import plain
from .sample_features import Value

_SAMPLE = ("sample", "id", "sampleid", "tumorsamplebarcode", "gdcaliquot", "patient", "patientid")
_CHROMOSOME, _START, _END = (
    ("chromosome", "chrom", "chr"),
    ("start", "locstart", "startpos", "segstart"),
    ("end", "locend", "endpos", "segend", "stop"),
)
_RATIO, _COPIES = (
    ("segmentmean", "segmean", "log2", "log2ratio", "meanlog2", "segval"),
    ("copynumber", "totalcn", "cn", "tcn", "ntot"),
)
LOG2_THRESHOLD = 0.2


@dataclass(frozen=True)
class CopyNumberBurden:
    """features: sample -> cnb, cnb_gain, cnb_loss (shares 0..1); scale: what the file holds; sha256 of the file."""

    features: dict[str, dict[str, Value]]
    scale: str
    sha256: str

    def input(self, name: str) -> dict[str, str]:
        """What was read, as results note it; ``name`` of the file."""
        return {"role": "segments", "name": name, "sha256": self.sha256, "read_as": self.scale}


def copy_number_burden(
    path: Path, threshold: float = LOG2_THRESHOLD, ploidy: float = 2.0, sex_chromosomes: bool = False
) -> CopyNumberBurden:
    """Read segments (sample, chromosome, start, end, and log2 ratio or total copies) and measure each sample's burden.

    A segment is altered when its absolute log2 ratio is at least ``threshold``, or when its total copies, rounded,
    differ from ``ploidy``. Coordinates are base pairs, both ends included. Raises InputError for another file.
    """
    table = read_text_table(Path(path))
    names = {plain(c): c for c in table.columns}

    def column(wanted: tuple[str, ...], what: str) -> str:
        found = next((names[w] for w in wanted if w in names), None)
        if found is None:
            raise InputError(f"{table.name} has no column for the {what} of a segment; name it {wanted[0]}.")
        return found

    keys = [column(_SAMPLE, "sample"), column(_CHROMOSOME, "chromosome"), column(_START, "start"), column(_END, "end")]
    value_name = next((names[w] for w in (*_RATIO, *_COPIES) if w in names), None)
    if value_name is None:
        raise InputError(f"{table.name} has neither a Segment_Mean (log2 ratio) nor a copy number column; add one.")
    is_ratio = plain(value_name) in _RATIO
    low = -100.0 if is_ratio else 0.0
    start, end = (read_numbers(table.columns[k], table.lines, k, table.name, 0, 4e8) for k in keys[2:])
    value = read_numbers(table.columns[value_name], table.lines, value_name, table.name, low, 1e4)
    backwards = np.flatnonzero(end < start)
    if backwards.size:
        raise InputError(
            f"Line {table.lines[backwards[0]]} of {table.name}: the segment ends before it starts; correct it."
        )
    chromosome = np.array([c.lower().removeprefix("chr") for c in table.columns[keys[1]]])
    used = np.isfinite(start) & np.isfinite(end) & np.isfinite(value)
    if not sex_chromosomes:
        used &= ~np.isin(chromosome, ("x", "y", "23", "24", "m", "mt"))
    length = end - start + 1
    rounded = value if is_ratio else np.round(value)
    gain = rounded >= threshold if is_ratio else rounded > ploidy
    loss = rounded <= -threshold if is_ratio else rounded < ploidy
    samples = np.array(table.columns[keys[0]])
    features = {}
    for sample in dict.fromkeys(table.columns[keys[0]]):
        mine = used & (samples == sample)
        total = float(length[mine].sum())
        if not total:
            reason = "no measured autosomal segment"
            features[sample] = {k: Value(None, reason) for k in ("cnb", "cnb_gain", "cnb_loss")}
            continue
        up, down = (float(length[mine & part].sum()) / total for part in (gain, loss))
        features[sample] = {"cnb": Value(up + down), "cnb_gain": Value(up), "cnb_loss": Value(down)}
    scale = f"log2 ratio, altered from {threshold:g}" if is_ratio else f"total copies, altered where not {ploidy:g}"
    return CopyNumberBurden(features, scale, table.sha256)
