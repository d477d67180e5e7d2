"""A report page as PDF, by reportlab.

Why reportlab and neither a browser nor WeasyPrint: it is a wheel without any system library, so it also works inside
Slicer on every system (WeasyPrint needs Pango, which Windows and macOS lack), and it fetches nothing. The page's own
HTML is the one template: its elements become flowing blocks here, so a report cannot say one thing on the screen and
another on paper.
"""

from __future__ import annotations

import io
import re
from functools import lru_cache
from pathlib import Path
from xml.sax.saxutils import escape

from SubregionHabitatLib.errors import InputError

from .page_tree import Element, image_bytes, page_tree

_INLINE = {"strong": "b", "b": "b", "em": "i", "code": "code", "small": "small"}
_SKIPPED = frozenset(("nav", "script", "style", "head", "title", "meta"))
# Class of an element -> what it is on paper.
_MUTED = frozenset(("muted", "note"))
_BOXES = {"banner": "#f3eefc", "identity": "#f4f6f8", "flag": "#fff6e8", "limits": "#fff6e8"}
_PAGE_MM = (210.0, 297.0)
_MARGIN_MM = 14.0
_FIGURES_PER_ROW = 4


def require_reportlab() -> None:
    """Raise InputError with the remedy where reportlab is not installed."""
    try:
        import reportlab  # noqa: F401
    except ImportError as error:
        raise InputError(
            "A PDF needs the package reportlab, which is not installed; install it with pip install reportlab, or take "
            "HTML alone."
        ) from error


def html_to_pdf(html: str) -> bytes:
    """The report page as A4 PDF; the same page gives the same bytes.

    Pictures have to be PNG (see ``figures_style.charts_as``). Raises InputError where reportlab is absent.
    """
    require_reportlab()
    from reportlab.lib.units import mm
    from reportlab.platypus import SimpleDocTemplate

    page = page_tree(html)
    title = next((t.text for t in page.all("title")), "Report")
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=tuple(v * mm for v in _PAGE_MM),
        leftMargin=_MARGIN_MM * mm,
        rightMargin=_MARGIN_MM * mm,
        topMargin=_MARGIN_MM * mm,
        bottomMargin=(_MARGIN_MM + 3) * mm,
        title=title,
        author="IITH",
        subject="Research use only",
        invariant=1,
    )
    styles = _styles()
    width = document.width - 12  # reportlab pads its frame by 6 points on each side
    story = _Blocks(styles, width).of(next(page.all("body")))
    document.build(story, onFirstPage=_footer, onLaterPages=_footer)
    return buffer.getvalue()


def _footer(canvas, document) -> None:
    from reportlab.lib.units import mm

    canvas.saveState()
    canvas.setFont("Report", 7.5)
    canvas.setFillGray(0.4)
    canvas.drawString(_MARGIN_MM * mm, 9 * mm, "Research use only. Not a medical device.")
    canvas.drawRightString((_PAGE_MM[0] - _MARGIN_MM) * mm, 9 * mm, f"Page {document.page}")
    canvas.restoreState()


@lru_cache(maxsize=1)
def _register_fonts() -> None:
    """DejaVu Sans, which matplotlib brings along: it has the minus sign, superscripts, Greek and Cyrillic."""
    import matplotlib
    from reportlab.lib.fonts import addMapping
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = {"Report": "DejaVuSans", "Report-b": "DejaVuSans-Bold", "Report-i": "DejaVuSans-Oblique",
             "Report-bi": "DejaVuSans-BoldOblique", "ReportMono": "DejaVuSansMono"}  # fmt: skip
    for name, file in faces.items():
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{file}.ttf")))
    for bold in (0, 1):
        for italic in (0, 1):
            suffix = "-" + "b" * bold + "i" * italic if bold or italic else ""
            addMapping("Report", bold, italic, f"Report{suffix}")
            addMapping("ReportMono", bold, italic, "ReportMono")


def _styles() -> dict:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle

    _register_fonts()
    ink, muted, accent = HexColor("#1b2733"), HexColor("#5b6875"), HexColor("#1f4e79")
    body = ParagraphStyle("body", fontName="Report", fontSize=8.5, leading=11.5, textColor=ink, spaceAfter=3)

    def style(name: str, parent=body, **changes) -> ParagraphStyle:
        return ParagraphStyle(name, parent=parent, **changes)

    heading = {"fontName": "Report-b", "keepWithNext": 1}
    cell = style("cell", fontSize=7.3, leading=9.2, spaceAfter=0)
    return {
        "body": body,
        "h1": style("h1", fontSize=15, leading=19, spaceAfter=3, **heading),
        "h2": style("h2", fontSize=12, leading=15, spaceBefore=11, spaceAfter=4, textColor=accent, **heading),
        "h3": style("h3", fontSize=9.5, leading=12, spaceBefore=6, spaceAfter=2, **heading),
        "h4": style("h4", fontSize=8.7, leading=11, spaceBefore=4, spaceAfter=2, **heading),
        "muted": style("muted", fontSize=7.8, leading=10.2, textColor=muted),
        "cell": cell,
        "right": style("right", cell, alignment=2),
        "head": style("head", cell, fontName="Report-b"),
        "headright": style("headright", cell, fontName="Report-b", alignment=2),
        "caption": style("caption", fontSize=7.4, leading=9.4, textColor=muted, spaceBefore=2, keepWithNext=1),
        "figure": style("figure", fontSize=7, leading=8.8, textColor=muted),
        "list": style("list", leftIndent=9, bulletIndent=1, spaceAfter=1.5),
        "tile": style("tile", fontSize=12.5, leading=15.5, fontName="Report-b", spaceAfter=0),
        "small": style("small", fontSize=6.9, leading=8.8, textColor=muted, spaceAfter=0),
    }


class _Blocks:
    """The blocks of a page in order. styles: by name; width: of the text in points."""

    def __init__(self, styles: dict, width: float) -> None:
        self.styles, self.width = styles, width

    def of(self, element: Element) -> list:
        """The blocks of everything inside an element."""
        blocks: list = []
        for child in element.children:
            if isinstance(child, str):
                if child.strip():
                    blocks.append(self.paragraph(Element("p", {}, [child])))
            elif child.tag not in _SKIPPED and child.attributes.get("aria-hidden") != "true":
                blocks += self.block(child)
        return blocks

    def block(self, element: Element) -> list:
        found = {
            "h1": self._heading, "h2": self._heading, "h3": self._heading, "h4": self._heading,
            "p": lambda e: [self._boxed(e, [self.paragraph(e)])], "span": lambda e: [self.paragraph(e)],
            "ul": self._list, "dl": self._definitions, "table": self._table, "figure": self._figure,
        }.get(element.tag)  # fmt: skip
        if found is not None:
            return found(element)
        pictures_only = bool(element.elements) and all(child.tag == "figure" for child in element.elements)
        if "figures" in element.classes or ("two" in element.classes and pictures_only):
            return self._figures(element)
        if "bar" in element.classes:
            return [self._bar(element)]
        if element.attributes.get("role") == "img":
            return [self.paragraph(Element("p", {"class": "muted"}, [element.attributes.get("aria-label", "")]))]
        inside = self.of(element)
        return [self._boxed(element, inside)] if inside and self._box_color(element) else inside

    # ---- text ----
    def paragraph(self, element: Element, style: str | None = None):
        from reportlab.platypus import Paragraph

        chosen = style or ("muted" if element.classes & _MUTED else "body")
        return Paragraph(markup(element), self.styles[chosen])

    def _heading(self, element: Element) -> list:
        return [self.paragraph(element, element.tag)]

    def _list(self, element: Element) -> list:
        from reportlab.platypus import Paragraph

        if "keys" in element.classes:
            return [Paragraph(" &nbsp; ".join(markup(item) for item in element.elements), self.styles["muted"])]
        return [Paragraph(markup(item), self.styles["list"], bulletText="•") for item in element.elements]

    # ---- boxes ----
    def _box_color(self, element: Element) -> str | None:
        return next((color for name, color in _BOXES.items() if name in element.classes), None)

    def _boxed(self, element: Element, blocks: list):
        """The blocks on a colored ground, where the page has one."""
        from reportlab.lib.colors import HexColor
        from reportlab.platypus import Table, TableStyle

        color = self._box_color(element)
        if color is None:
            return blocks[0]
        # One row per block lets a long box break over pages.
        table = Table([[block] for block in blocks], colWidths=[self.width])
        commands = [
            ("BACKGROUND", (0, 0), (-1, -1), HexColor(color)),
            ("LINEBEFORE", (0, 0), (0, -1), 3, HexColor("#b45309")),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ]
        table.setStyle(TableStyle(commands))
        return table

    def _definitions(self, element: Element) -> list:
        if "tiles" in element.classes:
            return [self._tiles(element)]
        rows, terms = [], list(element.all("dt", "dd"))
        for term, value in zip(terms[::2], terms[1::2], strict=True):
            rows.append([self.paragraph(term, "small"), self.paragraph(value, "cell")])
        return [self._plain_table(rows, [0.3 * self.width, 0.7 * self.width])] if rows else []

    def _tiles(self, element: Element):
        from reportlab.platypus import Paragraph

        cells = []
        for tile in element.elements:
            label, value = next(tile.all("dt")), next(e for e in tile.all("span") if "value" in e.classes)
            note = next((e for e in tile.all("span") if "note" in e.classes), Element("span", {}))
            shown = Paragraph(markup(value), self.styles["tile"])
            cells.append([self.paragraph(label, "small"), shown, self.paragraph(note, "small")])
        per_row = min(4, len(cells)) or 1
        rows = [cells[i : i + per_row] for i in range(0, len(cells), per_row)]
        rows[-1] += [""] * (per_row - len(rows[-1]))
        return self._plain_table(rows, [self.width / per_row] * per_row, grid=True)

    def _plain_table(self, rows: list, widths: list[float], grid: bool = False):
        from reportlab.lib.colors import HexColor
        from reportlab.platypus import Table, TableStyle

        table = Table(rows, colWidths=widths, spaceAfter=4)
        commands = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("TOPPADDING", (0, 0), (-1, -1), 1.2),
                    ("BOTTOMPADDING", (0, 0), (-1, -1), 1.2), ("LEFTPADDING", (0, 0), (-1, -1), 3)]  # fmt: skip
        if grid:
            commands += [("GRID", (0, 0), (-1, -1), 0.5, HexColor("#d8dee4")), ("TOPPADDING", (0, 0), (-1, -1), 4)]
        table.setStyle(TableStyle(commands))
        return table

    # ---- tables ----
    def _table(self, element: Element) -> list:
        from .pdf_tables import table_block

        blocks = [self.paragraph(c, "caption") for c in element.elements if c.tag == "caption"]
        made = table_block(element, self.styles, self.width)
        return [*blocks, made] if made is not None else blocks

    # ---- pictures ----
    def _image(self, element: Element, width: float):
        from reportlab.platypus import Image

        _media, content = image_bytes(element.attributes["src"])
        ratio = float(element.attributes["height"]) / float(element.attributes["width"])
        return Image(io.BytesIO(content), width=width, height=width * ratio)

    def _figure(self, element: Element, width: float | None = None) -> list:
        image = next(element.all("img"))
        natural = float(image.attributes["width"]) * 0.75  # CSS pixels to points
        shares = {"wide": 1.0, "plot": 0.8, "chart": 0.6}
        share = next((shares[name] for name in shares if name in element.classes), 0.26)
        width = width or min(natural, self.width * share)
        caption = [self.paragraph(c, "figure") for c in element.all("figcaption")]
        picture = self._image(image, width)
        picture.keepWithNext = 1
        return [picture, *caption]

    def _figures(self, element: Element) -> list:
        """Pictures side by side."""
        figures = [e for e in element.elements if e.tag == "figure"]
        per_row = _FIGURES_PER_ROW if "figures" in element.classes and len(figures) > 2 else 2
        cell = self.width / per_row
        blocks = [
            [self._image(next(f.all("img")), cell - 8), *(self.paragraph(c, "figure") for c in f.all("figcaption"))]
            for f in figures
        ]
        rows = [blocks[i : i + per_row] for i in range(0, len(blocks), per_row)]
        if not rows:
            return []
        rows[-1] += [""] * (per_row - len(rows[-1]))
        return [self._plain_table(rows, [cell] * per_row)]

    def _bar(self, element: Element):
        """A bar of parts, as wide as the text."""
        from reportlab.graphics.shapes import Drawing, Rect
        from reportlab.lib.colors import HexColor

        drawing, left = Drawing(self.width, 18), 0.0
        for part in element.elements:
            style = part.attributes.get("style", "")
            share, color = re.search(r"width:([0-9.]+)%", style), re.search(r"background:(#[0-9a-fA-F]{6})", style)
            if share is None or color is None:
                continue
            width = float(share[1]) / 100 * self.width
            drawing.add(Rect(left, 2, width, 14, fillColor=HexColor(color[1]), strokeColor=HexColor("#ffffff")))
            left += width
        drawing.add(Rect(0, 2, self.width, 14, fillColor=None, strokeColor=HexColor("#5b6875"), strokeWidth=0.6))
        return drawing


def markup(element: Element) -> str:
    """The inside of an element in reportlab's inline markup; every text is escaped, so none can act as markup."""
    parts = []
    for child in element.children:
        if isinstance(child, str):
            parts.append(escape(re.sub(r"\s+", " ", child.replace("\u2028", " "))))
        elif child.tag == "br":
            parts.append("<br/>")
        elif child.attributes.get("aria-hidden") == "true":
            continue
        elif child.tag == "i" and "style" in child.attributes:
            parts.append(_swatch(child))
        elif child.attributes.get("role") == "img":
            parts.append(escape(child.attributes.get("aria-label", "")))
        else:
            parts.append(_inline(child))
    return "".join(parts).strip() if element.tag in ("p", "td", "th", "li") else "".join(parts)


def _inline(element: Element) -> str:
    inside = markup(element)
    kind = _INLINE.get(element.tag)
    if kind == "code":
        return f'<font face="ReportMono" size="7">{inside}</font>'
    if kind == "small":
        return f'<font size="8">{inside}</font>'
    if kind is not None:
        return f"<{kind}>{inside}</{kind}>"
    if "number" in element.classes:
        return f'<font size="14"><b>{inside}</b></font>'
    return f'<font color="#5b6875">{inside}</font>' if element.classes & _MUTED else inside


def _swatch(element: Element) -> str:
    """The colored square or line of a legend."""
    color = re.search(r"#[0-9a-fA-F]{6}", element.attributes.get("style", ""))
    sign = "\u2501" if "line" in element.classes else "\u25a0"
    return f'<font color="{color[0]}">{sign}</font> ' if color else ""
