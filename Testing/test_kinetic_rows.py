"""Kinetic heterogeneity rows: closed forms on drawn curves, and a real Duke exam against Duke's own row."""

from __future__ import annotations

import math

import numpy as np
import pytest

from IITHModuleLib.kinetic_rows import KINETIC_UNITS, composition_entropy, kinetic_rows, ser_composition


def rows_of(curves, counts, reason=None):
    """Rows of a lesion of ``counts`` voxels for each curve (T,), voxels of 2 mm3."""
    voxels = np.concatenate([np.tile(np.array(c, float)[:, None], n) for c, n in zip(curves, counts, strict=True)], 1)
    signal = voxels[:, None, None, :]
    found = kinetic_rows(signal, np.ones(signal.shape[1:], dtype=bool), 2.0, reason)
    assert [r.feature for r in found] == list(KINETIC_UNITS)
    assert all((r.value is None) == bool(r.reason) for r in found)
    return {r.feature.partition("_")[2]: r for r in found}


WASHOUT, PLATEAU, PERSISTENT = (100, 250, 220, 200), (100, 200, 210, 200), (100, 160, 180, 200)


def test_closed_forms():
    found = rows_of((WASHOUT, PLATEAU, PERSISTENT), (1, 1, 2))
    value = {name: r.value for name, r in found.items()}
    rise = np.array([150, 100, 60, 60.0])
    assert value["enhancement_ShareAbove70Percent"] == 0.5
    assert value["enhancement_MeanPercent"] == pytest.approx(rise.mean())
    assert value["enhancement_CoefficientOfVariation"] == pytest.approx(rise.std() / rise.mean())
    moment = ((rise - rise.mean()) ** 4).mean() / rise.var() ** 2
    assert value["enhancement_LogKurtosis"] == pytest.approx(math.log(moment))
    assert (value["ser_ShareAbove0.9"], value["ser_ShareAbove1.3"]) == (0.5, 0.25)
    shares = [value[f"timetopeak_Share{place}"] for place in ("First", "Middle", "Last")]
    assert shares == pytest.approx([0.25, 0.25, 0.5])
    assert value["timetopeak_Entropy"] == pytest.approx(1.5)
    assert value["ser_Entropy"] == pytest.approx(1.5)
    assert value["size_LogVolume"] == pytest.approx(math.log(8))


def test_the_third_post_contrast_phase_is_the_late_one():
    longer = rows_of(((100, 250, 220, 200, 190, 50),), (3,))
    assert longer["ser_ShareAbove1.3"].value == 1.0  # 150 / 100, whatever comes after
    two = rows_of(((100, 250, 240),), (3,))
    assert two["ser_ShareAbove0.9"].value == 1.0
    assert two["timetopeak_ShareFirst"].value is None
    assert "3 post-contrast phases" in two["timetopeak_Entropy"].reason


def test_what_cannot_be_computed_has_a_reason():
    found = rows_of((WASHOUT,), (4,), "the lesion was made by the FTV rule")
    assert found["enhancement_ShareAbove70Percent"].reason == "the lesion was made by the FTV rule"
    assert "same in every voxel" in found["enhancement_LogKurtosis"].reason
    flat = rows_of(((100, 100, 100, 100),), (4,))
    assert "does not enhance" in flat["enhancement_CoefficientOfVariation"].reason
    assert "no lesion voxel" in flat["ser_Entropy"].reason
    assert "two post-contrast" in rows_of(((100, 200),), (4,))["ser_Entropy"].reason


def test_entropy_of_compositions():
    assert composition_entropy([1 / 3] * 3) == pytest.approx(math.log2(3))
    assert composition_entropy([0, 1, 0]) == 0
    assert composition_entropy([[2, 2, 0], [0.5, 0.25, 0.25]]) == pytest.approx([1, 1.5])
    assert ser_composition(0.6, 0.2) == pytest.approx([0.4, 0.4, 0.2])
