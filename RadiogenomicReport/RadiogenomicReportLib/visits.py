"""Several visits of one patient: sizes and kinetics over time, and where the habitats' volumes went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from .case_report import CasePictures
from .case_result import CaseResult, read_result, whole_case
from .report_numbers import is_number

MAX_VISITS = 12
OUTSIDE = "outside the lesion"
_NOT_MEASURED = "not measured at this visit"
_NO_BACKGROUND = "background enhancement is not part of this result"


@dataclass(frozen=True)
class Visit:
    """One visit. label: as shown; day: from the first visit, None where not given; habitats: names in order."""

    result: CaseResult
    label: str
    day: float | None
    pictures: CasePictures

    @property
    def case(self) -> dict:
        return self.result.case

    @property
    def habitats(self) -> tuple[str, ...]:
        return tuple(str(region["name"]) for region in self.case["habitats"]["regions"])

    @property
    def habitat_volumes_cc(self) -> tuple[float, ...]:
        return tuple(float(region["volume_cc"]) for region in self.case["habitats"]["regions"])


@dataclass(frozen=True)
class Trend:
    """One quantity over the visits. values: one per visit, None with its reason in ``reasons``."""

    key: str
    name: str
    unit: str
    values: tuple[float | None, ...]
    reasons: tuple[str, ...]

    def change_percent(self, index: int) -> tuple[float | None, str]:
        """Change from the first visit to visit ``index`` in percent, or None and why."""
        first, value = self.values[0], self.values[index]
        if first is None or value is None:
            return None, self.reasons[0] or self.reasons[index]
        if first == 0:
            return None, "it is 0 at the first visit"
        return 100.0 * (value - first) / abs(first), ""


@dataclass(frozen=True)
class Flow:
    """Volumes in cc between two visits. rows, columns: names of the parts before and after; matrix: rows x columns.

    With voxel correspondence the parts are the habitats and the outside of the lesion. Without it only what each
    habitat had before and has after is known: the matrix is None.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    before_cc: tuple[float, ...]
    after_cc: tuple[float, ...]
    matrix: np.ndarray | None


def read_visits(folders: Sequence[Path], labels: Sequence[str] = (), days: Sequence[float] = ()) -> tuple[Visit, ...]:
    """The visits in the order given.

    labels: one per visit (default "visit 1", "visit 2", ...); days: days from any one day, rising. Raises InputError
    for fewer than two or more than MAX_VISITS visits, one that is named twice, wrong labels or days, results that name
    different patients, and damaged results.
    """
    _check_numbers(folders, labels, days)
    results = [read_result(folder) for folder in folders]
    _check_patient(results)
    visits = []
    for i, result in enumerate(results):
        label = labels[i].strip() if labels else f"visit {i + 1}"
        day = float(days[i] - days[0]) if days else None
        visits.append(Visit(result, label, day, result.pictures()))
    seen: dict[str, int] = {}
    for i, visit in enumerate(visits):
        with whole_case(visit.result):
            digest = str(visit.case["exam"]["content_digest"])
            _check_values(visit)
        if digest and digest in seen:
            raise InputError(
                f"The results {visits[seen[digest]].result.name} and {visit.result.name} were made from the same exam; "
                "give one result per visit."
            )
        seen[digest] = i
    return tuple(visits)


def _check_numbers(folders: Sequence[Path], labels: Sequence[str], days: Sequence[float]) -> None:
    n = len(folders)
    if not 2 <= n <= MAX_VISITS:
        raise InputError(f"{n} visits were given; a report over visits needs 2 to {MAX_VISITS} result folders.")
    places = [folder.resolve() for folder in folders]
    twice = next((p for p in places if places.count(p) > 1), None)
    if twice is not None:
        raise InputError(f"The result {twice.name} is named twice; give one result per visit.")
    if labels and len(labels) != n:
        raise InputError(f"{len(labels)} labels were given for {n} visits; give one per visit with --labels.")
    if len({label.strip() for label in labels}) != len(labels) or not all(label.strip() for label in labels):
        raise InputError("Two visits have the same label or one has none; tell them apart with --labels.")
    if days and len(days) != n:
        raise InputError(f"{len(days)} days were given for {n} visits; give one per visit with --days.")
    if not all(np.isfinite(days)) or any(b <= a for a, b in pairwise(days)):
        raise InputError(f"The days {', '.join(f'{d:g}' for d in days)} do not rise; order the visits by time.")


def _check_patient(results: Sequence[CaseResult]) -> None:
    """Results that say whose they are must be of one patient; the others say nothing that could be checked."""
    named: dict[str, str] = {}
    for result in results:
        identity = result.case.get("identity")
        patient = str(identity.get("PatientID", "")) if isinstance(identity, dict) else ""
        if patient:
            named.setdefault(patient, result.name)
    if len(named) > 1:
        first, second = list(named.values())[:2]
        raise InputError(f"The results {first} and {second} are of different patients; give visits of one patient.")


def _check_values(visit: Visit) -> None:
    """Look at everything that the report reads, so that a damaged case is found before anything is drawn."""
    case = visit.case
    float(case["lesion"]["volume_cc"])
    for region in case["habitats"]["regions"]:
        float(region["volume_cc"])
    for name in case["kinetics"]["units"]:
        case["kinetics"]["lesion_statistics"][name].get("mean")
    if len(visit.habitats) < 1:
        raise ValueError("no habitats")


# ---- quantities over time ----------------------------------------------------------------------------------------
def trends(visits: Sequence[Visit]) -> tuple[Trend, ...]:
    """Sizes first, then the lesion's kinetics and the background's enhancement."""
    found = [
        _trend(visits, "ftv_cc", "Functional tumor volume", "cc", lambda c: c["lesion"]["ftv_cc"]),
        _trend(visits, "volume_cc", "Lesion volume", "cc", lambda c: c["lesion"]["volume_cc"]),
        _trend(visits, "longest_diameter_mm", "Longest diameter", "mm", lambda c: c["lesion"]["longest_diameter_mm"]),
        _trend(visits, "ring_cc", "Ring volume", "cc", lambda c: c["ring"]["volume_cc"]),
    ]
    names = {
        "pe_early": "PE early, mean", "pe_peak": "PE peak, mean", "ser": "SER, mean", "wis": "Wash-in slope, mean",
        "wos": "Wash-out slope, mean",
    }  # fmt: skip
    for key, name in names.items():
        units = {str(v.case["kinetics"]["units"].get(key, "")) for v in visits}
        unit = units.pop() if len(units) == 1 else "different units"
        known = unit != "different units"
        found.append(
            _trend(
                visits,
                key,
                name,
                unit,
                lambda c, key=key, known=known: c["kinetics"]["lesion_statistics"][key].get("mean") if known else None,
                _NOT_MEASURED if known else "the visits measured it in different units",
            )
        )
    found.append(_trend(visits, "bpe", "Background (BPE), mean", "%", _background, _NO_BACKGROUND))
    return tuple(found)


def _trend(visits, key: str, name: str, unit: str, value, reason: str = _NOT_MEASURED) -> Trend:
    values = [value(visit.case) for visit in visits]
    known = tuple(float(v) if is_number(v) else None for v in values)
    return Trend(key, name, unit, known, tuple("" if v is not None else reason for v in known))


def _background(case: dict) -> float | None:
    """Mean enhancement of the fibroglandular tissue of the lesion's breast, where the result holds it."""
    entries = case.get("background_enhancement")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("side") == "ipsilateral":
            return entry.get("mean_percent")
    return None


# ---- habitats over time ------------------------------------------------------------------------------------------
def flows(visits: Sequence[Visit], registered: bool = False) -> tuple[Flow, ...]:
    """Where the habitats' volumes went from each visit to the next.

    registered: the user says that the visits lie on one grid, voxel by voxel the same tissue. Raises InputError when
    their grids differ then, as numbers from unlike grids would be invented.
    """
    if registered:
        for first, second in pairwise(visits):
            if not first.pictures.geometry.same_grid(second.pictures.geometry):
                raise InputError(
                    f"The visits {first.label} and {second.label} do not lie on one grid; register and resample the "
                    "exams onto one grid before the analysis, or leave --registered out."
                )
    return tuple(_flow(first, second, registered) for first, second in pairwise(visits))


def _flow(first: Visit, second: Visit, registered: bool) -> Flow:
    if not registered:
        volumes = first.habitat_volumes_cc, second.habitat_volumes_cc
        return Flow(first.habitats, second.habitats, *volumes, None)
    n, m = len(first.habitats), len(second.habitats)
    a, b = first.pictures.habitats.astype(int), second.pictures.habitats.astype(int)
    counts = np.bincount((a * (m + 1) + b).ravel(), minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)
    # Tissue that belongs to the lesion at neither visit is no flow. The outside comes last.
    counts[0, 0] = 0
    volumes = np.roll(counts, -1, axis=(0, 1)) * (first.pictures.geometry.voxel_volume_mm3 / 1000.0)
    return Flow(
        (*first.habitats, OUTSIDE),
        (*second.habitats, OUTSIDE),
        tuple(volumes.sum(axis=1)),
        tuple(volumes.sum(axis=0)),
        volumes,
    )


def limits(visits: Sequence[Visit], registered: bool) -> Iterator[str]:
    """What keeps the visits from being compared as they stand, one sentence each."""
    digests = {visit.case["habitats"].get("model_digest") for visit in visits}
    if len(digests) > 1 or None in digests:
        yield (
            "Habitats were not found with one common model: each visit's habitats are relative to its own lesion, so a "
            "habitat's volume can change although its tissue does not. Analyze all visits with one --habitat-model to "
            "compare them."
        )
    if len({len(visit.habitats) for visit in visits}) > 1:
        yield "The visits have different numbers of habitats."
    if not registered:
        yield (
            "The visits are not registered onto each other: the flow figure shows how much volume each habitat has at "
            "each visit, not which tissue turned into which."
        )
    for visit in visits:
        if not visit.case["exam"]["timing"]["known"]:
            yield f"The phase times of {visit.label} are not known; its slopes are missing."
    differing = _differing_settings(visits)
    if differing:
        shown = ", ".join(differing[:6]) + (f" and {len(differing) - 6} more" if len(differing) > 6 else "")
        yield f"The visits were analyzed with different settings ({shown}); their numbers compare only in part."
    early = [_early_seconds(visit) for visit in visits]
    if None not in early and max(early) - min(early) > 45:
        times = ", ".join(f"{t:.0f} s" for t in early)
        yield f"The early phase lies at different times from the pre-contrast one ({times}); enhancement depends on it."
    spacings = {tuple(np.round(visit.pictures.geometry.spacing_mm, 2)) for visit in visits}
    if len(spacings) > 1:
        yield "The voxels differ in size between visits; small volumes and diameters depend on it."


def _early_seconds(visit: Visit) -> float | None:
    exam = visit.case["exam"]
    return exam["phases"][int(visit.case["kinetics"]["early_phase"])]["time_s"] if exam["timing"]["known"] else None


def _differing_settings(visits: Sequence[Visit]) -> list[str]:
    from .report_view import parameters_view

    tables = [dict(parameters_view(visit.case)) for visit in visits]
    # A phase number that was chosen is a matter of the exam, not of the method.
    names = [n for n in dict.fromkeys(n for t in tables for n in t) if n not in ("early", "late")]
    return [n for n in names if len({t.get(n) for t in tables}) > 1]
