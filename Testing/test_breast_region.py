"""The breast in the pipeline: whose mask is used, when the body stands in for it, and what each step makes of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from SubregionHabitatLib.analysis import DrawnRegions, ImagingParameters, analyze_imaging
from SubregionHabitatLib.bias_field import BiasFieldParameters
from SubregionHabitatLib.body import body_mask
from SubregionHabitatLib.breast_mask import BreastParameters
from SubregionHabitatLib.breast_region import Marks, find_breast, share_inside
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.feature_regions import REGION_GROUPS, STANDARD_REGIONS, parse_regions
from SubregionHabitatLib.lesion_voi import voi_from_box
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.preparation import PreparationParameters, prepare_exam
from SubregionHabitatLib.registration import RegistrationParameters
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from support.exams import make_exam

SMALL = {"shape": (36, 80, 80), "spacing_mm": (2.0, 2.0, 3.6), "phase_starts_s": (0.0, 130.0, 220.0, 310.0)}
BOTH = {"shape": (36, 72, 160), "spacing_mm": (2.2, 2.2, 3.6), "orientation": "axial", "bilateral": True}


@pytest.fixture(scope="module")
def sagittal():
    return simulate_exam(SimulationParameters(**SMALL, seed=4, bias_field=0.3))


@pytest.fixture(scope="module")
def bilateral():
    return simulate_exam(SimulationParameters(**{**SMALL, **BOTH}, seed=5))


@pytest.fixture(scope="module")
def analyzed(sagittal):
    return analyze_imaging(sagittal.exam, voi=RegionMask(sagittal.voi, "VOI"))


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def behind_the_wall(truth):
    """A lesion as drawn in the chest."""
    mask = truth.truth_tissue == 4
    deep = np.zeros_like(mask)
    deep[14:22] = mask[14:22]
    return RegionMask(deep, "chest.nrrd")


# --- whose mask ------------------------------------------------------------------------------------------------------


def test_the_automatic_mask_is_the_breast(sagittal, analyzed):
    assert analyzed.breast.made_by == "automatic"
    assert dice(analyzed.reference, sagittal.truth_breast) >= 0.95
    assert analyzed.breast.reason == ""
    assert not any("breast" in warning.lower() for warning in analyzed.warnings)


def test_the_users_mask_wins(sagittal):
    own = sagittal.truth_breast.copy()
    own[:8] = False
    regions = DrawnRegions(
        voi=RegionMask(sagittal.voi, "VOI"), breast=RegionMask(own, "own.nrrd", notes=("as drawn.",))
    )
    result = analyze_imaging(sagittal.exam, regions=regions)
    assert result.breast.made_by == "user"
    assert np.array_equal(result.reference, own)
    assert "The breast mask was given by the user." in result.warnings
    assert "as drawn." in result.warnings
    assert not (result.ring.mask & ~own).any()
    assert not (result.tissue.mask & ~own).any()


def test_the_users_mask_holds_where_nothing_else_is_found():
    exam = make_exam(np.zeros((3, 6, 8, 8)), (0, 90, 180))
    own = np.zeros((6, 8, 8), dtype=bool)
    own[2:4] = True
    found = find_breast(exam, own=RegionMask(own, "own.nrrd"))
    assert (found.made_by, found.fat, found.fat_suppressed) == ("user", None, None)
    assert np.array_equal(found.breast, own)
    assert found.notes[0].startswith("Skin and chest wall were not found (The pre-contrast image holds no signal")


@pytest.mark.parametrize(
    ("marks", "why"),
    [
        (lambda t: Marks(lesion=behind_the_wall(t)), "97 % of the lesion lie outside it"),
        (lambda t: Marks(voi=behind_the_wall(t)), "97 % of the VOI lie outside it"),
        (lambda t: Marks(seed_lps=chest_point(t)), "the seed point lies more than 5 mm outside it"),
    ],
)
def test_a_mask_that_misses_what_was_drawn_gives_way_to_the_body(sagittal, marks, why):
    found = find_breast(sagittal.exam, marks=marks(sagittal))
    assert found.made_by == "body"
    assert found.reason == why
    assert found.notes[0].startswith(f"The automatic breast mask cannot be right ({why}): bias field, registration,")
    assert found.notes[0].endswith("Draw the breast and give it as breast mask.")
    assert np.array_equal(found.breast, body_mask(sagittal.exam.signal[0]))
    # The user's own mask is not doubted.
    own = RegionMask(sagittal.truth_breast, "own.nrrd")
    assert find_breast(sagittal.exam, own=own, marks=marks(sagittal)).made_by == "user"


def chest_point(truth):
    chest = np.argwhere(behind_the_wall(truth).mask)
    rearmost = chest[np.argmax(truth.exam.geometry.lps_of(chest)[:, 1])]
    return tuple(truth.exam.geometry.lps_of(rearmost[None])[0] + (0, 20, 0))


def test_a_box_that_reaches_into_chest_and_air_does_not_speak_against_the_mask(sagittal):
    geometry = sagittal.exam.geometry
    centre = geometry.lps_of(np.argwhere(sagittal.truth_lesion).mean(axis=0)[None])[0]
    box = voi_from_box(geometry, tuple(centre - 45), tuple(centre + 45))
    assert find_breast(sagittal.exam, marks=Marks(voi=box)).made_by == "automatic"


@pytest.mark.parametrize("value", [0.0, -3.0, 77.0, 3e38, 1e-40])
def test_images_that_are_no_breast_fall_back_without_an_error(value):
    found = find_breast(make_exam(np.full((3, 5, 6, 7), value), (0, 90, 180)))
    assert found.breast.shape == (5, 6, 7)
    assert found.made_by in ("automatic", "body")
    assert found.made_by == "automatic" or found.notes


def test_a_failure_is_told_with_its_reason_and_the_analysis_goes_on(sagittal, monkeypatch):
    from SubregionHabitatLib import breast_region

    def fails(*_):
        raise ValueError("some array")

    monkeypatch.setattr(breast_region, "breast_mask", fails)
    result = analyze_imaging(sagittal.exam, voi=RegionMask(sagittal.voi, "VOI"))
    assert result.breast.made_by == "body"
    assert sum(w.startswith("No breast was found (ValueError): bias field,") for w in result.warnings) == 1
    (background,) = result.background
    assert background.mean_percent is None
    assert background.breast_cc is None
    assert set(background.missing.values()) == {"the breast was not found, so there is no fat to compare with"}


def test_the_search_can_be_left_out_and_stopped(sagittal):
    found = find_breast(sagittal.exam, BreastParameters(automatic=False), air_share=0.2)
    assert (found.made_by, found.reason, found.notes) == ("body", "no breast mask was asked for", ())
    assert np.array_equal(found.breast, body_mask(sagittal.exam.signal[0], 0.2))

    class Stop:
        def step(self, fraction, message):
            raise Cancelled

    with pytest.raises(Cancelled):
        find_breast(sagittal.exam, progress=Stop())


def test_a_breast_mask_off_the_grid_or_empty_is_refused(sagittal):
    voi, empty = RegionMask(sagittal.voi, "VOI"), np.zeros_like(sagittal.voi)
    with pytest.raises(InputError, match=r"The breast mask b.nrrd is empty; draw the region and save it again"):
        analyze_imaging(sagittal.exam, regions=DrawnRegions(voi=voi, breast=RegionMask(empty, "b.nrrd")))
    with pytest.raises(InputError, match=r"The breast mask b.nrrd has the array shape .* bring it onto the exam"):
        analyze_imaging(sagittal.exam, regions=DrawnRegions(voi=voi, breast=RegionMask(empty[1:], "b.nrrd")))


# --- what the steps make of it ---------------------------------------------------------------------------------------


def test_bias_field_and_registration_use_the_breast(sagittal):
    parameters = PreparationParameters(
        registration=RegistrationParameters(mode="rigid", linear_iterations=10),
        n4=True,
        bias_field=BiasFieldParameters(shrink=6, levels=2, iterations=20),
    )
    voi = RegionMask(sagittal.voi, "VOI")
    prepared = prepare_exam(sagittal.exam, parameters, voi=voi)
    assert prepared.bias_field["mask"] == "automatic"
    assert prepared.registration.mask_source == "given"
    assert prepared.breast.made_by == "automatic"
    assert dice(prepared.breast.breast, sagittal.truth_breast) >= 0.95
    # The field is of mean 1 where it was estimated: the sum of 1/field times signal tells the mask.
    field = sagittal.exam.signal[0] / np.where(prepared.exam.signal[0] > 0, prepared.exam.signal[0], np.nan)
    first = find_breast(sagittal.exam, marks=Marks(voi=voi))
    assert np.nanmean(field[first.breast]) == pytest.approx(1.0, abs=2e-3)
    plain = prepare_exam(
        sagittal.exam, dataclasses.replace(parameters, breast=BreastParameters(automatic=False)), voi=voi
    )
    assert plain.bias_field["mask"] == "body"
    assert np.nanmean(field[plain.breast.breast]) != pytest.approx(1.0, abs=2e-3)


def test_fat_is_read_under_the_bias_field_that_was_taken_out(sagittal):
    """Else parenchyma would be compared with fat that is as uneven as the coil."""
    parameters = ImagingParameters(preparation=PreparationParameters(n4=True))
    result = analyze_imaging(sagittal.exam, parameters, RegionMask(sagittal.voi, "VOI"))
    truth = (sagittal.truth_tissue == 3) & ~result.lesion.mask & ~result.ring.mask
    assert dice(result.tissue.mask, truth) >= 0.9
    assert result.tissue.fat_level == pytest.approx(1.0, abs=0.05)
    # The field moves no anatomy.
    assert np.array_equal(result.reference, find_breast(sagittal.exam).breast)


def test_the_ring_ends_at_skin_and_chest_wall_and_says_why(sagittal, analyzed):
    assert not (analyzed.ring.mask & (analyzed.breast.skin | analyzed.breast.behind)).any()
    # A lesion under the skin.
    under = np.zeros_like(sagittal.voi)
    surface = np.argwhere(analyzed.reference[18])
    z, (y, x) = 18, surface[np.argmin(surface[:, 1])]
    under[z - 1 : z + 2, y - 3 : y + 4, x : x + 6] = True
    under &= analyzed.reference
    result = analyze_imaging(sagittal.exam, lesion=RegionMask(under, "lesion.nrrd"))
    assert set(result.ring.clipped_by) == {"skin and air"}
    assert result.ring.kept_fraction == pytest.approx(1 - result.ring.clipped_by["skin and air"])
    assert result.ring.kept_fraction < 0.8
    unclipped = analyze_imaging(
        sagittal.exam, ImagingParameters(clip_ring=False), lesion=RegionMask(under, "lesion.nrrd")
    )
    assert unclipped.ring.kept_fraction == 1
    assert unclipped.ring.clipped_by == {}


def test_a_lesion_outside_the_users_mask_keeps_its_ring_and_warns(sagittal, analyzed):
    own = analyzed.reference & ~analyzed.lesion.mask
    regions = DrawnRegions(lesion=RegionMask(analyzed.lesion.mask, "l"), breast=RegionMask(own, "own.nrrd"))
    result = analyze_imaging(sagittal.exam, regions=regions)
    assert share_inside(result.breast, analyzed.lesion.mask) < 0.5
    assert result.ring.kept_fraction == 1
    assert any(
        "of the lesion lie outside the breast mask; the ring is therefore not clipped" in w for w in result.warnings
    )


def test_background_of_both_breasts(bilateral):
    result = analyze_imaging(bilateral.exam, voi=RegionMask(bilateral.voi, "VOI"))
    assert [side.side for side in result.background] == ["ipsilateral", "contralateral"]
    early = result.maps.phases.early
    noiseless = 100 * (bilateral.noiseless[early] / np.maximum(bilateral.noiseless[0], 1e-9) - 1)
    for side, name in zip(result.background, ("left", "right"), strict=True):
        part = result.breast.sides[name]
        truth = (bilateral.truth_tissue == 3) & part & ~result.lesion.mask & ~result.ring.mask
        assert side.missing == {}
        assert side.median_percent == pytest.approx(np.median(noiseless[truth]), abs=2.0)
        assert side.breast_cc == pytest.approx(part.sum() * bilateral.exam.geometry.voxel_volume_mm3 / 1000)
        assert side.lesion_to_background > 2
    assert not (result.tissue.mask & (result.lesion.mask | result.ring.mask)).any()


def test_other_lesions_are_no_background(sagittal, analyzed):
    other = np.zeros_like(analyzed.tissue.mask)
    inside = np.argwhere(analyzed.tissue.mask)
    other[tuple(inside[::3].T)] = True
    regions = DrawnRegions(voi=RegionMask(sagittal.voi, "VOI"), other_lesions=RegionMask(other, "others"))
    result = analyze_imaging(sagittal.exam, regions=regions)
    assert not (result.tissue.mask & other).any()
    assert result.background[0].tissue_cc < analyzed.background[0].tissue_cc


# --- regions of features ---------------------------------------------------------------------------------------------


def test_parenchyma_is_a_region_where_it_is_asked_for(bilateral, analyzed):
    assert list(analyzed.regions()) == ["lesion", "habitat1", "habitat2", "habitat3", "ring"]
    parameters = ImagingParameters(feature_regions=("lesion", "ring", "parenchyma"))
    result = analyze_imaging(bilateral.exam, parameters, RegionMask(bilateral.voi, "VOI"))
    regions = result.regions()
    assert list(regions) == ["lesion", "ring", "ipsilateral_parenchyma", "contralateral_parenchyma"]
    both = regions["ipsilateral_parenchyma"] | regions["contralateral_parenchyma"]
    assert np.array_equal(both, result.tissue.mask)
    assert sum(mask.astype(int) for mask in regions.values()).max() == 1


def test_names_of_regions():
    assert parse_regions("all") == REGION_GROUPS
    assert parse_regions(" ring, lesion ") == ("lesion", "ring")
    assert parse_regions("habitats,ring,lesion") == STANDARD_REGIONS
    with pytest.raises(InputError, match=r"The feature region 'fat' is unknown; choose from lesion, habitats, ring"):
        parse_regions("lesion,fat")
    for text in ("", "lesion,lesion"):
        with pytest.raises(InputError, match=r"Feature regions must be one or more, each once; got"):
            parse_regions(text)
