"""A patient's two visits: the phenotype of change with the change of size beside it."""

from __future__ import annotations

from dataclasses import dataclass

from SubregionHabitatLib.errors import CaseRefused

from .exam_table import ExamTable
from .feature_matrix import check_same_preset
from .model_format import LoadedModel
from .phenotype_score import Case, PhenotypeScore, score_phenotype
from .size_change import LesionSize, SizeChange, size_changes
from .size_table import Sizes


@dataclass(frozen=True)
class PhenotypeResult:
    """The phenotype by one model, and how functional tumor volume and longest diameter changed."""

    model_id: str
    model_version: str
    model_title: str
    model_digest: str
    licence: str
    score: PhenotypeScore
    sizes: tuple[SizeChange, SizeChange]

    def to_json(self) -> dict:
        named = {
            name: getattr(self, name)
            for name in ("model_id", "model_version", "model_title", "model_digest", "licence")
        }
        return named | self.score.to_json() | {"size_changes": [size.to_json() for size in self.sizes]}

    def text(self) -> str:
        """For a terminal: flags first, then the phenotype, how clear it is, and the sizes."""
        score = self.score
        distances = zip(score.names, score.distances, strict=True)
        return "\n".join(
            [
                f"{self.model_id} {self.model_version}: {self.model_title}",
                *(f"  WARNING: {warning}" for warning in score.warnings),
                f"  phenotype: {score.phenotype} (nearest of {len(score.names)} centroids; ratio to the second nearest "
                f"{score.distance_ratio:.2f})",
                *(f"  distance to {name}: {distance:.3g}" for name, distance in distances),
                *(f"  {size.text()}" for size in self.sizes),
                f"  licence: {self.licence}. {score.note}",
            ]
        )


def phenotype_of_visits(
    loaded: LoadedModel, first: Case, second: Case, size1: LesionSize | None = None, size2: LesionSize | None = None
) -> PhenotypeResult:
    """Phenotype and size changes of one patient; what ``score_phenotype`` raises, it raises."""
    head = loaded.head
    return PhenotypeResult(
        model_id=head.id,
        model_version=head.version,
        model_title=head.title,
        model_digest=loaded.digest,
        licence=str(head.licence["name"]),
        score=score_phenotype(loaded.model, first, second),
        sizes=size_changes(size1 or LesionSize(), size2 or LesionSize()),
    )


def phenotypes_of_table(
    loaded: LoadedModel, table: ExamTable, visits: tuple[str, str], sizes: Sizes
) -> dict[str, PhenotypeResult | str]:
    """Patient -> result, or the reason why there is none: a visit is not there, or the model refuses the patient.

    Raises InputError where the table has no such visit or was made with another preset.
    """
    used = (loaded.model.preset, loaded.model.preset_digest)
    check_same_preset(used, (table.preset, table.preset_digest), "The phenotype model")
    first, second = (table.visit(name) for name in visits)
    rows = [dict(zip(m.patients, m.values, strict=True)) for m in (first, second)]
    results: dict[str, PhenotypeResult | str] = {}
    for patient in dict.fromkeys(table.patients):
        gone = [name for name, held in zip(visits, rows, strict=True) if patient not in held]
        if gone:
            results[patient] = f"the visit {gone[0] or '(empty)'} is not in the table"
            continue
        cases = [dict(zip(table.keys, held[patient].tolist(), strict=True)) for held in rows]
        try:
            results[patient] = phenotype_of_visits(loaded, *cases, *(sizes.get((patient, v)) for v in visits))
        except CaseRefused as error:
            results[patient] = str(error)
    return results
