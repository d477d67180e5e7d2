"""The same tasks on a Dask cluster (package ``distributed``, optional)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from SubregionHabitatLib.errors import InputError

from .batch_task import BatchTask, TaskOutcome, failed, read_record, run_task

CONNECT_SECONDS = 15
# Workers that may die under one exam before it is given up come from the scheduler's own setting (allowed-failures).
RETRIES = 2


def run_on_scheduler(tasks: Sequence[BatchTask], address: str, report: Callable[[TaskOutcome], None]) -> None:
    """Run tasks on the workers of a Dask scheduler; ``report`` gets each outcome as it comes.

    Workers need this package and must see inputs and results under the same paths. A task whose worker dies goes to
    another one. Raises InputError where the package is missing or the scheduler cannot be reached.
    """
    client = connect(address)
    from distributed import as_completed

    futures = {}
    try:
        for task in tasks:
            key = f"iith-{task.name}-{uuid.uuid4().hex[:8]}"
            futures[client.submit(_run, task, key=key, pure=False, retries=RETRIES)] = task
        for future in as_completed(list(futures)):
            report(_outcome(future, futures[future]))
    finally:
        # What has not begun is dropped; a task that runs on a worker is finished there.
        client.cancel([future for future in futures if not future.done()])
        client.close()


def connect(address: str):
    """A client of the scheduler at ``address``; raises InputError with the remedy where there is none."""
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--scheduler needs the package distributed; run `pip install 'iith[dask]'`.") from None
    try:
        return Client(address, timeout=CONNECT_SECONDS, name="iith batch")
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"No Dask scheduler answers at {address} ({type(error).__name__}); start one with `dask scheduler` and "
            "give its address, for example tcp://host:8786."
        ) from None


def _run(task: BatchTask) -> TaskOutcome:
    """On a worker: one ITK thread, as workers share cores and sums should come out the same everywhere."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return run_task(task)


def _outcome(future, task: BatchTask) -> TaskOutcome:
    try:
        outcome = future.result()
    except Exception as error:  # the worker's fault, whatever it was, stays with this exam
        return failed(task.name, f"the cluster gave this exam up ({type(error).__name__}); add --resume to try again")
    if not outcome.reason and read_record(task.request.out) is None:
        return failed(
            task.name, "a worker wrote the result where this machine does not see it; use a folder that both share"
        )
    return outcome
