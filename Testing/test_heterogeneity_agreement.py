"""Reader agreement against published numbers and R's psych, stable-feature lists, and perturbed contours."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from IITHModuleLib.feature_engine import make_engine
from IITHModuleLib.features import shape_rows
from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey
from IITHModuleLib.heterogeneity.perturbation import PerturbationParameters, perturbed_masks, signed_distance
from IITHModuleLib.heterogeneity.reader_agreement import FORMS, intraclass_correlation, reader_agreement
from IITHModuleLib.heterogeneity.stable_features import (
    agreement_csv,
    load_stable_features,
    stable_features,
    stable_in_all,
)
from IITHModuleLib.presets import load_preset
from SubregionHabitatLib.errors import InputError
from support.exams import make_geometry
from support.heterogeneity_cohorts import matrix

# Shrout & Fleiss 1979, table 2: six targets, four judges.
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
# R: psych::ICC (2.2.9) on the same table: value, lower and upper bound.
PSYCH = {
    "ICC(1,1)": (0.1657417684, -0.13293232487, 0.7225600623),
    "ICC(2,1)": (0.2897637795, 0.01878651337, 0.7610843696),
    "ICC(3,1)": (0.7148407148, 0.34246476503, 0.9458582600),
    "ICC(1,k)": (0.4427971337, -0.88444215524, 0.9124154203),
    "ICC(2,k)": (0.6200505476, 0.07113681530, 0.9272320402),
    "ICC(3,k)": (0.9093155424, 0.67567471382, 0.9858916782),
}


def _keys(n):
    return tuple(FeatureKey("lesion", "phase1", f"original_glcm_F{i}") for i in range(n))


def _readings(n_patients=20, seed=0, noise=(0.05, 0.3, 1.0, 3.0)):
    """Two readers' tables of four features of falling reproducibility."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n_patients, len(noise)))
    return [matrix(truth + rng.normal(size=truth.shape) * noise, _keys(len(noise))) for _ in range(2)]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_interval_equals_psych(form):
    icc = intraclass_correlation(SHROUT_FLEISS.T[:, :, None]).icc(form)
    found = (float(icc.value[0]), float(icc.low[0]), float(icc.high[0]))
    assert found == pytest.approx(PSYCH[form], abs=2e-10)


def test_offset_and_scale_do_not_change_agreement_but_an_offset_between_readers_does():
    base = intraclass_correlation(SHROUT_FLEISS.T[:, :, None])
    moved = intraclass_correlation(1e6 + 1e-3 * SHROUT_FLEISS.T[:, :, None])
    shifted = intraclass_correlation((SHROUT_FLEISS + np.array([0, 5, 0, 0])).T[:, :, None])
    for form in FORMS:
        assert moved.icc(form).value == pytest.approx(base.icc(form).value, rel=1e-6)
    assert shifted.icc("ICC(3,1)").value == pytest.approx(base.icc("ICC(3,1)").value, rel=1e-12)
    assert shifted.icc("ICC(2,1)").value != pytest.approx(base.icc("ICC(2,1)").value, rel=1e-3)


def test_identical_readings_agree_perfectly_and_constant_features_have_no_value():
    values = np.random.default_rng(0).normal(size=(1, 12, 2)).repeat(3, axis=0)
    values[:, :, 1] = 4.0
    found = intraclass_correlation(values)
    for form in FORMS:
        icc = found.icc(form)
        assert (icc.value[0], icc.low[0], icc.high[0]) == (1.0, 1.0, 1.0)
        assert np.isnan(icc.value[1])
    assert found.reasons == ("", "the feature does not vary")


def test_a_pure_offset_between_readers_leaves_consistency_perfect():
    truth = np.random.default_rng(1).normal(size=(12, 1))
    found = intraclass_correlation(np.stack([truth, truth + 2.0]))
    assert found.icc("ICC(3,1)").value[0] == pytest.approx(1.0, abs=1e-12)
    absolute = found.icc("ICC(2,1)")
    assert 0 < absolute.low[0] < absolute.value[0] < absolute.high[0] < 1
    variance = truth.var(ddof=1)
    assert absolute.value[0] == pytest.approx(variance / (variance + 2.0), rel=1e-9)  # 2 = variance of offsets 0 and 2


def test_intervals_cover_the_true_value_as_often_as_they_say():
    """ICC(2,1) and ICC(3,1) of simulated readers whose true agreement is known."""
    rng = np.random.default_rng(2)
    n, k, repeats = 25, 3, 1500
    patients, noise = rng.normal(size=(1, n, repeats)), 0.7 * rng.normal(size=(k, n, repeats))
    readers = 0.5 * rng.normal(size=(k, 1, repeats))
    found = intraclass_correlation(patients + readers + noise)
    for form, true in (("ICC(2,1)", 1 / (1 + 0.25 + 0.49)), ("ICC(3,1)", 1 / (1 + 0.49))):
        icc = found.icc(form)
        assert np.mean((icc.low <= true) & (true <= icc.high)) == pytest.approx(0.95, abs=0.02), form


def test_missing_readings_leave_out_that_patient_for_that_feature_only():
    first, second = (r.values.copy() for r in _readings())
    second[3, 0] = np.nan
    values = np.stack([first, second])
    found = intraclass_correlation(values)
    assert found.n_patients.tolist() == [19, 20, 20, 20]
    without = intraclass_correlation(np.delete(values, 3, axis=1))
    assert found.icc("ICC(2,1)").value[0] == pytest.approx(without.icc("ICC(2,1)").value[0], rel=1e-12)
    values[1, 4:, 1] = np.nan
    few = intraclass_correlation(values)
    assert np.isnan(few.icc("ICC(2,1)").value[1])
    assert few.reasons[1] == "only 4 patients have every reading, fewer than 5"


def test_tables_are_matched_by_patient_and_feature_not_by_position():
    first, second = _readings()
    order = np.random.default_rng(9).permutation(20)
    turned = second.rows(order).columns([2, 0, 3])
    straight = reader_agreement([first, second])
    matched = reader_agreement([first, turned])
    assert [k.feature[-2:] for k in matched.keys] == ["F0", "F2", "F3"]
    assert matched.icc("ICC(2,1)").value == pytest.approx(straight.icc("ICC(2,1)").value[[0, 2, 3]], rel=1e-12)


def test_stable_features_by_value_and_by_lower_bound():
    agreement = reader_agreement(_readings())
    icc = agreement.icc("ICC(2,1)")
    by_value = stable_features(agreement)
    by_bound = stable_features(agreement, use_lower_bound=True)
    assert [k.feature for k in by_value.keys] == [agreement.keys[i].feature for i in np.flatnonzero(icc.value > 0.75)]
    assert [k.feature for k in by_bound.keys] == [agreement.keys[i].feature for i in np.flatnonzero(icc.low > 0.75)]
    assert 1 <= len(by_bound.keys) <= len(by_value.keys) < 4
    assert by_value.n_tested == 4
    exactly = stable_features(agreement, threshold=float(icc.value[0]))
    assert agreement.keys[0] not in exactly.keys
    assert agreement.keys[0] in stable_features(agreement, threshold=float(icc.value[0]), inclusive=True).keys


def test_list_is_saved_with_how_it_was_made_and_read_again(tmp_path):
    found = stable_features(reader_agreement(_readings()), "ICC(3,1)", details={"readers": 2})
    found.save(tmp_path / "stable.json")
    content = json.loads((tmp_path / "stable.json").read_text())
    assert content["made_by"] == {
        "source": "readers",
        "form": "ICC(3,1)",
        "threshold": 0.75,
        "comparison": ">",
        "measure": "value",
        "confidence": 0.95,
        "n_readings": 2,
        "n_patients_at_most": 20,
        "details": {"readers": 2},
    }
    assert load_stable_features(tmp_path / "stable.json") == found
    assert [p.name for p in tmp_path.iterdir()] == ["stable.json"]


def test_between_and_within_readers_together():
    agreement = reader_agreement(_readings())
    wide, narrow = stable_features(agreement, threshold=0.3), stable_features(agreement, threshold=0.9)
    both = stable_in_all([wide, narrow])
    assert both.keys == narrow.keys
    assert [m["threshold"] for m in both.made_by["lists"]] == [0.3, 0.9]


def test_agreement_table_as_csv():
    rows = list(
        csv.DictReader(io.StringIO(agreement_csv(intraclass_correlation(SHROUT_FLEISS.T[:, :, None], _keys(1)))))
    )
    assert len(rows) == 1
    assert float(rows[0]["ICC(2,1)"]) == pytest.approx(0.2897637795, abs=1e-9)
    assert float(rows[0]["ICC(2,1) low"]) == pytest.approx(0.01878651337, abs=1e-9)


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.update(schema="other"),
        lambda c: c["features"][0].pop("icc"),
        lambda c: c["features"].append(c["features"][0]),
        lambda c: c.update(n_stable=99),
        lambda c: c.update(features=None),
        lambda c: c["features"][0].update(low="high"),
    ],
)
def test_damaged_lists_are_refused_by_name(damage, tmp_path):
    path = tmp_path / "list.json"
    stable_features(reader_agreement(_readings())).save(path)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"list\.json"):
        load_stable_features(path)


def _ball(spacing=(1.0, 1.0, 2.0), radius=10.0, shape=(30, 50, 50)):
    geometry = make_geometry(shape, spacing=spacing)
    z, y, x = (np.arange(n) - n // 2 for n in shape)
    r2 = (z[:, None, None] * spacing[2]) ** 2 + (y[:, None] * spacing[1]) ** 2 + (x * spacing[0]) ** 2
    return r2 <= radius**2, geometry


def test_signed_distance_is_that_of_the_surface_and_level_zero_is_the_mask():
    mask, geometry = _ball(spacing=(0.8, 0.8, 1.2), radius=12.0, shape=(40, 60, 60))
    distance = signed_distance(mask, geometry.spacing_zyx)
    assert np.array_equal(distance < 0, mask)
    z, y, x = np.indices(mask.shape)
    true = np.sqrt(((z - 20) * 1.2) ** 2 + ((y - 30) * 0.8) ** 2 + ((x - 30) * 0.8) ** 2) - 12.0
    for side in (mask, ~mask):
        near = side & (np.abs(true) < 4)
        assert abs((distance - true)[near].mean()) < 0.12
        assert (distance - true)[near].std() < 0.25
    single = np.zeros((5, 5, 5), bool)
    single[2, 2, 2] = True
    values = signed_distance(single, (3.0, 1.0, 1.0))
    assert values[2, 2, 4] == pytest.approx(1.6)
    assert values[0, 2, 2] == pytest.approx(4.8)
    assert values[2, 2, 2] == pytest.approx(-0.6)


def test_without_any_change_the_contour_stays():
    mask, geometry = _ball()
    still = PerturbationParameters(n=2, growth_mm=0, shift_mm=0, noise_sd_mm=0)
    for found in perturbed_masks(mask, geometry, still):
        assert np.array_equal(found.mask, mask)
        assert (found.volume_ratio, found.dice) == (1.0, 1.0)


def test_growth_is_in_millimetres_on_any_voxel_size():
    mask, geometry = _ball()
    free = PerturbationParameters(n=40, growth_mm=2.0, shift_mm=0, noise_sd_mm=0, max_volume_change=0.9, seed=3)
    made = list(perturbed_masks(mask, geometry, free))
    expected = np.array([(1 + found.growth_mm / 10.0) ** 3 for found in made])
    found = np.array([found.volume_ratio for found in made])
    # On voxels of 1 x 1 x 2 mm the volume grows in jumps of up to a layer: right on average.
    assert (found / expected).mean() == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(found, expected)[0, 1] > 0.98


def test_a_shift_moves_the_centre_by_what_it_says():
    mask, geometry = _ball()
    moving = PerturbationParameters(n=6, growth_mm=0, shift_mm=4.0, noise_sd_mm=0, seed=1)
    centre = np.argwhere(mask).mean(axis=0)
    for found in perturbed_masks(mask, geometry, moving):
        moved = (np.argwhere(found.mask).mean(axis=0) - centre) * geometry.spacing_zyx
        assert moved[::-1] == pytest.approx(found.shift_mm, abs=0.35)
        assert np.linalg.norm(found.shift_mm) <= 4.0


def test_contours_differ_keep_their_volume_and_repeat_with_their_seed():
    mask, geometry = _ball()
    parameters = PerturbationParameters(n=10, seed=5)
    first = list(perturbed_masks(mask, geometry, parameters))
    again = list(perturbed_masks(mask, geometry, PerturbationParameters(n=4, seed=5)))
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(first[:4], again, strict=True))
    assert not np.array_equal(first[0].mask, first[1].mask)
    for found in first:
        assert 0.85 <= found.volume_ratio <= 1.15
        assert 0.8 < found.dice < 1.0
        assert found.volume_ratio == pytest.approx(found.mask.sum() / mask.sum())
        assert found.dice == pytest.approx(2 * (found.mask & mask).sum() / (found.mask.sum() + mask.sum()))


def test_contours_stay_inside_what_is_allowed_and_inside_the_image():
    mask, geometry = _ball()
    allowed = np.zeros_like(mask)
    allowed[:, :, :27] = True
    edge = np.roll(mask, 20, axis=2) & (np.arange(50) > 30)
    for found in perturbed_masks(mask & allowed, geometry, PerturbationParameters(n=4), allowed):
        assert not (found.mask & ~allowed).any()
    for found in perturbed_masks(edge, geometry, PerturbationParameters(n=4)):
        assert 0.8 <= found.volume_ratio <= 1.2
    everything = np.ones((4, 5, 6), bool)
    for found in perturbed_masks(everything, make_geometry((4, 5, 6)), PerturbationParameters(n=2)):
        assert found.mask.any()


def test_agreement_under_perturbation_tells_volume_from_a_fragile_feature():
    """Balls of many sizes: volume survives redrawn contours, the shape of a border's roughness does not."""
    engine, settings = make_engine("native"), load_preset("ibsi_fbn").phases
    wanted = ("original_shape_VoxelVolume", "original_shape_MajorAxisLength", "original_shape_Elongation")
    keys = [FeatureKey("lesion", "mask", name) for name in wanted]
    values = np.empty((3, 8, 3))
    for patient in range(8):
        mask, geometry = _ball(radius=7.0 + patient * 0.6, shape=(16, 32, 32))
        contours = perturbed_masks(mask, geometry, PerturbationParameters(n=3, seed=patient))
        for reading, contour in enumerate(contours):
            rows = {r.feature: r.value for r in shape_rows(geometry, {"lesion": contour.mask}, settings, 50, engine)}
            values[reading, patient] = [rows[name] for name in wanted]
    agreement = intraclass_correlation(values, tuple(keys))
    icc = agreement.icc("ICC(1,1)").value
    assert icc[0] > 0.9
    assert icc[1] > 0.75
    assert icc[2] < 0.5
    kept = stable_features(agreement, "ICC(1,1)", source="perturbation", details=PerturbationParameters(n=3).to_json())
    assert kept.keys == tuple(keys[:2])
    assert kept.made_by["details"]["growth_mm"] == 1.0


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: reader_agreement(_readings()[:1]), "at least two readings"),
        (lambda: reader_agreement([_readings()[0], matrix(np.ones((2, 1)), _keys(1), ("a", "b"))]), "share 0 patients"),
        (lambda: intraclass_correlation(np.ones((2, 3))), "readings x patients x features"),
        (lambda: intraclass_correlation(np.ones((2, 6, 1))).icc("ICC"), "ICC form 'ICC'"),
        (lambda: stable_features(reader_agreement(_readings()), threshold=75), "not between 0 and 1"),
        (lambda: stable_in_all([]), "No list"),
        (lambda: PerturbationParameters(n=0), "at least one contour"),
        (lambda: PerturbationParameters(noise_sd_mm=-1), "0 mm or more"),
        (lambda: PerturbationParameters(max_volume_change=1.0), "below 1"),
        (lambda: next(perturbed_masks(np.zeros((4, 4, 4), bool), make_geometry((4, 4, 4)))), "empty"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(call, part):
    with pytest.raises(InputError, match=part):
        call()


def test_readings_of_different_presets_are_never_compared():
    first, second = _readings()
    object.__setattr__(second, "preset_digest", "e" * 64)
    with pytest.raises(InputError, match="same preset"):
        reader_agreement([first, second])
