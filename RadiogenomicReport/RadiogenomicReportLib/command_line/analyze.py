"""``iith analyze``: one exam to a result folder."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from .clinical import add_clinical_arguments, clinical_values
from .terminal_progress import TerminalProgress


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "analyze",
        help="analyze one exam into a result folder with maps, habitats, features, scores and a report",
        description="Analyze one breast DCE-MRI exam. EXAM is a DICOM folder, or one NRRD or NIfTI file per phase in "
        "order of time together with --times. Give --voi (a generous region around the lesion, the lesion is then "
        "found by the FTV rule) or --lesion (the lesion itself), or both. Research use only.",
    )
    parser.add_argument("exam", nargs="+", type=Path, metavar="EXAM", help="DICOM folder, or one file per phase")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="result folder, new or empty")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")
    regions = parser.add_argument_group("regions (NRRD, NIfTI or DICOM SEG, on any grid)")
    regions.add_argument("--voi", type=Path, metavar="MASK", help="region in which to look for the lesion")
    regions.add_argument("--lesion", type=Path, metavar="MASK", help="the lesion as drawn")
    phases = parser.add_argument_group("phases")
    phases.add_argument("--times", metavar="T0,T1,...", help="phase times in seconds, pre-contrast first")
    phases.add_argument("--series", metavar="NUMBER[,..]", help="DICOM series to use, by number or UID")
    phases.add_argument("--early", type=int, metavar="N", help="phase taken as early (pre-contrast is 0)")
    phases.add_argument("--late", type=int, metavar="N", help="phase taken as late")
    _add_method_arguments(parser)
    add_clinical_arguments(parser)
    parser.add_argument(
        "--model", action="append", metavar="ID", help="score this model only (repeatable; default: all shipped)"
    )
    parser.add_argument(
        "--show-identity", action="store_true", help="write patient name and ID into the report (default: left out)"
    )
    return parser


def _add_method_arguments(parser: argparse.ArgumentParser) -> None:
    from IITHModuleLib.feature_engine import ENGINES
    from SubregionHabitatLib.analysis import ImagingParameters
    from SubregionHabitatLib.interaction import NEIGHBOURHOODS
    from SubregionHabitatLib.kinetics import PEAK_SEARCHES, WOS_MODES
    from SubregionHabitatLib.lesion import BACKGROUND_MODES
    from SubregionHabitatLib.ring import RING_DISTANCES

    standard = ImagingParameters()
    method = parser.add_argument_group("method (defaults are those of the papers)")
    ftv, habitats = standard.ftv, standard.habitats
    method.add_argument(
        "--pe-threshold", type=float, default=ftv.pe_threshold_percent, metavar="PERCENT",
        help="early enhancement that counts for FTV (default %(default)g)",
    )  # fmt: skip
    method.add_argument(
        "--background", choices=BACKGROUND_MODES, default=ftv.background,
        help="FTV background threshold: auto leaves it off where the VOI says it is already applied (default auto)",
    )  # fmt: skip
    method.add_argument(
        "--background-fraction", type=float, default=ftv.background_fraction, metavar="F",
        help="background threshold as a share of P95 of the pre-contrast signal in the VOI (default %(default)g)",
    )  # fmt: skip
    method.add_argument("--min-neighbours", type=int, default=ftv.min_neighbours, metavar="N", help="of 26, for FTV")
    method.add_argument("--min-ser", type=float, default=ftv.min_ser, metavar="SER", help="lowest SER for FTV")
    method.add_argument(
        "--peak-search", choices=PEAK_SEARCHES, default=standard.peak_search, help="phases for the peak"
    )
    method.add_argument("--wos-mode", choices=WOS_MODES, default=standard.wos_mode, help="wash-out slope's unit")
    method.add_argument("--habitats", type=int, default=habitats.k, metavar="K", help="number of habitats")
    method.add_argument("--seed", type=int, default=habitats.seed, metavar="N", help="seed of the clustering")
    method.add_argument("--ring", type=float, default=standard.ring_mm, metavar="MM", help="peritumoral ring")
    method.add_argument(
        "--ring-from", choices=RING_DISTANCES, default=standard.ring_distance_from, help="where its distance starts"
    )
    method.add_argument(
        "--no-ring-clip", action="store_true", help="keep the part of the ring that lies in air outside the body"
    )
    method.add_argument(
        "--neighbourhood", choices=NEIGHBOURHOODS, default=standard.neighbourhood, help="of the MSI matrix"
    )
    method.add_argument(
        "--preset", default="mr_default", metavar="NAME", help="radiomics preset, shipped or a .json file"
    )
    method.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="radiomics engine")


def run(args: argparse.Namespace) -> int:
    """Carry the command out. Raises InputError (exit 2) or CaseRefused (exit 3, after the result is written)."""
    from ..case_pipeline import CaseRequest, raise_if_refused, run_case

    request = CaseRequest(
        exam=tuple(args.exam),
        out=args.out,
        voi=args.voi,
        lesion=args.lesion,
        times_s=parse_times(args.times),
        series=args.series,
        preset=args.preset,
        engine=args.engine,
        clinical=clinical_values(args),
        models=tuple(args.model) if args.model else None,
        imaging=_imaging_parameters(args),
        overwrite=args.overwrite,
        show_identity=args.show_identity,
    )
    progress = TerminalProgress()
    try:
        outcome = run_case(request, progress)
    finally:
        progress.close()
    _print_summary(outcome, args)
    raise_if_refused(outcome)
    return 0


def parse_times(text: str | None) -> tuple[float, ...] | None:
    """Seconds from "0,90,180"; raises InputError for anything that is not a list of finite numbers."""
    if text is None:
        return None
    try:
        times = tuple(float(part) for part in text.replace(";", ",").split(","))
    except ValueError:
        raise InputError(f"--times {text!r} is not a list of seconds; write for example --times 0,90,180.") from None
    if not all(math.isfinite(t) for t in times):
        raise InputError(f"--times {text!r} holds a value that is not a finite number; correct it.")
    return times


def _imaging_parameters(args: argparse.Namespace):
    from SubregionHabitatLib.analysis import ImagingParameters
    from SubregionHabitatLib.habitats import HabitatParameters
    from SubregionHabitatLib.lesion import FtvParameters

    return ImagingParameters(
        early=args.early,
        late=args.late,
        peak_search=args.peak_search,
        wos_mode=args.wos_mode,
        ftv=FtvParameters(
            pe_threshold_percent=args.pe_threshold,
            background=args.background,
            background_fraction=args.background_fraction,
            min_neighbours=args.min_neighbours,
            min_ser=args.min_ser,
        ),
        habitats=HabitatParameters(k=args.habitats, seed=args.seed),
        ring_mm=args.ring,
        ring_distance_from=args.ring_from,
        clip_ring_to_body=not args.no_ring_clip,
        neighbourhood=args.neighbourhood,
    )


def _print_summary(outcome, args: argparse.Namespace) -> None:
    case = outcome.case
    lesion, habitats = case["lesion"], case["habitats"]["volumes_cc"]
    lines = [
        f"{len(case['exam']['phases'])} phases at {_times(case)} s "
        f"({case['exam']['timing']['source']}); early {case['kinetics']['early_phase']}, "
        f"late {case['kinetics']['late_phase']}",
        f"FTV {lesion['ftv_cc']:.2f} cc, lesion {lesion['volume_cc']:.2f} cc, longest diameter "
        f"{lesion['longest_diameter_mm']:.1f} mm",
        "habitats " + ", ".join(f"{name} {cc:.2f} cc" for name, cc in habitats.items())
        + f"; ring {case['ring']['volume_cc']:.2f} cc",
        *(_score_line(score) for score in case["scores"]),
        f"{len(case['warnings'])} notes and warnings in the report; research use only",
        f"report: {outcome.folder / 'report.html'}",
    ]  # fmt: skip
    print("\n".join(lines), file=sys.stderr)
    if args.json:
        print(json.dumps(case))


def _score_line(score: dict) -> str:
    if score["value"] is None:
        return f"{score['model_id']}: no score. {score['refusal']}"
    return f"{score['model_id']}: {score['value']:.3g} ({score['unit']}), group {score['group']}"


def _times(case: dict) -> str:
    return ", ".join(f"{phase['time_s']:g}" for phase in case["exam"]["phases"])
