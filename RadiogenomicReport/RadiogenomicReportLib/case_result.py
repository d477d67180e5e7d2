"""A finished result folder read back: its case, what its report draws, and its report written again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from IITHModuleLib.untrusted_json import read_json
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.exam_files import read_exam
from SubregionHabitatLib.progress import Progress

from .case_file import write_case
from .case_genomic_data import read_genomics, with_genomics
from .case_numbers import case_numbers
from .case_report import CasePictures, case_report_html
from .dicom_out.writer import FOLDER as DICOM_FOLDER
from .dicom_out.writer import CaseArrays, require_highdicom, write_dicom_objects
from .report_images import MAPS_FOLDER, read_pictures
from .report_output import ReportNumber, check_folder, report_files, write_files
from .result_folder import CASE_FILE, CASE_SCHEMA

if TYPE_CHECKING:
    from .genomics.case_genomics import CaseGenomics, CaseGenomicsPlan

MAX_CASE_BYTES = 50_000_000
REPORT_NAME = "report"


@dataclass(frozen=True)
class CaseResult:
    """A result folder and the content of its case.json."""

    folder: Path
    case: dict

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def pictures(self) -> CasePictures:
        with whole_case(self):
            return read_pictures(self.folder, self.case)

    def numbers(self) -> list[ReportNumber]:
        with whole_case(self):
            return case_numbers(self.case)


def read_result(folder: Path) -> CaseResult:
    """The result in ``folder``. Raises InputError where it holds none, or one that is damaged."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give a result folder of `iith analyze`.")
    if not (folder / CASE_FILE).is_file():
        raise InputError(f"{folder} holds no {CASE_FILE}; give a result folder of `iith analyze`.")
    case, _ = read_json(folder / CASE_FILE, "case file", MAX_CASE_BYTES)
    if case.get("schema") != CASE_SCHEMA:
        raise InputError(
            f"{folder / CASE_FILE} has the schema {str(case.get('schema'))[:40]!r} instead of {CASE_SCHEMA!r}; "
            "analyze the exam with this version."
        )
    return CaseResult(folder, case)


@contextmanager
def whole_case(result: CaseResult) -> Iterator[None]:
    """Turn the error that a lacking or wrong entry of a case causes, wherever it shows, into one naming the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{result.folder / CASE_FILE} is not complete ({type(error).__name__}: {str(error)[:80]}); analyze the "
            "exam again."
        ) from error


def shown_case(
    result: CaseResult, identity: bool, exam: DceExam | None = None, genomics: CaseGenomics | None = None
) -> dict:
    """The case as a report shows it: with the patient's name and ID, and the sample's name of genomic data read now,
    only where they are asked for.

    Raises InputError where they are asked for and neither the case nor the exam has them.
    """
    case = {name: value for name, value in result.case.items() if name != "identity"}
    if not identity:
        return case
    found = (exam.source.identity if exam is not None else None) or result.case.get("identity")
    if not found:
        raise InputError(
            f"The result {result.name} was analyzed without the patient's identity; give the exam with --dicom, or "
            "leave --identity out."
        )
    return {**case, "identity": {**found, **(genomics.identity if genomics is not None else {})}}


def matching_exam(
    result: CaseResult, exam_folder: Path, series: str | None = None, progress: Progress | None = None
) -> DceExam:
    """The DICOM exam of a result. Raises InputError when the images are not those that the result was made from."""
    if not exam_folder.is_dir():
        raise InputError(f"The exam {exam_folder} is no folder; give the folder with the exam's DICOM files.")
    exam = read_exam([exam_folder], series=series, progress=progress, allow_no_times=True)
    with whole_case(result):
        wanted = result.case["exam"]["content_digest"]
    if not exam.source.frames or exam.source.content_digest != wanted:
        raise InputError(
            f"The exam {exam_folder.name} is not the one that the result {result.name} was made from (its images "
            "differ); give that exam, with the same --series."
        )
    return exam


def result_arrays(result: CaseResult, pictures: CasePictures) -> CaseArrays:
    """The regions and maps of a result as DICOM objects hold them."""
    from SubregionHabitatLib.volume_io import read_volume

    path = result.folder / MAPS_FOLDER / "time_to_peak.nrrd"
    if not path.is_file():
        raise InputError(f"The result {result.name} lacks maps/time_to_peak.nrrd; analyze the exam again.")
    peak, geometry = read_volume(path)
    if not geometry.same_grid(pictures.geometry):
        raise InputError(f"time_to_peak.nrrd of the result {result.name} lies on another grid; analyze the exam again.")
    return CaseArrays(
        lesion=pictures.lesion,
        habitats=pictures.habitats,
        ring=pictures.ring,
        maps={**pictures.maps, "time_to_peak": peak},
        units={**pictures.units, "time_to_peak": "min"},
    )


@dataclass(frozen=True)
class ReportRequest:
    """How a case report is written again. formats: of ``report_output.FORMATS``; exam: folder of the DICOM exam, from
    which DICOM objects are made; identity: patient name and ID in report and objects; genomics: genomic data of the
    patient, which replace those of the result."""

    out: Path | None = None
    formats: tuple[str, ...] = ("html", "pdf")
    exam: Path | None = None
    series: str | None = None
    map_extent: str = "lesion"
    identity: bool = False
    genomics: CaseGenomicsPlan | None = None


def write_case_report(
    result: CaseResult, request: ReportRequest, progress: Progress | None = None
) -> tuple[list[Path], Sequence[ReportNumber]]:
    """Write a result's report again, into its own folder or ``request.out``; returns the paths and the numbers.

    In its own folder, case.json keeps genomic data that were given. Raises InputError for a damaged result, an exam of
    another result, genomic files that do not fit, and what cannot be written; then nothing is.
    """
    out = request.out or result.folder
    check_folder(out)
    if request.exam is not None:
        require_highdicom()
    genomics = read_genomics(request.genomics)
    result = replace(result, case=with_genomics(result.case, genomics))
    pictures, numbers = result.pictures(), result.numbers()
    exam = None if request.exam is None else matching_exam(result, request.exam, request.series, progress)
    case = shown_case(result, request.identity, exam, genomics)
    with whole_case(result):
        files = report_files(REPORT_NAME, lambda: case_report_html(case, pictures), numbers, request.formats)
    if exam is None:
        written = write_files(out, files)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            objects = Path(temporary) / DICOM_FOLDER
            arrays = result_arrays(result, pictures)
            with whole_case(result):
                made = write_dicom_objects(objects, exam, result.case, arrays, request.identity, request.map_extent)
            names = [f"{DICOM_FOLDER}/{path.name}" for path in made]
            written = [*write_files(out, files, {DICOM_FOLDER: objects}), *(out / name for name in names)]
        identity = "copied from the exam" if request.identity else "replaced"
        noted = {"files": names, "identity": identity, "reason": None}
        result = replace(result, case={**result.case, "dicom": noted})
    changed = exam is not None or genomics is not None
    if changed and out.resolve() == result.folder.resolve():
        partial = result.folder / f".{CASE_FILE}.partial"
        write_case(partial, result.case)
        partial.replace(result.folder / CASE_FILE)
    return written, numbers
