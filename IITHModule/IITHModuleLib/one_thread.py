"""Processes that share the cores compute with one thread each.

Threads of BLAS that wait for each other on busy cores cost many times the work itself; with one thread, sums also come
out the same however many processes there are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

BLAS_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
VARIABLES = (*BLAS_VARIABLES, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


@contextmanager
def one_thread_each() -> Iterator[None]:
    """The environment that a process started inside inherits."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
