"""Features, scores, changes and cohorts as nodes of the scene. Only the module file imports it."""

from __future__ import annotations

import json
from typing import NamedTuple

import slicer
from slicer.i18n import tr as _

from IITHModuleLib.features import FeatureRow, FeatureTable
from IITHModuleLib.heterogeneity.size_change import LesionSize
from IITHModuleLib.score_view import index_sentence, reference_distribution, scores_html
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.mrml_bridge import Column, set_table, table_rows

FEATURE_COLUMNS = ("region", "image", "feature", "value", "unit", "reason")


class CaseNodes(NamedTuple):
    """The result nodes; featureTable is None when no features were asked for. notes: one sentence each."""

    featureTable: object
    scoreTable: object
    notes: tuple


class VisitNodes(NamedTuple):
    """phenotypeTable: the phenotype of change, distances and changes of size; chart: the distances to every phenotype;
    notes: one sentence each."""

    phenotypeTable: object
    chart: object
    notes: tuple


class BatchNodes(NamedTuple):
    """cohortTable: one row per exam, as cohort.csv; featuresPath: the table of all features; notes: what was printed
    last."""

    cohortTable: object
    featuresPath: object
    notes: tuple


def features_of_scene(results):
    """The feature table of the scene as the library's FeatureTable, or None when there is none."""
    table = results.find("table.features")
    if table is None:
        return None
    noted = [table.GetAttribute(f"IITH.{n}") for n in ("preset", "preset_digest", "engine", "engine_version")]
    try:
        if None in noted:
            raise ValueError("settings")
        return FeatureTable(tuple(FeatureRow(**row) for row in table_rows(table)), *noted)
    except (TypeError, ValueError):
        raise InputError(
            f"The feature table '{table.GetName()}' was changed; run the IITH Features and Scores module again."
        ) from None


def show_distribution(results, distribution) -> None:
    """Chart of an index's distribution among the patients of its reference, with its cut and this case; None: none."""
    results.remove("index.")
    if distribution is None:
        return
    chart = results.node("index.chart", "vtkMRMLPlotChartNode", "IITH index in its reference")
    lines = {
        "reference": (distribution.values, distribution.percent, (0.35, 0.35, 0.35), False),
        "border of low and high": ((distribution.cut,) * 2, (0.0, 100.0), (0.9, 0.62, 0.0), False),
        "this case": ((distribution.value,) * 2, (0.0, distribution.percentile), (0.84, 0.37, 0.0), True),
    }
    for number, (name, (x, y, color, marked)) in enumerate(lines.items()):
        table = results.node(f"index.table.{number}", "vtkMRMLTableNode", f"IITH index, {name}")
        set_table(table, [Column("index", list(x)), Column("percent", list(y), "%")])
        series = results.node(f"index.series.{number}", "vtkMRMLPlotSeriesNode", name)
        series.SetName(name)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName("index")
        series.SetYColumnName("percent")
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
        styles = slicer.vtkMRMLPlotSeriesNode
        series.SetMarkerStyle(styles.MarkerStyleCircle if marked else styles.MarkerStyleNone)
        series.SetColor(*color)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(distribution.title)
    chart.SetXAxisTitle(_("Heterogeneity index"))
    chart.SetYAxisTitle(_("Patients of the reference below (%)"))


def score_columns(scores) -> list:
    """The scores as table columns, one row per model; a refused case has no value and says why."""

    def interval(score, index):
        return None if score.ci95 is None else score.ci95[index]

    return [
        Column("model", [s.model_id for s in scores]),
        Column("version", [s.model_version for s in scores]),
        Column("outcome", [s.outcome for s in scores]),
        Column("form", [s.form or "" for s in scores]),
        Column("value", [s.value for s in scores]),
        Column("unit", [s.unit for s in scores]),
        Column("low", [interval(s, 0) for s in scores], description="Lower end of the 95 % confidence interval"),
        Column("high", [interval(s, 1) for s in scores], description="Upper end of the 95 % confidence interval"),
        Column("group", [s.group or "" for s in scores]),
        Column("percentile", [s.percentile_in_training for s in scores], description="Among the training patients"),
        Column("in range", ["" if s.in_range is None else "yes" if s.in_range else "no" for s in scores]),
        Column("refusal", [s.refusal or "" for s in scores]),
        Column("warnings", [" ".join(s.warnings) for s in scores]),
        Column("licence", [s.licence for s in scores]),
        Column("note", [s.note for s in scores]),
    ]


def visit_size(results):
    """Functional tumor volume and longest diameter of an exam in the scene."""
    table = results.find("table.volumes")
    rows = {} if table is None else {(r["region"], r["quantity"]): r["value"] for r in table_rows(table)}
    return LesionSize(*(rows.get(("lesion", name)) for name in ("functional tumor volume", "longest diameter")))


def show_phenotype(results, found) -> VisitNodes:
    """Table and chart of a PhenotypeResult."""
    score = found.score
    rows = [("phenotype of change", score.phenotype, None, "", score.note)]
    rows.append(("ratio of nearest to second distance", "", score.distance_ratio, "", "near 1: between two phenotypes"))
    rows += [(f"distance to {n}", "", d, "", "") for n, d in zip(score.names, score.distances, strict=True)]
    for size in found.sizes:
        rows.append((f"change of {size.name}", "", size.change_percent, "%", size.reason))
    rows += [(f"warning {i + 1}", warning, None, "", "") for i, warning in enumerate(score.warnings)]
    rows.append(("model", f"{found.model_id} {found.model_version}", None, "", found.licence))
    table = results.node("table.phenotype", "vtkMRMLTableNode", "IITH phenotype of change")
    names = ("quantity", "text", "value", "unit", "note")
    set_table(table, [Column(name, [row[i] for row in rows]) for i, name in enumerate(names)])
    distances = results.node("table.phenotype.distances", "vtkMRMLTableNode", "IITH distances to phenotypes")
    set_table(distances, [Column("phenotype", list(score.names)), Column("distance", list(score.distances))])
    series = results.node("phenotype.series", "vtkMRMLPlotSeriesNode", "distance")
    series.SetAndObserveTableNodeID(distances.GetID())
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
    series.SetLabelColumnName("phenotype")
    series.SetYColumnName("distance")
    chart = results.node("phenotype.chart", "vtkMRMLPlotChartNode", "IITH phenotype of change")
    chart.RemoveAllPlotSeriesNodeIDs()
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(_("Phenotype of change: {name}").format(name=score.phenotype))
    chart.SetYAxisTitle(_("Distance to the phenotype's center"))
    return VisitNodes(table, chart, tuple(score.warnings))


def show_cohort(table, rows) -> None:
    """The rows of a cohort.csv in a table node; columns of numbers become numbers."""

    def column(name):
        texts = [row[name] or "" for row in rows]
        if name not in ("result", "patient", "visit") and any(texts):
            try:
                return Column(name, [float(text) if text else None for text in texts])
            except ValueError:
                pass
        return Column(name, texts)

    set_table(table, [column(name) for name in rows[0]])


def show_case(results, features, scores, clinical, models) -> CaseNodes:
    """Features and scores of a case as nodes of its ExamResults, in place of those of an earlier run."""
    featureTable = None
    if features is None:
        results.remove("table.features")
    else:
        featureTable = results.node("table.features", "vtkMRMLTableNode", "IITH features")
        columns = [Column(name, [getattr(row, name) for row in features.rows]) for name in FEATURE_COLUMNS]
        set_table(featureTable, columns)
        for name in ("preset", "preset_digest", "engine", "engine_version"):
            featureTable.SetAttribute(f"IITH.{name}", getattr(features, name))
    scoreTable = results.node("table.scores", "vtkMRMLTableNode", "IITH scores")
    set_table(scoreTable, score_columns(scores))
    scoreTable.SetAttribute("IITH.html", scores_html(scores))
    scoreTable.SetAttribute("IITH.index_text", index_sentence(models, scores))
    show_distribution(results, reference_distribution(models, scores))
    request = results.node("inputs.scores", "vtkMRMLTextNode", "IITH scoring settings")
    request.SetText(json.dumps({"clinical": clinical, "models": [model.id for model in models]}))
    notes = [f"{score.model_id}: {score.refusal}" for score in scores if score.refusal is not None]
    notes += [f"{score.model_id}: {warning}" for score in scores for warning in score.warnings]
    return CaseNodes(featureTable, scoreTable, tuple(notes))
