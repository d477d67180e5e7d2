"""Which features speak of heterogeneity and in which direction: an editable JSON list ("iith-signature/1").

Shipped under Resources/Signatures: "iith-su2023" (42 features, Su 2023) and "delta-chitalia2023" (107 features, for
changes between visits). Names leave the filter out ("glcm_Id"), so a signature applies to any image type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..resources import resource_path
from ..untrusted_json import check_schema, read_json
from .feature_matrix import FeatureKey

SCHEMA = "iith-signature/1"
SIGN_RULES = ("su", "math")
CONFIDENCES = ("H", "M", "L")
MAX_SIGNATURE_BYTES = 500_000
_NAME = re.compile(r"^[A-Za-z0-9.-]{1,64}$")


@dataclass(frozen=True)
class SignatureFeature:
    """sign_su, sign_math: +1 when higher means more heterogeneous, -1 when less, 0 leaves the feature out."""

    feature: str
    sign_su: int
    sign_math: int
    confidence: str
    note: str = ""

    def sign(self, rule: str) -> int:
        return self.sign_su if rule == "su" else self.sign_math


@dataclass(frozen=True)
class Signature:
    """A named list of features; digest: SHA-256 of the file, written into every model made with it."""

    name: str
    description: str
    features: tuple[SignatureFeature, ...]
    digest: str

    def signs(self, rule: str = "su") -> dict[str, int]:
        """Feature name without filter -> +1 or -1, without those that the rule ("su" or "math") leaves out."""
        if rule not in SIGN_RULES:
            raise InputError(f"The sign rule {rule!r} is unknown; choose one of {', '.join(SIGN_RULES)}.")
        return {f.feature: f.sign(rule) for f in self.features if f.sign(rule) != 0}

    def signs_of(self, keys: Sequence[FeatureKey], rule: str = "su") -> np.ndarray:
        """(P,) int: the sign of every column, 0 where the signature does not hold the feature."""
        signs = self.signs(rule)
        return np.array([signs.get(key.plain_name, 0) for key in keys], dtype=int)


def signature_names() -> list[str]:
    """Names of the shipped signatures."""
    return sorted(p.stem for p in resource_path("Signatures").glob("*.json"))


def load_signature(name_or_path: str | Path = "iith-su2023") -> Signature:
    """A shipped signature by name, or a signature file by path.

    Raises InputError, naming the file and the fault, for anything that is not a sound signature.
    """
    path = Path(name_or_path)
    if path.suffix != ".json":
        if str(name_or_path) not in signature_names():
            raise InputError(
                f"The signature {name_or_path} is unknown; choose one of {', '.join(signature_names())} or give a "
                ".json file."
            )
        path = resource_path("Signatures", f"{name_or_path}.json")
    content, digest = read_json(path, "signature file", MAX_SIGNATURE_BYTES)
    if content.get("schema") != SCHEMA:
        found = str(content.get("schema"))[:40]
        raise InputError(f"{path} has the schema '{found}', not '{SCHEMA}'; give a signature file.")
    check_schema(content, resource_path("Schemas", "iith-signature-1.schema.json"), path, "signature file")
    try:
        features = tuple(_feature(f) for f in content["features"])
        signature = Signature(str(content["name"]), str(content["description"]), features, digest)
        _check(signature)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is not a valid signature file ({type(error).__name__}: {str(error)[:120]}); compare it with the "
            "shipped ones."
        ) from None
    return signature


def _feature(entry: dict) -> SignatureFeature:
    extra = set(entry) - {"feature", "sign_su", "sign_math", "confidence", "note"}
    if extra:
        raise ValueError(f"unknown keys {sorted(extra)}")
    return SignatureFeature(
        feature=str(entry["feature"]),
        sign_su=entry["sign_su"],
        sign_math=entry["sign_math"],
        confidence=entry["confidence"],
        note=str(entry.get("note", "")),
    )


def _check(signature: Signature) -> None:
    if not _NAME.match(signature.name):
        raise ValueError("the name may hold only letters, digits, dots and hyphens")
    names = [f.feature for f in signature.features]
    if not names or len(set(names)) != len(names):
        raise ValueError("it has no features or one twice")
    for f in signature.features:
        for sign in (f.sign_su, f.sign_math):
            if isinstance(sign, bool) or not isinstance(sign, int) or sign not in (-1, 0, 1):
                raise ValueError(f"a sign of {f.feature} is not -1, 0 or 1")
        if f.confidence not in CONFIDENCES:
            raise ValueError(f"the confidence of {f.feature} is not one of {', '.join(CONFIDENCES)}")
