"""Hostile model files through ``iith score``: one clear line, exit 2, bounded time and memory, nothing executed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from IITHModuleLib.heterogeneity.index_model import load_index_model
from IITHModuleLib.model_file import load_model
from IITHModuleLib.resources import resource_path
from SubregionHabitatLib.errors import InputError
from support.cohorts import MODULES, REPOSITORY

MEMORY_BYTES = 1_500_000_000  # address space: libraries alone map several hundred MB
CPU_SECONDS = 60
NAMES = (
    "missing-key", "extra-field", "nan-coefficient", "infinite", "wrong-unit", "4000-features", "10000-features",
    "pickle", "deep", "deep-objects", "lists", "long-string", "long-escapes", "long-number", "binary",
)  # fmt: skip

# Runs in a process of its own whose limits the kernel enforces; prints exit code and standard error of every file.
CHILD = f"""
import contextlib, io, json, resource, sys
from pathlib import Path
from RadiogenomicReportLib.command_line.main import main
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_SECONDS}, {CPU_SECONDS}))
found = {{}}
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = main(["score", str(path), sys.argv[2]])
    found[path.stem] = [code, error.getvalue(), out.getvalue()]
print(json.dumps(found))
"""


class Trap:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def shipped() -> dict:
    return json.loads(resource_path("Models", "pcr-ispy2-v1", "model.json").read_text())


def many_features(n: int) -> bytes:
    content = shipped()
    form = content["forms"][0]
    feature = {k: v for k, v in form["features"][0].items() if k != "definition"} | {"definition": "x"}
    form["features"] = [feature | {"name": f"lesion|phase1|original_firstorder_F{i}"} for i in range(n)]
    return json.dumps(content).encode()


def hostile_files(trap: Path) -> dict[str, bytes]:
    content = shipped()
    text = json.dumps(content)
    feature = json.dumps(content["forms"][0]["features"][0])
    unit = content["forms"][0]["features"][0] | {"unit": "cc"}
    return {
        "missing-key": json.dumps({k: v for k, v in content.items() if k != "forms"}).encode(),
        "extra-field": json.dumps(content | {"on_load": "rm -rf /"}).encode(),
        "nan-coefficient": text.replace('"coefficient": ', '"coefficient": NaN, "was": ', 1).encode(),
        "infinite": text.replace('"intercept": ', '"intercept": 1e999, "was": ', 1).encode(),
        "wrong-unit": text.replace(feature, json.dumps(unit)).encode(),
        "4000-features": many_features(4_000),
        "10000-features": many_features(10_000),
        "pickle": pickle.dumps(Trap(trap)),
        "deep": b"[" * 20_000_000,
        "deep-objects": b'{"a":' * 2_000_000,
        "lists": b"[" + b"[]," * 12_000_000 + b"[]]",
        "long-string": b'{"schema": "' + b"x" * 30_000_000 + b'"}',
        "long-escapes": b'{"schema": "' + rb"\"" * 10_000_000 + b'"}',
        "long-number": b'{"schema": ' + b"9" * 10_000_000 + b"}",
        "binary": bytes(range(256)) * 1000,
    }


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> tuple[dict, bool]:
    folder = tmp_path_factory.mktemp("hostile")
    trap = folder / "executed"
    files = hostile_files(trap)
    assert tuple(files) == NAMES
    for name, content in files.items():
        (folder / f"{name}.json").write_bytes(content)
    with (folder / "100mb.json").open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)
    table = folder / "patients.csv"
    table.write_text("patient_id,ftv_mm3,hr,her2,age_years\np1,1000,1,0,50\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(REPOSITORY / m) for m in MODULES)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(table)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), trap.exists()


@pytest.mark.parametrize("name", [*NAMES, "100mb"])
def test_a_hostile_file_gets_one_line_and_exit_2(answers, name):
    code, error, out = answers[0][name]
    assert code == 2, error
    assert out == ""
    assert error.count("\n") == 1
    assert error.startswith("iith score: ")
    assert f"{name}.json" in error
    assert "internal error" not in error
    assert len(error) < 700


def test_nothing_in_a_hostile_file_was_executed(answers):
    assert answers[1] is False


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "lesion|phase1"}, "not known"),
        ({"name": "lesion|ser|original_firstorder_Mean", "unit": "%", "preset": "unknown"}, "measures it in '1'"),
        ({"name": "lesion|phase1|original_firstorder_Mean", "unit": "mm3", "preset": "unknown"}, "mm3"),
        ({"name": "lesion|ser|original_firstorder_Mean", "unit": "1", "preset": "../../etc"}, "preset"),
        ({"name": "vaf_TP53", "unit": "%", "preset": "vaf-sum"}, "'%'"),
        ({"name": "table:grade", "unit": "as in the table", "preset": "clinical"}, "preset"),
    ],
)
def test_features_of_a_model_need_their_own_unit_and_preset(tmp_path, change, word):
    content = shipped()
    form = content["forms"][0]
    form["features"][0] |= change
    for key in ("covariance", "correlation"):
        names = form[key]["names"]
        names[names.index("ftv_mm3")] = change["name"]
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=word):
        load_model(tmp_path)


def test_an_index_whose_comparison_with_an_outcome_is_incomplete_is_refused(tmp_path):
    content = json.loads((resource_path("Models", "iith-duke-v1") / "model.json").read_text())
    del content["training"]["survival"]["models"][0]["c_apparent"]["high"]
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="training/survival"):
        load_index_model(tmp_path)
