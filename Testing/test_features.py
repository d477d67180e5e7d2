"""Radiomic features: names, values against PyRadiomics called directly, preparation, and missing values."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from IITHModuleLib.feature_engine import make_engine
from IITHModuleLib.features import IMAGE_NAMES, SHAPE_NAMES, extract_features
from IITHModuleLib.presets import load_preset, preset_names
from IITHModuleLib.resources import resource_path
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.timing import PhaseChoice
from SubregionHabitatLib.volume_io import geometry_of
from support.data import require_data
from support.exams import make_exam, make_geometry


def _exam(seed=0, shape=(10, 14, 12)):
    rng = np.random.default_rng(seed)
    base = rng.uniform(80, 160, size=shape)
    signal = np.stack([base, base * rng.uniform(1.5, 3, size=shape), base * rng.uniform(1.4, 2.8, size=shape)])
    exam = make_exam(np.round(signal), (0, 90, 300), spacing=(1.0, 1.0, 2.0))
    return exam, compute_maps(exam, PhaseChoice(1, 2, "test"))


def _plain_preset():
    preset = load_preset("ibsi_fbn")
    return replace(
        preset,
        phases=replace(preset.phases, resample_mm=None),
        maps=replace(preset.maps, resample_mm=None, clip_range={}),
    )


def test_names_and_counts():
    assert len(SHAPE_NAMES) == 14
    assert len(IMAGE_NAMES) == 93
    assert len(set(SHAPE_NAMES + IMAGE_NAMES)) == 107


def test_values_equal_pyradiomics_called_directly_on_an_unprepared_image():
    RadiomicsFeatureExtractor = pytest.importorskip("radiomics.featureextractor").RadiomicsFeatureExtractor
    exam, maps = _exam()
    mask = np.zeros(exam.geometry.shape, bool)
    mask[2:8, 3:12, 2:10] = True
    table = extract_features(exam, maps, {"lesion": mask}, _plain_preset())
    for image, array in (("phase1", exam.signal[1]), ("ser", maps.ser)):
        itk, itk_mask = sitk.GetImageFromArray(array), sitk.GetImageFromArray(mask.astype(np.uint8))
        for i in (itk, itk_mask):
            i.SetSpacing((1.0, 1.0, 2.0))
        found = RadiomicsFeatureExtractor(binCount=32, additionalInfo=False).execute(itk, itk_mask)
        assert len(found) == 107
        for name, value in found.items():
            where = "mask" if "_shape_" in name else image
            assert table.value("lesion", where, name) == pytest.approx(float(value), rel=1e-5, abs=1e-9), name


def test_baselines_of_pyradiomics_breast1():
    """The engine on PyRadiomics' own published case: 107 baseline values, bin width 25, shift 2000."""
    pytest.importorskip("radiomics", reason="PyRadiomics is not installed")
    folder = require_data("pyradiomics-breast1")
    image = sitk.ReadImage(str(folder / "breast1_image.nrrd"))
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "breast1_label.nrrd")))
    engine, geometry = make_engine("pyradiomics"), geometry_of(image)
    found = engine.image_features(sitk.GetArrayFromImage(image), label > 0, geometry, 25.0, None, 2000.0)
    found.update(engine.shape_features(label > 0, geometry))
    compared = set()
    for family in ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"):
        with (folder / f"baseline_{family}.csv").open(newline="") as stream:
            for row in csv.DictReader(stream):
                name = row["featureName"]
                if name in found:
                    assert found[name] == pytest.approx(float(row["breast1"]), rel=1e-6), name
                    compared.add(name)
    assert set(SHAPE_NAMES + IMAGE_NAMES) - compared == set()


def test_regions_that_are_empty_small_or_flat_have_reasons_and_no_numbers():
    exam, maps = _exam()
    flat = exam.signal.copy()
    flat[1, 2:8, 3:12, 2:10] = 200
    exam = replace(exam, signal=flat)
    empty = np.zeros(exam.geometry.shape, bool)
    small, large = empty.copy(), empty.copy()
    small[4:6, 4:8, 4:8] = True
    large[2:8, 3:12, 2:10] = True
    table = extract_features(exam, maps, {"lesion": large, "habitat1": small, "habitat2": empty}, _plain_preset())
    reasons = {(r.region, r.image): r.reason for r in table.rows if r.value is None}
    assert reasons["habitat1", "mask"] == "the region has 32 voxels, fewer than 50"
    assert reasons["habitat2", "phase0"] == "the region is empty"
    assert reasons["lesion", "phase1"] == "the image does not vary inside the region"
    assert ("lesion", "phase0") not in reasons
    assert len(table.rows) == 3 * (14 + 93 * 8)
    assert all((r.value is None) == bool(r.reason) for r in table.rows)


def test_undefined_voxels_leave_the_region_of_that_map_alone():
    exam, _ = _exam()
    signal = exam.signal.copy()
    signal[0, 4, 5:9, 4:8] = 0
    exam = replace(exam, signal=signal)
    maps = compute_maps(exam, PhaseChoice(1, 2, "test"))
    mask = np.zeros(exam.geometry.shape, bool)
    mask[2:8, 3:12, 2:10] = True
    table = extract_features(exam, maps, {"lesion": mask}, _plain_preset())
    defined = maps.pe_early[mask & np.isfinite(maps.pe_early)]
    assert table.value("lesion", "pe_early", "original_firstorder_Mean") == pytest.approx(defined.mean(), rel=1e-5)
    assert table.value("lesion", "phase1", "original_firstorder_Mean") == pytest.approx(
        signal[1][mask].mean(), rel=1e-5
    )


def test_normalisation_uses_the_reference_mask_and_clips():
    exam, maps = _exam()
    mask = np.zeros(exam.geometry.shape, bool)
    mask[2:8, 3:12, 2:10] = True
    reference = np.zeros_like(mask)
    reference[:, :7] = True
    preset = load_preset("mr_default")
    preset = replace(
        preset,
        phases=replace(preset.phases, resample_mm=None, clip_sd=3.0),
        maps=replace(preset.maps, resample_mm=None),
    )
    table = extract_features(exam, maps, {"lesion": mask}, preset, reference=reference)
    inside = exam.signal[1][reference].astype(float)
    expected = 100 * np.clip((exam.signal[1] - inside.mean()) / inside.std(), -3, 3)[mask]
    assert table.value("lesion", "phase1", "original_firstorder_Mean") == pytest.approx(
        expected.mean(), rel=1e-4, abs=1e-3
    )
    assert table.value("lesion", "phase1", "original_firstorder_Maximum") == pytest.approx(expected.max(), rel=1e-5)


def test_features_do_not_depend_on_where_the_exam_lies_in_the_scanner():
    exam, maps = _exam()
    mask = np.zeros(exam.geometry.shape, bool)
    mask[2:8, 3:12, 2:10] = True
    preset = load_preset("mr_default")
    plain = extract_features(exam, maps, {"lesion": mask}, preset)
    turned = make_geometry(exam.geometry.shape, (1, 1, 2), (40, -30, 7), (0, 0, -1, 1, 0, 0, 0, -1, 0))
    moved = extract_features(replace(exam, geometry=turned), replace(maps, geometry=turned), {"lesion": mask}, preset)
    for a, b in zip(plain.rows, moved.rows, strict=True):
        assert b.value == pytest.approx(a.value, rel=1e-6, abs=1e-9), (a.image, a.feature)


@pytest.mark.parametrize("name", preset_names())
def test_shipped_presets_load(name):
    preset = load_preset(name)
    assert preset.name == name
    assert preset.min_voxels == 50
    assert preset.description


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema="other"), "its schema is 'other'"),
        (lambda d: d.update(extra=1), "unknown keys"),
        (lambda d: d["phases"].update(bin_count=32), "exactly one"),
        (lambda d: d["maps"].pop("bin_count"), "exactly one"),
        (lambda d: d["phases"].update(interpolator="magic"), "interpolator must be one of"),
        (lambda d: d["phases"].update(resample_mm=-1), "must be positive"),
        (lambda d: d.pop("maps"), "KeyError"),
    ],
)
def test_damaged_presets_are_refused(tmp_path, change, words):
    data = json.loads(resource_path("Presets", "mr_default.json").read_text())
    change(data)
    (tmp_path / "p.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=words):
        load_preset(tmp_path / "p.json")


def test_unknown_engine_is_refused():
    with pytest.raises(InputError, match="feature engine quantum is unknown"):
        make_engine("quantum")


def test_the_default_preset_does_not_flatten_what_enhances():
    """A lesion lies many SDs above the mean of the body: clipping would leave its texture one gray level."""
    assert load_preset("mr_default").phases.clip_sd is None
    exam, maps = _exam()
    mask = np.zeros(exam.geometry.shape, bool)
    mask[2:8, 3:12, 2:10] = True
    bright = exam.signal.copy()
    bright[1][mask] += 2000
    reference = ~mask
    brighter, preset = replace(exam, signal=bright), load_preset("mr_default")
    table = extract_features(brighter, maps, {"lesion": mask}, preset, reference=reference)
    assert table.value("lesion", "phase1", "original_firstorder_Entropy") > 2
