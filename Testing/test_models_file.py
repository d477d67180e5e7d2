"""Model files that are damaged, hostile or made for something else: each is refused in one sentence."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from IITHModuleLib import model_file, untrusted_json
from IITHModuleLib.model_file import load_model, shipped_models
from IITHModuleLib.resources import resource_path, resources_folder
from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.errors import InputError
from support.data import REPOSITORY

LOGISTIC, COX = "pcr-ispy2-v1", "rfs-duke-v1"


def content_of(model_id: str) -> dict:
    return json.loads(resource_path("Models", model_id, "model.json").read_text())


def refused(tmp_path: Path, content: object) -> str:
    """Write ``content`` (JSON value or bytes), load it, and return the one sentence of the refusal."""
    path = tmp_path / "model.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(InputError) as caught:
        load_model(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize("model_id", [LOGISTIC, COX])
def test_shipped_models_load_by_id_folder_and_file(model_id):
    folder = resource_path("Models", model_id)
    model = load_model(model_id)
    assert model.id == model_id
    assert load_model(folder).digest == load_model(folder / "model.json").digest == model.digest
    assert model_id in shipped_models()
    assert (folder / "MODEL_CARD.md").is_file()


def test_every_shipped_file_satisfies_its_published_schema():
    import jsonschema

    for base, paths in (
        ("iith-model-1", resource_path("Models").glob("*/model.json")),
        ("iith-protocol-1", resource_path("Protocols").glob("*.json")),
    ):
        for path in paths:
            content = json.loads(path.read_text())
            # Kinds with a file format of their own have a schema of their own.
            own = resource_path("Schemas", f"{base}-{content['kind']}.schema.json")
            schema = json.loads((own if own.is_file() else resource_path("Schemas", f"{base}.schema.json")).read_text())
            jsonschema.Draft202012Validator.check_schema(schema)
            jsonschema.validate(content, schema)


def test_an_unknown_id_lists_what_there_is():
    with pytest.raises(InputError, match=r"iith-duke-v1.*pcr-ispy2-v1.*rfs-duke-v1"):
        load_model("no-such-model")


def missing_feature(form: dict) -> None:
    del form["features"][0]


def extra_feature(form: dict) -> None:
    form["features"].append(form["features"][0] | {"name": "enhancing_fraction", "unit": "1"})


def reordered_features(form: dict) -> None:
    form["features"].reverse()


def wrong_unit(form: dict) -> None:
    form["features"][0]["unit"] = "cc"


def wrong_preset(form: dict) -> None:
    form["features"][0]["preset"] = "something-else"


def unknown_feature(form: dict) -> None:
    form["features"][0]["name"] = "os.system"


def unknown_transform(form: dict) -> None:
    form["features"][0]["transform"] = "exec"


def zero_sd(form: dict) -> None:
    form["features"][0]["sd"] = 0


def fewer_quantiles(form: dict) -> None:
    form["score_quantiles"].pop()


def falling_quantiles(form: dict) -> None:
    form["score_quantiles"].reverse()


def lopsided_covariance(form: dict) -> None:
    form["covariance"]["matrix"][0][1] += 0.5


def negative_covariance(form: dict) -> None:
    form["covariance"]["matrix"][0][0] = -1.0


def ragged_covariance(form: dict) -> None:
    form["covariance"]["matrix"][0].pop()


def more_groups_than_cuts(form: dict) -> None:
    form["groups"]["names"].append("one more")


def more_events_than_patients(form: dict) -> None:
    form["n_events"] = form["n"] + 1


def text_for_a_number(form: dict) -> None:
    form["features"][0]["coefficient"] = "0.5"


@pytest.mark.parametrize("with_schema", [True, False], ids=["jsonschema", "without jsonschema"])
@pytest.mark.parametrize("model_id", [LOGISTIC, COX])
@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (missing_feature, "missing, extra or reordered"),
        (extra_feature, "missing, extra or reordered"),
        (reordered_features, "missing, extra or reordered"),
        (wrong_unit, "'cc'"),
        (wrong_preset, "something-else"),
        (unknown_feature, "os.system"),
        (unknown_transform, "exec"),
        (zero_sd, "sd|SD"),
        (fewer_quantiles, "score.quantiles"),
        (falling_quantiles, "ascending"),
        (lopsided_covariance, "symmetric"),
        (negative_covariance, "symmetric positive"),
        (ragged_covariance, "model file|covariance"),
        (more_groups_than_cuts, "cuts"),
        (more_events_than_patients, "events among"),
    ],
)
def test_a_damaged_form_is_refused(tmp_path, monkeypatch, damage, word, model_id, with_schema):
    if not with_schema:
        monkeypatch.setattr(model_file, "check_schema", lambda *arguments: None)
    content = content_of(model_id)
    damage(content["forms"][0])
    message = refused(tmp_path, content)
    assert re.search(word, message), message


def test_text_in_place_of_a_number_is_refused(tmp_path):
    content = content_of(LOGISTIC)
    text_for_a_number(content["forms"][0])
    assert "coefficient" in refused(tmp_path, content)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, literal):
    content = content_of(LOGISTIC)
    content["forms"][0]["features"][0]["coefficient"] = 12345.678
    text = json.dumps(content).replace("12345.678", literal)
    assert "not a valid model file" in refused(tmp_path, text.encode())


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("schema", "iith-model/2", "iith-model/2"),
        ("kind", "heterogeneity_index", "scores logistic and cox"),
        ("id", "../../etc", "id"),
        ("forms", [], "forms|form"),
        ("surprise", {"run": "rm"}, "surprise"),
    ],
)
def test_wrong_or_extra_top_level_keys_are_refused(tmp_path, key, value, word):
    assert re.search(word, refused(tmp_path, content_of(COX) | {key: value}))


@pytest.mark.parametrize("key", ["id", "forms", "licence", "training", "limits"])
def test_a_missing_top_level_key_is_refused(tmp_path, key):
    content = content_of(COX)
    del content[key]
    assert key in refused(tmp_path, content)


def test_the_parts_of_one_kind_do_not_pass_for_another(tmp_path):
    assert "intercept" in refused(tmp_path, content_of(COX) | {"kind": "logistic"})
    assert "baseline" in refused(tmp_path, content_of(LOGISTIC) | {"kind": "cox"})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda form: form["baseline"]["survival"].reverse(), "falling"),
        (lambda form: form["baseline"]["survival"].pop(), "falling"),
        (lambda form: form["horizons"][0].update(baseline_survival=1.2), "horizon"),
        (lambda form: form["horizons"][0].update(drift=[0.0] * 7), "horizon"),
        (lambda form: form["horizons"][0].update(hazard_variance=-1), "impossible"),
    ],
)
def test_a_damaged_baseline_is_refused(tmp_path, change, word):
    content = content_of(COX)
    change(content["forms"][0])
    assert word in refused(tmp_path, content)


def test_a_truncated_file_is_refused(tmp_path):
    text = json.dumps(content_of(COX))
    assert "not a valid model file" in refused(tmp_path, text[: len(text) // 2].encode())


def test_a_key_given_twice_is_refused(tmp_path):
    text = json.dumps(content_of(COX))
    assert "twice" in refused(tmp_path, ('{"schema": "iith-model/1", ' + text[1:]).encode())


class _Hostile:
    def __reduce__(self):
        return os.mkdir, (os.environ["IITH_TEST_TRAP"],)


def test_a_pickle_is_refused_and_never_run(tmp_path, monkeypatch):
    trap = tmp_path / "executed"
    monkeypatch.setenv("IITH_TEST_TRAP", str(trap))
    message = refused(tmp_path, pickle.dumps(_Hostile()))
    assert "text file" in message or "not a valid model file" in message
    assert not trap.exists()


@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_before_parsing(tmp_path, bracket):
    assert "nested deeper" in refused(tmp_path, bracket * 100_000)


def test_brackets_inside_text_are_not_nesting():
    assert untrusted_json._depth('{"a": "[[[[{{{{\\"[[", "b": [1]}') == 2


def test_a_huge_file_is_refused_without_being_read(tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    with path.open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)

    def no_reading(*arguments, **options):
        raise AssertionError("the file was opened")

    monkeypatch.setattr(Path, "open", no_reading)
    with pytest.raises(InputError, match="104,857,600 bytes"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"null", b"\xff\xfe{}", b'"iith-model/1"'])
def test_files_that_are_no_object_are_refused(tmp_path, content):
    assert "model" in refused(tmp_path, content)


def test_a_folder_without_a_model_and_a_pipe_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"model\.json cannot be read"):
        load_model(tmp_path)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is not a file"):
        load_model(tmp_path / "pipe.json")


def test_the_command_line_answers_a_bad_model_with_one_line_and_exit_2(tmp_path, capsys):
    content = copy.deepcopy(content_of(LOGISTIC))
    reordered_features(content["forms"][0])
    (tmp_path / "model.json").write_text(json.dumps(content))
    assert main(["score", str(tmp_path), str(tmp_path / "case.json")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "reordered" in captured.err


def test_scoring_code_imports_nothing_heavy():
    heavy = ["pandas", "statsmodels", "lifelines", "sklearn", "matplotlib", "jsonschema", "radiomics"]
    code = (
        "import sys, IITHModuleLib.scoring, IITHModuleLib.training.run, IITHModuleLib.score_text\n"
        "import RadiogenomicReportLib.command_line.score, RadiogenomicReportLib.command_line.train\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    folders = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(REPOSITORY / f) for f in folders)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"


def test_resources_are_found_from_a_source_checkout():
    assert resources_folder() == REPOSITORY / "Resources"


def test_resources_are_found_in_an_installed_and_in_a_slicer_layout(tmp_path, monkeypatch):
    from IITHModuleLib import resources

    monkeypatch.setattr(resources, "_HERE", tmp_path / "place" / "IITHModuleLib")
    with pytest.raises(InputError, match="reinstall"):
        resources_folder()
    (tmp_path / "place" / "Resources" / "IITH" / "Models").mkdir(parents=True)
    assert resources_folder() == tmp_path / "place" / "Resources" / "IITH"
    (tmp_path / "place" / "IITHResources" / "Models").mkdir(parents=True)
    assert resources_folder() == tmp_path / "place" / "IITHResources"
