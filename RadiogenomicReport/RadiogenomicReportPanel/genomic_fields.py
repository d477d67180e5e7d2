"""The section Genomic data of the panel: files of one patient, and the packages that reading them needs."""

from __future__ import annotations

from pathlib import Path

_VCF = (".vcf", ".vcf.gz")


def show_fields(ui, parameters) -> None:
    """Enable what the chosen files have a use for."""
    mutations, expression = (chosen(p) for p in (parameters.mutationFile, parameters.expressionFile))
    ui.genomicSampleEdit.enabled = mutations or expression or chosen(parameters.segmentsFile)
    ui.territorySpin.enabled = ui.genomicGenesEdit.enabled = mutations
    ui.geneSetsEdit.enabled = expression


def chosen(path: Path) -> bool:
    return path != Path()


def genomics_plan(parameters):
    """What the parameters ask for as a CaseGenomicsPlan; None where no file is chosen. Raises InputError as it does."""
    files = {
        "segments": parameters.segmentsFile,
        "expression": parameters.expressionFile,
        "vcf" if parameters.mutationFile.name.lower().endswith(_VCF) else "maf": parameters.mutationFile,
    }
    files = {name: path for name, path in files.items() if chosen(path)}
    if not files:
        return None
    from RadiogenomicReportLib.genomics.case_genomics import CaseGenomicsPlan
    from RadiogenomicReportLib.genomics.genomics_run import GenomicsPlan
    from SubregionHabitatLib.errors import InputError

    if "expression" in files and not chosen(parameters.geneSetsFile):
        raise InputError("No gene sets are chosen that score the expression; choose a GMT file, or no expression.")
    settings = {name: (path,) if name in ("maf", "vcf") else path for name, path in files.items()}
    if "expression" in files:
        settings["gmt"] = (parameters.geneSetsFile,)
    if chosen(parameters.mutationFile):
        settings["genes"] = _names(parameters.genomicGenes)
        settings["territory_mb"] = parameters.territoryMb if parameters.territoryMb > 0 else None
    return CaseGenomicsPlan(files=GenomicsPlan(**settings), sample=_names(parameters.genomicSample))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def genomic_requirements(plan) -> dict[str, str]:
    """Import name -> pip requirement of the packages that a plan needs beyond those of the report."""
    needed = {}
    if plan.files is not None and plan.files.maf:
        needed["pandas"] = "pandas>=2.2"
    if plan.files is not None and plan.files.vcf:
        needed["vcfpy"] = "vcfpy>=0.13"
    if plan.files is not None and plan.files.gmt:
        needed["gseapy"] = "gseapy>=1.1"
    return needed
