"""Where the pages of the modules are, for the help that Slicer shows of each."""

from slicer.i18n import tr as _

# The place of the sources in IITH.json.
PAGES = "https://example.org/SlicerIITH/blob/main/docs/"


def page_link(page: str) -> str:
    """A sentence with a link to a page of the documentation."""
    return _('What every control means: <a href="{page}">{name}</a>.').format(page=PAGES + page, name=page)
