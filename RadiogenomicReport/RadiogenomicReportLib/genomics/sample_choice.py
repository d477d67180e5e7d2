"""The one sample of each genomic file that belongs to a patient, and what of the files' names may be shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from SubregionHabitatLib.errors import InputError

_QUOTED = re.compile(r"\s'[^']*'(?!\w)")


class SampleChoice:
    """Chooses by ``names`` (a sample's names in the files; empty: every file must hold one sample alone).

    patient: sample -> patient, so that a shortened barcode fits every file. No sentence of it tells a name that the
    user has not typed: these files may hold other patients.
    """

    def __init__(self, names: Sequence[str], patient: Callable[[str], str]) -> None:
        self._names, self._patient = tuple(names), patient
        self._chosen: dict[str, str] = {}  # source -> sample
        self._own_files: list[str] = []  # names of files that hold nobody else

    def one(self, samples: Sequence[str], source: str, files: Sequence[str] = (), absent: str = "") -> str:
        """The patient's sample among ``samples`` of ``source``. files: their names; absent: what to do where it is not
        there. Raises InputError where none or several fit."""
        count = f"{len(samples):,} sample{'' if len(samples) == 1 else 's'}"
        if not self._names:
            if len(samples) != 1:
                raise InputError(f"{source} holds {count}; name this patient's with --sample.")
            found = list(samples)
        else:
            wanted = {self._patient(name) for name in self._names}
            found = [s for s in samples if s in self._names] or [s for s in samples if self._patient(s) in wanted]
        if not found:
            raise InputError(
                f"{source} holds {count}, none of them named by --sample; {absent or 'check the name'} (or give "
                "--barcode-length)."
            )
        if len(found) > 1:
            raise InputError(f"--sample fits {len(found)} of the {count} of {source}; name one of them in full.")
        self._chosen[source] = found[0]
        if len(samples) <= max(1, len(files)):
            self._own_files += list(files) or [source]
        return found[0]

    def check(self) -> None:
        """Raise InputError where files may be of different patients, or a name was of no use."""
        used = {self._patient(sample) for sample in self._chosen.values()}
        if not self._names and len(used) > 1:
            raise InputError(
                f"The files name their samples in {len(used)} ways; say that they are of one patient with --sample "
                "NAME,NAME, or shorten the names with --barcode-length."
            )
        unused = [name for name in self._names if self._patient(name) not in used and name not in used]
        if unused:
            raise InputError(f"The sample '{unused[0][:60]}' is in none of the files; correct --sample.")

    def identity(self, files: Sequence[str]) -> dict[str, str]:
        """What tells who the patient is."""
        return {
            "Genomic sample": ", ".join(dict.fromkeys(self._chosen.values())),
            "Genomic files": ", ".join(dict.fromkeys(files)),
        }

    def shown(self, name: str) -> str | None:
        """A file's name, None where it may tell who the patient is: it holds nobody else, or has the sample's name."""
        own = {*self._chosen.values(), *(self._patient(s) for s in self._chosen.values()), *self._names}
        told = name in self._own_files or any(len(s) > 2 and s.lower() in name.lower() for s in own)
        return None if told else name

    def text(self, text: str, files: Sequence[str]) -> str:
        """A note without the names of files that are not shown, and without cells quoted from a file."""
        for name in files:
            if self.shown(name) is None:
                text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", "the file", text)
        return _QUOTED.sub("", text)
