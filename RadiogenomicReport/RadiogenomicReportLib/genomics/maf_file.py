"""Mutation annotation format (MAF), plain or gzip, as GDC and cBioPortal write it.

Rows are checked before they are parsed, so that a malformed one is named by its line and left out.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np

from IITHModuleLib.table_file import MAX_BYTES, decode, read_bounded, unpacked
from SubregionHabitatLib.errors import InputError

from .mutations import NON_SYNONYMOUS, OTHER_CLASSES, MalformedRow, Mutations, as_fractions

GENE, CLASS, SAMPLE = "Hugo_Symbol", "Variant_Classification", "Tumor_Sample_Barcode"
_REQUIRED = (GENE, CLASS, SAMPLE)
_COUNTS = ("t_ref_count", "t_alt_count")
_DEPTH = "t_depth"
# What makes two rows of a sample the same variant, as far as a file tells.
_PLACE = ("chromosome", "start_position", "end_position", "reference_allele", "tumor_seq_allele1", "tumor_seq_allele2")
_VAF_COLUMNS = ("t_vaf", "tumor_vaf", "i_tumorvaf_wu", "tumor_f", "vaf", "t_af", "tumor_allele_frequency", "af")
MAX_MALFORMED_SHARE = 0.5


def read_maf(path: Path) -> Mutations:
    """Read a MAF file. Raises InputError for what is no MAF, or when more than half of its rows are malformed."""
    path = Path(path)
    data = read_bounded(path, MAX_BYTES)
    text, notes = decode(unpacked(path, data), path.name)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header_at = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    header = [] if header_at is None else [cell.strip() for cell in lines[header_at].split("\t")]
    lost = [name for name in _REQUIRED if name not in header]
    if lost:
        raise InputError(f"{path.name} is no MAF file (the header lacks {', '.join(lost)}); give a tab-separated MAF.")
    kept, numbers, malformed = _whole_rows(lines, header_at, len(header))
    if not kept:
        raise InputError(f"{path.name} has no usable row below its header; give a MAF with mutations.")
    frame = _parse(kept, header)
    columns = {name: frame[name].to_numpy(dtype=object) for name in frame.columns}
    vaf, vaf_source, bad_counts = _fractions(columns, len(kept))
    bad = _bad_rows(columns, bad_counts)
    malformed += [MalformedRow(int(numbers[k]), reason) for k, reason in sorted(bad.items())]
    good = np.ones(len(kept), dtype=bool)
    good[list(bad)] = False
    repeated = _repeated(frame) & good
    if repeated.any():
        good &= ~repeated
        notes.append(
            f"{int(repeated.sum()):,} rows of {path.name} repeat a variant of the same sample and gene and count once"
        )
    if len(malformed) > MAX_MALFORMED_SHARE * (len(kept) + len(malformed) - len(bad)):
        first = min(malformed, key=lambda m: m.line)
        raise InputError(
            f"{len(malformed):,} rows of {path.name} are malformed (line {first.line}: {first.reason}); give a MAF "
            "file."
        )
    return Mutations(
        sample=columns[SAMPLE][good],
        gene=columns[GENE][good],
        variant_class=columns[CLASS][good],
        vaf=vaf[good],
        samples=tuple(dict.fromkeys(s for s in columns[SAMPLE] if s)),
        source=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        vaf_source=vaf_source,
        malformed=tuple(sorted(malformed, key=lambda m: m.line)),
        notes=tuple(notes),
    )


def _whole_rows(lines: list[str], header_at: int, width: int) -> tuple[list[str], np.ndarray, list[MalformedRow]]:
    """Rows with as many cells as the header, their line numbers, and the others."""
    tabs = np.fromiter((line.count("\t") for line in lines), dtype=np.int32, count=len(lines))
    kept, numbers, malformed = [], [], []
    for k in range(header_at + 1, len(lines)):
        line = lines[k]
        if not line or line.isspace() or line[0] == "#":
            continue
        if tabs[k] == width - 1:
            kept.append(line)
            numbers.append(k + 1)
        else:
            malformed.append(MalformedRow(k + 1, f"{tabs[k] + 1} cells instead of {width}"))
    return kept, np.array(numbers, dtype=int), malformed


def _parse(rows: list[str], header: list[str]):
    import csv

    import pandas as pd

    lower = {name.lower(): name for name in header}
    wanted = [*_REQUIRED, *(lower[n] for n in (*_COUNTS, _DEPTH, *_VAF_COLUMNS, *_PLACE) if n in lower)]
    positions = sorted({header.index(name) for name in wanted})
    frame = pd.read_csv(
        io.BytesIO("\n".join(rows).encode("utf-8")), sep="\t", header=None, usecols=positions, dtype=str,
        na_filter=False, quoting=csv.QUOTE_NONE,
    )  # fmt: skip
    frame.columns = [header[p] if header[p] in _REQUIRED else header[p].lower() for p in positions]
    return frame


def _repeated(frame) -> np.ndarray:
    """Which rows (N,) name a variant that an earlier row has for the same sample and gene, as maftools leaves out."""
    place = [name for name in _PLACE if name in frame.columns]
    if not {"chromosome", "start_position"} <= set(place):
        return np.zeros(len(frame), dtype=bool)
    return frame.duplicated([SAMPLE, GENE, *place]).to_numpy()


def _numbers(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (N,), NaN where a cell is empty or not a number; and which cells hold something that is no number."""
    import pandas as pd

    texts = pd.Series(cells, dtype=object).str.strip()
    empty = texts.str.lower().isin(("", ".", "na", "nan", "null", "none", "-", "--")).to_numpy()
    values = pd.to_numeric(texts.where(~empty, None), errors="coerce").to_numpy(dtype=float)
    return values, ~empty & ~np.isfinite(values)


def _fractions(columns: dict, n: int) -> tuple[np.ndarray, str, dict[int, str]]:
    """VAF (N,) from the counts, or else from a VAF column; where from; and rows whose counts are impossible."""
    bad: dict[int, str] = {}
    alt = ref = None
    if _COUNTS[1] in columns:
        alt, wrong = _numbers(columns[_COUNTS[1]])
        bad |= {int(k): f"{_COUNTS[1]} is no number" for k in np.flatnonzero(wrong)}
        if _COUNTS[0] in columns:
            ref, wrong = _numbers(columns[_COUNTS[0]])
            bad |= {int(k): f"{_COUNTS[0]} is no number" for k in np.flatnonzero(wrong)}
            depth = ref + alt
        elif _DEPTH in columns:
            depth, wrong = _numbers(columns[_DEPTH])
            bad |= {int(k): f"{_DEPTH} is no number" for k in np.flatnonzero(wrong)}
            ref = depth - alt
        if ref is not None and np.isfinite(ref + alt).any():
            impossible = (ref < 0) | (alt < 0)
            bad |= {int(k): "read counts below 0, or more variant reads than depth" for k in np.flatnonzero(impossible)}
            with np.errstate(divide="ignore", invalid="ignore"):
                vaf = np.where(depth > 0, alt / depth, np.nan)
            return vaf, "read counts", bad
    for name in _VAF_COLUMNS:
        if name in columns:
            signed = np.array([c.strip().endswith("%") for c in columns[name].tolist()], dtype=bool)
            cells = np.array([c.strip().removesuffix("%") for c in columns[name].tolist()], dtype=object)
            values, wrong = _numbers(cells)
            if np.isfinite(values).any():
                bad |= {int(k): f"{name} is no number" for k in np.flatnonzero(wrong)}
                bad |= {
                    int(k): f"{name} is below 0 or above 100" for k in np.flatnonzero((values < 0) | (values > 100))
                }
                values = np.where((values >= 0) & (values <= 100), values, np.nan)
                if signed.any():
                    shares, _ = as_fractions(np.where(signed, np.nan, values), name)
                    return np.where(signed, values / 100, shares), f"{name}, with signs of percent", bad
                return *as_fractions(values, name), bad
    return np.full(n, np.nan), "none: the file has neither read counts nor a VAF column", bad


def _bad_rows(columns: dict, bad: dict[int, str]) -> dict[int, str]:
    """Rows that cannot be used, by position."""
    for name, what in ((SAMPLE, "no sample"), (GENE, "no gene")):
        cells = columns[name].astype(str)
        bad |= {int(k): what for k in np.flatnonzero(np.char.strip(cells) == "")}
    classes, inverse = np.unique(columns[CLASS].astype(str), return_inverse=True)
    known = np.array([c in NON_SYNONYMOUS or c in OTHER_CLASSES for c in classes], dtype=bool)
    for k in np.flatnonzero(~known[inverse]):
        bad[int(k)] = f"unknown {CLASS} '{columns[CLASS][k][:30]}'"
    return bad
