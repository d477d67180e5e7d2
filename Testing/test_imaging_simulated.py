"""The whole imaging half on the simulated exam, against its exact truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from sklearn.metrics import adjusted_rand_score

from SubregionHabitatLib.analysis import analyze_imaging
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.ring import peritumoral_ring
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam


@pytest.mark.parametrize(
    "changes",
    [{}, {"seed": 7, "orientation": "axial"}, {"seed": 8, "zone_pattern": "concentric", "oblique_deg": (4, -6, 9)}],
)
def test_habitats_agree_with_the_truth_zones(changes, simulated, simulated_imaging):
    if changes:
        exam = simulate_exam(SimulationParameters(**changes))
        result = analyze_imaging(exam.exam, voi=RegionMask(exam.voi, "VOI"))
    else:
        exam, result = simulated, simulated_imaging
    lesion = result.lesion.mask
    assert 2 * (lesion & exam.truth_lesion).sum() / (lesion.sum() + exam.truth_lesion.sum()) > 0.99
    both = lesion | exam.truth_lesion
    assert adjusted_rand_score(exam.truth_zones[both], result.habitats.labels[both]) >= 0.95
    # Equal names too, not only equal groups: 1 poor, 2 moderate, 3 high perfusion.
    assert np.mean(exam.truth_zones[both] == result.habitats.labels[both]) > 0.98
    assert result.habitats.monotone


def test_maps_lie_within_noise_of_the_noiseless_truth(simulated):
    """Errors of PE and SER in the lesion have the spread that error propagation predicts, and no bias."""
    from dataclasses import replace

    maps = compute_maps(simulated.exam, _phases(simulated), wos_mode="normalised")
    clean = compute_maps(replace(simulated.exam, signal=simulated.noiseless), _phases(simulated))
    inside = simulated.truth_lesion
    s0, s1, s2 = (simulated.noiseless[t][inside].astype(float) for t in (0, maps.phases.early, maps.phases.late))
    sigma = np.hypot(simulated.parameters.noise_sigma, 1 / np.sqrt(12))
    pe_sd = 100 * sigma / s0 * np.sqrt(1 + (s1 / s0) ** 2)
    z_pe = (maps.pe_early[inside] - clean.pe_early[inside]) / pe_sd
    assert abs(z_pe.mean()) < 0.1
    assert z_pe.std() == pytest.approx(1.0, abs=0.05)
    rise, ser = s2 - s0, (s1 - s0) / (s2 - s0)
    ser_sd = sigma / rise * np.sqrt(1 + ser**2 + (1 - ser) ** 2)
    z_ser = (maps.ser[inside] - clean.ser[inside]) / ser_sd
    assert abs(z_ser.mean()) < 0.1
    assert z_ser.std() == pytest.approx(1.0, abs=0.05)


def _phases(simulated):
    from SubregionHabitatLib.timing import choose_early_late

    return choose_early_late(simulated.exam.times_s, simulated.exam.timing.temporal_resolution_s)


def test_ring_has_the_analytic_volume(simulated, simulated_imaging):
    analytic = simulated.lesion.ring_volume_mm3(5.0) / 1000
    ring = peritumoral_ring(simulated.truth_lesion, simulated.exam.geometry, 5.0)
    assert ring.volume_cc == pytest.approx(analytic, rel=0.02)
    assert simulated_imaging.ring.volume_cc == pytest.approx(analytic, rel=0.02)
    assert simulated_imaging.ring.kept_fraction == 1.0


def test_ring_from_voxel_centres_has_the_volume_of_the_parallel_body_of_the_centres(simulated_imaging, simulated):
    """Steiner's formula for all points within 5 mm of the hull of the lesion's voxel centres, less the lesion."""
    geometry, lesion = simulated.exam.geometry, simulated_imaging.lesion.mask
    hull = ConvexHull(geometry.lps_of(np.argwhere(lesion)))
    parallel = hull.volume + 5 * hull.area + 25 * _mean_curvature(hull) + 4 / 3 * np.pi * 125
    expected = parallel - lesion.sum() * geometry.voxel_volume_mm3
    # On whole-millimetre voxels many centres lie exactly 5 mm away; a volume can only count them half.
    inner, exact, outer = (
        peritumoral_ring(lesion, geometry, r, distance_from="voxel_centres").volume_cc * 1000
        for r in (5 - 1e-4, 5, 5 + 1e-4)
    )
    assert (inner + outer) / 2 == pytest.approx(expected, rel=0.02)
    assert exact == outer


def _mean_curvature(hull: ConvexHull) -> float:
    """Integral of the mean curvature of a convex polyhedron: half the sum over edges of length x exterior angle."""
    total = 0.0
    for face, neighbours in enumerate(hull.neighbors):
        for other in neighbours:
            if other > face:
                shared = np.intersect1d(hull.simplices[face], hull.simplices[other])
                length = np.linalg.norm(np.subtract(*hull.points[shared]))
                cosine = np.clip(hull.equations[face][:3] @ hull.equations[other][:3], -1, 1)
                total += 0.5 * length * np.arccos(cosine)
    return total


def test_ring_from_voxel_centres_approaches_the_sphere_as_voxels_shrink():
    """The thinner ring is a matter of voxel size, not of a wrong distance: the shortfall halves with the voxel."""
    from support.exams import make_geometry

    shortfall = []
    for spacing in (1.0, 0.5, 0.25):
        n = int(26 / spacing) + 1
        axis = (np.arange(n) - (n - 1) / 2) * spacing + 0.13 * spacing
        distance = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None] ** 2)
        geometry = make_geometry((n,) * 3, (spacing,) * 3)
        ring = peritumoral_ring(distance <= 7, geometry, 5.0, distance_from="voxel_centres")
        shortfall.append(1 - ring.volume_cc * 1000 / (4 / 3 * np.pi * (12**3 - 7**3)))
    assert shortfall[0] > shortfall[1] > shortfall[2] > 0
    assert shortfall[2] < 0.02


def test_curves_follow_the_truth_of_each_zone(simulated, simulated_imaging):
    curves = {c.region: c for c in simulated_imaging.curves}
    assert set(curves) == {"poor", "moderate", "high", "lesion", "ring"}
    for zone, name in ((1, "poor"), (2, "moderate"), (3, "high")):
        inside = simulated.truth_zones == zone
        clean = simulated.noiseless[:, inside].astype(float)
        expected = (100 * (clean - clean[0]) / clean[0]).mean(axis=1)
        assert np.allclose(curves[name].mean, expected, atol=3.0)
        assert curves[name].mean[0] == 0.0


def test_result_is_the_same_for_the_same_seed(simulated, simulated_imaging):
    again = analyze_imaging(simulated.exam, voi=RegionMask(simulated.voi, "simulated VOI"))
    assert np.array_equal(again.habitats.labels, simulated_imaging.habitats.labels)
    assert again.interaction.features == simulated_imaging.interaction.features
