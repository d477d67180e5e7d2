"""The three ways a run ends early, each with one sentence for the person who has to act."""

from __future__ import annotations


class InputError(Exception):
    """The input is at fault. The message names the thing and the remedy (command line: exit code 2)."""


class CaseRefused(Exception):
    """A model refuses this case, for example because an input it needs is missing (exit code 3)."""


class Cancelled(Exception):
    """The user asked to stop; nothing was written."""
