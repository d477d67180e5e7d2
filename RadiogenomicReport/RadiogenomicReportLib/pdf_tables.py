"""Tables of a report page on paper: columns as wide as their content needs, headers repeated on every page."""

from __future__ import annotations

import re

from .page_tree import Element

_PADDING = 6.0
# Columns longer than this share of the text wrap.
_WIDEST_SHARE = 0.5


def table_block(element: Element, styles: dict, width: float):
    """A table with wrapped cells; None for one without rows."""
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Table, TableStyle

    heads = [row for part in element.elements if part.tag == "thead" for row in part.all("tr")]
    bodies = [row for part in element.elements if part.tag == "tbody" for row in part.all("tr")]
    rows = [_cells(row, styles, head=True) for row in heads] + [_cells(row, styles, head=False) for row in bodies]
    if not rows:
        return None
    n = max(sum(span for _, _, span in row) for row in rows)
    commands = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"), ("TOPPADDING", (0, 0), (-1, -1), 1.6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.8), ("LEFTPADDING", (0, 0), (-1, -1), 3),
        ("RIGHTPADDING", (0, 0), (-1, -1), 3), ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor("#d8dee4")),
    ]  # fmt: skip
    if heads:
        commands.append(("BACKGROUND", (0, 0), (-1, len(heads) - 1), HexColor("#f4f6f8")))
    grid = []
    for y, row in enumerate(rows):
        line = []
        for block, _element, span in row:
            if span > 1:
                commands.append(("SPAN", (len(line), y), (len(line) + span - 1, y)))
            line += [block, *[""] * (span - 1)]
        grid.append(line + [""] * (n - len(line)))
    table = Table(grid, colWidths=_widths(rows, n, width), repeatRows=len(heads), spaceAfter=5)
    table.setStyle(TableStyle(commands))
    return table


def _cells(row: Element, styles: dict, head: bool) -> list[tuple]:
    """(block, element, columns) of every cell."""
    from reportlab.platypus import Paragraph

    from .pdf_report import markup

    found = []
    for cell in row.elements:
        right = "n" in cell.classes
        style = ("headright" if right else "head") if head else ("right" if right else "cell")
        span = int(cell.attributes.get("colspan", "1"))
        found.append((Paragraph(markup(cell), styles[style]), cell, span))
    return found


def _widths(rows: list[list[tuple]], n: int, width: float) -> list[float]:
    """Each column between its longest word and its longest line, all together as wide as the text."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    least, wanted = [12.0] * n, [12.0] * n
    for row in rows:
        column = 0
        for block, element, span in row:
            if span == 1:
                text = element.text
                size = block.style.fontSize
                words = re.split(r"[ \u00a0]" if "nw" not in element.classes else r"\n", text)
                longest = max((stringWidth(word, block.style.fontName, size) for word in words), default=0.0)
                least[column] = max(least[column], min(longest, 0.3 * width) + _PADDING + 1)
                full = stringWidth(text, block.style.fontName, size) + _PADDING + 2
                wanted[column] = max(wanted[column], min(full, _WIDEST_SHARE * width))
            column += span
    wanted = [max(a, b) for a, b in zip(least, wanted, strict=True)]
    if sum(wanted) <= width:
        return [w + (width - sum(wanted)) * w / sum(wanted) for w in wanted]
    if sum(least) >= width:
        return [w * width / sum(least) for w in least]
    give = (width - sum(least)) / (sum(wanted) - sum(least))
    return [a + give * (b - a) for a, b in zip(least, wanted, strict=True)]
