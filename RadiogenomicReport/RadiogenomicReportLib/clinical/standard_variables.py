"""The clinical variables that are recognized by their column name, with unit, range and codes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StandardVariable:
    """kind: number, yes_no, category, time (in days) or event; synonyms: column names, letters and digits only;
    level: turns a cell of a category into its level, None for a code it does not know."""

    name: str
    label: str
    kind: str
    unit: str = ""
    low: float = float("-inf")
    high: float = float("inf")
    synonyms: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    level: Callable[[str], str | None] | None = None


def plain(name: str) -> str:
    """A column name without case, spaces and signs."""
    return re.sub(r"[^a-z0-9+]", "", name.lower())


def _stage(letter: str, top: int) -> Callable[[str], str | None]:
    pattern = re.compile(
        rf"[cpyr ]*{letter}?\s*([0-{top}]|is|x)(?:mic|mi|[abcd])?\d?(?:\.0)?(?:\s*\(.*\))?", re.IGNORECASE
    )

    def level(cell: str) -> str | None:
        found = pattern.fullmatch(cell)
        if not found:
            return None
        code = found.group(1).lower()
        return f"{letter}{'X' if code == 'x' else code}"

    return level


def _grade(cell: str) -> str | None:
    text = re.sub(r"^(grade|g)\s*", "", cell.strip().lower()).removesuffix(".0")
    return {"1": "1", "2": "2", "3": "3", "i": "1", "ii": "2", "iii": "3"}.get(text)


def _her2(cell: str) -> str | None:
    text = cell.strip().lower().removesuffix(".0")
    table = {
        "positive": "positive", "pos": "positive", "+": "positive", "yes": "positive", "amplified": "positive",
        "3+": "positive", "negative": "negative", "neg": "negative", "-": "negative", "no": "negative",
        "not amplified": "negative", "0": "negative", "1+": "negative", "low": "negative", "1": "positive",
        "equivocal": "equivocal", "2+": "equivocal", "indeterminate": "equivocal",
    }  # fmt: skip
    return table.get(text)


def _menopause(cell: str) -> str | None:
    text = cell.strip().lower()
    for start in ("pre", "peri", "post"):
        if text.startswith(start):
            return start
    return None


def _receptor(name: str, label: str, *synonyms: str) -> StandardVariable:
    return StandardVariable(name, label, "yes_no", synonyms=(*synonyms, name))


def _outcome(key: str, label: str, *more: str) -> tuple[StandardVariable, StandardVariable]:
    units = ("", "days", "day", "months", "mo", "years", "time", "timedays", "timemonths", "timeyears")
    times = tuple(f"{stem}{unit}" for stem in (key, *more) for unit in units)
    events = tuple(f"{stem}{end}" for stem in (key, *more) for end in ("event", "status", "ind", "indicator", "censor"))
    time = StandardVariable(f"{key}_time", f"{label}: time", "time", "days", 0.0, 36525.0, times)
    return time, StandardVariable(f"{key}_event", f"{label}: event", "event", synonyms=events)


OUTCOMES = {
    "rfs": "recurrence-free survival",
    "dfs": "disease-free survival",
    "os": "overall survival",
    "efs": "event-free survival",
    "drfs": "distant recurrence-free survival",
    "pfs": "progression-free survival",
}
_OUTCOME_WORDS = {
    "rfs": ("recurrencefreesurvival",),
    "dfs": ("diseasefreesurvival", "diseasefree"),
    "os": ("overallsurvival",),
    "efs": ("eventfreesurvival",),
    "drfs": ("dmfs", "ddfs", "distantmetastasisfreesurvival"),
    "pfs": ("progressionfreesurvival",),
}

STANDARD: dict[str, StandardVariable] = {
    v.name: v
    for v in (
        StandardVariable(
            "age", "Age", "number", "years", 15, 110,
            ("age", "ageyears", "ageatdiagnosis", "diagnosisage", "ageatdx", "patientage", "ageatscreening"),
        ),
        StandardVariable(
            "menopause", "Menopausal status", "category",
            synonyms=("menopause", "menopausalstatus", "menopausestatus", "inferredmenopausalstate"),
            levels=("pre", "peri", "post"), level=_menopause,
        ),
        StandardVariable(
            "t_stage", "T stage", "category",
            synonyms=("tstage", "t", "ct", "pt", "cliniclaltstage", "clinicaltstage", "tumorstage", "ajcct",
                      "ajcctumorpathologicpt", "tumourstage"),
            levels=("Tis", "T0", "T1", "T2", "T3", "T4", "TX"), level=_stage("T", 4),
        ),
        StandardVariable(
            "n_stage", "N stage", "category",
            synonyms=("nstage", "n", "cn", "pn", "clinicalnstage", "nodalstage", "ajccn", "ajccnodespathologicpn"),
            levels=("N0", "N1", "N2", "N3", "NX"), level=_stage("N", 3),
        ),
        StandardVariable(
            "grade", "Histological grade", "category",
            synonyms=("grade", "nottinghamgrade", "histologicalgrade", "histologicgrade", "tumorgrade", "sbrgrade"),
            levels=("1", "2", "3"), level=_grade,
        ),
        _receptor("er", "ER positive", "erstatus", "erpos", "estrogenreceptor", "erstatusbyihc", "erpositive"),
        _receptor("pr", "PR positive", "prstatus", "pgr", "pgrpos", "progesteronereceptor", "prstatusbyihc", "prpos"),
        _receptor("hr", "Hormone receptor positive", "hrpos", "hrstatus", "hormonereceptor", "hormonereceptorstatus"),
        StandardVariable(
            "her2", "HER2", "category",
            synonyms=("her2", "her2status", "her2mostpos", "her2pos", "herstatus", "ihcher2", "erbb2status"),
            levels=("negative", "positive", "equivocal"), level=_her2,
        ),
        StandardVariable(
            "ki67", "Ki-67", "number", "percent", 0, 100, ("ki67", "ki67percent", "ki67index", "mib1", "ki67li")
        ),
        _receptor("lvi", "Lymphovascular invasion", "lymphovascularinvasion", "lvsi", "lymphvascularinvasion"),
        _receptor("pcr", "Pathologic complete response", "pathologiccompleteresponse", "ypt0istn0"),
        *(v for key, label in OUTCOMES.items() for v in _outcome(key, label.capitalize(), *_OUTCOME_WORDS[key])),
    )
}  # fmt: skip

PATIENT_SYNONYMS = (
    "patient", "patientid", "subjectid", "subject", "case", "caseid", "id", "pid", "patientnumber", "studyid",
    "bcrpatientbarcode", "submitterid", "sample", "sampleid", "tumorsamplebarcode", "usubjid",
)  # fmt: skip


def recognize(column: str) -> StandardVariable | None:
    """The standard variable that a column name means, or None."""
    key = plain(column)
    return next((v for v in STANDARD.values() if key == plain(v.name) or key in v.synonyms), None)


def unit_in_name(column: str) -> str | None:
    """The time unit that a column name holds as a word: days, months or years; None where it names none."""
    words = re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", column).lower())
    for unit, forms in {
        "days": ("day", "days", "d"),
        "months": ("month", "months", "mo", "mos"),
        "years": ("year", "years", "yrs"),
    }.items():
        if any(form in words for form in forms):
            return unit
    return None
