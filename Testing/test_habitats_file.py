"""Habitat models as files: exact round trip, the published schema, and every way in which a file is refused."""

from __future__ import annotations

import copy
import json

import jsonschema
import numpy as np
import pytest

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.habitat_file import habitat_model_to_json, load_habitat_model, save_habitat_model
from SubregionHabitatLib.habitat_model import apply_habitats, fit_habitats, sample_of
from SubregionHabitatLib.habitats import HabitatParameters
from support.data import REPOSITORY
from support.zone_exams import slabs, zone_maps

SCHEMA = REPOSITORY / "Resources" / "Schemas" / "iith-habitats-1.schema.json"


def _fit(**parameters):
    parameters = (
        HabitatParameters(mode="cohort", **parameters) if "mode" not in parameters else HabitatParameters(**parameters)
    )
    lesion = np.ones((12, 8, 8), bool)
    samples = [sample_of(zone_maps(slabs((12, 8, 8)), 5.0, seed), lesion, parameters) for seed in (1, 2)]
    return fit_habitats(samples, parameters)


@pytest.fixture(scope="module")
def model():
    return _fit()


@pytest.fixture
def content(model):
    return copy.deepcopy(habitat_model_to_json(model))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"k": 4, "features": ("wis", "ser")},
        {"choose_k": "gap", "n_init": 3},
        {"mode": "two_level", "choose_k": "silhouette", "supervoxels": 40},
    ],
)
def test_a_saved_model_comes_back_to_the_last_bit_and_fits_the_schema(parameters, tmp_path):
    model = _fit(**parameters)
    path = tmp_path / "new" / "habitats.json"
    save_habitat_model(model, path)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(path.read_text()))
    again = load_habitat_model(path)
    assert again.digest == model.digest
    assert again.parameters == model.parameters
    assert again.k_choice == model.k_choice
    assert again.training == model.training
    for key in ("low", "high", "mean", "sd"):
        assert np.array_equal(getattr(again.scaling, key), getattr(model.scaling, key))
    maps, lesion = zone_maps(slabs((12, 8, 8)), 5.0, 9), np.ones((12, 8, 8), bool)
    assert np.array_equal(apply_habitats(maps, lesion, again).labels, apply_habitats(maps, lesion, model).labels)
    assert [p.name for p in path.parent.iterdir()] == ["habitats.json"]


def test_an_existing_model_is_replaced_and_a_folder_is_not(model, tmp_path):
    path = tmp_path / "habitats.json"
    path.write_text("old")
    save_habitat_model(model, path)
    assert load_habitat_model(path).digest == model.digest
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"cannot be written to .*folder"):
        save_habitat_model(model, tmp_path / "folder")


def _set(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(content):
        for key in keys:
            content = content[key]
        content[last] = value

    return change


def _drop(*keys):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return change


def _swap_centres(content):
    first, second = content["habitats"][:2]
    first["centre_z"], second["centre_z"] = second["centre_z"], first["centre_z"]


def _swap_features(content):
    content["features"][:2] = content["features"][1::-1]


SPOILED = {
    "missing key": (_drop("inertia"), "top level has the keys missing: inertia"),
    "extra key": (_set("hook", 1), "extra: hook"),
    "kind": (_set("kind", "logistic"), "its kind is not 'habitat_centres'"),
    "peak search": (_set("peak_search", "some"), "peak_search is not one of"),
    "wos mode": (_set("wos_mode", 3), "wos_mode is not one of"),
    "unit": (_set("features", 0, "unit", "1/s"), "the unit of wis is not one of 1/min"),
    "unit and mode": (_set("wos_mode", "chitalia"), "unit of washout_rate does not fit wos_mode"),
    "feature unknown": (_set("features", 0, "name", "adc"), "feature's name is not one of"),
    "feature order": (_swap_features, "once each and in this order"),
    "no features": (_set("features", []), "once each and in this order"),
    "SD zero": (_set("features", 1, "sd", 0), "limits, mean and SD of washout_rate are impossible"),
    "mean outside": (_set("features", 3, "mean", 1e9), "limits, mean and SD of pe_peak are impossible"),
    "text as number": (_set("features", 0, "low", "0"), "low is not a usable number"),
    "true as number": (_set("features", 0, "low", True), "low is not a usable number"),
    "overflow": (_set("inertia", "1e999"), "inertia is not a usable number"),
    "centre short": (_set("habitats", 0, "centre_z", [0.1]), "does not have 4 values"),
    "centres out of order": (_swap_centres, "centres are not in order of perfusion"),
    "habitat name": (_set("habitats", 0, "name", "bad"), "not named poor, moderate, high"),
    "shares": (_set("habitats", 0, "training_share", 0.9), "training shares do not add up to 1"),
    "monotone": (_set("monotone", False), "monotone does not agree"),
    "digest": (_set("training", "digest", "abc"), "training digest is not a SHA-256"),
    "count": (_set("training", "n_exams", 1.5), "n_exams is not a usable whole number"),
    "k": (_set("parameters", "k", 4), "parameters name 4 habitats, the file holds 3"),
    "parameter range": (_set("parameters", "winsor_percent", 70), r"Habitats need k in 2\.\.6"),
    "parameter type": (_set("parameters", "seed", "1"), "parameter seed is of the wrong type"),
    "parameter missing": (_drop("parameters", "seed"), "parameters has the keys missing: seed"),
    "per tumour": (_set("parameters", "mode", "per_tumour"), "which has no centres to share"),
    "other features": (_set("parameters", "features", ["ser"]), "parameters name other features"),
    "k choice missing": (_set("parameters", "choose_k", "gap"), "k_choice is missing"),
    "k choice": (_set("k_choice", {"k": 3}), "k_choice has the keys missing"),
    "notes": (_set("notes", ["a\u0000b"]), "notes is not a short text"),
    "long list": (_set("notes", ["a"] * 200), "notes is not a short list"),
    "list as object": (_set("training", []), "training is not an object"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_model_is_refused_in_one_sentence(content, tmp_path, name):
    change, message = SPOILED[name]
    change(content)
    text = json.dumps(content).replace('"1e999"', "1e999")
    path = tmp_path / "habitats.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_habitat_model(path)
    assert "habitats.json is not a sound habitat model" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not a valid JSON file"),
        (b"\xff\xfe", "not a valid JSON file"),
        (b'{"schema": NaN}', "holds NaN, which is not a number"),
        (b'{"schema": 1, "schema": 2}', "holds one key twice"),
        (b"[]", "has the schema 'none'"),
        (b'{"schema": "iith-model/1"}', "has the schema 'iith-model/1', not 'iith-habitats/1'"),
        (b"[" * 200_000, "not a valid JSON file"),
        (b" " * 1_000_001, "larger than 1,000,000 bytes"),
    ],
)
def test_files_that_are_no_model_are_refused(tmp_path, data, message):
    path = tmp_path / "habitats.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        load_habitat_model(path)


def test_an_absent_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"habitat model none\.json does not exist"):
        load_habitat_model(tmp_path / "none.json")
    with pytest.raises(InputError, match="does not exist"):
        load_habitat_model(tmp_path)
