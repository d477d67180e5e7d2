"""The column mapping: a JSON file (schema iith-columns/1) that says what the columns of a user's tables mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from IITHModuleLib.resources import resource_path
from IITHModuleLib.untrusted_json import check_schema, read_json
from SubregionHabitatLib.errors import InputError

SCHEMA = "iith-columns/1"
MAX_BYTES = 1_000_000
SOURCES = ("column", "ratio", "change", "any_positive", "days_between", "present")


@dataclass(frozen=True)
class ColumnSpec:
    """How one variable is made.

    source: ``column`` (one column), ``ratio`` (first over second), ``change`` (percent change from the first to the
    second), ``any_positive`` (1 where any yes/no column is 1), ``days_between`` (from the first date to the first of
    the others that is there) or ``present`` (1 where the cell is filled). kind and unit None: recognized by name, else
    found from the cells. codes: cell text -> value or None for missing. at_most: larger values are
    set to it; zero_is_missing: 0 stands for "not measured".
    """

    name: str
    source: str
    columns: tuple[str, ...]
    kind: str | None = None
    unit: str | None = None
    label: str | None = None
    codes: dict[str, str | float | None] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    transform: str = "identity"
    low: float | None = None
    high: float | None = None
    at_most: float | None = None
    zero_is_missing: bool = False
    date_format: str | None = None


@dataclass(frozen=True)
class ColumnMapping:
    """patient: column of the patient key, None to recognize it; sheets: of workbooks, each joined on the patient."""

    columns: dict[str, ColumnSpec]
    patient: str | None = None
    sheets: tuple[str, ...] = ()
    title: str = ""
    notes: tuple[str, ...] = ()
    digest: str = ""


EMPTY = ColumnMapping({})


def load_mapping(name: str) -> ColumnMapping:
    """A shipped mapping by its name (duke, ispy1), or a JSON file; InputError where it is neither or not valid."""
    path = Path(name)
    if path.suffix.lower() != ".json":
        path = resource_path("Columns", f"{name}.json") if name.replace("-", "").isalnum() else path
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in resource_path("Columns").glob("*.json")))
            raise InputError(f"There is no column mapping '{name[:60]}'; use one of {known} or a JSON file.")
    content, digest = read_json(path, "column mapping", MAX_BYTES)
    check_schema(content, resource_path("Schemas", "iith-columns-1.schema.json"), path, "column mapping")
    if content.get("schema") != SCHEMA or not isinstance(content.get("columns"), dict):
        raise InputError(f'{path} is no column mapping; it needs "schema": "{SCHEMA}" and "columns".')
    return ColumnMapping(
        columns={key: _spec(key, entry, path) for key, entry in content["columns"].items()},
        patient=content.get("patient"),
        sheets=tuple(content.get("sheets", ())),
        title=str(content.get("title", "")),
        notes=tuple(content.get("notes", ())),
        digest=digest,
    )


def _spec(name: str, entry: dict, path: Path) -> ColumnSpec:
    given = [s for s in SOURCES if s in entry]
    if len(given) != 1:
        raise InputError(f"{path}: the column '{name}' needs exactly one of {', '.join(SOURCES)}.")
    source = given[0]
    columns = entry[source]
    columns = (columns,) if isinstance(columns, str) else tuple(columns)
    wanted = {"column": 1, "present": 1, "ratio": 2, "change": 2}.get(source)
    if (wanted is not None and len(columns) != wanted) or (source == "days_between" and len(columns) < 2):
        raise InputError(f"{path}: the column '{name}' names {len(columns)} columns, which does not fit '{source}'.")
    options = {k: v for k, v in entry.items() if k not in SOURCES}
    for key in ("missing", "levels"):
        options[key] = tuple(str(v) for v in options.get(key, ()))
    return ColumnSpec(name=name, source=source, columns=columns, **options)
