"""Result folders of simulated visits without the cost of radiomics, as ``iith analyze`` lays them out."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from IITHModuleLib.features import COLUMNS
from RadiogenomicReportLib.case_file import write_case
from RadiogenomicReportLib.case_pipeline import write_images
from RadiogenomicReportLib.report_images import write_report_image
from SubregionHabitatLib.digests import digest
from support.report_cases import report_case

PRESET = {"preset": "mr_default", "preset_digest": "d" * 64, "engine": "native", "engine_version": "1"}


def write_result_folder(
    folder: Path, exam, imaging, features: Mapping[tuple[str, str, str], float] | None = None, identity=None
) -> Path:
    """A result with its pictures and, where given, a feature table; scored by no model."""
    folder.mkdir(parents=True)
    case, pictures = report_case(exam, imaging, clinical={}, models=[], identity=identity)
    case["exam"]["content_digest"] = digest(exam.signal)
    case["parameters"]["radiomics"] = dict(PRESET)
    write_images(folder, imaging)
    write_report_image(folder, pictures)
    write_case(folder / "case.json", case)
    with (folder / "features.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([*key, repr(float(value)), "1", ""] for key, value in (features or {}).items())
    return folder
