"""Warnings about a fitted model: too few events, features that repeat each other, separation."""

from __future__ import annotations

import numpy as np

from ..statistics.collinearity import strong_pairs, variance_inflation
from .penalized import separated

FEW_EVENTS = 10.0
SEVERE_INFLATION = 10.0  # Zhou 2024
STRONG = 0.9


def model_checks(names: list[str], design: np.ndarray, event: np.ndarray, n_candidates: int, yes_no: bool) -> dict:
    """events_per_variable (of the model, and of all candidates), vif per input, and plain warnings.

    design (N, K): the inputs of the model; yes_no: the outcome is one without times, for which events are the rarer of
    the two and separation matters.
    """
    n_events = int(min(event.sum(), len(event) - event.sum())) if yes_no else int(event.sum())
    inflation = variance_inflation(design) if design.shape[1] else np.empty(0)
    per_variable = n_events / max(len(names), 1)
    warnings = []
    if per_variable < FEW_EVENTS:
        warnings.append(
            f"{per_variable:.1f} events per input ({n_events} events, {len(names)} inputs), fewer than "
            f"{FEW_EVENTS:g}: the coefficients are uncertain."
        )
    if n_candidates > n_events:
        warnings.append(
            f"The inputs were chosen among {n_candidates:,} features with {n_events} events: which of them are chosen "
            "would differ in other patients."
        )
    severe = [f"{n} ({v:.3g})" for n, v in zip(names, inflation, strict=True) if v > SEVERE_INFLATION]
    if severe:
        warnings.append(f"Variance inflation above {SEVERE_INFLATION:g} (severe collinearity): {', '.join(severe)}.")
    pairs = [f"{names[i]} and {names[j]} (r = {r:.2f})" for i, j, r in strong_pairs(design, STRONG)] if names else []
    if pairs:
        warnings.append(f"Inputs that nearly repeat each other: {'; '.join(pairs[:5])}.")
    parted = [names[k] for k in separated(design, event)] if yes_no else []
    if parted:
        warnings.append(
            f"{', '.join(parted)} has a value with one outcome only (quasi-separation): its odds ratio is not finite "
            "under maximum likelihood; use --penalty firth or ridge."
        )
    finite = [None if not np.isfinite(v) else float(v) for v in inflation]
    return {
        "events_per_variable": per_variable,
        "n_candidates": n_candidates,
        "vif": dict(zip(names, finite, strict=True)),
        "warnings": warnings,
    }
