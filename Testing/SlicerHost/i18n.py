"""Stand-in for ``slicer.i18n``: there is no translation, the text comes back."""


def tr(text: str) -> str:
    return text


def translate(_context: str, text: str) -> str:
    return text
