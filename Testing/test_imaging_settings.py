"""Settings of an analysis as JSON: nothing lost, nothing let in."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest

from SubregionHabitatLib.analysis import ImagingParameters
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.habitats import HabitatParameters
from SubregionHabitatLib.imaging_settings import settings_from_json, settings_to_json
from SubregionHabitatLib.lesion import FtvParameters, LesionParameters
from SubregionHabitatLib.preparation import PreparationParameters
from SubregionHabitatLib.registration import RegistrationParameters


def stored(parameters) -> dict:
    return json.loads(json.dumps(settings_to_json(parameters), allow_nan=False))


CHANGED = ImagingParameters(
    preparation=PreparationParameters(
        registration=RegistrationParameters(mode="bspline", fixed_phase=2, jacobian_range=(0.7, 1.5)), n4=True
    ),
    early=2,
    late=4,
    peak_search="early",
    wos_mode="chitalia",
    ftv=FtvParameters(min_ser=0.9, min_ser_inclusive=False, neighbours_within="image", background_percentile=90.0),
    lesion=LesionParameters(keep="all", min_component_mm3=12.5),
    habitats=HabitatParameters(k=5, mode="two_level", features=("ser", "pe_peak"), choose_k="gap", supervoxels=40),
    ring_mm=7.5,
    clip_ring=False,
)


@pytest.mark.parametrize("parameters", [ImagingParameters(), CHANGED], ids=["standard", "changed"])
def test_settings_come_back_equal(parameters):
    back = settings_from_json(stored(parameters))
    assert back == parameters
    assert isinstance(back.preparation.registration.jacobian_range, tuple)


def test_a_whole_number_is_taken_for_a_real_one_but_not_the_other_way_round():
    content = stored(ImagingParameters())
    content["ring_mm"] = 5
    assert settings_from_json(content) == ImagingParameters()
    content["early"] = 2.0
    with pytest.raises(ValueError, match=r"settings\.early"):
        settings_from_json(content)


def damaged(path: str, value) -> dict:
    content = copy.deepcopy(stored(ImagingParameters()))
    *parents, last = path.split(".")
    inner = content
    for name in parents:
        inner = inner[name]
    if value is dataclasses.MISSING:
        del inner[last]
    else:
        inner[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("unknown", 1),
        ("habitats.unknown", 1),
        ("ftv.min_ser", dataclasses.MISSING),
        ("ftv", None),
        ("ftv", [1]),
        ("clip_ring", 1),
        ("clip_ring", "True"),
        ("ring_mm", True),
        ("ring_mm", "5"),
        ("ring_mm", float("nan")),
        ("ring_mm", None),
        ("peak_search", 3),
        ("preparation.registration.jacobian_range", [0.8]),
        ("preparation.registration.jacobian_range", [0.8, "x"]),
        ("habitats.features", "ser"),
        ("habitats.k", 3.0),
    ],
)
def test_another_shape_or_type_is_refused(path, value):
    with pytest.raises(ValueError, match="settings"):
        settings_from_json(damaged(path, value))


@pytest.mark.parametrize("content", [None, [], "x", 5, {}])
def test_what_is_no_settings_object_is_refused(content):
    with pytest.raises(ValueError, match="settings must hold"):
        settings_from_json(content)


def test_values_out_of_range_are_refused_by_the_parameters_themselves():
    with pytest.raises(InputError, match=r"k in 2\.\.6"):
        settings_from_json(damaged("habitats.k", 9))
