"""The simulated cohort: its lesions follow the joint distribution of the table it was fitted to, and no row of it."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from IITHModuleLib.kinetic_rows import kinetic_rows
from IITHModuleLib.resources import resource_path
from IITHModuleLib.simulated_cohort.distribution import (
    QUANTITIES,
    distribution_to_json,
    duke_quantities,
    fit_distribution,
    load_distribution,
)
from IITHModuleLib.simulated_cohort.exams import VOLUME_MM3, cohort_exam
from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.errors import InputError
from support.data import require_data


@pytest.fixture(scope="module")
def duke():
    return duke_quantities(pd.read_csv(require_data("duke", "imaging_features.csv.gz")))


@pytest.fixture(scope="module")
def drawn():
    """4,000 lesions, quantity -> (N,)."""
    generator, distribution = np.random.default_rng(0), load_distribution()
    lesions = [distribution.draw(generator) for _ in range(4000)]
    return {name: np.array([lesion[name] for lesion in lesions]) for name in QUANTITIES}


def test_the_shipped_distribution_is_the_fit_of_dukes_table(duke):
    shipped = json.loads(resource_path("Cohorts", "duke-lesions.json").read_text())
    again = distribution_to_json(fit_distribution(duke, shipped["source"], shipped["licence"]))
    assert again == shipped
    assert shipped["n"] == 921


def test_drawn_lesions_have_dukes_margins_and_rank_correlations(duke, drawn):
    for name in QUANTITIES:
        wanted = np.quantile(duke[name], [0.05, 0.25, 0.5, 0.75, 0.95])
        found = np.quantile(drawn[name], [0.05, 0.25, 0.5, 0.75, 0.95])
        spread = np.subtract(*np.quantile(duke[name], [0.75, 0.25]))
        assert np.abs(found[:4] - wanted[:4]).max() < 0.12 * spread, name
    wanted = spearmanr(np.column_stack([duke[n] for n in QUANTITIES])).statistic
    found = spearmanr(np.column_stack([drawn[n] for n in QUANTITIES])).statistic
    assert np.abs(found - wanted).max() < 0.06


def test_no_drawn_lesion_is_a_patient(duke, drawn):
    real = np.column_stack([duke[n] for n in QUANTITIES])
    new = np.column_stack([drawn[n] for n in QUANTITIES])[:500]
    assert not any((np.abs(real - row) < 1e-6 * np.abs(row)).all(axis=1).any() for row in new)


def test_an_exam_shows_the_lesion_that_was_drawn():
    """Measured on the true lesion of four exams with a third post-contrast phase: median deviations of the shares."""
    distribution, deviations = load_distribution(), []
    for index in (3, 4, 8, 11):
        exam, simulated = cohort_exam(distribution, 1, index)
        volume_mm3 = simulated.exam.geometry.voxel_volume_mm3
        rows = kinetic_rows(simulated.exam.signal, simulated.truth_lesion, volume_mm3)
        found = {r.feature.partition("_")[2]: r.value for r in rows}
        assert VOLUME_MM3[0] <= exam.wanted["volume_mm3"] <= VOLUME_MM3[1]
        assert np.exp(found["size_LogVolume"]) == pytest.approx(exam.wanted["volume_mm3"], rel=0.05)
        assert found["enhancement_MeanPercent"] == pytest.approx(exam.wanted["pe_mean_percent"], rel=0.15)
        deviations.append(
            [
                abs(found["enhancement_ShareAbove70Percent"] - exam.wanted["share_above_70_percent"]),
                abs(found["ser_ShareAbove0.9"] - exam.wanted["share_ser_above_0.9"]),
                abs(found["ser_ShareAbove1.3"] - exam.wanted["share_ser_above_1.3"]),
            ]
        )
    assert np.median(deviations, axis=0).max() < 0.10


def test_command_writes_a_cohort_and_goes_on_where_it_stopped(tmp_path):
    def simulate(*more):
        return main(["simulate-cohort", "--out", str(tmp_path / "c"), "--seed", "5", *more])

    assert simulate("--only", "1") == 0
    first = (tmp_path / "c" / "SIM-0001" / "phase1.nrrd").read_bytes()
    stamp = (tmp_path / "c" / "SIM-0001" / "truth.json").stat().st_mtime_ns
    assert simulate("--n", "2") == 0
    assert (tmp_path / "c" / "SIM-0001" / "truth.json").stat().st_mtime_ns == stamp
    with (tmp_path / "c" / "cohort.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [r["patient"] for r in rows] == ["SIM-0000", "SIM-0001"]
    assert all(r["simulated"] == "yes" for r in rows)
    for r in rows:
        assert len(r["times"].split(",")) == len(r["exam"].split(";"))
    assert main(["simulate-cohort", "--out", str(tmp_path / "d"), "--seed", "5", "--only", "1"]) == 0
    assert (tmp_path / "d" / "SIM-0001" / "phase1.nrrd").read_bytes() == first
    assert main(["simulate-cohort", "--out", str(tmp_path / "c"), "--seed", "6", "--n", "2"]) == 2
    assert main(["simulate-cohort", "--out", str(tmp_path / "c"), "--only", "a"]) == 2
    assert main(["simulate-cohort", "--out", str(tmp_path / "c"), "--n", "0"]) == 2


@pytest.mark.parametrize(
    "change", [{"probabilities": [0.1]}, {"correlation": [[1]]}, {"schema": "x"}, {"quantiles": {}}]
)
def test_a_distribution_that_is_not_sound_is_refused(tmp_path, change):
    content = json.loads(resource_path("Cohorts", "duke-lesions.json").read_text()) | change
    (tmp_path / "d.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"d\.json is not a lesion distribution"):
        load_distribution(tmp_path / "d.json")
