"""The images that DICOM objects refer to: the source exam's frames, its patient and study, and UIDs made from them."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, MRImageStorage
from pydicom.valuerep import DA, TM, PersonName, format_number_as_ds

from SubregionHabitatLib import __version__
from SubregionHabitatLib.dicom_frames import ENHANCED_MR, Frame
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.geometry import Geometry

from . import codes

MANUFACTURER = "IITH"
MODEL = "IITH breast DCE-MRI heterogeneity"
SERIAL_NUMBER = "IITH-software"
# What every object says of the program that made it.
EQUIPMENT = {
    "manufacturer": MANUFACTURER,
    "manufacturer_model_name": MODEL,
    "software_versions": __version__,
    "device_serial_number": SERIAL_NUMBER,
}
# The date of content without identity; type 1 in the objects, and the real one could name the patient.
NO_DATE, NO_TIME = "19000101", "000000"
DEIDENTIFICATION = "Patient and study attributes replaced; UIDs kept"

_PATIENT_STUDY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
    "StudyID", "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True)
class SourceExam:
    """What the objects of one exam have in common.

    header: the patient, study and frame of reference that every object carries, in the form of a plain MR image;
    frames: (T, Z) images in the order of the exam's signal; early: the phase on whose images regions are shown;
    uid: a UID for a name, the same in every run on the same exam, parameters and result; identity: whether patient
    and study attributes are the source's own; content_date, content_time: of every object.
    """

    header: Dataset
    frames: tuple[tuple[Frame, ...], ...]
    geometry: Geometry
    early: int
    uid: Callable[[str], str]
    identity: bool
    content_date: str
    content_time: str

    def references(self, phases: tuple[int, ...], z: int) -> list[Dataset]:
        """One reference per phase to the image of slice ``z``, each with its purpose."""
        found = []
        for phase in phases:
            item = reference(self.frames[phase][z])
            item.PurposeOfReferenceCodeSequence = [codes.SOURCE_IMAGE]
            found.append(item)
        return found

    def instances(self, phases: tuple[int, ...], slices: tuple[int, ...]) -> list[Frame]:
        """One frame of every instance that holds an image of these phases and slices."""
        found: dict[str, Frame] = {}
        for phase in phases:
            for z in slices:
                found.setdefault(self.frames[phase][z].sop_uid, self.frames[phase][z])
        return list(found.values())

    def all_instances(self) -> list[Frame]:
        return self.instances(tuple(range(len(self.frames))), tuple(range(len(self.frames[0]))))


def reference(frame: Frame) -> Dataset:
    """A reference to the image of a frame, with its number where the instance holds several."""
    item = instance_reference(frame)
    if frame.sop_class in ENHANCED_MR:
        item.ReferencedFrameNumber = frame.index + 1
    return item


def instance_reference(frame: Frame) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = frame.sop_class
    item.ReferencedSOPInstanceUID = frame.sop_uid
    return item


def source_exam(exam: DceExam, case: dict, digests: tuple[str, ...], identity: bool = False) -> SourceExam:
    """The source of an exam that was read from DICOM.

    case: the content of case.json; digests: of the arrays that the objects hold. Both go into the UIDs. Raises
    InputError when the exam was not read from DICOM, or its images cannot be referred to.
    """
    frames = exam.source.frames
    if not frames:
        raise InputError(
            "The exam was not read from DICOM images, so there is nothing that DICOM objects could refer to; analyze "
            "the DICOM folder, or leave the DICOM output out."
        )
    for frame in (f for phase in frames for f in phase):
        if not all(UID(u).is_valid for u in (frame.sop_uid, frame.series_uid, frame.study_uid)):
            raise InputError(
                f"The image {frame.path.name} has no valid study, series and instance UID, so DICOM objects cannot "
                "refer to it; export the exam again, or leave the DICOM output out."
            )
    early = int(case["kinetics"]["early_phase"])
    first = frames[early][0]
    original = pydicom.dcmread(first.path, stop_before_pixels=True, force=True)
    header = _header(original, first, identity)
    key = _key(exam, case, digests, header)
    if "FrameOfReferenceUID" not in header:
        header.FrameOfReferenceUID = uid_maker(first.study_uid + first.series_uid)("frame of reference")
    date, time = (_date(original, "ContentDate", "StudyDate"), _time(original)) if identity else (NO_DATE, NO_TIME)
    return SourceExam(header, frames, exam.geometry, early, uid_maker(key), identity, date, time)


def uid_maker(key: str) -> Callable[[str], str]:
    """UIDs under the 2.25 root as name-based UUIDs (SHA-256) of a key and a name."""

    def uid(name: str) -> str:
        raw = hashlib.sha256(f"{key}/{name}".encode()).digest()[:16]
        return f"2.25.{uuid.UUID(bytes=raw, version=5).int}"

    return uid


def _key(exam: DceExam, case: dict, digests: tuple[str, ...], header: Dataset) -> str:
    """Everything that the objects hold; times and memory of the run are left out, so that runs repeat each other."""
    content = {name: value for name, value in case.items() if name not in ("provenance", "identity", "dicom")}
    seeds = case.get("provenance", {}).get("seeds", {})
    person = [str(header.get(name, "")) for name in _PATIENT_STUDY]
    series = [frame.sop_uid for phase in exam.source.frames for frame in phase]
    text = json.dumps([__version__, content, seeds, digests, person, series], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _header(original: Dataset, frame: Frame, identity: bool) -> Dataset:
    """A plain MR image's header with what highdicom copies from its source, and nothing else."""
    header = Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, frame.sop_uid
    header.Modality = "MR"
    header.StudyInstanceUID, header.SeriesInstanceUID = frame.study_uid, frame.series_uid
    _fill_patient_and_study(header, original, frame, identity)
    if UID(str(original.get("FrameOfReferenceUID", "") or "")).is_valid:
        header.FrameOfReferenceUID = str(original.FrameOfReferenceUID)
    header.Rows, header.Columns = frame.rows, frame.columns
    header.PixelSpacing = [format_number_as_ds(v) for v in frame.spacing_mm]
    header.SliceThickness = format_number_as_ds(frame.thickness_mm)
    header.ImagePositionPatient = [format_number_as_ds(v) for v in frame.position]
    header.ImageOrientationPatient = [format_number_as_ds(v) for v in (*frame.row, *frame.column)]
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    laterality = str(original.get("Laterality", "") or "")
    header.Laterality = laterality if laterality in ("L", "R") else ""
    return header


def _fill_patient_and_study(header: Dataset, original: Dataset, frame: Frame, identity: bool) -> None:
    for name in _PATIENT_STUDY:
        setattr(header, name, "")
    if not identity:
        # From the study's UID, so that objects of one exam go together; nothing leads back to the patient's ID.
        header.PatientID = "IITH-" + hashlib.sha256(frame.study_uid.encode()).hexdigest()[:16]
        header.PatientName = f"{header.PatientID}^"
        return
    header.PatientName = PersonName(str(original.get("PatientName", "") or ""))
    for name, length in (("PatientID", 64), ("AccessionNumber", 16), ("StudyID", 16)):
        setattr(header, name, codes.plain_text(original.get(name, "") or "", length))
    header.ReferringPhysicianName = PersonName(str(original.get("ReferringPhysicianName", "") or ""))
    sex = str(original.get("PatientSex", "") or "").strip().upper()
    header.PatientSex = sex if sex in ("F", "M", "O") else ""
    header.PatientBirthDate = _valid(DA, original.get("PatientBirthDate"))
    header.StudyDate, header.StudyTime = _valid(DA, original.get("StudyDate")), _valid(TM, original.get("StudyTime"))


def _valid(kind: type, value: object) -> str:
    """A date or time as DICOM writes it; empty where the source holds none or one that cannot be read."""
    try:
        return str(kind(str(value))) if value else ""
    except (ValueError, TypeError):
        return ""


def _date(original: Dataset, *keywords: str) -> str:
    return next((found for k in keywords if (found := _valid(DA, original.get(k)))), NO_DATE)


def _time(original: Dataset) -> str:
    return next((found for k in ("ContentTime", "StudyTime") if (found := _valid(TM, original.get(k)))), NO_TIME)


def finish(dataset: Dataset, source: SourceExam, description: str) -> None:
    """What all objects share and highdicom leaves to its user; the times of the run are taken out.

    Equal UIDs have to mean equal content, so an object's dates are those of the source image.
    """
    # All text is written as UTF-8, whatever highdicom's release takes over from the source.
    dataset.SpecificCharacterSet = source.header.SpecificCharacterSet
    for keyword in ("PatientName", "ReferringPhysicianName"):
        setattr(dataset, keyword, source.header.get(keyword))
    dataset.ContentDate, dataset.ContentTime = source.content_date, source.content_time
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
        if keyword in dataset:
            del dataset[keyword]
    for equipment in dataset.get("ContributingEquipmentSequence", []):
        equipment.pop("ContributionDateTime", None)
    dataset.SeriesDescription = codes.plain_text(description, 64)
    if not source.identity:
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = DEIDENTIFICATION
    scheme = Dataset()
    scheme.CodingSchemeDesignator = codes.PRIVATE_SCHEME
    scheme.CodingSchemeName = "IITH private terms"
    scheme.CodingSchemeResponsibleOrganization = "The IITH developers"
    dataset.CodingSchemeIdentificationSequence = [scheme]


def affine_of(geometry: Geometry) -> np.ndarray:
    """4x4 matrix from (z, y, x) array index to LPS millimetres, as highdicom's volumes have it."""
    matrix = np.eye(4)
    matrix[:3, :3] = (geometry.direction_matrix @ np.diag(geometry.spacing_mm))[:, ::-1]
    matrix[:3, 3] = geometry.origin_mm
    return matrix
