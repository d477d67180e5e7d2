"""``iith batch`` as a user runs it: killed and resumed, with a corrupt exam, changed inputs and hostile names."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import shutil
import signal
import time

import pytest

from RadiogenomicReportLib.batch_folder import batch_folder
from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.volume_io import read_volume, write_volume
from support import cohorts

HOSTILE = {"patient": "=HYPERLINK(1)/../../x", "visit": 'T0\n,"b"', "site": "+SUM(A1)"}
CORRUPT = 2


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six exams, one of them with a damaged phase and one with hostile names."""
    folder = tmp_path_factory.mktemp("cohort")
    path = cohorts.write_cohort(folder, 6, [{}, HOSTILE, {}, {}, {}, {}])
    (folder / f"exam{CORRUPT}" / "phase2.nrrd").write_bytes(b"NRRD0004\ntype: float\n")
    return path


@pytest.fixture(scope="module")
def done(cohort, tmp_path_factory):
    """An undisturbed run: its folder, and what it printed."""
    out = tmp_path_factory.mktemp("done") / "out"
    code, printed, errors = cohorts.finish(cohorts.start(cohort, out, "--json"))
    assert code == 0, errors
    return out, json.loads(printed), errors


def copy_of(done, tmp_path):
    """The finished cohort and its inputs, to change."""
    shutil.copytree(done[0], tmp_path / "out")
    return tmp_path / "out"


def test_one_corrupt_exam_is_a_row_with_its_reason_and_the_others_arrive(done):
    out, summary, errors = done
    assert (summary["done"], summary["kept"], summary["failed"]) == (5, 0, 1)
    rows = cohorts.read_rows(out / "cohort.csv")
    assert [row["status"] for row in rows] == ["done", "done", "failed", "done", "done", "done"]
    assert "phase2.nrrd" in rows[CORRUPT]["reason"]
    assert rows[CORRUPT]["lesion_volume_cc"] == ""
    assert rows[CORRUPT]["age"] == "42"
    assert summary["failures"] == [{"patient": "P02", "visit": "T0", "reason": rows[CORRUPT]["reason"]}]
    assert sum("left)" in line for line in errors.splitlines()) == 5
    assert "P02_T0 failed: " in errors
    assert not cohorts.leftovers(out)
    assert len(list((out / "exams").iterdir())) == 5


def test_the_tables_hold_what_the_result_folders_hold(done):
    out, *_ = done
    rows = cohorts.read_rows(out / "cohort.csv")
    wide = list(csv.DictReader(io.StringIO(gzip.decompress((out / "features_wide.csv.gz").read_bytes()).decode())))
    assert [row["result"] for row in wide] == [row["result"] for row in rows]
    for row, features in zip(rows, wide, strict=True):
        found = {name: value for name, value in features.items() if "|" in name}
        if row["status"] == "failed":
            assert set(found.values()) == {""}
            continue
        case = json.loads((out / "exams" / row["result"] / "case.json").read_text())
        assert float(row["ftv_cc"]) == case["lesion"]["ftv_cc"]
        assert float(row["habitat_high_cc"]) == case["habitats"]["volumes_cc"]["high"]
        assert float(row["ring_volume_cc"]) == case["ring"]["volume_cc"]
        scores = {score["model_id"]: score["value"] for score in case["scores"]}
        # A model may refuse such a small exam; its cell is then empty.
        assert {name: row[f"score_{name}"] for name in scores} == {
            name: "" if value is None else repr(value) for name, value in scores.items()
        }
        assert scores["pcr-ispy2-v1"] is not None
        own = cohorts.read_rows(out / "exams" / row["result"] / "features.csv")
        assert {f"{r['region']}|{r['image']}|{r['feature']}": r["value"] for r in own} == found
    assert len({row["lesion|phase1|original_firstorder_Mean"] for row in wide}) == 6


def test_iith_features_on_the_result_folders_gives_the_table_of_the_cohort(done, tmp_path):
    out, *_ = done
    rows = cohorts.read_rows(out / "cohort.csv")
    folders = [str(out / "exams" / row["result"]) for row in rows if row["status"] == "done"]
    assert main(["features", *folders, "--out", str(tmp_path / "wide.csv")]) == 0
    lines = gzip.decompress((out / "features_wide.csv.gz").read_bytes()).splitlines()
    assert (tmp_path / "wide.csv").read_bytes().splitlines() == lines[: CORRUPT + 1] + lines[CORRUPT + 2 :]


def test_hostile_names_stay_in_the_folder_and_are_no_formulas(done):
    out, *_ = done
    lines = (out / "cohort.csv").read_text().splitlines()
    assert len(lines) == 7
    row = cohorts.read_rows(out / "cohort.csv")[1]
    assert row["patient"] == "'=HYPERLINK(1)/../../x"
    assert row["visit"] == 'T0 ,"b"'
    assert row["site"] == "'+SUM(A1)"
    assert (out / "exams" / row["result"] / "case.json").is_file()
    assert sorted(path.name for path in out.parent.iterdir()) == ["out"]


def test_killed_twice_and_resumed_gives_the_same_bytes(cohort, done, tmp_path):
    out, moments = tmp_path / "out", random.Random(5)
    for n_done in (0, 2):
        cohorts.kill_group(cohorts.start(cohort, out, "--resume"), out, n_done, moments.uniform(0.5, 1.5))
        assert not (out / "cohort.csv").exists()
    finished = {path.name for path in (out / "exams").iterdir() if (path / "task.json").is_file()}
    code, printed, errors = cohorts.finish(cohorts.start(cohort, out, "--resume", "--json"))
    assert code == 0, errors
    assert json.loads(printed)["kept"] == len(finished)
    assert cohorts.tables(out) == cohorts.tables(done[0])
    assert not cohorts.leftovers(out)


def test_work_in_one_process_gives_the_same_tables(cohort, done, tmp_path):
    out = copy_of(done, tmp_path)
    shutil.rmtree(out / "exams" / "P00_T0")
    code, printed, errors = cohorts.finish(cohorts.start(cohort, out, "--resume", "--json", jobs=0))
    assert code == 0, errors
    summary = json.loads(printed)
    assert (summary["done"], summary["kept"], summary["failed"]) == (1, 4, 1)
    assert cohorts.tables(out) == cohorts.tables(done[0])


def test_resume_redoes_exactly_what_was_changed(cohort, done, tmp_path):
    out = copy_of(done, tmp_path)
    inputs = tmp_path / "in"
    shutil.copytree(cohort.parent, inputs)
    rows = cohorts.read_rows(cohort)
    rows[3]["age"] = "61"
    rows[0]["site"] = "elsewhere"
    changed = cohorts.write_rows(inputs / "cohort.csv", rows)
    # One voxel brighter, with the time of the file as it was.
    phase = inputs / "exam4" / "phase4.nrrd"
    before = phase.stat()
    array, geometry = read_volume(phase)
    array = array.copy()
    array[0, 0, 0] += 1
    write_volume(phase, array, geometry)
    os.utime(phase, ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.copy(inputs / "exam0" / "phase2.nrrd", inputs / "exam2" / "phase2.nrrd")
    (out / "exams" / "P05_T0" / "features.csv").write_text("damaged")
    code, printed, errors = cohorts.finish(cohorts.start(changed, out, "--resume", "--json"))
    assert code == 0, errors
    summary = json.loads(printed)
    assert (summary["done"], summary["kept"], summary["failed"]) == (4, 2, 0)
    redone = {line.split()[3] for line in errors.splitlines() if " done in " in line}
    assert redone == {"P02_T0", "P03_T0", "P04_T0", "P05_T0"}
    new, old = cohorts.read_rows(out / "cohort.csv"), cohorts.read_rows(done[0] / "cohort.csv")
    assert new[0]["site"] == "elsewhere"
    assert new[3]["score_pcr-ispy2-v1"] != old[3]["score_pcr-ispy2-v1"]
    assert new[5] == old[5]
    assert new[2]["status"] == "done"


def test_resume_with_other_options_keeps_nothing_and_a_broken_option_touches_nothing(cohort, done, tmp_path, capsys):
    from RadiogenomicReportLib import batch_run
    from RadiogenomicReportLib.batch_task import is_done
    from RadiogenomicReportLib.cohort_file import read_cohort
    from RadiogenomicReportLib.command_line.batch import _exam
    from RadiogenomicReportLib.command_line.main import build_parser

    def held(*options):
        args = build_parser().parse_args(cohorts.command(cohort, done[0], *options)[3:])
        found = read_cohort(cohort)
        exams = [_exam(row, args, found) for row in found.rows]
        names = batch_run._names(exams, ())
        return [is_done(task) for task in batch_run._tasks(exams, names, done[0])]

    whole = [True, True, False, True, True, True]
    assert held() == whole
    assert held("--jobs", "1", "--debug") == whole
    for options in (("--ring", "4"), ("--seed", "1"), ("--n4",), ("--preset", "zhou"), ("--engine", "pyradiomics")):
        assert not any(held(*options)), options
    assert not any(held("--model", "rfs-duke-v1"))
    before = cohorts.tables(done[0])
    for options, words in {("--preset", "nothing"): "preset nothing is unknown", ("--jobs", "-1"): "--jobs -1"}.items():
        arguments = cohorts.command(cohort, done[0], "--resume", *options)[3:]
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
    assert cohorts.tables(done[0]) == before


def test_an_output_folder_is_never_mixed_up(cohort, done, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.docx").write_text("x")
    for out, words in {done[0]: "add --resume", other: "holds other files", other / "thesis.docx": "is a file"}.items():
        assert main(cohorts.command(cohort, out)[3:]) == 2
        assert words in capsys.readouterr().err
    assert main(cohorts.command(cohort, other, "--resume")[3:]) == 2
    assert [path.name for path in other.iterdir()] == ["thesis.docx"]
    with (
        batch_folder(tmp_path / "new", False),
        pytest.raises(InputError, match=r"Another .iith batch. works in"),
        batch_folder(tmp_path / "new", True),
    ):
        raise AssertionError("a second run got the folder")


def test_no_exam_at_all_is_the_inputs_fault_and_tables_say_why(cohort, tmp_path):
    rows = [{"patient": "A", "exam": "nothing", "voi": "voi.nrrd"}, {"patient": "B", "exam": ""},
            {"patient": "C", "exam": "exam0", "early": "x"}]  # fmt: skip
    shutil.copy(cohort.parent / "coarse.json", tmp_path / "coarse.json")
    code, _, errors = cohorts.finish(
        cohorts.start(
            cohorts.write_rows(tmp_path / "c.csv", [{"early": "", "voi": "", **row} for row in rows]), tmp_path / "o"
        )
    )
    assert code == 2
    assert "None of the 3 exams could be analyzed; the first: The exam nothing does not exist" in errors
    found = cohorts.read_rows(tmp_path / "o" / "cohort.csv")
    assert [row["status"] for row in found] == ["failed"] * 3
    assert "fill the cell of the column exam" in found[1]["reason"]
    assert "early is 'x'" in found[2]["reason"]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_ctrl_c_stops_the_children_and_leaves_nothing_half_done(cohort, tmp_path):
    out = tmp_path / "out"
    process = cohorts.start(cohort, out)
    children = wait_for_children(process.pid, 2)
    process.send_signal(signal.SIGINT)
    code, _, errors = cohorts.finish(process)
    assert code == 130
    assert "add --resume to go on" in errors
    assert not any(alive(child) for child in children)
    assert not cohorts.leftovers(out)
    assert not (out / "cohort.csv").exists()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_children_end_when_only_the_parent_is_killed(cohort, tmp_path):
    process = cohorts.start(cohort, tmp_path / "out")
    children = wait_for_children(process.pid, 2)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(child) for child in children)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_an_exam_whose_process_dies_is_tried_again_and_then_reported(cohort, tmp_path):
    rows = cohorts.read_rows(cohort)[:1]
    path = cohorts.write_rows(cohort.parent / "one.csv", rows)
    process = cohorts.start(path, tmp_path / "out", jobs=1)
    seen = set()
    for _ in range(2):
        (child,) = wait_for_children(process.pid, 1, seen)
        seen.add(child)
        os.kill(child, signal.SIGKILL)
    code, _, errors = cohorts.finish(process)
    assert code == 2
    assert "was ended from outside (exit code -9)" in errors
    assert cohorts.read_rows(tmp_path / "out" / "cohort.csv")[0]["status"] == "failed"
    assert not cohorts.leftovers(tmp_path / "out")


def wait_for_children(parent: int, n: int, but: frozenset | set = frozenset()) -> list[int]:
    """Process numbers of ``n`` spawned workers of ``parent`` (Linux); they are found by their command line."""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("needs /proc")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with open(f"/proc/{parent}/task/{parent}/children") as stream:
            found = [int(pid) for pid in stream.read().split()]
        workers = [pid for pid in found if pid not in but and b"spawn_main" in command_line(pid)]
        if len(workers) >= n:
            return workers
        time.sleep(0.02)
    raise AssertionError(f"{parent} has no {n} workers")


def command_line(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def alive(pid: int) -> bool:
    return b"spawn_main" in command_line(pid)
