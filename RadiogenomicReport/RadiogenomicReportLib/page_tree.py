"""A report page taken apart into a tree of elements, for whatever is made of it besides HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset(("meta", "img", "br", "link", "input", "hr"))


@dataclass
class Element:
    """One element: its children are elements and texts in order."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def classes(self) -> frozenset[str]:
        return frozenset(self.attributes.get("class", "").split())

    @property
    def elements(self) -> list[Element]:
        return [child for child in self.children if isinstance(child, Element)]

    def all(self, *tags: str) -> Iterator[Element]:
        """Every element below this one with one of the tags, in order."""
        for child in self.elements:
            if child.tag in tags:
                yield child
            yield from child.all(*tags)

    @property
    def text(self) -> str:
        """The text inside, blanks made one."""
        parts = (child if isinstance(child, str) else f" {child.text} " for child in self.children)
        return " ".join("".join(parts).split())


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].tag == tag:
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def page_tree(html: str) -> Element:
    """The tree of a page that this program made."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    return builder.root


def image_bytes(source: str) -> tuple[str, bytes]:
    """The media type and content of a data URI. Raises ValueError for any other source."""
    head, _, body = source.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise ValueError("a picture that is not part of the page")
    return head[5:-7], base64.b64decode(body, validate=True)
