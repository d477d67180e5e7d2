"""Every number of the case report as rows, for the CSV and JSON beside it."""

from __future__ import annotations

from collections.abc import Iterator

from .report_clinical import clinical_numbers
from .report_output import ReportNumber, missing_or

_NOT_COMPUTED = "could not be computed in this case"


def case_numbers(case: dict) -> list[ReportNumber]:
    """The rows of a case ("iith-case/1") in the order of the report."""
    return [
        *_phases(case), *_lesion(case), *_habitats(case), *_ring(case), *_maps(case), *_background(case),
        *_curves(case), *_interaction(case), *clinical_numbers(case), *_scores(case),
    ]  # fmt: skip


def _phases(case: dict) -> Iterator[ReportNumber]:
    for phase in case["exam"]["phases"]:
        known = missing_or(phase["time_s"], "the times of the phases are not known")
        yield ReportNumber("phases", f"phase {phase['index']} ({phase['role']})", "start", unit="s", **known)


def _lesion(case: dict) -> Iterator[ReportNumber]:
    lesion = case["lesion"]
    for quantity, key, unit in (
        ("volume", "volume_cc", "cc"),
        ("functional tumor volume", "ftv_cc", "cc"),
        ("longest diameter", "longest_diameter_mm", "mm"),
        ("voxels", "n_voxels", "1"),
        ("connected parts", "n_components", "1"),
    ):
        yield ReportNumber("lesion", "lesion", quantity, unit=unit, **missing_or(lesion[key], _NOT_COMPUTED))
    fraction = missing_or(lesion["enhancing_fraction_first_post"], lesion["enhancing_fraction_reason"] or _NOT_COMPUTED)
    yield ReportNumber("lesion", "lesion", "enhancing fraction, first post-contrast phase", unit="1", **fraction)
    for part in lesion["ser_bins_cc"]:
        name = f"SER {part['above']:g} to {part['up_to']:g}"
        yield ReportNumber("lesion", name, "volume", unit="cc", **missing_or(part["volume_cc"], _NOT_COMPUTED))


def _habitats(case: dict) -> Iterator[ReportNumber]:
    units = case["kinetics"]["units"]
    for region in case["habitats"]["regions"]:
        item = f"habitat {region['label']} ({region['name']})"
        yield ReportNumber("habitats", item, "volume", unit="cc", **missing_or(region["volume_cc"], _NOT_COMPUTED))
        yield ReportNumber(
            "habitats", item, "share of the lesion", unit="1", **missing_or(region["share"], _NOT_COMPUTED)
        )
        for name in case["habitats"]["features"]:
            unit = units.get("wos" if name == "washout_rate" else name, "")
            center = missing_or(region["centre"].get(name), "no voxel with a defined value")
            yield ReportNumber("habitats", item, f"mean {name}", unit=unit, **center)


def _ring(case: dict) -> Iterator[ReportNumber]:
    ring = case["ring"]
    item = f"ring, {ring['radius_mm']:g} mm"
    yield ReportNumber("ring", item, "volume", unit="cc", **missing_or(ring["volume_cc"], _NOT_COMPUTED))
    yield ReportNumber("ring", item, "share kept", unit="1", **missing_or(ring["kept_fraction"], _NOT_COMPUTED))


def _maps(case: dict) -> Iterator[ReportNumber]:
    kinetics = case["kinetics"]
    for name, unit in kinetics["units"].items():
        statistics = kinetics["lesion_statistics"][name]
        for key in ("mean", "sd", "p5", "p25", "p50", "p75", "p95"):
            value = missing_or(statistics.get(key), "no voxel of the lesion with a defined value")
            yield ReportNumber("kinetic maps", f"{name} in the lesion", key, unit=unit, **value)
        undefined = missing_or(kinetics["undefined_fraction_in_lesion"].get(name), _NOT_COMPUTED)
        yield ReportNumber("kinetic maps", f"{name} in the lesion", "undefined share", unit="1", **undefined)


def _background(case: dict) -> Iterator[ReportNumber]:
    # Cases of earlier versions have none of it.
    for side in case.get("background_enhancement", ()):
        item, missing = f"{side['side']} breast", side["missing"]
        for quantity, key, unit in (
            ("volume", "breast_cc", "cc"),
            ("fibroglandular tissue", "fibroglandular_cc", "cc"),
            ("fibroglandular share", "fibroglandular_share", "1"),
            ("mean background enhancement", "mean_percent", "%"),
            ("median background enhancement", "median_percent", "%"),
            ("lesion over background enhancement", "lesion_to_background", "1"),
        ):
            value = missing_or(side[key], str(missing.get(key, _NOT_COMPUTED)))
            yield ReportNumber("breast", item, quantity, unit=unit, **value)
        for threshold, share in side["share_above_percent"].items():
            yield ReportNumber("breast", item, f"share of the tissue above {threshold} %", share, "1")


def _curves(case: dict) -> Iterator[ReportNumber]:
    for curve in case["curves"]:
        for index, value in enumerate(curve["mean"]):
            found = missing_or(value, "no voxel with a positive pre-contrast signal")
            yield ReportNumber("curves", str(curve["region"]), f"mean enhancement at phase {index}", unit="%", **found)


def _interaction(case: dict) -> Iterator[ReportNumber]:
    found = case["interaction"]
    for name, value in found["features"].items():
        known = missing_or(value, str(found["reasons"].get(name, _NOT_COMPUTED)))
        yield ReportNumber("interaction", "habitats", name, unit=str(found["units"].get(name, "")), **known)


def _scores(case: dict) -> Iterator[ReportNumber]:
    for score in case["scores"]:
        item = f"{score['model_id']} {score['model_version']}"
        value = missing_or(score["value"], score["refusal"] or _NOT_COMPUTED)
        yield ReportNumber("scores", item, "value", unit=score["unit"] or "", **value)
        if score["value"] is None:
            continue
        limits = score["ci95"] or (None, None)
        for quantity, number in zip(("95 % interval, low", "95 % interval, high"), limits, strict=True):
            known = missing_or(number, "the model gives no interval")
            yield ReportNumber("scores", item, quantity, unit=score["unit"] or "", **known)
        for entry in score["survival"]:
            quantity = f"predicted {score['outcome']} at {entry['years']:g} years"
            yield ReportNumber("scores", item, quantity, entry["probability"], "1")
        yield ReportNumber("scores", item, "group", score["group"])
        percentile = missing_or(score["percentile_in_training"], _NOT_COMPUTED)
        yield ReportNumber("scores", item, "percentile in training", unit="1", **percentile)
        inside = "yes" if score["in_range"]["overall"] else "no"
        yield ReportNumber("scores", item, "all inputs within the range of the training patients", inside)
