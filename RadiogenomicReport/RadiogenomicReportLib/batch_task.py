"""One exam of a cohort as a task that any process can do, and the record that tells whether it is done already."""

from __future__ import annotations

import json
import os
import re
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from IITHModuleLib.any_model import open_model
from IITHModuleLib.feature_engine import make_engine
from IITHModuleLib.model_file import shipped_models
from IITHModuleLib.presets import load_preset
from IITHModuleLib.training.table import file_digest
from IITHModuleLib.untrusted_json import read_json
from SubregionHabitatLib import __version__
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.whole_file import write_whole_text

from .case_file import plain
from .case_pipeline import CaseRequest, run_case
from .feature_table import FEATURES_FILE
from .result_folder import CASE_FILE, is_result_folder

TASK_FILE = "task.json"
TASK_SCHEMA = "iith-task/1"
MAX_TASK_BYTES = 200_000_000
DONE, KEPT, FAILED = "done", "kept", "failed"
# Fields of a request that name files: what counts is the files' content, not where they lie.
_FILE_FIELDS = ("exam", "voi", "lesion", "omit", "added", "removed", "other_lesions", "breast", "habitat_model")
_NO_PARAMETERS = (*_FILE_FIELDS, "out", "overwrite", "n_jobs", "preset", "models")
_DETACHED_HEADERS = (".nhdr", ".mhd")


@dataclass(frozen=True)
class BatchTask:
    """One exam to analyze. name: its folder's name; request: with ``out`` set; parameters: ``task_parameters``."""

    name: str
    patient: str
    visit: str
    request: CaseRequest
    parameters: dict


@dataclass(frozen=True)
class TaskOutcome:
    """What became of a task. status: DONE, KEPT (an earlier result holds) or FAILED with the reason in one line;
    trace: of an error that is a bug, else empty; seconds: wall time."""

    name: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    trace: str = ""


def task_parameters(request: CaseRequest, cache: dict | None = None) -> dict:
    """Everything but the input files that a result depends on, as plain JSON.

    Presets and models count by their content. cache: keeps what requests of one cohort have in common. Raises
    InputError for a preset, engine or model that cannot be used.
    """
    cache = {} if cache is None else cache
    shared = (request.engine, request.preset, request.models)
    if shared not in cache:
        cache[shared] = _method(*shared)
    own = {name: plain(value) for name, value in asdict(request).items() if name not in _NO_PARAMETERS}
    return plain_json({"iith": __version__, **own, **cache[shared]})


def _method(engine: str, preset: str, models: tuple[str, ...] | None) -> dict:
    loaded = [open_model(name) for name in (shipped_models() if models is None else models)]
    return {
        "engine_version": make_engine(engine).version(),
        "preset_digest": load_preset(preset).digest,
        "models": {model.id: model.digest for model in loaded},
        "models_named": models is not None,
    }


def run_task(task: BatchTask) -> TaskOutcome:
    """Analyze one exam unless its result is there already; never raises but for a wish to stop.

    The result folder appears when it is complete, and after it the record TASK_FILE inside it.
    """
    start = time.monotonic()
    try:
        inputs = input_record(task.request)
        if _holds(task, inputs):
            return TaskOutcome(task.name, KEPT, seconds=time.monotonic() - start)
        run_case(replace(task.request, overwrite=True))
        _write_record(task, inputs)
        return TaskOutcome(task.name, DONE, seconds=time.monotonic() - start)
    except InputError as error:
        return failed(task.name, str(error), time.monotonic() - start)
    except Exception as error:  # a bug: it stays with this exam
        reason = f"internal error ({type(error).__name__}: {error})"
        return failed(task.name, reason, time.monotonic() - start, traceback.format_exc())


def failed(name: str, reason: str, seconds: float = 0.0, trace: str = "") -> TaskOutcome:
    """The outcome of a task that gave no result."""
    return TaskOutcome(name, FAILED, " ".join(reason.split()), seconds, trace)


def is_done(task: BatchTask) -> bool:
    """Whether the result is there, whole, and made from the same input files by the same parameters."""
    return _holds(task, None)


def input_record(request: CaseRequest) -> dict:
    """Role -> the files' digest, number and bytes; a file that is missing or unreadable has the digest None."""
    record = {}
    for role in _FILE_FIELDS:
        value = getattr(request, role)
        paths = value if isinstance(value, tuple) else (value,)
        record |= {f"{role}{index}": _content(path) for index, path in enumerate(paths) if path is not None}
    return record


def _content(path: Path) -> dict:
    """Digest over names and contents of a file (with its detached data) or of all files below a folder."""
    import hashlib

    digest, n_files, n_bytes = hashlib.sha256(), 0, 0
    try:
        files = _files(path)
        for file in files:
            name = os.path.relpath(file, path) if len(files) > 1 or path.is_dir() else ""
            digest.update(json.dumps([Path(name).as_posix(), file_digest(file)]).encode())
            n_files, n_bytes = n_files + 1, n_bytes + file.stat().st_size
    except OSError as error:
        return {"sha256": None, "problem": error.strerror or type(error).__name__}
    return {"sha256": digest.hexdigest(), "files": n_files, "bytes": n_bytes}


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
        return sorted(file for file in found if file.is_file())
    if path.suffix.lower() in _DETACHED_HEADERS:
        return [path, *_detached_data(path)]
    return [path]


def _detached_data(header: Path) -> list[Path]:
    """The files that a header names; all files beside it where it names them by a pattern."""
    with header.open("rb") as stream:
        lines = stream.read(1_000_000).decode("latin-1").splitlines()
    names = {re.split(r"[:=]", line, maxsplit=1)[-1].strip() for line in lines}
    named = sorted(header.parent / name for name in names if name and "\0" not in name)
    found = [file for file in named if file.is_file() and file != header]
    return found or sorted(file for file in header.parent.iterdir() if file.is_file() and file != header)


def _holds(task: BatchTask, inputs: dict | None) -> bool:
    folder = task.request.out
    record = read_record(folder)
    if record is None or record.get("parameters") != task.parameters:
        return False
    if (record.get("patient"), record.get("visit")) != (task.patient, task.visit):
        return False
    if not is_result_folder(folder) or record.get("outputs") != _outputs(folder):
        return False
    inputs = input_record(task.request) if inputs is None else inputs
    return record.get("inputs") == inputs and all(entry["sha256"] for entry in inputs.values())


def read_record(folder: Path) -> dict | None:
    """The task record of a result folder, None where there is none that can be read."""
    try:
        record, _ = read_json(folder / TASK_FILE, "task record", MAX_TASK_BYTES)
    except InputError:
        return None
    return record if record.get("schema") == TASK_SCHEMA else None


def plain_json(value):
    """A value as it comes back from a JSON file."""
    return json.loads(json.dumps(value, default=str))


def _outputs(folder: Path) -> dict[str, str | None]:
    """Digests of the files that the tables are made from, so that a damaged result is made again."""
    try:
        return {name: file_digest(folder / name) for name in (CASE_FILE, FEATURES_FILE)}
    except OSError:
        return {}


def _write_record(task: BatchTask, inputs: dict) -> None:
    folder = task.request.out
    record = {
        "schema": TASK_SCHEMA,
        "patient": task.patient,
        "visit": task.visit,
        "parameters": task.parameters,
        "inputs": inputs,
        "outputs": _outputs(folder),
    }
    write_json(folder / TASK_FILE, record)


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file that is whole or absent."""
    write_whole_text(path, json.dumps(content, indent=1, default=str, ensure_ascii=False) + "\n")
