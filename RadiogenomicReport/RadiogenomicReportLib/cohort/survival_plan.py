"""What a survival analysis is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from SubregionHabitatLib.errors import InputError

CUTS = ("median", "tertiles", "youden")


@dataclass(frozen=True)
class SurvivalPlan:
    """Exactly one of model (variables of a Cox model fitted here), score (a number made elsewhere, higher meaning
    earlier failure) and group (given groups). covariates: what the imaging part is compared with and adjusted for;
    subgroups: variables within whose levels the score is looked at; describe: further variables of the patient table.

    horizons_years: when predictions are judged; cut: how a score becomes groups (median, tertiles, youden at the last
    horizon, or a number); folds, repeats: of the cross-validation; bootstrap: resamples of intervals.
    """

    time: str | None = None
    event: str | None = None
    time_unit: str | None = None
    model: tuple[str, ...] = ()
    score: str | None = None
    group: str | None = None
    covariates: tuple[str, ...] = ()
    subgroups: tuple[str, ...] = ()
    describe: tuple[str, ...] = ()
    horizons_years: tuple[float, ...] = (3.0, 5.0)
    cut: str = "tertiles"
    folds: int = 10
    repeats: int = 5
    bootstrap: int = 200
    seed: int = 1
    title: str = ""

    def __post_init__(self) -> None:
        chosen = [bool(self.model), self.score is not None, self.group is not None]
        if sum(chosen) != 1:
            raise InputError("Name exactly one of --model, --score and --group.")
        twice = set(self.main) & set(self.covariates)
        if twice:
            raise InputError(f"'{min(twice)}' is named twice; leave it out of --covariates.")
        if not self.horizons_years or any(not 0 < h <= 50 for h in self.horizons_years):
            raise InputError("Horizons are years above 0 and at most 50, for example --horizons 3,5.")
        if self.cut not in CUTS and not _is_number(self.cut):
            raise InputError(f"'{self.cut}' is no cut; use median, tertiles, youden or a number.")
        if self.model and _is_number(self.cut):
            raise InputError("A number as --cut fits a --score; use median, tertiles or youden with --model.")
        if not (2 <= self.folds <= 50 and 1 <= self.repeats <= 100 and 20 <= self.bootstrap <= 5000):
            raise InputError("Use 2 to 50 folds, 1 to 100 repeats and 20 to 5000 bootstrap resamples.")
        if self.seed < 0:
            raise InputError("The seed is a whole number of at least 0.")

    @property
    def main(self) -> tuple[str, ...]:
        """The variables that the analysis is about."""
        return self.model or ((self.score,) if self.score is not None else (self.group,))


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
