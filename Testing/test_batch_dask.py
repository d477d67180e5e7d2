"""``iith batch --scheduler``: the tables of local processes from a Dask cluster, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from RadiogenomicReportLib.command_line.main import main
from support import cohorts

N = 4


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return cohorts.write_cohort(tmp_path_factory.mktemp("cohort"), N)


def test_a_scheduler_needs_its_package(cohort, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([*cohorts.command(cohort, tmp_path / "o")[3:], "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "pip install 'iith[dask]'" in capsys.readouterr().err


def test_a_scheduler_that_does_not_answer(cohort, tmp_path, capsys, monkeypatch):
    pytest.importorskip("distributed", reason="the package distributed is not installed")
    monkeypatch.setattr("RadiogenomicReportLib.batch_dask.CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        assert main([*cohorts.command(cohort, tmp_path / "o", "--resume")[3:], "--scheduler", address]) == 2
        assert f"No Dask scheduler answers at {address}" in capsys.readouterr().err


def test_a_cluster_whose_worker_is_killed_gives_the_tables_of_local_processes(cohort, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the package distributed is not installed")
    code, _, errors = cohorts.finish(cohorts.start(cohort, tmp_path / "local"))
    assert code == 0, errors
    out = tmp_path / "cluster"
    killed = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit=0
    ) as cluster:

        def kill_one_at_work():
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and not list(out.glob("exams/.*.partial-*")):
                time.sleep(0.02)
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one_at_work)
        killer.start()
        code, printed, errors = cohorts.finish(
            cohorts.start(cohort, out, "--scheduler", cluster.scheduler_address, "--json")
        )
        killer.join()
        assert cluster.workers[0].pid != killed[0]
    assert code == 0, errors
    assert '"failed": 0' in printed
    assert cohorts.tables(out) == cohorts.tables(tmp_path / "local")
    assert not cohorts.leftovers(out)
