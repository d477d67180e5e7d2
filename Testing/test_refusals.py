"""Every refusal of the imaging library has a test that asserts its message; here are those without a better place."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import SubregionHabitatLib
from SubregionHabitatLib.bias_field import correct_bias
from SubregionHabitatLib.dicom_exam import read_dicom_exam
from SubregionHabitatLib.dicom_frames import scan_folder
from SubregionHabitatLib.dicom_pixels import fill_planes
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam import check_times
from SubregionHabitatLib.fibroglandular import FibroglandularParameters
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.habitat_clustering import cluster_rows
from SubregionHabitatLib.habitat_file import SCHEMA, load_habitat_model
from SubregionHabitatLib.habitat_model import HabitatSample, fit_habitats
from SubregionHabitatLib.habitat_parameters import HabitatParameters
from SubregionHabitatLib.interaction import spatial_interaction
from SubregionHabitatLib.kinetics import MAX_PHASES, compute_maps
from SubregionHabitatLib.lesion import FtvParameters, functional_tumor_volume
from SubregionHabitatLib.lesion_parts import LesionParameters
from SubregionHabitatLib.lesion_points import nearest_voxel
from SubregionHabitatLib.lesion_roi import voi_from_turned_box
from SubregionHabitatLib.lesion_voi import union_of, voi_from_box, voi_from_seed
from SubregionHabitatLib.masks import DrawnRegion, RegionMask, onto_grid
from SubregionHabitatLib.ring import peritumoral_ring
from SubregionHabitatLib.simulation import (
    DicomOptions,
    PulseSequence,
    SimulationParameters,
    Tissue,
    simulate_exam,
    truth,
    write_dicom,
)
from SubregionHabitatLib.simulation.truth import write_simulated_exam
from SubregionHabitatLib.times_file import read_times
from SubregionHabitatLib.timing import PhaseChoice, choose_early_late
from SubregionHabitatLib.volume_series import read_phase_series
from SubregionHabitatLib.whole_file import write_whole_text
from support.exams import IDENTITY, make_exam, make_geometry
from support.refusals import not_asserted, refusals

GRID = make_geometry((4, 5, 6))
NOTHING = np.zeros(GRID.shape, dtype=bool)
BALL = np.ones(GRID.shape, dtype=bool)


def test_every_refusal_is_asserted_by_its_message():
    library = Path(SubregionHabitatLib.__file__).parent
    found = refusals(library)
    assert len(found) > 200
    missing = [f"{r.file}:{r.line}: {'..'.join(r.pieces)}" for r in not_asserted(found, Path(__file__).parent)]
    assert missing == []


def maps_of(exam):
    return compute_maps(exam, PhaseChoice(1, 2, "test"))


def small_exam(n_phases=3):
    signal = np.ones((n_phases, *GRID.shape)) * np.arange(1, n_phases + 1)[:, None, None, None]
    return make_exam(signal, range(0, 60 * n_phases, 60))


def simulated(**changed):
    return lambda: SimulationParameters(**changed)


TABLE = [
    ("The seed -1 is not a whole number of 0 or more", simulated(seed=-1)),
    ("The simulated spacing .* is not usable; give three lengths above 0", simulated(spacing_mm=(1.0, 0.0, 1.0))),
    ("The laterality 'X' is unknown; choose L or R", simulated(laterality="X")),
    ("Skin is 0 to 5 mm thick and the fibroglandular share 0 to 0.9", simulated(skin_mm=9.0)),
    ("The lesion radii .* mm are not usable; give three lengths above 0", simulated(lesion_radii_mm=(1.0, 0.0, 1.0))),
    ("The zone pattern 'stripes' is unknown; choose one of", simulated(zone_pattern="stripes")),
    (
        "The zone shares .* do not fit; give three shares of 0 or more that add to 1",
        simulated(zone_shares=(1.0, 1.0, 1.0)),
    ),
    ("Heterogeneity lies between 0 and 2 and zone variation between 0 and 0.5", simulated(heterogeneity=9.0)),
    ("The background tissues must be exactly skin, fat, .*; complete them", simulated(background_tissues={})),
    ("A simulated exam needs at least two phase start times in seconds; give them", simulated(phase_starts_s=(0.0,))),
    (
        "do not fit phases of .* s; start at 0 and leave at least one phase duration",
        simulated(phase_starts_s=(0.0, 1.0)),
    ),
    ("The bias field amplitude 2 is out of range; give 0 to 1", simulated(bias_field=2.0)),
    ("Pixels of 13 bits are not supported; choose 12 or 16", simulated(bits_stored=13)),
    ("The simulated tissue .* holds a negative or non-finite value; correct it", lambda: Tissue(-1.0, 0.1, 0.1, 1.0)),
    ("The simulated pulse sequence holds a negative or non-finite value", lambda: PulseSequence(gain=-1.0)),
    ("The share of fat signal left by fat suppression cannot exceed 1", lambda: PulseSequence(fat_signal_share=1.5)),
    ("Unknown timing tag Nonsense; choose from", lambda: DicomOptions(timing_tags=("Nonsense",))),
    (
        "The fibroglandular parameter smoothing_mm must lie between 0 and 3",
        lambda: FibroglandularParameters(smoothing_mm=9),
    ),
    (
        "The background fraction must lie in .* and the neighbour count in 0..26",
        lambda: FtvParameters(min_neighbours=27),
    ),
    ("Which lesion parts to keep, 'some', is unknown; choose one of", lambda: LesionParameters(keep="some")),
    (
        "The image geometry holds missing or non-finite numbers; re-export the image",
        lambda: Geometry((2, 2, 2), (1.0, float("nan"), 1.0), (0.0,) * 3, IDENTITY),
    ),
    (
        "The image geometry is not usable .*; re-export the image with positive sizes and spacings",
        lambda: Geometry((2, 0, 2), (1.0, 1.0, 1.0), (0.0,) * 3, IDENTITY),
    ),
    (
        "The image axes are parallel to each other; re-export the image",
        lambda: Geometry((2, 2, 2), (1.0, 1.0, 1.0), (0.0,) * 3, (1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)),
    ),
    ("The bias field has the array shape .*; estimate it here", lambda: correct_bias(small_exam(), np.ones((2, 2, 2)))),
    (
        "The phases have the array shape .*, which does not fit the grid",
        lambda: dataclasses.replace(small_exam(), geometry=make_geometry((9, 9, 9))),
    ),
    ("The times .* hold a value that is not a number; correct --times", lambda: check_times((0.0, float("nan")), 2)),
    (
        "2 supervoxels cannot make 3 habitats; take a larger lesion or more supervoxels",
        lambda: cluster_rows(np.zeros((2, 4)), 3, HabitatParameters(mode="two_level")),
    ),
    (
        "Neighbourhood 'far' or slice axis 0 is unknown; use one of",
        lambda: spatial_interaction(BALL.astype(np.uint8), 3, 1.0, 0, "far"),
    ),
    (
        f"The exam has {MAX_PHASES + 1} phases; at most {MAX_PHASES} can be mapped. Leave some out",
        lambda: maps_of(make_exam(np.ones((MAX_PHASES + 1, 1, 1, 1)), range(MAX_PHASES + 1))),
    ),
    (
        "The omit region o.nrrd has the array shape .*; bring it onto",
        lambda: functional_tumor_volume(
            small_exam().signal[0],
            maps_of(small_exam()),
            RegionMask(BALL, "v"),
            FtvParameters(),
            RegionMask(BALL[1:], "o.nrrd"),
        ),
    ),
    (
        "The seed .* lies outside the image; check its coordinates and whether they are LPS, RAS or voxel indices",
        lambda: nearest_voxel((900.0, 0.0, 0.0), GRID),
    ),
    (
        "The box has no extent along one of its axes; drag its faces apart",
        lambda: voi_from_turned_box(GRID, np.eye(4), (1.0, 0.0, 1.0)),
    ),
    (
        "The box of .* holds no voxel of the exam; make it larger",
        lambda: voi_from_turned_box(
            GRID, np.array([[1, 0, 0, 2.5], [0, 1, 0, 2.5], [0, 0, 1, 1.5], [0, 0, 0, 1.0]]), (0.2,) * 3
        ),
    ),
    ("The box axes 'mine' are unknown; choose one of", lambda: voi_from_box(GRID, (0, 0, 0), (2, 2, 2), "mine")),
    ("The VOI shape 'star' is unknown; choose one of", lambda: voi_from_seed(GRID, (2.0, 2.0, 2.0), 3.0, "star")),
    (
        "The omit regions lie on different grids; bring them onto",
        lambda: union_of([RegionMask(BALL, "a"), RegionMask(BALL[1:], "b")]),
    ),
    (
        "The VOI v.nrrd lies outside the image; check that it was drawn on this exam",
        lambda: onto_grid(
            DrawnRegion(BALL, make_geometry(GRID.shape, origin=(900.0, 0.0, 0.0)), "v.nrrd"), GRID, "VOI"
        ),
    ),
    (
        "The VOI v.nrrd is smaller than one voxel of the exam; draw it on",
        lambda: onto_grid(
            DrawnRegion(
                np.ones((1, 1, 1), dtype=bool), make_geometry((1, 1, 1), (0.1,) * 3, (0.3, 0.3, 0.3)), "v.nrrd"
            ),
            GRID,
            "VOI",
        ),
    ),
    ("The ring distance 'far' is unknown; choose one of", lambda: peritumoral_ring(BALL, GRID, distance_from="far")),
    ("The ring radius must be a positive number of mm; got 0", lambda: peritumoral_ring(BALL, GRID, 0.0)),
    (
        "The late phase 9 does not exist; choose a post-contrast phase from 1 to 2",
        lambda: choose_early_late((0.0, 60.0, 120.0), None, 1, 9),
    ),
    (
        "The exams give 5 vectors together; 3 habitats need at least 30. Add exams",
        lambda: fit_habitats([sample("a", 3), sample("b", 2)]),
    ),
    (
        "Habitat centres of a cohort need at least 2 exams; got 1. Add exams, or use the mode",
        lambda: fit_habitats([sample("a", 40)]),
    ),
]


def sample(name, n):
    from SubregionHabitatLib.habitat_parameters import HABITAT_FEATURES

    vectors = np.random.default_rng(len(name) + n).normal(size=(n, len(HABITAT_FEATURES)))
    return HabitatSample(vectors, tuple(HABITAT_FEATURES), {}, "all_post", "normalised", "cohort", n, name)


@pytest.mark.parametrize(("message", "call"), TABLE, ids=[message[:40] for message, _ in TABLE])
def test_refusals_name_thing_and_remedy(message, call):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.fixture
def dicom(tmp_path):
    """A small simulated exam as DICOM files."""
    sizes = {"shape": (6, 24, 24), "spacing_mm": (6.0, 6.0, 12.0), "phase_starts_s": (0.0, 130.0, 220.0)}
    exam = simulate_exam(SimulationParameters(**sizes, lesion_radii_mm=(13.0, 13.0, 13.0)))
    return write_dicom(exam, tmp_path / "exam")


def test_refusals_of_dicom_folders(dicom):
    scan = scan_folder(dicom[0].parent)
    frame = next(iter(scan.frames.values()))[0]
    with pytest.raises(InputError, match="holds pixels of another size than its header says; restore the file"):
        fill_planes(frame.path, [(frame, np.zeros((2, 2), dtype=np.float32))])
    (dicom[0].parent / "extra.dcm").write_bytes(dicom[0].read_bytes()[:300])
    with pytest.raises(InputError, match=r"The file extra.dcm beside the dynamic series is .*; restore or remove it"):
        read_dicom_exam(dicom[0].parent)


def test_a_simulated_exam_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(truth, "simulate_exam", lambda _: None)
    monkeypatch.setattr(truth, "write_dicom", full)
    with pytest.raises(InputError, match=r"The simulated exam cannot be written to .* .No space left on device"):
        write_simulated_exam(None, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_refusals_of_files(tmp_path, monkeypatch):
    (tmp_path / "times.json").write_text('{"times_s": [[1]]}')
    with pytest.raises(InputError, match=r"is not a list of seconds; write for example .0, 90, 180"):
        read_times(tmp_path / "times.json")
    image = sitk.GetImageFromArray(np.ones((3, 2, 2, 2), dtype=np.complex64), isVector=False)
    sitk.WriteImage(image, str(tmp_path / "complex.nii.gz"))
    with pytest.raises(InputError, match=r"complex.nii.gz holds complex values; save the magnitude images"):
        read_phase_series(tmp_path / "complex.nii.gz")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"The settings cannot be written to .*; free space or name another place"):
        write_whole_text(tmp_path / "file" / "below", "text", "settings")
    with pytest.raises(InputError, match=r"The output folder .* is not empty; name a new or an empty folder"):
        write_simulated_exam(None, tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({"schema": SCHEMA}))
    with pytest.raises(InputError, match=r"model.json is not a sound habitat model: .*; use the file as it was made"):
        load_habitat_model(tmp_path / "model.json")
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda *_a, **_k: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(InputError, match=r"model.json cannot be read \(Permission denied\); give a habitat model file"):
        load_habitat_model(tmp_path / "model.json")
    monkeypatch.setattr(Path, "open", real)

    def forbidden(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(InputError, match=r"The folder .* cannot be read \(Permission denied\); check its rights"):
        scan_folder(tmp_path)
