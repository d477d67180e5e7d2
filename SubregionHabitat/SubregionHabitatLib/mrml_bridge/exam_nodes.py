"""Between the nodes of an exam and the library's DceExam: phases, their times, the files they came from."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer

from ..digests import digest, hash_uid
from ..errors import InputError
from ..exam import DceExam, ExamSource, Timing, check_times
from ..sequence_times import HEADER_CLOCKS, header_times, importer_times, index_times
from ..times_file import with_injection
from .volumes import set_volume, volume_array

_ASK_FOR_TIMES = "enter the phase times in seconds, for example 0, 90, 180, 270"


def parse_times(text: str) -> tuple[float, ...]:
    """Times in seconds from text like "0, 90, 180" (commas, semicolons or blanks); empty text gives ()."""
    values = []
    for word in re.split(r"[\s,;]+", text.strip()):
        if not word:
            continue
        try:
            values.append(float(word))
        except ValueError:
            raise InputError(f"The phase time '{word}' is not a number; {_ASK_FOR_TIMES}.") from None
    return tuple(values)


def parse_injection(text: str) -> float | None:
    """Start of the injection in seconds from the pre-contrast phase; empty text gives None, not known."""
    if not text.strip():
        return None
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"The injection time {text.strip()[:40]!r} is not a number of seconds; correct or clear it.")
    return value


def exam_from_nodes(
    nodes: Sequence,
    times_s: Sequence[float] = (),
    injection_s: float | None = None,
    accept_no_times: bool = False,
) -> DceExam:
    """The exam in one sequence of scalar volumes, or in one scalar volume per phase (in any order).

    Times are those of ``phase_times``; injection_s: start of the injection in seconds from the pre-contrast phase.
    Raises InputError when nodes or times are missing or do not fit together.
    """
    volumes = _phase_volumes(nodes)
    found, timing = phase_times(nodes, times_s, accept_no_times)
    check_times(tuple(sorted(found)), len(volumes))
    order = np.argsort(found, kind="stable")
    volumes, seconds = [volumes[i] for i in order], [found[i] - min(found) for i in order]
    first, geometry = volume_array(volumes[0])
    signal = np.empty((len(volumes), *geometry.shape), dtype=np.float32)
    signal[0] = first
    for index, volume in enumerate(volumes[1:], start=1):
        array, other = volume_array(volume)
        if not other.same_grid(geometry):
            raise InputError(
                f"Phase {index + 1} ('{volume.GetName()}') lies on another grid than the first phase; resample it onto "
                "the first phase (Resample Image module) or select the right volume."
            )
        signal[index] = array
    source = _source(_present(nodes), len(volumes), signal)
    exam = DceExam(signal=signal, times_s=tuple(seconds), geometry=geometry, timing=timing, source=source)
    return with_injection(exam, injection_s)


def _source(nodes: Sequence, n_phases: int, signal: np.ndarray) -> ExamSource:
    """What the exam is, by hashed UIDs where the subject hierarchy knows its series; never a name."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(nodes[0].GetScene())
    items = [item for item in map(hierarchy.GetItemByDataNode, nodes) if item]
    series = [uid for uid in (hierarchy.GetItemUID(item, "DICOM") for item in items) if uid]
    study = hierarchy.GetItemAncestorAtLevel(items[0], "Study") if items else 0
    study_uid = hierarchy.GetItemUID(study, "DICOM") if study else ""
    return ExamSource(
        kind="nodes",
        description=f"{'volume sequence' if _is_sequence(nodes) else 'volumes'} of {n_phases} phases",
        manufacturer=(hierarchy.GetItemAttribute(items[0], "DICOM.Manufacturer") if items else "") or "",
        study_hash=hash_uid(study_uid) if study_uid else "",
        series_hashes=tuple(hash_uid(uid) for uid in series),
        content_digest=digest(signal),
    )


def dicom_files(nodes: Sequence) -> list[Path]:
    """The DICOM files that an exam was loaded from, as its nodes and Slicer's DICOM database know them.

    Volumes name their instances in "DICOM.instanceUIDs", multi-volume sequences their files in
    "MultiVolume.FrameFileList" (separated by commas). Raises InputError where nothing is known, or a file is gone.
    """
    holders = [*_present(nodes), *_phase_volumes(nodes)]
    listed = [n.GetAttribute("MultiVolume.FrameFileList") for n in holders]
    found = [Path(name) for text in listed if text for name in text.split(",") if name.strip()]
    uids = [uid for n in holders for uid in (n.GetAttribute("DICOM.instanceUIDs") or "").split()]
    database = getattr(slicer, "dicomDatabase", None)
    if not found and uids and database is not None:
        found = [Path(path) for path in (database.fileForInstance(uid) for uid in dict.fromkeys(uids)) if path]
    gone = [path for path in found if not path.is_file()]
    if not found or gone:
        what = f"{len(gone)} of {len(found)} files are gone" if gone else "the scene does not say which files"
        raise InputError(
            f"The exam's DICOM files are not known ({what}); choose the folder that the exam was loaded from."
        )
    return list(dict.fromkeys(found))


def phase_times(
    nodes: Sequence, times_s: Sequence[float] = (), accept_no_times: bool = False
) -> tuple[list[float], Timing]:
    """Seconds of each phase in the order of the nodes (or of the sequence's frames), and where they come from.

    These are ``times_s`` where given, else what the DICOM importer noted from a clock tag, else a sequence's index
    values when they are times in s, ms or min, else what each phase's header says in Slicer's DICOM database. Frame
    numbers 0..n-1 are not times: InputError asks for them, unless accept_no_times lets the phases count as 0, 1, 2, ...
    with ``timing.known`` False.
    """
    n_phases = len(_phase_volumes(nodes))
    if times_s:
        check_times(tuple(sorted(times_s)), n_phases)
        return [float(t) for t in times_s], Timing("user", "high", phase_sources=("user",) * n_phases)
    found, problem = None, f"{n_phases} phase volumes are selected without times"
    if _is_sequence(nodes):
        found, problem = _sequence_times(_present(nodes)[0], n_phases)
    found = found or _database_times(_phase_volumes(nodes))
    if found is not None:
        return list(found[0]), found[1]
    if not accept_no_times:
        raise InputError(f"{problem}; {_ASK_FOR_TIMES}.")
    note = "The phases carry no times; they are taken in the order given, and slopes are not available."
    timing = Timing("none", "none", notes=(note,), known=False, phase_sources=("none",) * n_phases)
    return [float(k) for k in range(n_phases)], timing


def set_sequence(sequence, exam: DceExam) -> None:
    """Make the phases of an exam the content of a sequence node, indexed by time in seconds or else by number."""
    sequence.RemoveAllDataNodes()
    sequence.SetIndexName("time" if exam.timing.known else "frame")
    sequence.SetIndexUnit("s" if exam.timing.known else "")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    for index, time_s in enumerate(exam.times_s):
        volume = slicer.vtkMRMLScalarVolumeNode()
        volume.SetName(f"phase {index}")
        set_volume(volume, exam.signal[index], exam.geometry)
        sequence.SetDataNodeAtValue(volume, repr(round(float(time_s), 6)))


def _present(nodes: Sequence) -> list:
    found = [node for node in nodes if node is not None]
    if not found:
        raise InputError("No DCE exam is selected; select a sequence, or the volumes of its phases with their times.")
    return found


def _is_sequence(nodes: Sequence) -> bool:
    return _present(nodes)[0].IsA("vtkMRMLSequenceNode")


def _phase_volumes(nodes: Sequence) -> list:
    if not _is_sequence(nodes):
        return _present(nodes)
    sequence = _present(nodes)[0]
    volumes = [sequence.GetNthDataNode(i) for i in range(sequence.GetNumberOfDataNodes())]
    if any(v is None or not v.IsA("vtkMRMLVolumeNode") for v in volumes):
        raise InputError(f"The sequence '{sequence.GetName()}' does not hold volumes; select the DCE volume sequence.")
    return volumes


def _database_times(volumes: Sequence) -> tuple[tuple[float, ...], Timing] | None:
    """By the header of one image of each phase, where Slicer's DICOM database knows it."""
    value = getattr(getattr(slicer, "dicomDatabase", None), "instanceValue", None)
    uids = [(volume.GetAttribute("DICOM.instanceUIDs") or "").split() for volume in volumes]
    if value is None or not all(uids):
        return None
    return header_times({tag: [value(u[0], number) or "" for u in uids] for tag, number in HEADER_CLOCKS.items()})


def _sequence_times(sequence, n_phases: int) -> tuple[tuple[tuple[float, ...], Timing] | None, str]:
    """(times, where they come from) or None, and what is wrong in that case."""
    name = sequence.GetName()
    tag = sequence.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagName")
    labels = sequence.GetAttribute("MultiVolume.FrameLabels")
    if tag and labels:
        found = importer_times(tag, sequence.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagUnits") or "", labels)
        problem = f"The frames of '{name}' were ordered by {tag}, which does not say when they were acquired"
    else:
        values = [sequence.GetNthIndexValue(i) for i in range(n_phases)]
        found = index_times(sequence.GetIndexName() or "", sequence.GetIndexUnit() or "", values)
        problem = f"The sequence '{name}' numbers its frames and does not say when they were acquired"
    if found is not None and (len(found[0]) != n_phases or not np.isfinite(found[0]).all()):
        found = None
    return found, problem
