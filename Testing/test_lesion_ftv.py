"""The functional tumor volume rule with all its parameters, against loops over voxels and against UCSF's volume."""

from __future__ import annotations

import itertools

import numpy as np
import pydicom
import pytest

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.lesion import (
    SER_BINS,
    FtvParameters,
    first_post_enhancement,
    functional_tumor_volume,
    lesion_as_drawn,
)
from SubregionHabitatLib.masks import RegionMask, read_region
from SubregionHabitatLib.timing import PhaseChoice, choose_early_late
from support.data import require_data
from support.exams import make_exam


@pytest.fixture(scope="module")
def case():
    """A noisy exam, a ragged VOI that touches the image's edge, and an omit region."""
    rng = np.random.default_rng(3)
    shape = (6, 8, 7)
    signal = rng.integers(50, 150, size=(3, *shape)).astype(float)
    signal[1:] *= rng.uniform(1.0, 3.0, size=(2, *shape))
    signal[2, 2, 2, 2] = signal[0, 2, 2, 2]
    signal[0, 3, 3, 3] = 0.0
    exam = make_exam(signal, (0, 100, 200), spacing=(0.7, 0.9, 2.0))
    maps = compute_maps(exam, PhaseChoice(1, 2, "test"))
    voi = rng.random(shape) < 0.85
    voi[:, :2] = False
    omit = np.zeros(shape, bool)
    omit[:3, 3:6, 4:] = True
    return exam, maps, voi, omit


def _by_loops(exam, maps, voi, omit, p):
    """The rule word for word, voxel by voxel."""
    pre = exam.signal[0].astype(float)
    values = []
    for at in itertools.product(*map(range, voi.shape)):
        if voi[at] and not omit[at]:
            values.append(pre[at])
        elif voi[at] and p.omitted == "zero":
            values.append(0.0)
    threshold = p.background_fraction * np.percentile(values, p.background_percentile)
    found = np.zeros(voi.shape, bool)

    def enhances(at):
        counts = p.neighbours_within == "image" or (voi[at] and not omit[at])
        background = p.background == "off" or pre[at] >= threshold
        return counts and background and maps.pe_early[at] >= p.pe_threshold_percent

    for at in itertools.product(*map(range, voi.shape)):
        if not voi[at] or omit[at] or not enhances(at):
            continue
        around = [tuple(np.add(at, step)) for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
        inside = [n for n in around if all(0 <= i < s for i, s in zip(n, voi.shape, strict=True))]
        ser = maps.ser[at]
        passes = ser >= p.min_ser if p.min_ser_inclusive else ser > p.min_ser
        found[at] = sum(map(enhances, inside)) >= p.min_neighbours and passes
    return found, None if p.background == "off" else threshold


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"min_neighbours": 0},
        {"min_neighbours": 8},
        {"pe_threshold_percent": 120.0},
        {"background_fraction": 0.9, "min_neighbours": 1},
        {"background_percentile": 50.0},
        {"background": "off"},
        {"omitted": "left_out"},
        {"omitted": "left_out", "background_fraction": 1.0, "background_percentile": 80.0, "min_neighbours": 1},
        {"neighbours_within": "image", "min_neighbours": 6},
        {"min_ser": 0.9},
        {"min_ser": -2.0, "min_ser_inclusive": False},
    ],
)
def test_ftv_equals_the_rule_written_as_loops(case, change):
    exam, maps, voi, omit = case
    parameters = FtvParameters(**change)
    for region in (omit, np.zeros_like(omit)):
        expected, threshold = _by_loops(exam, maps, voi, region, parameters)
        found = functional_tumor_volume(
            exam.signal[0], maps, RegionMask(voi, "VOI"), parameters, RegionMask(region, "omit")
        )
        assert np.array_equal(found.mask, expected)
        assert expected.any()
        assert found.background_signal == (None if threshold is None else pytest.approx(threshold))
        assert found.omitted_cc == pytest.approx((voi & region).sum() * 0.7 * 0.9 * 2.0 / 1000)


def test_no_omit_region_equals_an_empty_one(case):
    exam, maps, voi, omit = case
    region = RegionMask(voi, "VOI")
    empty = RegionMask(np.zeros_like(omit), "none")
    one = functional_tumor_volume(exam.signal[0], maps, region, FtvParameters())
    two = functional_tumor_volume(exam.signal[0], maps, region, FtvParameters(), empty)
    assert np.array_equal(one.mask, two.mask)
    assert one.ser_bins_cc == two.ser_bins_cc


def test_a_ser_equal_to_the_limit_counts_only_when_inclusive():
    signal = np.full((3, 5, 5, 5), 100.0)
    signal[1:] = 200.0
    exam = make_exam(signal, (0, 100, 200))
    maps = compute_maps(exam, PhaseChoice(1, 2, "test"))
    voi = RegionMask(np.ones((5, 5, 5), bool), "VOI")
    for inclusive, count in ((True, 125), (False, 0)):
        found = functional_tumor_volume(
            exam.signal[0], maps, voi, FtvParameters(min_ser=1.0, min_ser_inclusive=inclusive)
        )
        assert found.mask.sum() == count


def test_omitted_zeros_lower_the_threshold_as_in_the_institutions_tool():
    signal = np.full((3, 4, 10, 10), 100.0)
    signal[1:] = 250.0
    signal[0, 0] = 50.0
    signal[1:, 0] = 125.0
    exam = make_exam(signal, (0, 100, 200))
    maps = compute_maps(exam, PhaseChoice(1, 2, "test"))
    voi = RegionMask(np.ones((4, 10, 10), bool), "VOI")
    omit = np.zeros((4, 10, 10), bool)
    omit[1:] = True
    omit[1, :2] = False
    found = {
        rule: functional_tumor_volume(
            exam.signal[0], maps, voi, FtvParameters(omitted=rule, min_neighbours=0), RegionMask(omit, "omit")
        )
        for rule in ("zero", "left_out")
    }
    assert found["left_out"].background_signal == pytest.approx(60.0)
    assert found["left_out"].mask.sum() == 20
    values = np.r_[np.zeros(280), np.full(100, 50.0), np.full(20, 100.0)]
    assert found["zero"].background_signal == pytest.approx(0.6 * np.percentile(values, 95))
    assert found["zero"].background_signal < 50
    assert found["zero"].mask.sum() == 120


def test_ser_classes_and_the_rest_add_up(case):
    exam, maps, voi, _ = case
    found = functional_tumor_volume(
        exam.signal[0], maps, RegionMask(voi, "VOI"), FtvParameters(min_ser=-50, min_neighbours=0, background="off")
    )
    cc = 0.7 * 0.9 * 2.0 / 1000
    ser = maps.ser[found.mask]
    assert found.ser_bins_cc == pytest.approx([cc * ((ser > a) & (ser <= b)).sum() for a, b in SER_BINS])
    assert found.ser_outside_bins_cc > 0
    assert sum(found.ser_bins_cc) + found.ser_outside_bins_cc == pytest.approx(found.mask.sum() * cc)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"background_percentile": 0}, r"background percentile must lie in \(0, 100\]; got 0"),
        ({"background_percentile": 101}, "background percentile"),
        ({"omitted": "maybe"}, "Omitted voxels count as one of"),
        ({"neighbours_within": "breast"}, "neighbours within one of"),
        ({"pe_threshold_percent": float("nan")}, "must be finite"),
        ({"min_ser": float("inf")}, "must be finite"),
    ],
)
def test_ftv_parameters_out_of_range_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        FtvParameters(**change)


def test_regions_that_leave_nothing_are_refused(case):
    exam, maps, voi, _ = case
    region = RegionMask(voi, "my-voi.nrrd")
    everything = RegionMask(np.ones_like(voi), "omit.nrrd")
    with pytest.raises(InputError, match=r"omit regions \(omit\.nrrd\) cover the whole VOI \(my-voi\.nrrd\)"):
        functional_tumor_volume(exam.signal[0], maps, region, FtvParameters(), everything)
    with pytest.raises(InputError, match=r"omit region omit\.nrrd has the array shape \(2, 2, 2\)"):
        functional_tumor_volume(
            exam.signal[0], maps, region, FtvParameters(), RegionMask(np.ones((2, 2, 2), bool), "omit.nrrd")
        )
    with pytest.raises(InputError, match=r"VOI my-voi\.nrrd is empty"):
        functional_tumor_volume(exam.signal[0], maps, RegionMask(np.zeros_like(voi), "my-voi.nrrd"), FtvParameters())


def test_a_drawn_lesion_without_signal_has_no_enhancing_fraction(case):
    exam, maps, voi, _ = case
    drawn = np.zeros_like(voi)
    drawn[3, 3, 3] = True
    pe = first_post_enhancement(exam.signal)
    assert np.isnan(pe[3, 3, 3])
    assert pe[0, 0, 0] == pytest.approx(100 * (exam.signal[1, 0, 0, 0] / exam.signal[0, 0, 0, 0] - 1), rel=1e-6)
    ftv = functional_tumor_volume(exam.signal[0], maps, RegionMask(voi, "VOI"), FtvParameters())
    lesion = lesion_as_drawn(RegionMask(drawn, "drawn"), ftv, pe, exam.geometry, FtvParameters())
    assert lesion.enhancing_fraction_first_post is None
    assert lesion.enhancing_fraction_reason == "no lesion voxel has a defined enhancement"


def test_neighbours_within_the_voi_come_closest_to_the_institutions_volume(ucsf_exam):
    """UCSF-BR-06, whose SER map is its FTV: neighbours in the whole image, as UCSF's tool counts, add more."""
    files = [pydicom.dcmread(p) for p in require_data("ucsf-br-06", "image_dce_ser").glob("*.dcm")]
    normal = np.cross(*np.array(files[0].ImageOrientationPatient, float).reshape(2, 3))
    files.sort(key=lambda f: float(np.dot(np.array(f.ImagePositionPatient, float), normal)))
    reference = np.stack([f.pixel_array for f in files]) > 0
    voi = read_region(require_data("ucsf-br-06", "mask"), ucsf_exam.geometry, "VOI")
    maps = compute_maps(ucsf_exam, choose_early_late(ucsf_exam.times_s))
    dice = {}
    for where in ("voi", "image"):
        found = functional_tumor_volume(ucsf_exam.signal[0], maps, voi, FtvParameters(neighbours_within=where)).mask
        dice[where] = 2 * (found & reference).sum() / (found.sum() + reference.sum())
    assert dice["voi"] == pytest.approx(0.9939, abs=0.0001)
    assert dice["image"] == pytest.approx(0.9873, abs=0.0001)
