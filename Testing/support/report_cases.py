"""Cases for the tests of the report: a built case with its pictures, and a page taken apart."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np

from IITHModuleLib.any_model import open_model, score_all
from IITHModuleLib.case_values import user_value
from IITHModuleLib.derived_rows import with_derived_rows
from IITHModuleLib.model_file import shipped_models
from RadiogenomicReportLib.case_file import build_case
from RadiogenomicReportLib.case_pipeline import case_values
from RadiogenomicReportLib.case_report import CasePictures
from RadiogenomicReportLib.stage_clock import StageClock

CLINICAL = {"hr": 1, "her2": 0, "age_years": 52}


def report_case(exam, imaging, clinical=CLINICAL, models=None, identity=None) -> tuple[dict, CasePictures]:
    """A case without radiomics, scored by the shipped models (or none), with its pictures."""
    values = case_values(exam, imaging, {name: user_value(name, v) for name, v in clinical.items()})
    loaded = [open_model(m) for m in (shipped_models() if models is None else models)]
    case = build_case(
        exam, imaging, None, values, score_all(loaded, values, with_derived_rows(None, imaging)), StageClock(), identity
    )
    return case, CasePictures.from_result(exam, imaging)


@dataclass
class Element:
    tag: str
    attributes: dict
    texts: list = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


class Page(HTMLParser):
    """A page taken apart: every element in order with the text inside it (that of its children included)."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, f"not closed: {[e.tag for e in self._open]}"

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> without a start"
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data):
        for element in self._open:
            element.texts.append(data)

    def all(self, tag: str) -> list[Element]:
        return [e for e in self.elements if e.tag == tag]

    def by_id(self, name: str) -> Element:
        return next(e for e in self.elements if e.attributes.get("id") == name)

    def text_of_class(self, name: str) -> list[str]:
        return [e.text for e in self.elements if name in e.attributes.get("class", "").split()]

    @property
    def text(self) -> str:
        return next(e for e in self.elements if e.tag == "body").text


def decoded(uri: str) -> tuple[str, bytes]:
    """The media type and the bytes of a data URI."""
    head, _, body = uri.partition(",")
    assert head.startswith("data:")
    assert head.endswith(";base64")
    return head[5:-7], base64.b64decode(body, validate=True)


def pixels(uri: str) -> np.ndarray:
    """A PNG data URI as (rows, columns, 3) float in 0..1."""
    from matplotlib.image import imread

    media, content = decoded(uri)
    assert media == "image/png"
    return imread(io.BytesIO(content))[..., :3].astype(float)
