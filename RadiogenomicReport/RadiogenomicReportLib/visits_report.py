"""The report over several visits of one patient: one self-contained page, and its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from SubregionHabitatLib.errors import CaseRefused, InputError

from .case_report import environment
from .case_result import whole_case
from .figures_slices import habitat_legend, habitat_picture
from .figures_visits import flow_picture, trend_picture
from .report_numbers import MISSING, number, signed, unit_text
from .report_output import ReportNumber, check_folder, missing_or, report_files, write_files
from .report_terms import is_simulated
from .visits import Flow, Trend, Visit, flows, limits, read_visits, trends

REPORT_NAME = "visits"
RESEARCH_USE = "Research use only. Not a medical device; not for diagnosis or treatment decisions."
_CURVES = ("ftv_cc", "longest_diameter_mm", "ser", "pe_early", "bpe")


@dataclass(frozen=True)
class VisitsRequest:
    """What to report. registered: the visits lie on one grid, voxel by voxel the same tissue; phenotypes: folder of a
    phenotype model; identity: show patient name and ID where the results hold them."""

    folders: tuple[Path, ...]
    out: Path
    labels: tuple[str, ...] = ()
    days: tuple[float, ...] = ()
    formats: tuple[str, ...] = ("html", "pdf")
    registered: bool = False
    phenotypes: Path | None = None
    identity: bool = False


@dataclass(frozen=True)
class PhenotypeRow:
    """The phenotype of change from the first visit to another one. result: None with the reason where refused."""

    label: str
    result: object | None
    reason: str = ""


def write_visits_report(request: VisitsRequest) -> tuple[list[Path], list[ReportNumber]]:
    """Write the report over visits into ``request.out``; returns the paths and the numbers.

    Raises InputError for visits that cannot be compared at all, a model that cannot be read, and what cannot be
    written; then nothing is. A phenotype model that refuses the patient is a reason in the report.
    """
    check_folder(request.out)
    visits = read_visits(request.folders, request.labels, request.days)
    phenotypes = _phenotypes(request, visits)
    for visit in visits:
        with whole_case(visit.result):
            list(limits([visit], True))
    moved = flows(visits, request.registered)
    numbers = visits_numbers(visits, moved, phenotypes)
    identity = _identity(request, visits)
    files = report_files(
        REPORT_NAME, lambda: visits_html(visits, moved, phenotypes, request, identity), numbers, request.formats
    )
    return write_files(request.out, files), numbers


def _identity(request: VisitsRequest, visits: Sequence[Visit]) -> dict | None:
    if not request.identity:
        return None
    found = next((v.case["identity"] for v in visits if isinstance(v.case.get("identity"), dict)), None)
    if found is None:
        raise InputError(
            "No visit was analyzed with the patient's identity; analyze one with --show-identity, or leave "
            "--identity out."
        )
    return dict(found)


def _phenotypes(request: VisitsRequest, visits: Sequence[Visit]) -> tuple[PhenotypeRow, ...]:
    if request.phenotypes is None:
        return ()
    from IITHModuleLib.heterogeneity.phenotype_file import FORMAT
    from IITHModuleLib.heterogeneity.phenotype_visits import phenotype_of_visits
    from IITHModuleLib.heterogeneity.size_change import LesionSize

    from .feature_table import result_features

    loaded = FORMAT.load(request.phenotypes)
    features = [result_features(visit.result.folder) for visit in visits]
    sizes = [LesionSize(v.case["lesion"]["ftv_cc"], v.case["lesion"]["longest_diameter_mm"]) for v in visits]
    rows = []
    for i in range(1, len(visits)):
        label = f"{visits[0].label} to {visits[i].label}"
        try:
            rows.append(PhenotypeRow(label, phenotype_of_visits(loaded, features[0], features[i], sizes[0], sizes[i])))
        except CaseRefused as refusal:
            rows.append(PhenotypeRow(label, None, str(refusal)))
    return tuple(rows)


# ---- page --------------------------------------------------------------------------------------------------------
def visits_html(
    visits: Sequence[Visit],
    moved: Sequence[Flow],
    phenotypes: Sequence[PhenotypeRow],
    request: VisitsRequest,
    identity: dict | None = None,
) -> str:
    """The page as one HTML text: pictures inside, no script, nothing fetched; all text of the input shown as text."""
    measured = trends(visits)
    pictures = [trend_picture(t, visits) for t in measured if t.key in _CURVES]
    return environment().get_template("visits.html.j2").render(
        research_use=RESEARCH_USE,
        simulated=any(is_simulated(visit.case["exam"]) for visit in visits),
        identity=identity,
        limits=list(limits(visits, request.registered)),
        visits=[_visit_view(visit) for visit in visits],
        labels=[visit.label for visit in visits],
        tiles=_tiles(measured, visits),
        trends=[_trend_view(trend, len(visits)) for trend in measured],
        curves=[picture for picture in pictures if picture is not None],
        legend=habitat_legend(visits[0].habitats),
        slices=[_slice(visit) for visit in visits],
        flow=flow_picture(moved, visits),
        registered=request.registered,
        habitats=_habitat_rows(visits),
        moves=[_move_view(flow, a, b) for flow, (a, b) in zip(moved, pairwise(visits), strict=True)],
        phenotypes=[_phenotype_view(row) for row in phenotypes],
    )  # fmt: skip


def _slice(visit: Visit):
    from dataclasses import replace

    picture = habitat_picture(visit.pictures, visit.habitats)
    return replace(picture, caption=f"{visit.label}: {picture.caption}")


def _visit_view(visit: Visit) -> dict:
    exam, kinetics = visit.case["exam"], visit.case["kinetics"]
    early = exam["phases"][int(kinetics["early_phase"])]["time_s"]
    return {
        "label": visit.label,
        "day": MISSING if visit.day is None else f"{visit.day:g}",
        "description": exam["description"] or "no description",
        "early": f"{early:.0f} s" if early is not None else MISSING,
        "study": exam["study_hash"] or "none",
        "model": (visit.case["habitats"].get("model_digest") or "none (this lesion alone)")[:24],
    }


def _tiles(measured: Sequence[Trend], visits: Sequence[Visit]) -> list[dict]:
    found = []
    for trend in measured:
        if trend.key not in ("ftv_cc", "longest_diameter_mm", "ser", "pe_early"):
            continue
        change, reason = trend.change_percent(len(visits) - 1)
        ends = f"{number(trend.values[0])} to {number(trend.values[-1])} {unit_text(trend.unit)}".strip()
        found.append({
            "label": f"{trend.name}, change",
            "value": MISSING if change is None else signed(change, 0),
            "unit": "" if change is None else "%",
            "note": reason or ends,
        })  # fmt: skip
    return found


def _trend_view(trend: Trend, n: int) -> dict:
    cells = []
    for i in range(n):
        change, _ = trend.change_percent(i)
        cells.append({
            "value": number(trend.values[i]),
            "change": "" if i == 0 or change is None else f"{signed(change, 0)} %",
            "reason": trend.reasons[i],
        })  # fmt: skip
    return {"name": trend.name, "unit": unit_text(trend.unit) or "ratio", "cells": cells}


def _habitat_rows(visits: Sequence[Visit]) -> list[dict]:
    names = list(dict.fromkeys(name for visit in visits for name in visit.habitats))
    rows = []
    for name in names:
        cells = []
        for visit in visits:
            if name not in visit.habitats:
                cells.append({"volume": MISSING, "share": ""})
                continue
            volume, total = visit.habitat_volumes_cc[visit.habitats.index(name)], sum(visit.habitat_volumes_cc)
            share = f"{100 * volume / total:.1f} %" if total > 0 else ""
            cells.append({"volume": f"{number(volume)} cc", "share": share})
        rows.append({"name": name, "cells": cells})
    return rows


def _move_view(flow: Flow, first: Visit, second: Visit) -> dict | None:
    if flow.matrix is None:
        return None
    return {
        "title": f"{first.label} to {second.label}",
        "columns": flow.columns,
        "rows": [
            {"name": name, "cells": [number(v) if v else "0" for v in row]}
            for name, row in zip(flow.rows, flow.matrix.tolist(), strict=True)
        ],
    }


def _phenotype_view(row: PhenotypeRow) -> dict:
    if row.result is None:
        return {"label": row.label, "reason": row.reason}
    score = row.result.score
    return {
        "label": row.label,
        "reason": "",
        "model": f"{row.result.model_id} {row.result.model_version}: {row.result.model_title}",
        "phenotype": score.phenotype,
        "ratio": number(score.distance_ratio),
        "distances": [(n, number(d)) for n, d in zip(score.names, score.distances, strict=True)],
        "sizes": [size.text() for size in row.result.sizes],
        "warnings": list(score.warnings),
        "missing": f"{len(score.missing)} of {score.n_features}",
        "licence": row.result.licence,
    }


# ---- numbers -----------------------------------------------------------------------------------------------------
def visits_numbers(
    visits: Sequence[Visit], moved: Sequence[Flow], phenotypes: Sequence[PhenotypeRow]
) -> list[ReportNumber]:
    return [
        *_trend_numbers(visits), *_habitat_numbers(visits), *_flow_numbers(visits, moved),
        *_phenotype_numbers(phenotypes),
    ]  # fmt: skip


def _trend_numbers(visits: Sequence[Visit]) -> Iterator[ReportNumber]:
    for trend in trends(visits):
        for i, visit in enumerate(visits):
            yield ReportNumber(
                "sizes and kinetics", visit.label, trend.name, trend.values[i], trend.unit, trend.reasons[i]
            )
            if i:
                change, reason = trend.change_percent(i)
                quantity = f"{trend.name}, change from {visits[0].label}"
                yield ReportNumber("sizes and kinetics", visit.label, quantity, change, "%", reason)


def _habitat_numbers(visits: Sequence[Visit]) -> Iterator[ReportNumber]:
    for visit in visits:
        total = sum(visit.habitat_volumes_cc)
        for name, volume in zip(visit.habitats, visit.habitat_volumes_cc, strict=True):
            yield ReportNumber("habitats", visit.label, f"{name}, volume", volume, "cc")
            share = missing_or(volume / total if total > 0 else None, "the lesion is empty")
            yield ReportNumber("habitats", visit.label, f"{name}, share of the lesion", unit="1", **share)


def _flow_numbers(visits: Sequence[Visit], moved: Sequence[Flow]) -> Iterator[ReportNumber]:
    for flow, (first, second) in zip(moved, pairwise(visits), strict=True):
        if flow.matrix is None:
            continue
        for row, values in zip(flow.rows, flow.matrix.tolist(), strict=True):
            for column, volume in zip(flow.columns, values, strict=True):
                yield ReportNumber("flow", f"{first.label} to {second.label}", f"{row} to {column}", volume, "cc")


def _phenotype_numbers(rows: Sequence[PhenotypeRow]) -> Iterator[ReportNumber]:
    for row in rows:
        if row.result is None:
            yield ReportNumber("phenotype", row.label, "phenotype", None, "", row.reason)
            continue
        yield ReportNumber("phenotype", row.label, "phenotype", row.result.score.phenotype)
        yield ReportNumber("phenotype", row.label, "distance ratio", row.result.score.distance_ratio, "1")
