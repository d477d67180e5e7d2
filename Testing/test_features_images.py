"""From exam to feature table: working grids, image types, counts, processes, cancelling, reasons."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from IITHModuleLib.feature_engine import make_engine
from IITHModuleLib.feature_images import SourceImage, prepare_image, working_grid
from IITHModuleLib.features import extract_features, image_rows, shape_rows
from IITHModuleLib.presets import ImageSettings, load_preset
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.timing import PhaseChoice
from support.exams import make_exam
from support.reference_radiomics import above, pyradiomics_features

PLAIN = ImageSettings(
    normalize=False, scale=1.0, clip_sd=None, resample_mm=None, interpolator="linear", bin_width=None, bin_count=16,
    voxel_array_shift=0.0, clip_range={},
)  # fmt: skip


@pytest.fixture(scope="module")
def small_exam():
    rng = np.random.default_rng(4)
    shape = (14, 20, 22)
    base = rng.uniform(80, 160, size=shape)
    signal = np.stack([base, base * rng.uniform(1.5, 3, size=shape), base * rng.uniform(1.4, 2.8, size=shape)])
    exam = make_exam(np.round(signal), (0, 90, 300), spacing=(1.0, 1.0, 2.0))
    maps = compute_maps(exam, PhaseChoice(1, 2, "test"))
    mask = np.zeros(shape, bool)
    mask[3:10, 5:15, 4:13] = True
    inner = np.zeros(shape, bool)
    inner[4:8, 6:12, 5:10] = True
    return exam, maps, {"lesion": mask, "habitat1": inner}


def values_of(rows, region="lesion", image="phase1"):
    return {row.feature: row.value for row in rows if (row.region, row.image) == (region, image)}


@pytest.mark.parametrize("interpolator", ["bspline", "linear"])
def test_resampled_phase_equals_pyradiomics_on_the_whole_exam(simulated, simulated_imaging, interpolator):
    """The lattice starts at the exam's corner as PyRadiomics' does, however little of the exam is resampled."""
    exam, mask = simulated.exam, simulated_imaging.lesion.mask
    settings = replace(PLAIN, resample_mm=1.0, interpolator=interpolator)
    source = SourceImage("phase1", exam.signal[1], "signal", settings)
    expected = pyradiomics_features(
        exam.signal[1],
        mask,
        exam.geometry,
        resampledPixelSpacing=[1.0, 1.0, 1.0],
        interpolator={"bspline": "sitkBSpline", "linear": "sitkLinear"}[interpolator],
        binCount=16,
    )
    engine = make_engine("native")
    rows = image_rows([source], exam.geometry, {"lesion": mask}, 50, engine)
    found = values_of(rows) | values_of(shape_rows(exam.geometry, {"lesion": mask}, settings, 50, engine), image="mask")
    assert above(found, expected, 1e-6) == {}


def test_region_values_do_not_depend_on_the_other_regions_or_image_types(small_exam):
    """More regions and filters with a longer reach move the cut, not the values."""
    exam, _, regions = small_exam
    few = replace(PLAIN, resample_mm=1.5, interpolator="bspline")
    many = replace(few, image_types=("original", "wavelet-LLH", "log-sigma-1-0-mm-3D", "gradient"))
    engine = make_engine("native")
    alone = image_rows(
        [SourceImage("phase1", exam.signal[1], "signal", few)],
        exam.geometry,
        {"habitat1": regions["habitat1"]},
        50,
        engine,
    )
    together = image_rows([SourceImage("phase1", exam.signal[1], "signal", many)], exam.geometry, regions, 50, engine)
    found = values_of(together, "habitat1")
    assert len(found) == 4 * 93
    for name, value in values_of(alone, "habitat1").items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_counts_of_the_presets(small_exam):
    """107, 851 and 1395 (with 14 features of shape: 1409) for each region and phase."""
    exam, maps, regions = small_exam
    for name, wanted in (("mr_default", 93), ("wang", 837), ("zhou", 1395)):
        preset = load_preset(name)
        source = SourceImage("phase1", exam.signal[1], "signal", preset.phases)
        rows = image_rows([source], exam.geometry, regions, preset.min_voxels, make_engine("native"), maps.pe_early > 0)
        per_region = Counter(row.region for row in rows)
        assert per_region == {"lesion": wanted, "habitat1": wanted}
        assert len({(row.region, row.feature) for row in rows}) == len(rows)
        assert sum(row.value is None for row in rows) == 0
    assert 93 + 14 == 107
    assert 837 + 14 == 851


def test_names_are_those_of_pyradiomics(small_exam):
    exam, _, regions = small_exam
    types = ("original", *(f"wavelet-{band}" for band in ("LLH", "LLL")), "log-sigma-1-0-mm-3D", "squareroot")
    source = SourceImage("phase1", exam.signal[1], "signal", replace(PLAIN, image_types=types))
    found = values_of(image_rows([source], exam.geometry, regions, 50, make_engine("native")))
    expected = pyradiomics_features(
        exam.signal[1],
        regions["lesion"],
        exam.geometry,
        {"Original": {}, "Wavelet": {}, "LoG": {"sigma": [1.0]}, "SquareRoot": {}},
        shape=False,
        binCount=16,
    )
    assert set(found) <= set(expected)
    assert above(found, {name: expected[name] for name in found}, 1e-6) == {}


def test_both_engines_agree_on_a_preset_with_filters(small_exam):
    exam, maps, regions = small_exam
    preset = load_preset("wang")
    # The preset's own bin width makes up to 500 levels of this noise, and minutes of their matrices.
    phases = replace(preset.phases, bin_width=None, bin_count=32)
    preset = replace(preset, phases=phases, maps=replace(PLAIN, bin_count=8))
    native = extract_features(exam, maps, regions, preset, "native")
    plain = extract_features(exam, maps, regions, preset, "pyradiomics")
    assert (native.engine, plain.engine) == ("native", "pyradiomics")
    assert len(native.rows) == 2 * (14 + 3 * 837 + 5 * 93)
    for a, b in zip(native.rows, plain.rows, strict=True):
        assert (a.region, a.image, a.feature, a.unit, a.reason) == (b.region, b.image, b.feature, b.unit, b.reason)
        assert a.value == pytest.approx(b.value, rel=1e-9), (a.region, a.image, a.feature)


def test_two_processes_give_the_same_table(small_exam):
    exam, maps, regions = small_exam
    preset = load_preset("captk")
    alone = extract_features(exam, maps, regions, preset)
    shared = extract_features(exam, maps, regions, preset, n_jobs=2)
    assert shared.to_csv() == alone.to_csv()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cancelling_ends_the_work(small_exam, n_jobs):
    class Stop:
        steps = 0

        def step(self, fraction, message):
            self.steps += 1
            if fraction > 0:
                raise Cancelled

    exam, maps, regions = small_exam
    progress = Stop()
    with pytest.raises(Cancelled):
        extract_features(exam, maps, regions, load_preset("captk"), progress=progress, n_jobs=n_jobs)
    assert progress.steps == 2


def test_progress_rises_to_the_end(small_exam):
    class Log:
        def __init__(self):
            self.fractions = []

        def step(self, fraction, message):
            self.fractions.append(fraction)

    exam, maps, regions = small_exam
    log = Log()
    extract_features(exam, maps, regions, load_preset("captk"), progress=log)
    assert log.fractions == sorted(log.fractions)
    assert log.fractions[-1] == 1.0


def test_reasons(small_exam, monkeypatch):
    monkeypatch.setattr("IITHModuleLib.feature_tasks.MAX_GRAY_LEVELS", 100)
    exam, _, regions = small_exam
    line = np.zeros(exam.geometry.shape, bool)
    line[5, 5, :] = True
    engine = make_engine("native")

    def reason(mask, **changes):
        source = SourceImage("phase1", exam.signal[1], "signal", replace(PLAIN, **changes))
        rows = image_rows([source], exam.geometry, {"r": mask}, 5, engine)
        assert all((row.value is None) == bool(row.reason) for row in rows)
        return {row.reason for row in rows}

    assert reason(line) == {"the region is one voxel wide in two directions; textures need two that are wider"}
    wide = reason(regions["lesion"], bin_count=None, bin_width=0.01)
    assert len(wide) == 1
    assert "a bin width of 0.01 gives" in wide.pop()
    too_small = reason(regions["lesion"], image_types=("log-sigma-40-0-mm-3D",))
    assert too_small == {"the image is too small for the filter log-sigma-40-0-mm-3D"}


def test_undefined_voxels_are_filled_for_filters_but_left_out_of_the_region(small_exam):
    exam, _, regions = small_exam
    holed = exam.signal[1].copy()
    holed[5, 8:11, 6:9] = np.nan
    settings = replace(PLAIN, image_types=("original", "gradient", "wavelet-LLL"))
    source = SourceImage("ser", holed, "1", settings)
    grid = working_grid(exam.geometry, regions, [settings])
    prepared = prepare_image(source, grid, None)
    assert np.isfinite(prepared.patch.image).all()
    assert (~prepared.defined).sum() == 9
    rows = image_rows([source], exam.geometry, regions, 50, make_engine("native"))
    mean = values_of(rows, image="ser")["original_firstorder_Mean"]
    assert mean == pytest.approx(np.nanmean(holed[regions["lesion"]]), rel=1e-6)
    assert all(row.value is not None for row in rows)


def test_pointwise_filters_use_the_peak_of_the_whole_image(small_exam):
    exam, _, regions = small_exam
    image = exam.signal[1].copy()
    image[0, 0, 0] = 1000
    source = SourceImage("phase1", image, "signal", replace(PLAIN, image_types=("square",)))
    found = values_of(image_rows([source], exam.geometry, regions, 50, make_engine("native")))
    largest = image[regions["lesion"]].max()
    assert found["square_firstorder_Maximum"] == pytest.approx(largest**2 / 1000)


def test_units_of_filtered_images(small_exam):
    exam, _, regions = small_exam
    types = ("original", "gradient", "exponential", "wavelet-HHH")
    source = SourceImage("phase1", exam.signal[1], "signal", replace(PLAIN, image_types=types))
    rows = image_rows([source], exam.geometry, regions, 50, make_engine("native"))
    units = {row.feature: row.unit for row in rows}
    assert units["original_firstorder_Variance"] == "(signal)^2"
    assert units["gradient_firstorder_Mean"] == "signal/mm"
    assert units["exponential_firstorder_Mean"] == "1"
    assert units["wavelet-HHH_firstorder_Mean"] == "signal"
    assert units["wavelet-HHH_glcm_JointEntropy"] == "bit"


def test_a_process_that_dies_is_named(small_exam):
    exam, _, regions = small_exam
    from IITHModuleLib import feature_tasks

    settings = replace(PLAIN, image_types=("original", "gradient"))
    grid = working_grid(exam.geometry, regions, [settings])
    prepared = prepare_image(SourceImage("phase1", exam.signal[1], "signal", settings), grid, None)
    broken = replace(prepared, settings=_EndsProcess(settings))
    # This process takes the first task, another process the second.
    tasks = [feature_tasks.ImageTask(image, ("original",), grid.masks, 50) for image in (prepared, broken)]
    with pytest.raises(InputError, match="ended from outside"):
        list(feature_tasks.run_tasks(tasks, make_engine("native"), ("original_glcm_Contrast",), 2))


class _EndsProcess:
    """Settings whose reading ends the process, as the system does when memory runs out."""

    def __init__(self, settings):
        self.settings = settings

    def __reduce__(self):
        import os

        return os._exit, (9,)
