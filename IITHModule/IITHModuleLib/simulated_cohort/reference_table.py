"""The small table that a heterogeneity index is trained on: only the columns its signature and size need."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

from ..heterogeneity.exam_table import read_exam_table
from ..heterogeneity.iith_signature import load_signature
from ..heterogeneity.volume_dependence import LESION_REGION, VOLUME_FEATURES

SIGNIFICANT_DIGITS = 9


def write_reference_table(features: Path, out: Path, signature: str, images: tuple[str, ...]) -> int:
    """Write ``out`` (.csv.gz) from the features_wide table of `iith batch`; returns the number of columns.

    Kept are the lesion's features of the signature on ``images`` and its volume; every table of equal content gives the
    same bytes. Raises InputError when the table cannot be read.
    """
    table = read_exam_table(features)
    names = set(load_signature(signature).signs("su"))
    kept = [
        k
        for k, key in enumerate(table.keys)
        if key.region == LESION_REGION
        and ((key.image in images and key.plain_name in names) or key.feature == VOLUME_FEATURES[0])
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["patient", "preset", "preset_digest", *("|".join(table.keys[k]) for k in kept)])
    for patient, row in zip(table.patients, table.values, strict=True):
        cells = ["" if row[k] != row[k] else f"{row[k]:.{SIGNIFICANT_DIGITS}g}" for k in kept]
        writer.writerow([patient, table.preset, table.preset_digest, *cells])
    with out.open("wb") as stream, gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
        packed.write(text.getvalue().encode("utf-8"))
    return len(kept)
