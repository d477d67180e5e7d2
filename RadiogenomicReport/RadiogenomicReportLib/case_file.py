"""``case.json``: everything a case holds, as plain JSON (schema "iith-case/1", see contracts in the documentation)."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata

import numpy as np

from IITHModuleLib.case_values import CaseValue
from IITHModuleLib.features import FeatureTable
from IITHModuleLib.scoring import Score
from SubregionHabitatLib import __version__
from SubregionHabitatLib.analysis import ImagingResult
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.habitats import HABITAT_FEATURES
from SubregionHabitatLib.lesion import SER_BINS

from .result_folder import CASE_SCHEMA
from .stage_clock import StageClock

RESEARCH_USE = "Research use only. Not a medical device; not for diagnosis or treatment decisions."
_PACKAGES = ("numpy", "scipy", "SimpleITK", "pydicom", "highdicom", "pyradiomics")


def build_case(
    exam: DceExam,
    imaging: ImagingResult,
    features: FeatureTable | None,
    values: Mapping[str, CaseValue],
    scores: tuple[Score, ...],
    clock: StageClock,
    identity: Mapping[str, str] | None = None,
) -> dict:
    """The case as a dictionary of plain JSON types; ``identity`` only where the user asked for it."""
    case = {
        "schema": CASE_SCHEMA,
        "research_use": RESEARCH_USE,
        "exam": _exam(exam, imaging),
        "parameters": {**asdict(imaging.parameters), **_feature_parameters(features)},
        "preparation": imaging.prepared.to_json(),
        "breast": _breast(imaging),
        "background_enhancement": [side.to_json() for side in imaging.background],
        "kinetics": _kinetics(imaging),
        "lesion": _lesion(imaging),
        "habitats": _habitats(imaging),
        "ring": _ring(imaging),
        "interaction": _interaction(imaging),
        "curves": [asdict(curve) for curve in imaging.curves],
        "features": _feature_summary(features),
        "case_values": {name: value.to_json() for name, value in values.items()},
        "scores": [score.to_json() for score in scores],
        "warnings": list(imaging.warnings),
        "provenance": provenance_of(imaging, scores, clock),
    }
    if identity:
        case["identity"] = dict(identity)
    return plain(case)


def write_case(path, case: dict) -> None:
    path.write_text(json.dumps(case, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def plain(value):
    """Numpy and tuples to plain JSON types; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _exam(exam: DceExam, imaging: ImagingResult) -> dict:
    roles = {0: "pre-contrast", imaging.maps.phases.early: "early", imaging.maps.phases.late: "late"}
    source = exam.source
    return {
        "kind": source.kind,
        "description": source.description,
        "manufacturer": source.manufacturer,
        "field_strength_t": source.field_strength_t,
        "n_files": source.n_files,
        "study_hash": source.study_hash,
        "series_hashes": source.series_hashes,
        "content_digest": source.content_digest,
        "left_out": source.left_out,
        "geometry": exam.geometry.to_json(),
        "slice_axis": exam.slice_axis,
        "timing": {
            "source": exam.timing.source,
            "confidence": exam.timing.confidence,
            "known": exam.timing.known,
            "confirmed_by": exam.timing.confirmed_by,
            "injection_s": exam.timing.injection_s,
            "temporal_resolution_s": exam.timing.temporal_resolution_s,
            "notes": exam.timing.notes,
        },
        "phases": [
            {
                "index": i,
                "time_s": t if exam.timing.known else None,
                "role": roles.get(i, "post-contrast"),
                "time_source": exam.timing.phase_sources[i] if exam.timing.phase_sources else exam.timing.source,
            }
            for i, t in enumerate(exam.times_s)
        ],
    }


def _breast(imaging: ImagingResult) -> dict:
    tissue = imaging.tissue
    return {
        **imaging.breast.to_json(imaging.exam.geometry),
        "fibroglandular": {
            "reason": tissue.reason,
            "fat_level": tissue.fat_level,
            "gland_level": tissue.gland_level,
            "border": tissue.border,
            "unit_of_levels": "expected signal of fat at the same place, pre-contrast",
            "left_out": "lesion, ring and other lesions",
        },
        "background_enhancement_phase": imaging.maps.phases.early,
    }


def _kinetics(imaging: ImagingResult) -> dict:
    maps = imaging.maps
    return {
        "early_phase": maps.phases.early,
        "late_phase": maps.phases.late,
        "rule": maps.phases.rule,
        "peak_search": maps.peak_search,
        "wos_mode": maps.wos_mode,
        "units": maps.units(),
        "sign_of_wos": "negative means wash-out",
        "undefined_fraction_in_lesion": imaging.nan_fractions,
        "lesion_statistics": {name: _statistics(array[imaging.lesion.mask]) for name, array in maps.items()},
    }


def _statistics(values: np.ndarray) -> dict:
    values = values[np.isfinite(values)].astype(np.float64)
    if values.size == 0:
        return {"n": 0}
    q = np.percentile(values, [5, 25, 50, 75, 95])
    return {
        "n": int(values.size),
        "mean": float(values.mean()),
        "sd": float(values.std()),
        **{f"p{p}": float(v) for p, v in zip((5, 25, 50, 75, 95), q, strict=True)},
    }


def _lesion(imaging: ImagingResult) -> dict:
    lesion = imaging.lesion
    return {
        "made_by": lesion.made_by,
        "volume_cc": lesion.volume_cc,
        "ftv_cc": lesion.ftv_cc,
        "longest_diameter_mm": lesion.longest_diameter_mm,
        "n_voxels": lesion.n_voxels,
        "n_components": lesion.n_components,
        "parts": [asdict(part) for part in lesion.parts],
        "omitted_cc": lesion.ftv.omitted_cc,
        "ser_outside_bins_cc": lesion.ftv.ser_outside_bins_cc,
        "background_signal": lesion.ftv.background_signal,
        "ser_bins_cc": [
            {"above": low, "up_to": high, "volume_cc": cc}
            for (low, high), cc in zip(SER_BINS, lesion.ftv.ser_bins_cc, strict=True)
        ],
        "enhancing_fraction_first_post": lesion.enhancing_fraction_first_post,
        "enhancing_fraction_reason": lesion.enhancing_fraction_reason,
    }


def _habitats(imaging: ImagingResult) -> dict:
    habitats = imaging.habitats
    return {
        "mode": habitats.mode,
        "monotone": habitats.monotone,
        "n_filled": habitats.n_filled,
        "inertia": habitats.inertia,
        "features": habitats.features,
        "k": habitats.parameters.k,
        "k_choice": None if habitats.k_choice is None else asdict(habitats.k_choice),
        "n_supervoxels": habitats.n_supervoxels,
        "model_digest": habitats.model_digest,
        "outside_training_share": habitats.outside_training_share,
        "comparable_between_patients": habitats.comparable,
        "scaling": habitats.scaling,
        "regions": [
            {
                "label": i + 1,
                "name": name,
                "volume_cc": habitats.volumes_cc[i],
                "share": habitats.volumes_cc[i] / imaging.lesion.volume_cc,
                "centre": dict(zip(HABITAT_FEATURES, habitats.centres[i], strict=True)),
                "centre_z": dict(zip(HABITAT_FEATURES, habitats.centres_z[i], strict=True)),
            }
            for i, name in enumerate(habitats.names)
        ],
        "volumes_cc": dict(zip(habitats.names, habitats.volumes_cc, strict=True)),
    }


def _ring(imaging: ImagingResult) -> dict:
    ring = imaging.ring
    return {
        "radius_mm": ring.radius_mm,
        "volume_cc": ring.volume_cc,
        "kept_fraction": ring.kept_fraction,
        "clipped_by": ring.clipped_by,
        "notes": ring.notes,
    }


def _interaction(imaging: ImagingResult) -> dict:
    found = imaging.interaction
    return {
        "neighbourhood": found.neighbourhood,
        "matrix": found.matrix,
        "features": found.features,
        "units": found.units,
        "reasons": found.reasons,
    }


def _feature_parameters(features: FeatureTable | None) -> dict:
    if features is None:
        return {}
    return {
        "radiomics": {
            "preset": features.preset,
            "preset_digest": features.preset_digest,
            "engine": features.engine,
            "engine_version": features.engine_version,
        }
    }


def _feature_summary(features: FeatureTable | None) -> dict:
    if features is None:
        return {"n_values": 0, "n_missing": 0, "missing_reasons": {}}
    reasons: dict[str, int] = {}
    for row in features.rows:
        if row.value is None:
            reasons[f"{row.region}: {row.reason}"] = reasons.get(f"{row.region}: {row.reason}", 0) + 1
    return {"n_values": len(features.rows), "n_missing": features.n_missing(), "missing_reasons": reasons}


def provenance_of(imaging: ImagingResult, scores: tuple[Score, ...], clock: StageClock) -> dict:
    """Software, models, seeds, and the time and memory of every stage so far, as plain JSON types."""
    versions = {"iith": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return plain(
        {
            "software": versions,
            "platform": f"{platform.system()} {platform.machine()}",
            "models": {s.model_id: {"version": s.model_version, "digest": s.model_digest} for s in scores},
            "seeds": {"habitats": imaging.parameters.habitats.seed},
            "wall_seconds": clock.seconds,
            "peak_memory_mb": clock.peak_mb,
        }
    )
