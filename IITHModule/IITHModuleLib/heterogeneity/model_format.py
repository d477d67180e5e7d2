"""Reading, checking and writing one kind of heterogeneity model: what every kind does alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from SubregionHabitatLib.errors import InputError

from .frozen_model import ModelHead, head_from_json, read_model, write_model_folder

Frozen = TypeVar("Frozen")


class LoadedModel(NamedTuple):
    """A model as read from a file: what it says it is, its numbers, and the SHA-256 of the file."""

    head: ModelHead
    model: object
    digest: str


@dataclass(frozen=True)
class ModelFormat(Generic[Frozen]):
    """One kind of model file. name: for messages; to_json: the content without the head; build: the model of a content,
    raising ValueError, KeyError, TypeError, AttributeError or IndexError where it is not sound; card: its text."""

    kind: str
    name: str
    to_json: Callable[[Frozen], dict]
    build: Callable[[dict], Frozen]
    card: Callable[[dict], str]

    def content(self, model: Frozen, head: ModelHead) -> dict:
        """Every number a new case needs, as plain JSON types."""
        return head.to_json(self.kind) | self.to_json(model)

    def parse(self, content: dict, path: Path) -> tuple[ModelHead, Frozen]:
        """Head and model of a model.json's content; raises InputError, naming ``path``, for what is not sound."""
        try:
            return head_from_json(content), self.build(content)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InputError(
                f"{path} is not a valid {self.name} model ({type(error).__name__}: {str(error)[:120]}); use the file "
                "as it was published."
            ) from None

    def load(self, path: str | Path) -> LoadedModel:
        """Read a model folder or model.json of this kind."""
        content, digest, path = read_model(path, self.kind)
        return LoadedModel(*self.parse(content, path), digest)

    def save(self, model: Frozen, head: ModelHead, folder: Path, overwrite: bool = False) -> Path:
        """Write the model folder, after checking that what is written can be read; returns the path of model.json."""
        content = self.content(model, head)
        self.parse(content, Path(folder) / "model.json")
        return write_model_folder(content, self.card(content), folder, overwrite)
