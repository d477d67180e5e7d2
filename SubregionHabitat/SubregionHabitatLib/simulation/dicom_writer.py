"""The simulated exam as a classic DICOM MR series: one file per slice and phase, MR Image Storage.

Everything in the files follows from the parameters and the options, so equal input gives equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .exam import SimulatedExam
from .parameters import parameters_to_json

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Tags that tell phases apart; any of them can be left out, as scanners do.
TIMING_TAGS = (
    "AcquisitionTime",
    "ContentTime",
    "TriggerTime",
    "TemporalPositionIdentifier",
    "NumberOfTemporalPositions",
    "TemporalResolution",
    "AcquisitionNumber",
    "ContrastBolusStartTime",
)

# All but TriggerTime: the standard allows it in MR Image Storage only with heart gating, although scanners write
# the time of a dynamic phase into it.
STANDARD_TIMING_TAGS = tuple(tag for tag in TIMING_TAGS if tag != "TriggerTime")

STUDY_DATE = "20200101"
_STUDY_START_S = 10 * 3600
_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_PROTON_MHZ_PER_T = 42.577478


@dataclass(frozen=True)
class DicomOptions:
    """How the series is written.

    timing_tags: those of TIMING_TAGS to write (ContentDate and AcquisitionDate go with their times); the default
    leaves out TriggerTime, which the standard does not allow here;
    frozen_tags: those of them that keep the first phase's value in every phase, as some scanners do;
    series_per_phase: one series for each phase instead of one for all.
    Raises InputError for a tag that is not in TIMING_TAGS.
    """

    timing_tags: tuple[str, ...] = STANDARD_TIMING_TAGS
    frozen_tags: tuple[str, ...] = ()
    series_per_phase: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.timing_tags + self.frozen_tags) - set(TIMING_TAGS))
        if unknown:
            raise InputError(f"Unknown timing tag {', '.join(unknown)}; choose from {', '.join(TIMING_TAGS)}.")


def write_dicom(simulated: SimulatedExam, folder: Path | str, options: DicomOptions | None = None) -> list[Path]:
    """Write ``IM00001.dcm`` ... into ``folder`` (made if absent) and return the paths, phase by phase.

    Slices of one phase follow each other in the order of the Z index. Works with pydicom 2.4 and 3.
    """
    options = options or DicomOptions()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    uid = _uid_maker(simulated, options)
    fixed = _fixed_attributes(simulated, uid)
    paths = []
    for phase in range(simulated.exam.n_phases):
        base = fixed | _phase_attributes(simulated, options, phase, uid)
        pixels = simulated.exam.signal[phase].astype("<u2")
        for z in range(simulated.exam.geometry.shape[0]):
            number = len(paths) + 1
            values = base | _slice_attributes(simulated, z, pixels[z]) | {"InstanceNumber": number}
            path = folder / f"IM{number:05d}.dcm"
            _write(path, values, uid(f"image {number}"))
            paths.append(path)
    return paths


def _uid_maker(simulated: SimulatedExam, options: DicomOptions) -> Callable[[str], str]:
    """UIDs under the 2.25 root as name-based UUIDs (SHA-256, variant bits set) of parameters, options and a name."""
    content = json.dumps([parameters_to_json(simulated.parameters), asdict(options)], sort_keys=True)
    key = hashlib.sha256(content.encode()).digest()

    def uid(name: str) -> str:
        raw = bytearray(hashlib.sha256(key + name.encode()).digest()[:16])
        raw[6] = (raw[6] & 0x0F) | 0x50
        raw[8] = (raw[8] & 0x3F) | 0x80
        return f"2.25.{int.from_bytes(bytes(raw), 'big')}"

    return uid


def _fixed_attributes(simulated: SimulatedExam, uid: Callable[[str], str]) -> dict:
    """Attributes that all files of the exam share."""
    p, geometry = simulated.parameters, simulated.exam.geometry
    start = _time_of_day(0)
    direction = geometry.direction_matrix
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
        "StudyDate": STUDY_DATE,
        "SeriesDate": STUDY_DATE,
        "StudyTime": start,
        "AccessionNumber": "",
        "Modality": "MR",
        "Manufacturer": "IITH simulation",
        "ManufacturerModelName": "Simulated breast DCE-MRI",
        "SoftwareVersions": "1",
        "DeviceSerialNumber": "0",
        "ReferringPhysicianName": "",
        "StudyDescription": "Simulated breast MRI, research use only",
        "PatientName": "SIMULATED^EXAM",
        "PatientID": f"SIM-{p.seed}",
        "PatientBirthDate": "",
        "PatientSex": "F",
        "BodyPartExamined": "BREAST",
        "PatientPosition": "HFP",
        **({"ImageLaterality": "B"} if p.bilateral else {"Laterality": p.laterality}),
        "StudyInstanceUID": uid("study"),
        "StudyID": "SIM",
        "FrameOfReferenceUID": uid("frame of reference"),
        "PositionReferenceIndicator": "",
        "ContrastBolusAgent": "Simulated gadolinium contrast agent",
        "ContrastBolusRoute": "INTRAVENOUS",
        "ScanningSequence": "GR",
        "SequenceVariant": "SP",
        "ScanOptions": "FS" if p.sequence.fat_suppressed else "",
        "MRAcquisitionType": "3D",
        "SliceThickness": _decimal(p.spacing_mm[2]),
        "SpacingBetweenSlices": _decimal(p.spacing_mm[2]),
        "RepetitionTime": _decimal(p.sequence.repetition_time_ms),
        "EchoTime": _decimal(p.sequence.echo_time_ms),
        "EchoTrainLength": 1,
        "FlipAngle": _decimal(p.sequence.flip_angle_deg),
        "MagneticFieldStrength": _decimal(p.sequence.field_strength_t),
        "ImagingFrequency": _decimal(p.sequence.field_strength_t * _PROTON_MHZ_PER_T),
        "ImagedNucleus": "1H",
        "NumberOfAverages": "1",
        "ImageOrientationPatient": [_decimal(v, 10) for v in (*direction[:, 0], *direction[:, 1])],
        "PixelSpacing": [_decimal(p.spacing_mm[1]), _decimal(p.spacing_mm[0])],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": geometry.shape[1],
        "Columns": geometry.shape[2],
        "BitsAllocated": 16,
        "BitsStored": p.bits_stored,
        "HighBit": p.bits_stored - 1,
        "PixelRepresentation": 0,
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        **_window(simulated),
    }


def _window(simulated: SimulatedExam) -> dict:
    """One display window for all phases, wide enough for the enhancing lesion."""
    top = float(np.percentile(simulated.noiseless[:, simulated.truth_lesion], 99))
    return {"WindowCenter": str(round(top / 2)), "WindowWidth": str(max(1, round(top)))}


def _phase_attributes(simulated: SimulatedExam, options: DicomOptions, phase: int, uid: Callable[[str], str]) -> dict:
    """Series and timing attributes of one phase."""
    p = simulated.parameters
    series = phase if options.series_per_phase else 0
    description = "Simulated DCE" + (f" phase {phase + 1}" if options.series_per_phase else "")
    values = {
        "SeriesInstanceUID": uid(f"series {series}"),
        "SeriesNumber": series + 1,
        "SeriesDescription": description,
        "ProtocolName": "Simulated DCE",
        "SeriesTime": _time_of_day(p.times_s[series]),
    }
    for tag in options.timing_tags:
        values |= _timing_tag(simulated, tag, 0 if tag in options.frozen_tags else phase)
    return values


def _timing_tag(simulated: SimulatedExam, tag: str, phase: int) -> dict:
    p = simulated.parameters
    start = p.times_s[phase]
    if tag == "AcquisitionTime":
        return {"AcquisitionDate": STUDY_DATE, tag: _time_of_day(start)}
    if tag == "ContentTime":
        return {"ContentDate": STUDY_DATE, tag: _time_of_day(start)}
    return {
        "TriggerTime": {tag: _decimal(start * 1000)},
        "TemporalPositionIdentifier": {tag: phase + 1},
        "NumberOfTemporalPositions": {tag: simulated.exam.n_phases},
        # The standard names no unit; scanners write milliseconds.
        "TemporalResolution": {tag: _decimal(p.phase_duration_s * 1000)},
        "AcquisitionNumber": {tag: phase + 1},
        "ContrastBolusStartTime": {tag: _time_of_day(p.injection_s)},
    }[tag]


def _slice_attributes(simulated: SimulatedExam, z: int, pixels: np.ndarray) -> dict:
    geometry = simulated.exam.geometry
    position = geometry.lps_of(np.array([[z, 0, 0]]))[0]
    normal = geometry.direction_matrix[:, 2]
    return {
        "ImagePositionPatient": [_decimal(v) for v in position],
        "SliceLocation": _decimal(float(position @ normal)),
        "PixelData": pixels.tobytes(),
    }


def _write(path: Path, values: dict, instance_uid: str) -> None:
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _MR_IMAGE_STORAGE
    meta.MediaStorageSOPInstanceUID = instance_uid
    meta.TransferSyntaxUID = _EXPLICIT_LITTLE_ENDIAN
    # Named here so that the bytes do not depend on the version of pydicom.
    meta.ImplementationClassUID = "2.25.272417281912354027713871929911286340102"
    meta.ImplementationVersionName = "IITH_SIMULATION"
    dataset = Dataset()
    dataset.SOPClassUID = _MR_IMAGE_STORAGE
    dataset.SOPInstanceUID = instance_uid
    _fill(dataset, values)
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    if int(pydicom.__version__.split(".")[0]) >= 3:
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    else:
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        pydicom.dcmwrite(path, dataset, write_like_original=False)


def _fill(dataset: Dataset, values: dict) -> None:
    for keyword, value in values.items():
        if keyword == "PixelData":
            dataset.add_new(0x7FE00010, "OW", value)
        else:
            setattr(dataset, keyword, value)


def _decimal(value: float, digits: int = 6) -> str:
    """A decimal string of at most 16 characters without trailing zeros."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _time_of_day(seconds: float) -> str:
    """DICOM time HHMMSS.FFFFFF, ``seconds`` after the start of the study."""
    micro = round((_STUDY_START_S + seconds) * 1_000_000)
    total, micro = divmod(micro, 1_000_000)
    return f"{total // 3600:02d}{total // 60 % 60:02d}{total % 60:02d}.{micro:06d}"
