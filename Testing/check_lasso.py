"""The lasso paths of `iith train` against skglm, on glmnet's Cox example and on simulated cohorts.

    python Testing/check_lasso.py

skglm compiles its solver for up to a minute at every start, which is why training does not use it and why this check is
no part of the test suite. Prints the largest difference of a coefficient; the exit code is 1 above 1e-6.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / module) for module in ("SubregionHabitat", "IITHModule", "RadiogenomicReport")]

from IITHModuleLib.training.lasso import CoxLoss, LogisticLoss, lasso_path, penalty_grid  # noqa: E402

LIMIT = 1e-6


def skglm_coefficients(columns: np.ndarray, target: np.ndarray, penalties: np.ndarray, survival: bool) -> np.ndarray:
    """(L, P) by skglm's ProxNewton; target: times and events (N, 2), or -1 and 1 (N,)."""
    from skglm.datafits import Cox, Logistic
    from skglm.penalties import L1
    from skglm.solvers import ProxNewton
    from skglm.utils.jit_compilation import compiled_clone

    columns = np.asfortranarray(columns)
    fit = compiled_clone(Cox(use_efron=False) if survival else Logistic())
    fit.initialize(columns, target)
    found, w = [], np.zeros(columns.shape[1] + (not survival))
    for penalty in penalties:
        solver = ProxNewton(fit_intercept=not survival, tol=1e-11, max_iter=200)
        predictor = columns @ w if survival else columns @ w[:-1] + w[-1]
        w, *_ = solver.solve(columns, target, fit, compiled_clone(L1(penalty)), w_init=w.copy(), Xw_init=predictor)
        found.append(w.copy() if survival else w[:-1].copy())
    return np.array(found)


def main() -> int:
    warnings.filterwarnings("ignore")
    rng = np.random.default_rng(0)
    cohorts = []
    data = Path(os.environ.get("IITH_TEST_DATA", ROOT.parent / "shared" / "data")) / "reference" / "cox.csv"
    if data.is_file():
        table = np.loadtxt(data, delimiter=",", skiprows=1)
        cohorts.append(("glmnet's Cox example", table[:, 2:], table[:, 0], table[:, 1], True))
    x = rng.normal(size=(120, 200))
    event = (rng.random(120) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    cohorts.append(("simulated Cox, 120 x 200", x, np.ceil(20 * rng.exponential(size=120)), event, True))
    cohorts.append(("simulated logistic, 120 x 200", x, None, event, False))
    worst = 0.0
    for name, values, times, events, survival in cohorts:
        z = (values - values.mean(axis=0)) / values.std(axis=0)
        loss = CoxLoss(times, events) if survival else LogisticLoss(events)
        grid = penalty_grid(loss, z, 12, 0.1)[1:]
        ours = lasso_path(loss, z, grid).coefficients
        target = np.column_stack([times, events]) if survival else 2 * events - 1
        theirs = skglm_coefficients(z, target, grid, survival)
        difference = float(np.abs(ours - theirs).max())
        worst = max(worst, difference)
        print(f"{name}: {(ours[-1] != 0).sum()} inputs at the end of the path, largest difference {difference:.1e}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
