"""What a result was made from, kept beside it in the scene."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..analysis import DrawnRegions, ImagingParameters
from ..digests import digest
from ..errors import InputError
from ..exam import DceExam, Timing
from ..habitat_file import habitat_model_to_json, load_habitat_model
from ..habitat_model import HabitatModel
from ..imaging_settings import settings_from_json, settings_to_json
from ..masks import RegionMask
from ..sequence_times import HEADER_CLOCKS
from .drawn import region_from_segment
from .exam_nodes import exam_from_nodes, parse_times, phase_times
from .results import ExamResults
from .segments import TISSUE_TERMINOLOGY, Segment, set_segments
from .volumes import volume_array

TIMES_ATTRIBUTE = "IITH.times_s"
_INPUTS_SCHEMA = "iith-slicer-inputs/2"


@dataclass(frozen=True)
class AnalysisInputs:
    """What an analysis starts from; see analyze_imaging."""

    exam: DceExam
    parameters: ImagingParameters
    regions: DrawnRegions
    habitat_model: HabitatModel | None = None

    @property
    def key(self) -> tuple:
        """Equal for inputs that give an equal result."""
        masks = tuple((n, r.source, r.notes, digest(r.mask)) for n, r in drawn_masks(self.regions).items())
        exam, model = self.exam, self.habitat_model
        return (
            json.dumps(settings_to_json(self.parameters), sort_keys=True),
            (exam.source, exam.times_s, exam.timing, exam.geometry),
            (self.regions.seed_lps, masks),
            None if model is None else model.digest,
        )


def drawn_masks(regions: DrawnRegions) -> dict[str, RegionMask]:
    """Field name of DrawnRegions -> region, of every region that was given."""
    found = {field.name: getattr(regions, field.name) for field in dataclasses.fields(regions)}
    return {name: region for name, region in found.items() if isinstance(region, RegionMask)}


def note_inputs(results: ExamResults, inputs: AnalysisInputs, times_s: Sequence[float], reference_volume) -> None:
    """Keep settings, seed, habitat model, times and copies of the drawn regions beside the results in the scene.

    times_s: those that the user gave, none where the sequence has its own.
    """
    exam, masks = inputs.exam, drawn_masks(inputs.regions)
    content = {
        "schema": _INPUTS_SCHEMA,
        "exam": {
            "content_digest": exam.source.content_digest,
            "injection_s": exam.timing.injection_s,
            "accept_no_times": not exam.timing.known,
            "clock": _clock(results, exam),
        },
        "imaging": settings_to_json(inputs.parameters),
        "regions": {name: {"source": r.source, "notes": list(r.notes)} for name, r in masks.items()},
        "seed_lps": inputs.regions.seed_lps,
        "habitat_model": None if inputs.habitat_model is None else habitat_model_to_json(inputs.habitat_model),
    }
    text = results.node("inputs.settings", "vtkMRMLTextNode", "IITH settings")
    text.SetText(json.dumps(content, indent=1, allow_nan=False))
    text.SetAttribute(TIMES_ATTRIBUTE, " ".join(repr(float(t)) for t in times_s))
    copies = results.node("inputs.regions", "vtkMRMLSegmentationNode", "IITH drawn regions")
    segments = [
        Segment(name, f"{name} as drawn", (1.0, 1.0, 1.0), TISSUE_TERMINOLOGY, region.mask, filled=False)
        for name, region in masks.items()
    ]
    set_segments(copies, segments, volume_array(reference_volume)[1], reference_volume)
    copies.GetDisplayNode().SetVisibility(False)


def noted_inputs(results: ExamResults) -> AnalysisInputs:
    """Exam, settings, regions and habitat model that the results in the scene were made from.

    Raises InputError when they are missing or not readable, or the exam's images have changed since.
    """
    text, copies = results.find("inputs.settings"), results.find("inputs.regions")
    name = results.exam_nodes[0].GetName()
    again = InputError(
        f"The settings of the results on '{name}' are missing or damaged; run the Subregion Habitat module again."
    )
    if text is None or copies is None:
        raise again
    try:
        content = json.loads(text.GetText() or "")
        if content["schema"] != _INPUTS_SCHEMA:
            raise ValueError("schema")
        parameters = settings_from_json(content["imaging"])
        of_exam, seed = content["exam"], content["seed_lps"]
        seed = None if seed is None else tuple(map(float, seed))
        injection = None if of_exam["injection_s"] is None else float(of_exam["injection_s"])
        clock = _checked_clock(of_exam.get("clock"))
        accept_no_times, content_digest = bool(of_exam["accept_no_times"]), of_exam["content_digest"]
        noted = {n: (str(r["source"]), tuple(map(str, r["notes"]))) for n, r in content["regions"].items()}
        model = _noted_habitat_model(content["habitat_model"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
        raise again from None
    times = parse_times(text.GetAttribute(TIMES_ATTRIBUTE) or "")
    exam = exam_from_nodes(results.exam_nodes, times or clock.get("seconds", ()), injection, accept_no_times)
    if clock:
        timing = Timing(clock["source"], clock["confidence"], phase_sources=(clock["source"],) * exam.n_phases)
        exam = dataclasses.replace(exam, timing=dataclasses.replace(timing, injection_s=exam.timing.injection_s))
    if exam.source.content_digest != content_digest:
        raise InputError(
            f"The images of '{name}' were changed after the Subregion Habitat module measured them; run that module "
            "again."
        )
    masks = {
        field: RegionMask(region_from_segment(copies, field, exam.geometry, field).mask, source, notes=notes)
        for field, (source, notes) in noted.items()
    }
    try:
        regions = DrawnRegions(**masks, seed_lps=seed)
    except TypeError:
        raise again from None
    return AnalysisInputs(exam, parameters, regions, model)


def _clock(results: ExamResults, exam: DceExam) -> dict | None:
    """The times that a clock of the headers told, which a scene on another machine could not look up again."""
    if exam.timing.source not in HEADER_CLOCKS:
        return None
    seconds, timing = phase_times(results.exam_nodes)
    return {"seconds": seconds, "source": timing.source, "confidence": timing.confidence}


def _checked_clock(noted: object) -> dict:
    if noted is None:
        return {}
    known = {"seconds": [float(second) for second in noted["seconds"]], "source": str(noted["source"])}
    if known["source"] not in HEADER_CLOCKS or noted["confidence"] not in ("low", "medium", "high"):
        raise ValueError("clock")
    return {**known, "confidence": noted["confidence"]}


def _noted_habitat_model(content: dict | None) -> HabitatModel | None:
    """Read through a file, so that the same checks apply as to a model that is handed around."""
    if content is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noted.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return load_habitat_model(path)
