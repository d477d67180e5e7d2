"""The further ways to give times, regions and methods to ``iith analyze``, end to end on one small exam."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk

from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from SubregionHabitatLib.volume_io import write_volume


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """One file per phase of a small simulated exam, with VOI and truth; the preset is cut to keep runs short."""
    folder = tmp_path_factory.mktemp("options")
    exam = simulate_exam(
        SimulationParameters(
            seed=12, shape=(28, 64, 64), spacing_mm=(2.2, 2.2, 4.4), lesion_radii_mm=(11.0, 11.0, 12.0)
        )
    )
    for t in range(exam.exam.n_phases):
        write_volume(folder / f"phase{t}.nrrd", exam.exam.signal[t], exam.exam.geometry)
    write_volume(folder / "voi.nrrd", exam.voi, exam.exam.geometry)
    write_volume(folder / "lesion.nrrd", exam.truth_lesion, exam.exam.geometry)
    return folder, exam


def run(base, out, *arguments, times="0,130,220,310,400", code=0):
    folder, _ = base
    phases = [str(folder / f"phase{t}.nrrd") for t in range(5)]
    timing = [] if times is None else ["--times", times]
    assert main(["analyze", *phases, *timing, "--out", str(out), *map(str, arguments)]) == code
    return json.loads((out / "case.json").read_text()) if code == 0 else None


def labels(out, name):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(out / "labels" / f"{name}.nrrd")))


@pytest.fixture(scope="module")
def plain(base, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "out"
    return out, run(base, out, "--voi", base[0] / "voi.nrrd")


def test_times_from_a_file_and_the_injection(base, plain, tmp_path):
    (tmp_path / "times.csv").write_text("time_min\n0\n2.1666667\n3.6666667\n5.1666667\n6.6666667\n")
    case = run(
        base, tmp_path / "o", "--voi", base[0] / "voi.nrrd", "--injection", "110", times=str(tmp_path / "times.csv")
    )
    assert [p["time_s"] for p in case["exam"]["phases"]] == pytest.approx([0, 130, 220, 310, 400], abs=1e-4)
    assert case["exam"]["timing"]["injection_s"] == 110
    for region in case["habitats"]["regions"]:
        before = plain[1]["habitats"]["regions"][region["label"] - 1]["centre"]
        assert region["centre"]["wis"] > before["wis"]
        assert region["centre"]["ser"] == pytest.approx(before["ser"], rel=1e-4)


def test_an_exam_without_times_has_ratios_but_no_slopes(base, tmp_path, capsys):
    assert run(base, tmp_path / "no", "--voi", base[0] / "voi.nrrd", times=None, code=2) is None
    assert "--times" in capsys.readouterr().err
    case = run(base, tmp_path / "o", "--voi", base[0] / "voi.nrrd", "--no-times", times=None)
    assert [p["time_s"] for p in case["exam"]["phases"]] == [None] * 5
    assert case["kinetics"]["early_phase"] == 1
    assert case["kinetics"]["late_phase"] == 4
    assert case["habitats"]["features"] == ["ser", "pe_peak"]
    assert case["kinetics"]["undefined_fraction_in_lesion"]["wis"] == 1
    assert any("times of the phases are not known" in w for w in case["warnings"])
    assert '<th scope="col">Phase</th>' in (tmp_path / "o" / "report.html").read_text()
    rows = (tmp_path / "o" / "features.csv").read_text().splitlines()
    slopes = [r for r in rows if ",wis," in r]
    assert slopes
    assert all(r.split(",")[3] == "" and r.split(",")[5] for r in slopes)


def test_a_seed_and_a_box_find_the_lesion_that_a_voi_finds(base, plain, tmp_path):
    _, exam = base
    centre = exam.exam.geometry.lps_of(np.argwhere(exam.truth_lesion).mean(axis=0)[None])[0]
    seed = ",".join(f"{v:.2f}" for v in centre)
    ras = ",".join(f"{v:.2f}" for v in centre * (-1, -1, 1))
    corners = ",".join(f"{v:.2f}" for v in (*(centre - 22), *(centre + 22)))
    found = plain[1]["lesion"]["volume_cc"]
    for name, options in {
        "seed": ("--seed-point=" + seed,),
        "ras": ("--seed-point=" + ras, "--space", "ras"),
        "box": ("--box=" + corners,),
    }.items():
        case = run(base, tmp_path / name, *options)
        assert case["lesion"]["volume_cc"] == pytest.approx(found, rel=0.03), name
        assert case["lesion"]["made_by"] == ("ftv" if name == "box" else "ftv_seed")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--seed-point=1,2",), "is not three numbers"),
        (("--seed-point=900,0,0",), "lies outside the image"),
        (("--box=1,2,3",), "is not six numbers"),
        (("--voi", "VOI", "--box=0,0,0,9,9,9"), "leave one of --voi and --box out"),
        (("--lesion", "LESION", "--seed-point=0,0,0"), "leave one of them out"),
        (("--voi", "VOI", "--injection", "500"), "injection"),
        (("--voi", "VOI", "--habitat-model", "nothing.json"), "nothing.json"),
    ],
)
def test_options_that_cannot_be_used(base, tmp_path, capsys, options, words):
    folder, _ = base
    named = {"VOI": str(folder / "voi.nrrd"), "LESION": str(folder / "lesion.nrrd")}
    run(base, tmp_path / "o", *(named.get(o, o) for o in options), code=2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert not (tmp_path / "o").exists()


def test_manual_edits_and_other_lesions(base, plain, tmp_path):
    folder, exam = base
    lesion = labels(plain[0], "lesion") > 0
    removed = np.zeros_like(lesion)
    removed[: int(np.argwhere(lesion)[:, 0].mean())] = True
    write_volume(tmp_path / "removed.nrrd", removed, exam.exam.geometry)
    write_volume(tmp_path / "other.nrrd", removed, exam.exam.geometry)
    case = run(
        base, tmp_path / "o", "--voi", folder / "voi.nrrd", "--remove", tmp_path / "removed.nrrd",
        "--other-lesions", tmp_path / "other.nrrd",
    )  # fmt: skip
    assert np.array_equal(labels(tmp_path / "o", "lesion") > 0, lesion & ~removed)
    assert case["lesion"]["made_by"] == "ftv_edited"
    assert case["ring"]["clipped_by"]["other lesions"] > 0.2
    assert not (labels(tmp_path / "o", "ring")[removed] > 0).any()
    assert case["lesion"]["ftv_cc"] == pytest.approx(plain[1]["lesion"]["ftv_cc"])


def test_habitats_of_a_cohort_from_two_commands(base, plain, tmp_path, capsys):
    other = simulate_exam(
        SimulationParameters(
            seed=13, shape=(28, 64, 64), spacing_mm=(2.2, 2.2, 4.4), lesion_radii_mm=(12.0, 10.0, 12.0)
        )
    )
    for t in range(other.exam.n_phases):
        write_volume(tmp_path / f"phase{t}.nrrd", other.exam.signal[t], other.exam.geometry)
    write_volume(tmp_path / "voi.nrrd", other.voi, other.exam.geometry)
    second = run((tmp_path, other), tmp_path / "second", "--voi", tmp_path / "voi.nrrd")
    assert second["habitats"]["comparable_between_patients"] is False
    assert main(["habitats", str(plain[0]), str(plain[0]), "--out", str(tmp_path / "model.json")]) == 2
    assert "hold the same lesion; name every exam once" in capsys.readouterr().err
    assert main(["habitats", str(plain[0]), str(tmp_path / "second"), "--out", str(tmp_path / "model.json")]) == 0
    case = run(base, tmp_path / "o", "--voi", base[0] / "voi.nrrd", "--habitat-model", tmp_path / "model.json")
    assert case["habitats"]["comparable_between_patients"] is True
    assert len(case["habitats"]["model_digest"]) == 64
    agreement = labels(tmp_path / "o", "habitats") == labels(plain[0], "habitats")
    assert agreement[labels(plain[0], "lesion") > 0].mean() > 0.95


def test_two_level_habitats_and_a_chosen_number(base, tmp_path):
    two = run(base, tmp_path / "two", "--voi", base[0] / "voi.nrrd", "--habitat-mode", "two_level")
    assert two["habitats"]["mode"] == "two_level"
    assert two["habitats"]["n_supervoxels"] >= 30
    chosen = run(base, tmp_path / "k", "--voi", base[0] / "voi.nrrd", "--choose-k", "silhouette")
    assert chosen["habitats"]["k"] == len(chosen["habitats"]["regions"])
    assert chosen["habitats"]["k_choice"]["method"] == "silhouette"


def test_bias_field_and_registration_leave_a_still_exam_nearly_unchanged(base, plain, tmp_path):
    case = run(base, tmp_path / "o", "--voi", base[0] / "voi.nrrd", "--register", "rigid", "--n4")
    assert case["preparation"]["registration"]["mode"] == "rigid"
    assert case["preparation"]["bias_field"]["method"].startswith("N4")
    assert case["lesion"]["ftv_cc"] == pytest.approx(plain[1]["lesion"]["ftv_cc"], rel=0.03)
    assert plain[1]["preparation"] == {"registration": {"mode": "none"}, "bias_field": None}


def test_settings_from_a_file_and_from_an_earlier_case(base, plain, tmp_path, capsys):
    (tmp_path / "s.json").write_text(json.dumps({"ring_mm": 8, "ftv": {"min_neighbours": 6}}))
    case = run(base, tmp_path / "o", "--voi", base[0] / "voi.nrrd", "--settings", tmp_path / "s.json")
    assert case["parameters"]["ring_mm"] == 8
    assert case["parameters"]["ftv"]["min_neighbours"] == 6
    assert case["parameters"]["ftv"]["pe_threshold_percent"] == 70
    assert case["ring"]["volume_cc"] > 1.5 * plain[1]["ring"]["volume_cc"]
    again = run(base, tmp_path / "again", "--voi", base[0] / "voi.nrrd", "--settings", tmp_path / "o" / "case.json")
    assert again["parameters"] == case["parameters"]
    assert again["lesion"] == case["lesion"]
    for content, words in (
        ({"ring": 8}, "has no 'ring'"),
        ({"ftv": {"pe": 1}}, "settings.ftv has no 'pe'"),
        ({"ring_mm": "wide"}, "ring_mm cannot be 'wide'"),
        ({"ftv": {"min_neighbours": 99}}, "neighbour count"),
        ([1], "does not hold a JSON object, so it is no settings file"),
    ):
        (tmp_path / "bad.json").write_text(json.dumps(content))
        capsys.readouterr()
        run(base, tmp_path / "no", "--voi", base[0] / "voi.nrrd", "--settings", tmp_path / "bad.json", code=2)
        assert words in capsys.readouterr().err


def test_breast_given_or_left_out_and_regions_of_features(base, plain, tmp_path):
    folder, exam = base
    out, case = plain
    automatic = labels(out, "breast") > 0
    dice = 2 * np.sum(automatic & exam.truth_breast) / (automatic.sum() + exam.truth_breast.sum())
    assert dice >= 0.95
    assert case["breast"]["made_by"] == "automatic"
    assert case["preparation"]["registration"] == {"mode": "none"}
    tissue = labels(out, "tissue")
    assert np.array_equal(np.isin(tissue, (2, 3)), automatic)
    (side,) = case["background_enhancement"]
    cc = exam.exam.geometry.voxel_volume_mm3 / 1000
    assert side["fibroglandular_cc"] == pytest.approx(np.sum(tissue == 3) * cc, abs=1e-3)
    # The written mask, edited by hand, is given back; features of the parenchyma are asked for.
    own = automatic.copy()
    own[:5] = False
    write_volume(tmp_path / "own.nrrd", own, exam.exam.geometry)
    given = run(
        base, tmp_path / "o", "--voi", folder / "voi.nrrd", "--breast", tmp_path / "own.nrrd",
        "--regions", "ring,parenchyma",
    )  # fmt: skip
    assert given["breast"]["made_by"] == "user"
    assert np.array_equal(labels(tmp_path / "o", "breast") > 0, own)
    assert given["parameters"]["feature_regions"] == ["ring", "parenchyma"]
    with (tmp_path / "o" / "features.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    radiomics = {row["region"] for row in rows if row["image"] == "phase1"}
    assert radiomics == {"ring", "ipsilateral_parenchyma"}
    background = {row["feature"]: row for row in rows if row["image"] == "background"}
    (side,) = given["background_enhancement"]
    mean = background["background_enhancement_MeanPercent"]
    assert (float(mean["value"]), mean["unit"]) == (pytest.approx(side["mean_percent"], abs=1e-3), "%")
    assert len(background) == 15
    left_out = run(base, tmp_path / "b", "--voi", folder / "voi.nrrd", "--no-breast-mask", "--regions", "lesion")
    assert left_out["breast"]["made_by"] == "body"
    (side,) = left_out["background_enhancement"]
    assert side["mean_percent"] is None
    assert side["missing"]["mean_percent"].startswith("the breast was not found")


def test_unknown_feature_regions_are_refused(base, tmp_path, capsys):
    run(base, tmp_path / "o", "--voi", base[0] / "voi.nrrd", "--regions", "lesion,fat", code=2)
    assert "The feature region 'fat' is unknown; choose from lesion, habitats, ring" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
