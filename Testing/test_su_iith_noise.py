"""An index made from pure noise tells nothing about an outcome: no outcome takes part in making it."""

from __future__ import annotations

import numpy as np

from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey, FeatureMatrix
from IITHModuleLib.heterogeneity.heterogeneity_index import fit_heterogeneity_index
from IITHModuleLib.heterogeneity.iith_signature import load_signature
from IITHModuleLib.statistics.auc import auc_delong
from IITHModuleLib.statistics.concordance import harrell_c
from IITHModuleLib.training.su_iith import load_index_protocol

N_PATIENTS, N_IMAGES, SEEDS = 223, 36, range(8)


def test_index_of_noise_ranks_no_outcome():
    """n = 223, 36 images x 41 features (1,476), 8 seeds: AUC and C within 0.5 +- 0.06 on average."""
    names = [name for name in load_signature("iith-su2023").signs("su") if name != "firstorder_StandardDeviation"]
    keys = tuple(FeatureKey("lesion", f"phase{t}", f"original_{name}") for t in range(N_IMAGES) for name in names)
    parameters = load_index_protocol("su-iith").parameters
    every_phase = type(parameters)(**{**parameters.__dict__, "images": ("phase*",)})
    aucs, concordances = [], []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        values = 10 * rng.standard_normal((N_PATIENTS, len(keys)))
        matrix = FeatureMatrix(tuple(f"p{i}" for i in range(N_PATIENTS)), keys, values)
        cohort = fit_heterogeneity_index(matrix, parameters=every_phase)
        assert len(cohort.index.keys) == len(keys) == 1476
        event = (rng.random(N_PATIENTS) < 0.4).astype(int)
        aucs.append(auc_delong(event, cohort.hi).value)
        concordances.append(harrell_c(rng.exponential(1000, N_PATIENTS), event, cohort.hi))
    assert abs(np.mean(aucs) - 0.5) < 0.06
    assert abs(np.mean(concordances) - 0.5) < 0.06
