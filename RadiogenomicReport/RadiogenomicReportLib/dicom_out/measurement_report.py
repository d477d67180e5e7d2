"""The TID 1500 measurement report: volumes, map statistics and scores of a case, with units and references."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import highdicom as hd
import pydicom
from highdicom.sr import (
    CodedConcept,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset

from ..report_numbers import is_number
from . import codes
from .segmentation import Region, segment_numbers
from .source import EQUIPMENT, MANUFACTURER, MODEL, SERIAL_NUMBER, SourceExam, finish

SERIES_NUMBER = 9803


def measurement_report(
    source: SourceExam, case: dict, regions: tuple[Region, ...], segmentation: hd.seg.Segmentation
) -> hd.sr.ComprehensiveSR:
    """One measurement group per region, tied to its segment and the source series, and one per score.

    A number that is missing is a comment of its group, never a value.
    """
    numbers = segment_numbers(regions)
    groups = [
        _region_group(source, region, numbers.get(region.key), segmentation, values)
        for region, values in zip(regions, _measured(case), strict=True)
    ]
    groups += [_score_group(source, score) for score in case["scores"]]
    report = hd.sr.MeasurementReport(
        observation_context=_observer(source),
        procedure_reported=codes.MRI_OF_BREAST,
        imaging_measurements=groups,
        title=codes.IMAGING_MEASUREMENT_REPORT,
    )
    made = hd.sr.ComprehensiveSR(
        evidence=[segmentation, *_evidence(source)],
        content=report,
        series_instance_uid=source.uid("report series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=source.uid("report"),
        instance_number=1,
        **EQUIPMENT,
        is_complete=True,
        is_final=False,
    )
    finish(made, source, "IITH measurements (research use only)")
    return made


def _observer(source: SourceExam) -> hd.sr.ObservationContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=source.uid("observer"),
        name=MANUFACTURER,
        manufacturer_name="The IITH developers",
        model_name=MODEL,
        serial_number=SERIAL_NUMBER,
    )
    context = hd.sr.ObserverContext(
        observer_type=pydicom.sr.codedict.codes.DCM.Device, observer_identifying_attributes=device
    )
    return hd.sr.ObservationContext(observer_device_context=context)


def _evidence(source: SourceExam) -> list[Dataset]:
    """The source instances, as far as highdicom reads evidence."""
    found = []
    for frame in source.all_instances():
        item = Dataset()
        item.StudyInstanceUID, item.SeriesInstanceUID = frame.study_uid, frame.series_uid
        item.SOPClassUID, item.SOPInstanceUID = frame.sop_class, frame.sop_uid
        found.append(item)
    return found


# ---- regions -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Value:
    """A number to report. unit: as this program writes it; derivation: of a statistic over the region's voxels."""

    name: CodedConcept
    value: object
    unit: str
    derivation: CodedConcept | None = None

    @property
    def known(self) -> bool:
        return is_number(self.value)

    def measurement(self) -> Measurement:
        return Measurement(
            name=self.name, value=float(self.value), unit=codes.unit(self.unit), derivation=self.derivation
        )

    def missing(self) -> str:
        parts = (self.derivation.CodeMeaning if self.derivation else "", self.name.CodeMeaning)
        return f"{' of '.join(part for part in parts if part)} is missing: it could not be computed."


def _measured(case: dict) -> Iterator[list[_Value]]:
    """The numbers of each region: lesion, habitats, ring."""
    lesion, units = case["lesion"], case["kinetics"]["units"]
    found = [
        _Value(codes.VOLUME, lesion["volume_cc"], "cc"),
        _Value(codes.FTV, lesion["ftv_cc"], "cc"),
        _Value(codes.LONG_AXIS, lesion["longest_diameter_mm"], "mm"),
        _Value(codes.ENHANCING_FRACTION, _percent(lesion["enhancing_fraction_first_post"]), "%"),
    ]
    for name, statistics in case["kinetics"]["lesion_statistics"].items():
        for derivation, key in ((codes.MEAN, "mean"), (codes.MEDIAN, "p50"), (codes.STANDARD_DEVIATION, "sd")):
            found.append(_Value(codes.MAPS[name], statistics.get(key), units[name], derivation))
    yield found
    for habitat in case["habitats"]["regions"]:
        found = [
            _Value(codes.VOLUME, habitat["volume_cc"], "cc"),
            _Value(codes.SHARE_OF_LESION, _percent(habitat["share"]), "%"),
        ]
        for name in case["habitats"]["features"]:
            value = habitat["centre"].get(name)
            if name == "washout_rate" and is_number(value):  # the wash-out slope with its sign turned
                value = 0.0 - value
            key = "wos" if name == "washout_rate" else name
            found.append(_Value(codes.MAPS[key], value, units[key], codes.MEAN))
        yield found
    ring = case["ring"]
    yield [
        _Value(codes.VOLUME, ring["volume_cc"], "cc"),
        _Value(codes.RING_KEPT, _percent(ring["kept_fraction"]), "%"),
    ]


def _percent(share: object) -> float | None:
    return 100 * share if is_number(share) else None


def _region_group(
    source: SourceExam, region: Region, number: int | None, segmentation: hd.seg.Segmentation, values: list[_Value]
) -> MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations:
    shared = {
        "tracking_identifier": hd.sr.TrackingIdentifier(
            uid=source.uid(f"region {region.key}"), identifier=codes.plain_text(region.label, 64)
        ),
        "finding_type": region.kind,
        "finding_category": region.category,
        "measurements": [value.measurement() for value in values if value.known],
        "finding_sites": [hd.sr.FindingSite(anatomic_location=codes.BREAST)],
    }
    if number is None:  # a habitat without a voxel: its volume is 0, and there is no segment to refer to
        made = MeasurementsAndQualitativeEvaluations(**shared)
    else:
        made = VolumetricROIMeasurementsAndQualitativeEvaluations(
            **shared,
            referenced_segment=hd.sr.ReferencedSegment(
                sop_class_uid=segmentation.SOPClassUID,
                sop_instance_uid=segmentation.SOPInstanceUID,
                segment_number=number,
                source_series=hd.sr.SourceSeriesForSegmentation(source.frames[source.early][0].series_uid),
            ),
        )
    made[0].ContentSequence.extend(_comment(value.missing()) for value in values if not value.known)
    return made


# ---- scores ------------------------------------------------------------------------------------------------------
def _score_group(source: SourceExam, score: dict) -> MeasurementsAndQualitativeEvaluations:
    """Value, predicted survival, group and range check of a score; a refused one has its reason alone."""
    values, evaluations = [], []
    if score["value"] is not None:
        values.append(_Value(codes.private(score["model_id"], score["model_title"]), score["value"], "1"))
        for item in score["survival"]:
            years = f"{item['years']:g}"
            concept = codes.private(f"SURVIVAL_{years}Y", f"Predicted {score['outcome']} at {years} years")
            values.append(_Value(concept, _percent(item["probability"]), "%"))
        inside = score["in_range"]["overall"]
        evaluations.append(QualitativeEvaluation(codes.RANGE_CHECK, codes.IN_RANGE if inside else codes.OUT_OF_RANGE))
        if score["group"]:
            evaluations.append(QualitativeEvaluation(codes.GROUP, codes.private(f"G_{score['group']}", score["group"])))
    made = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=source.uid(f"score {score['model_id']} {score['model_version']}"),
            identifier=codes.plain_text(f"{score['model_id']} {score['model_version']}", 64),
        ),
        finding_type=codes.NEOPLASM,
        finding_category=codes.ABNORMAL_STRUCTURE,
        measurements=[value.measurement() for value in values if value.known] or None,
        qualitative_evaluations=evaluations or None,
    )
    made[0].ContentSequence.append(_comment(_score_text(score)))
    return made


def _score_text(score: dict) -> str:
    if score["value"] is None:
        text = f"Not scored. {score['refusal']}"
    else:
        interval = score["ci95"]
        text = f"Unit: {score['unit']}."
        if interval is not None:
            text += f" 95 % interval {interval[0]:.4g} to {interval[1]:.4g}."
        text += "".join(f" {warning}" for warning in score["warnings"] if "SIMULATED" in warning)
    return f"{text} Model version {score['model_version']}, digest {score['model_digest'][:16]}. Research use only."


def _comment(text: str) -> hd.sr.TextContentItem:
    return hd.sr.TextContentItem(
        name=codes.COMMENT,
        value=codes.plain_text(text, 1024),
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )
