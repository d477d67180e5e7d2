"""``iith models``: what is shipped, what it was trained on and how well it really does."""

from __future__ import annotations

import argparse
import json

from IITHModuleLib.any_model import open_model
from IITHModuleLib.model_file import shipped_models
from IITHModuleLib.model_list import listed_json, listed_text
from IITHModuleLib.scoring import RESEARCH_NOTE


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    return subparsers.add_parser(
        "models",
        help="list the shipped models with their training data and honest performance",
        description="List the shipped models: inputs, training patients and events, performance inside and outside "
        "the training data, what they add to simpler models, and licence. Research use only.",
    )


def run(args: argparse.Namespace) -> int:
    """Print the list; exit code 0."""
    models = [open_model(name) for name in shipped_models()]
    if getattr(args, "json", False):
        print(json.dumps([listed_json(m) for m in models], indent=1))
        return 0
    for model in models:
        print(listed_text(model))
    print(f"{RESEARCH_NOTE} Details: MODEL_CARD.md of each model in {models[0].path.parent.parent if models else '-'}")
    return 0
