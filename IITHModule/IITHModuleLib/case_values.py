"""The standard values of a case that models read: names, units, meaning and where each came from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from SubregionHabitatLib.errors import InputError

from .cell_values import number as read_number
from .feature_values import feature_key, feature_unit, is_feature_name
from .table_file import is_missing


@dataclass(frozen=True)
class ValueDefinition:
    """What a standard value is.

    preset names the measuring rule, so that a model trained with another rule is refused; low and high bound
    what is possible at all; yes_no values are 0 or 1; remedy says how to supply a missing one.
    """

    name: str
    unit: str
    preset: str
    definition: str
    low: float
    high: float
    remedy: str
    yes_no: bool = False


KNOWN_VALUES: dict[str, ValueDefinition] = {
    d.name: d
    for d in (
        ValueDefinition(
            name="ftv_mm3",
            unit="mm3",
            preset="ftv-pe70-voi",
            definition="Functional tumor volume over the volume of interest: voxels with early percent enhancement "
            "of at least 70 %, enough signal before contrast, at least 4 such neighbors of 26 and SER above 0.",
            low=0.0,
            high=1e7,
            remedy="give a volume of interest (--voi) so that the functional tumor volume is measured",
        ),
        ValueDefinition(
            name="lesion_volume_mm3",
            unit="mm3",
            preset="lesion-mask",
            definition="Volume of the lesion mask.",
            low=0.0,
            high=1e7,
            remedy="give a lesion mask (--lesion) or a volume of interest (--voi)",
        ),
        ValueDefinition(
            name="enhancing_fraction",
            unit="1",
            preset="pe70-first-post-contrast",
            definition="Share of the lesion's voxels whose percent enhancement at the first post-contrast phase "
            "exceeds 70 %.",
            low=0.0,
            high=1.0,
            remedy="give a lesion mask that was not made by the 70 % rule itself (--lesion)",
        ),
        ValueDefinition(
            name="hr",
            unit="0/1",
            preset="clinical",
            definition="Hormone receptor status before treatment: 1 when the estrogen or the progesterone receptor "
            "is positive, else 0.",
            low=0.0,
            high=1.0,
            remedy="give --hr 0 or --hr 1",
            yes_no=True,
        ),
        ValueDefinition(
            name="her2",
            unit="0/1",
            preset="clinical",
            definition="HER2 status before treatment: 1 positive, 0 negative.",
            low=0.0,
            high=1.0,
            remedy="give --her2 0 or --her2 1",
            yes_no=True,
        ),
        ValueDefinition(
            name="age_years",
            unit="years",
            preset="clinical",
            definition="Age at diagnosis or at the exam in years.",
            low=0.0,
            high=120.0,
            remedy="give --age in years",
        ),
        ValueDefinition(
            name="n_stage",
            unit="0-3",
            preset="clinical",
            definition="Regional lymph node category before treatment (TNM): 0, 1, 2 or 3.",
            low=0.0,
            high=3.0,
            remedy="give --n-stage 0, 1, 2 or 3",
        ),
        ValueDefinition(
            name="longest_diameter_mm",
            unit="mm",
            preset="reader-longest-diameter",
            definition="Longest diameter of the disease on MRI before treatment, as a reader measures it. It is not "
            "taken from the lesion mask: that the two agree has not been shown.",
            low=0.0,
            high=400.0,
            remedy="give --longest-diameter in mm, as read before treatment",
        ),
        ValueDefinition(
            name="longest_diameter_change_percent",
            unit="%",
            preset="reader-longest-diameter",
            definition="Change of the longest diameter from the MRI before treatment to the first one under treatment, "
            "both by a reader: 100 (second - first) / first.",
            low=-100.0,
            high=500.0,
            remedy="give --longest-diameter-change in percent (negative when it shrank)",
        ),
        ValueDefinition(
            name="ki67_high",
            unit="0/1",
            preset="clinical",
            definition="Ki-67 index before treatment: 1 when at least 20 % of the tumor cells stain, else 0.",
            low=0.0,
            high=1.0,
            remedy="give a table with the column ki67_high",
            yes_no=True,
        ),
        ValueDefinition(
            name="lvi",
            unit="0/1",
            preset="clinical",
            definition="Lymphovascular invasion: 1 present, 0 absent.",
            low=0.0,
            high=1.0,
            remedy="give a table with the column lvi",
            yes_no=True,
        ),
    )
}

_GENE = re.compile(r"vaf_[A-Za-z0-9.-]{1,30}")
_COLUMN = re.compile(r"table:[A-Za-z0-9_.+ -]{1,60}")


def is_table_value(name: str) -> bool:
    """True for what a column of a patient table can be to a model: a standard value, vaf_GENE or table:COLUMN."""
    return name in KNOWN_VALUES or bool(_GENE.fullmatch(name) or _COLUMN.fullmatch(name))


def gene_of_value(name: str) -> str | None:
    """The gene of an input vaf_GENE; None for any other name."""
    return name.removeprefix("vaf_") if _GENE.fullmatch(name) else None


def value_definition(name: str, preset: str = "") -> ValueDefinition | None:
    """The definition of any input of a model; None when ``name`` is none.

    Besides the standard values: vaf_GENE, table:COLUMN of the user's own table, and region|image|feature, whose
    ``preset`` is that of the model.
    """
    if name in KNOWN_VALUES:
        return KNOWN_VALUES[name]
    gene = gene_of_value(name)
    if gene is not None:
        text = f"Sum of the variant allele fractions of the non-synonymous mutations of {gene}; 0 without one."
        remedy = f"give the patient's mutations (--maf or --vcf), or a table with the column {name}"
        return ValueDefinition(name, "1", "vaf-sum", text, 0.0, 1e3, remedy)
    if _COLUMN.fullmatch(name):
        column = name.removeprefix("table:")
        text = f"Column {column} of the table that the model was trained on, as it was written there."
        return ValueDefinition(
            name, "as in the table", "table", text, -1e300, 1e300, f"give a table with the column {column}"
        )
    if is_feature_name(name):
        region, image, feature = feature_key(name)
        text = f"Feature {feature} of the region {region} on {image}."
        remedy = f"extract it with the preset {preset.partition(':')[0] or 'of training'}"
        unit = feature_unit(region, image, feature)
        return ValueDefinition(name, unit, preset, text, -1e300, 1e300, remedy)
    return None


@dataclass(frozen=True)
class CaseValue:
    """One value of one case. value is None when it could not be had; reason then says why.

    source: where it came from ("measured", "user", "table", "DICOM header" ...).
    """

    value: float | None
    unit: str
    source: str
    reason: str | None = None

    def to_json(self) -> dict:
        return {"value": self.value, "unit": self.unit, "source": self.source, "reason": self.reason}


CaseValues = Mapping[str, CaseValue]


def check_case_value(name: str, value: CaseValue) -> None:
    """Raise InputError when a standard value has another unit than its definition or is impossible."""
    known = KNOWN_VALUES.get(name)
    if known is None or value.value is None:
        return
    if value.unit != known.unit:
        raise InputError(f"{name} is given in '{value.unit}' but must be in '{known.unit}'; convert it first.")
    if not math.isfinite(value.value):
        raise InputError(f"{name} is not a finite number; correct it or leave it out.")
    if known.yes_no and value.value not in (0, 1):
        raise InputError(f"{name} is {value.value:g} but must be 0 (negative) or 1 (positive); correct it.")
    if not known.low <= value.value <= known.high:
        raise InputError(
            f"{name} is {value.value:g} {known.unit}, outside the possible {known.low:g} to {known.high:g}; correct it."
        )


def user_value(name: str, value: float) -> CaseValue:
    """A standard value typed by the user, checked."""
    case_value = CaseValue(float(value), KNOWN_VALUES[name].unit, "user")
    check_case_value(name, case_value)
    return case_value


def case_values_from_json(entries: object, where: str) -> dict[str, CaseValue]:
    """Read ``{name: {value, unit, source, reason}}``; names no model knows are kept, they do no harm.

    ``where`` names the file in errors. Raises InputError on entries of another form.
    """
    if not isinstance(entries, dict):
        raise InputError(f"{where} has no 'case_values' to score; make the result again with `iith analyze`.")
    values = {}
    for name, entry in entries.items():
        number = entry.get("value") if isinstance(entry, dict) else "absent"
        if isinstance(number, bool):
            number = float(number)
        if not (number is None or isinstance(number, (int, float))) or not isinstance(entry.get("unit"), str):
            raise InputError(
                f"{where}: the case value '{str(name)[:60]}' is not {{value, unit, source, reason}}; "
                "make the result again with `iith analyze`."
            )
        reason = entry.get("reason")
        if number is None and not reason:
            reason = "no reason was recorded"
        value = CaseValue(
            None if number is None else float(number),
            entry["unit"],
            str(entry.get("source", "unknown")),
            None if reason is None else str(reason),
        )
        check_case_value(name, value)
        values[name] = value
    return values


def column_of(name: str) -> str:
    """The column of a patient table that holds an input of a model."""
    return name.removeprefix("table:")


def case_values_from_row(row: Mapping[str, str], others: Sequence[str] = ()) -> dict[str, CaseValue]:
    """Read one table row whose columns carry the standard names, and those of ``others``; an empty cell is missing.

    Raises InputError for a cell that is not a number or not possible.
    """
    values = {}
    for name in dict.fromkeys((*KNOWN_VALUES, *others)):
        known = value_definition(name)
        if name not in row or known is None:
            continue
        text = (row[name] or "").strip()
        if is_missing(text):
            values[name] = CaseValue(None, known.unit, "table", "the cell is empty")
            continue
        value = read_number(text)
        if value is None:
            raise InputError(f"{name} is '{text[:40]}', which is not a number; correct the cell.")
        values[name] = CaseValue(value, known.unit, "table")
        check_case_value(name, values[name])
    return values


def case_values_from_columns(row: Mapping[str, str], names: Sequence[str]) -> dict[str, CaseValue]:
    """The inputs ``names`` of a model from one row of a user's table (column -> text); one whose column the table does
    not have is missing with that reason. Raises InputError as ``case_values_from_row`` does."""
    held = {name: row[column_of(name)] for name in names if column_of(name) in row}
    values = case_values_from_row(held, names)
    for name in names:
        known = value_definition(name)
        if name not in held and known is not None:
            values[name] = CaseValue(None, known.unit, "table", f"the table has no column {column_of(name)}")
    return values
