"""The list of reproducible features: made from an agreement table, saved with how it was made, used by training."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.whole_file import write_whole_text

from ..untrusted_json import read_json
from .feature_matrix import FeatureKey
from .reader_agreement import FORMS, ReaderAgreement

SCHEMA = "iith-stable-features/1"
THRESHOLD = 0.75  # Wang 2022 and Zhou 2024
MAX_BYTES = 50_000_000


@dataclass(frozen=True)
class StableFeatures:
    """Features whose agreement passed; made_by: everything that decided it, in plain JSON types.

    values: (value, low, high) of each kept feature, in the order of ``keys``; n_tested counts all features.
    """

    keys: tuple[FeatureKey, ...] = field(repr=False)
    values: tuple[tuple[float, float, float], ...] = field(repr=False)
    n_tested: int
    n_undefined: int
    made_by: dict

    def to_json(self) -> dict:
        features = [
            {**key._asdict(), "icc": value, "low": low, "high": high}
            for key, (value, low, high) in zip(self.keys, self.values, strict=True)
        ]
        return {
            "schema": SCHEMA,
            "made_by": self.made_by,
            "n_tested": self.n_tested,
            "n_stable": len(self.keys),
            "n_undefined": self.n_undefined,
            "features": features,
        }

    def save(self, path: Path) -> None:
        """Write the list; the file is either whole or as before."""
        write_whole_text(path, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", "list of stable features")


def stable_features(
    agreement: ReaderAgreement,
    form: str = "ICC(2,1)",
    threshold: float = THRESHOLD,
    use_lower_bound: bool = False,
    inclusive: bool = False,
    source: str = "readers",
    details: dict | None = None,
) -> StableFeatures:
    """Features whose ICC of this form, or the lower end of its interval, exceeds ``threshold`` (or equals, inclusive).

    A feature without a value is not stable. source: "readers" or "perturbation"; details: anything to be kept with the
    list, such as the perturbation's parameters. Raises InputError for a threshold outside 0..1.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"The ICC threshold {threshold:g} is not between 0 and 1; give for example 0.75.")
    icc = agreement.icc(form)
    measure = icc.low if use_lower_bound else icc.value
    defined = np.isfinite(measure)
    with np.errstate(invalid="ignore"):
        passed = defined & ((measure >= threshold) if inclusive else (measure > threshold))
    index = np.flatnonzero(passed)
    made_by = {
        "source": source,
        "form": form,
        "threshold": float(threshold),
        "comparison": ">=" if inclusive else ">",
        "measure": "lower bound" if use_lower_bound else "value",
        "confidence": agreement.confidence,
        "n_readings": agreement.n_readings,
        "n_patients_at_most": int(agreement.n_patients.max(initial=0)),
        "details": dict(details or {}),
    }
    return StableFeatures(
        keys=tuple(agreement.keys[i] for i in index),
        values=tuple((float(icc.value[i]), float(icc.low[i]), float(icc.high[i])) for i in index),
        n_tested=len(agreement.keys),
        n_undefined=int((~defined).sum()),
        made_by=made_by,
    )


def stable_in_all(lists: Sequence[StableFeatures]) -> StableFeatures:
    """Features that are on every list, for example between and within readers (Wang 2022); values of the first."""
    if not lists:
        raise InputError("No list of stable features was given; give at least one.")
    shared = set(lists[0].keys).intersection(*(each.keys for each in lists[1:]))
    chosen = [i for i, key in enumerate(lists[0].keys) if key in shared]
    return replace(
        lists[0],
        keys=tuple(lists[0].keys[i] for i in chosen),
        values=tuple(lists[0].values[i] for i in chosen),
        made_by={"source": "all of", "lists": [each.made_by for each in lists]},
    )


def load_stable_features(path: str | Path) -> StableFeatures:
    """Read a saved list. Raises InputError, naming the file, when it is not one."""
    path = Path(path)
    content, _ = read_json(path, "list of stable features", MAX_BYTES)
    if content.get("schema") != SCHEMA:
        found = str(content.get("schema"))[:40]
        raise InputError(f"{path} has the schema '{found}', not '{SCHEMA}'; give a list of stable features.")
    try:
        features = content["features"]
        keys = tuple(FeatureKey(str(f["region"]), str(f["image"]), str(f["feature"])) for f in features)
        values = tuple((float(f["icc"]), float(f["low"]), float(f["high"])) for f in features)
        if len(set(keys)) != len(keys) or content["n_stable"] != len(keys):
            raise ValueError("a feature is there twice or n_stable is wrong")
        return StableFeatures(
            keys, values, int(content["n_tested"]), int(content["n_undefined"]), dict(content["made_by"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a valid list of stable features ({type(error).__name__}: {str(error)[:100]}); make it "
            "again."
        ) from None


def agreement_csv(agreement: ReaderAgreement) -> str:
    """The whole agreement table as CSV text: a row per feature, value and interval of every form, or the reason."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [f"{form} {part}".strip() for form in FORMS for part in ("", "low", "high")]
    writer.writerow(["region", "image", "feature", "n_patients", *names, "reason"])
    columns = [getattr(agreement.forms[form], part) for form in FORMS for part in ("value", "low", "high")]
    for i, key in enumerate(agreement.keys):
        cells = ["" if np.isnan(c[i]) else repr(float(c[i])) for c in columns]
        writer.writerow([*key, int(agreement.n_patients[i]), *cells, agreement.reasons[i]])
    return out.getvalue()
