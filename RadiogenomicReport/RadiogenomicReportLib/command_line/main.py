"""``iith``: one command with one sub-command per job.

Exit codes: 0 done; 2 the input is at fault; 3 a model refused the case; 1 a bug in the program.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from typing import NoReturn

from SubregionHabitatLib import __version__
from SubregionHabitatLib.errors import Cancelled, CaseRefused, InputError

from . import (
    agreement,
    analyze,
    associate,
    batch,
    features,
    genomics,
    habitats,
    models,
    pathology,
    report,
    response,
    score,
    simulate,
    simulate_cohort,
    survival,
    train,
)

COMMANDS = {
    "analyze": analyze,
    "batch": batch,
    "features": features,
    "agreement": agreement,
    "habitats": habitats,
    "report": report,
    "score": score,
    "models": models,
    "train": train,
    "survival": survival,
    "response": response,
    "associate": associate,
    "genomics": genomics,
    "pathology": pathology,
    "simulate": simulate,
    "simulate-cohort": simulate_cohort,
}


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, like those about files."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="iith",
        description="Imaging intratumor heterogeneity of breast cancer on DCE-MRI. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"iith {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS.values():
        sub = module.add_parser(subparsers)
        sub.add_argument("--json", action="store_true", help="print machine-readable results on standard output")
        sub.add_argument("--debug", action="store_true", help="show the full trace of an error")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = build_parser().parse_args(arguments)
    try:
        return COMMANDS[args.command].run(args)
    except InputError as error:
        return _fail(args, 2, str(error))
    except CaseRefused as error:
        return _fail(args, 3, str(error))
    except (KeyboardInterrupt, Cancelled):
        return _fail(args, 130, "stopped; nothing was written")
    except BrokenPipeError:
        return 0
    except Exception as error:  # a bug: one line for the user, the trace on request
        return _fail(args, 1, f"internal error ({type(error).__name__}: {error}); run again with --debug and report it")


def _fail(args: argparse.Namespace, code: int, message: str) -> int:
    if args.debug:
        traceback.print_exc()
    print(f"iith {args.command}: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
