"""``iith simulate``: write a simulated breast DCE exam as DICOM, with its truth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "simulate",
        help="write a simulated breast DCE exam as DICOM, with its truth",
        description="Write a simulated breast DCE exam: DIR/dicom, DIR/voi.nrrd (region of interest around the "
        "lesion) and DIR/truth (zones, breast, tissue, truth.json). It is not a patient's exam; research use only.",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new or empty folder")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same bytes (default %(default)s)")
    parser.add_argument("--orientation", choices=("sagittal", "axial"), default="sagittal", help="slice plane")
    parser.add_argument("--laterality", choices=("L", "R"), default="L", help="breast with the lesion")
    parser.add_argument(
        "--noise", type=float, metavar="SD", help="noise of each receiver channel in signal units (default 8; 0: none)"
    )
    parser.add_argument("--radius", type=float, metavar="MM", help="lesion radius (default 11 mm)")
    parser.add_argument(
        "--heterogeneity",
        type=float,
        metavar="H",
        help="contrast between the kinetic zones, 0 (none) to 2 (default 1)",
    )
    parser.add_argument(
        "--bias-field", type=float, metavar="A", help="amplitude of a smooth receive field, 0 to 1 (default 0)"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Carry the command out; returns 0. Raises InputError for options or folders that cannot be used."""
    from SubregionHabitatLib.simulation import SimulationParameters, truth_record, write_simulated_exam

    chosen = {
        "noise_sigma": args.noise,
        "lesion_radii_mm": None if args.radius is None else (args.radius,) * 3,
        "heterogeneity": args.heterogeneity,
        "bias_field": args.bias_field,
    }
    parameters = SimulationParameters(
        seed=args.seed,
        orientation=args.orientation,
        laterality=args.laterality,
        **{name: value for name, value in chosen.items() if value is not None},
    )
    simulated = write_simulated_exam(parameters, args.out)
    truth = truth_record(simulated)
    exam = simulated.exam
    zones = ", ".join(f"{zone['name']} {zone['analytic_volume_mm3'] / 1000:.2f}" for zone in truth["zones"])
    print(
        f"Simulated exam (not a patient; research use only), seed {parameters.seed}: {exam.n_phases} phases of "
        f"{exam.geometry.shape[0]} {parameters.orientation} slices at {', '.join(f'{t:g}' for t in exam.times_s)} s.\n"
        f"Lesion {truth['lesion']['analytic_volume_mm3'] / 1000:.2f} cc in zones of {zones} cc.\n"
        f"Written to {args.out}: dicom/, voi.nrrd, truth/.",
        file=sys.stderr,
    )
    if getattr(args, "json", False):
        print(json.dumps({"out": str(args.out), "truth": truth}))
    return 0
