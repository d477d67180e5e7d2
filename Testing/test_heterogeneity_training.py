"""``iith train chitalia-delta`` and ``iith score`` of two visits, on simulated patients, and the tables they read."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from IITHModuleLib.heterogeneity import exam_table
from IITHModuleLib.heterogeneity.delta_features import delta_features
from IITHModuleLib.heterogeneity.delta_phenotype import PhenotypeParameters, fit_delta_phenotypes
from IITHModuleLib.heterogeneity.exam_table import read_exam_table, two_visits
from IITHModuleLib.heterogeneity.iith_signature import load_signature
from IITHModuleLib.heterogeneity.phenotype_file import load_phenotypes
from IITHModuleLib.heterogeneity.reader_agreement import intraclass_correlation
from IITHModuleLib.heterogeneity.stable_features import stable_features
from IITHModuleLib.resources import resource_path
from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.errors import InputError
from support import feature_tables, heterogeneity_cohorts

N = 60
QUICK = {"n_resamples": 100, "n_simulations": 100, "n_feature_groups": 4}


@pytest.fixture(scope="module")
def visits():
    first, second, truth = heterogeneity_cohorts.two_visits(N, 5)
    return {"T0": first, "T1": second}, truth


@pytest.fixture(scope="module")
def sizes():
    """FTV falls to a quarter in odd patients and rises by half in even ones; one patient has none."""
    rng = np.random.default_rng(3)
    before = np.exp(rng.normal(2, 0.5, N))
    after = before * np.where(np.arange(N) % 2, 0.25, 1.5)
    rows = {}
    for i, name in enumerate(heterogeneity_cohorts.patient_names(N)):
        rows[name, "T0"], rows[name, "T1"] = (before[i], 30.0), (after[i], 24.0)
    rows[heterogeneity_cohorts.patient_names(N)[0], "T1"] = (None, None)
    return rows


@pytest.fixture(scope="module")
def files(visits, sizes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("delta")
    feature_tables.write_wide(folder / "wide.csv.gz", visits[0])
    with (folder / "cohort.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["result", "patient", "visit", "status", "ftv_cc", "longest_diameter_mm"])
        for (patient, visit), (ftv, diameter) in sizes.items():
            cells = ["" if v is None else v for v in (ftv, diameter)]
            writer.writerow([f"{patient}_{visit}", patient, visit, "done", *cells])
    write_protocol(folder / "quick.json")
    return folder


def write_protocol(path, **changes):
    content = json.loads(resource_path("Protocols", "chitalia-delta.json").read_text()) | {"id": "simulated-delta"}
    content["parameters"] |= QUICK
    content["texts"] |= {"licence": {"name": "none", "non_commercial": False, "detail": "Simulated."}}
    path.write_text(json.dumps(content | changes))
    return path


@pytest.fixture(scope="module")
def trained(files):
    arguments = ["train", files / "quick.json", files / "wide.csv.gz", files / "cohort.csv", "--out", files / "model"]
    assert main([*map(str, arguments)]) == 0
    return files / "model"


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_trained_model_is_the_librarys_on_the_same_changes(trained, visits, files):
    first, second = visits[0].values()
    signs = load_signature("delta-chitalia2023").signs_of(first.keys)
    expected = fit_delta_phenotypes(delta_features(first, second, signs), PhenotypeParameters(**QUICK))
    model = load_phenotypes(trained)
    assert model.keys == expected.model.keys
    assert np.array_equal(model.centroids, expected.model.centroids)
    assert adjusted_rand_score(expected.labels, visits[1]) >= 0.9
    content = json.loads((trained / "model.json").read_text())
    assert content["kind"] == "phenotype_centroid"
    assert content["training"]["visits"] == ["T0", "T1"]
    digests = {t["role"]: t["sha256"] for t in content["training"]["tables"]}
    for role, name in (("TABLE", "wide.csv.gz"), ("OUTCOMES", "cohort.csv")):
        assert digests[role] == hashlib.sha256((files / name).read_bytes()).hexdigest()
    assert content["training"]["command"] == (
        "iith train simulated-delta wide.csv.gz cohort.csv --visits T0,T1 --out MODEL"
    )


def test_card_tells_change_of_size_beside_every_phenotype(trained, visits, sizes):
    found = {row["size"]: row for row in json.loads((trained / "model.json").read_text())["training"]["size_changes"]}
    model = load_phenotypes(trained)
    names = heterogeneity_cohorts.patient_names(N)
    phenotypes = {name: model.names[k] for name, k in zip(names, _labels(visits), strict=True)}
    for row in found["functional tumor volume"]["phenotypes"]:
        changes = [100 * (sizes[n, "T1"][0] / sizes[n, "T0"][0] - 1) for n in names[1:] if phenotypes[n] == row["name"]]
        assert row["median_change_percent"] == pytest.approx(np.median(changes))
        assert row["n"] == len(changes)
    assert found["functional tumor volume"]["n"] == N - 1
    assert found["longest diameter"]["phenotypes"][0]["median_change_percent"] == pytest.approx(-20)
    assert found["longest diameter"]["spearman_with_mean_component"] is None  # it changes alike in all
    card = (trained / "MODEL_CARD.md").read_text()
    assert "| longest diameter | -20.0 % (n = " in card
    assert "Research use only" in card
    assert str(trained.parent) not in card + (trained / "model.json").read_text()


def _labels(visits):
    first, second = visits[0].values()
    signs = load_signature("delta-chitalia2023").signs_of(first.keys)
    return fit_delta_phenotypes(delta_features(first, second, signs), PhenotypeParameters(**QUICK)).labels


def test_scoring_the_table_gives_every_patient_or_a_reason(trained, files, visits, capsys, tmp_path):
    new_first, new_second, truth = heterogeneity_cohorts.two_visits(30, 61)
    lost = np.ones(30, dtype=bool)
    lost[4] = False
    far = new_second.values.copy()
    far[7] *= 100
    table = tmp_path / "new.csv"
    feature_tables.write_wide(table, {"T0": new_first, "T1": replace(new_second, values=far)})
    text = [line for line in table.read_text().splitlines() if not line.startswith("sim-004_T1")]
    table.write_text("\n".join(text) + "\n")
    code, out, _ = run(capsys, "score", trained, table, "--cohort", files / "cohort.csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert rows[4]["reason"] == "the visit T1 is not in the table"
    assert "refuses this case" in rows[7]["reason"]
    scored = [i for i in range(30) if i not in (4, 7)]
    assert adjusted_rand_score([rows[i]["phenotype"] for i in scored], truth[scored]) >= 0.9
    assert rows[0]["ftv_change_percent"] == ""  # its second visit has no size
    assert rows[1]["ftv_change_percent"] == "-75"
    assert rows[2]["ftv_change_percent"] == "50"
    assert {row["longest_diameter_change_percent"] for row in rows[1:4]} == {"-20"}
    code, out, _ = run(capsys, "score", trained, table, "--json")
    assert code == 0
    assert json.loads(out)[0]["phenotype"] == rows[0]["phenotype"]
    assert json.loads(out)[4] == {"patient_id": "sim-004", "refusal": "the visit T1 is not in the table"}


def test_scoring_two_result_folders_shows_sizes_beside(trained, visits, capsys, tmp_path):
    first, second = visits[0].values()
    one = feature_tables.write_result(tmp_path / "a", first, 3, 20.0, 40.0)
    two = feature_tables.write_result(tmp_path / "b", second, 3, 5.0, 30.0)
    code, out, _ = run(capsys, "score", trained, one, two)
    assert code == 0
    assert "change of functional tumor volume: -75.0 % (20 to 5 cc)" in out
    assert "change of longest diameter: -25.0 %" in out
    assert "Research use only" in out
    code, out, _ = run(capsys, "score", trained, one, two, "--json")
    result = json.loads(out)
    model = load_phenotypes(trained)
    assert result["phenotype"] == model.names[_labels(visits)[3]]
    assert [c["change_percent"] for c in result["size_changes"]] == [-75.0, -25.0]
    assert len(result["model_digest"]) == 64
    # turned around, heterogeneity changes the other way
    code, out, _ = run(capsys, "score", trained, two, one, "--json")
    assert code == 0
    assert json.loads(out)["phenotype"] != result["phenotype"]
    for arguments, words in (
        (("score", trained, one), "name the result folder of the second visit"),
        (("score", trained, one, two, "--visits", "a,b"), "belong to a table"),
        (("score", trained, one, two, "--hr", "1"), "reads no clinical values"),
        (("score", "pcr-ispy2-v1", one, two), "scores one visit"),
    ):
        code, _, error = run(capsys, *arguments)
        assert code == 2, arguments
        assert words in error
    refused = feature_tables.write_result(tmp_path / "c", replace(second, values=second.values * 100), 3, 5.0, 30.0)
    assert run(capsys, "score", trained, one, refused)[0] == 3
    other = feature_tables.write_result(tmp_path / "d", replace(second, preset_digest="e" * 64), 3, 5.0, 30.0)
    assert "same preset" in run(capsys, "score", trained, one, other)[2]


def test_a_list_of_stable_features_decides_what_training_uses(files, visits, capsys, tmp_path):
    first = visits[0]["T0"]
    rng = np.random.default_rng(0)
    noise = np.where(np.arange(len(first.keys)) % 3 == 0, 3.0, 0.01) * first.values.std(axis=0)
    readings = np.stack([first.values + noise * rng.normal(size=first.values.shape) for _ in range(2)])
    stable = stable_features(intraclass_correlation(readings, first.keys))
    assert 0 < len(stable.keys) < len(first.keys)
    stable.save(tmp_path / "stable.json")
    arguments = ("train", files / "quick.json", files / "wide.csv.gz", "--stable", tmp_path / "stable.json")
    assert run(capsys, *arguments, "--out", tmp_path / "model")[0] == 0
    assert set(load_phenotypes(tmp_path / "model").keys) <= set(stable.keys)
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert "| --stable | `stable.json` |" in card
    assert "Change of size" not in card


def test_shipped_protocol_takes_the_four_maps_and_shape_of_the_lesion():
    from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey
    from IITHModuleLib.training.delta_phenotypes import load_delta_protocol

    plan = load_delta_protocol("chitalia-delta")
    keys = [
        FeatureKey("lesion", "ser", "original_glcm_Id"),
        FeatureKey("lesion", "mask", "original_shape_Sphericity"),
        FeatureKey("lesion", "pe_early", "original_glcm_Id"),
        FeatureKey("lesion", "phase1", "original_glcm_Id"),
        FeatureKey("ring", "ser", "original_glcm_Id"),
        FeatureKey("lesion", "ser", "wavelet-LLL_glcm_Id"),
    ]
    assert plan.columns.chosen(keys).tolist() == [True, True, False, False, False, False]
    assert plan.parameters == PhenotypeParameters()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "nothing"}, "makes the kind 'nothing'"),
        ({"schema": "x"}, "not a protocol of the schema"),
        ({"sign_rule": "x"}, "sign_rule"),
        ({"parameters": {"n_phenotypes": 1}}, "n_phenotypes"),
        ({"parameters": {"unknown": 1}}, "unknown"),
        ({"images": ["phase9"]}, "0 usable features"),
        ({"visits": ["T0", "T7"]}, "has no visit 'T7'; it has T0, T1"),
        ({"signature": "nothing"}, "The signature nothing is unknown"),
    ],
)
def test_what_a_protocol_cannot_mean_is_refused(changes, words, files, capsys, tmp_path):
    plan = write_protocol(tmp_path / "p.json", **changes)
    code, _, error = run(capsys, "train", plan, files / "wide.csv.gz", "--out", tmp_path / "m")
    assert code == 2
    assert words in error
    assert [p.name for p in tmp_path.iterdir()] == ["p.json"]


def test_training_refuses_what_it_has_no_use_for(files, capsys, tmp_path):
    arguments = ("train", files / "quick.json", files / "wide.csv.gz", "--out", tmp_path / "m")
    assert "no use of --external" in run(capsys, *arguments, "--external", "x=y")[2]
    assert "Two different visits" in run(capsys, *arguments, "--visits", "T0,T0")[2]
    code, _, error = run(capsys, "train", "pcr-ispy2-v1", files / "wide.csv.gz", "--out", tmp_path / "m")
    assert (code, "needs OUTCOMES" in error) == (2, True)
    code, _, error = run(
        capsys, "train", "pcr-ispy2-v1", files / "cohort.csv", files / "cohort.csv", "--out", tmp_path / "m",
        "--visits", "a,b",
    )  # fmt: skip
    assert (code, "no use of --visits" in error) == (2, True)


def test_wide_and_tidy_tables_hold_the_same(visits, tmp_path):
    first, second = visits[0].values()
    holes = first.values.copy()
    holes[2, 3] = np.nan
    given = {"T0": replace(first, values=holes), "T1": second}
    wide = read_exam_table(feature_tables.write_wide(tmp_path / "wide.csv.gz", given))
    tidy = read_exam_table(feature_tables.write_tidy(tmp_path / "tidy.csv", given))
    for table in (wide, tidy):
        assert (table.preset, table.preset_digest) == heterogeneity_cohorts.PRESET
        for name, matrix in given.items():
            found = table.visit(name)
            assert (found.patients, found.keys) == (matrix.patients, matrix.keys)
            assert np.array_equal(found.values, matrix.values, equal_nan=True)
    with pytest.raises(InputError, match="more than one visit"):
        wide.one_per_patient()
    assert wide.by_exam().patients[:2] == ("sim-000 T0", "sim-000 T1")


def test_failed_exams_are_left_out_and_counted(visits, tmp_path):
    first = visits[0]["T0"]
    values = first.values.copy()
    values[5] = np.nan
    table = read_exam_table(feature_tables.write_wide(tmp_path / "w.csv", {"T0": replace(first, values=values)}))
    assert table.n_empty == 1
    assert "sim-005" not in table.one_per_patient().patients


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("T1", "T0"), ("T0", "T1")),
        (("week 12", "week 3"), ("week 3", "week 12")),
        (("baseline", "surgery"), None),
        (("T0", "T1", "T2"), None),
        (("T0",), None),
        (("a1b2", "a1b3"), None),
    ],
)
def test_the_order_of_visits_is_never_guessed(names, expected, visits, tmp_path):
    matrices = dict.fromkeys(names, visits[0]["T0"].rows(range(2)))
    table = read_exam_table(feature_tables.write_wide(tmp_path / "w.csv", matrices))
    if expected:
        assert two_visits(table) == expected
    else:
        with pytest.raises(InputError, match="--visits FIRST,SECOND"):
            two_visits(table)
        if len(names) > 1:
            assert two_visits(table, names[:2]) == names[:2]


HEAD = "result,patient,visit,preset,preset_digest,engine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "is no feature table"),
        (f"{HEAD},l|s|f\nr,p,,m,d,n,x\n", "is 'x', no finite number"),
        (f"{HEAD},l|s|f\nr,p,,m,d,n,inf\n", "no finite number"),
        (f"{HEAD},l|s|f\nr,p,,m,d,n\n", "Line 2 of t.csv is not complete"),
        (f"{HEAD},l|s|f\nr,p,,m,d,n,1\nq,p,,m,d,n,2\n", "p is in t.csv twice"),
        (f"{HEAD},l|s|f\nr,p,,m,d,n,1\nq,o,,other,e,n,2\n", "different presets"),
        (f"{HEAD},l|s|f\nr,p,,m,d,n,\n", "holds no value"),
        (f"{HEAD},l|s|f,l|s|f\nr,p,,m,d,n,1,2\n", "names a column twice"),
        ("l|s|f\n1\n", "neither a column patient nor result"),
        (f"{HEAD},l|s|f\n,,,m,d,n,1\n", "names no patient"),
        (f"{HEAD},region,image,feature,value\nr,p,,m,d,n,l,s,f,1\nr,p,,m,d,n,l,s,f,2\n", "twice in t.csv"),
        (f"{HEAD},region,image,feature,value\nr,p,,m,d,n,l,s,f,1\nr,p,,m,e,n,l,s,g,2\n", "has two presets"),
        ('a"b,c\n"', "is no feature table"),
    ],
)
def test_damaged_feature_tables_are_refused_by_name(text, words, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_exam_table(path)


def test_packed_files_cannot_fill_the_memory(visits, tmp_path, monkeypatch):
    path = feature_tables.write_wide(tmp_path / "w.csv.gz", visits[0])
    (tmp_path / "cut.csv.gz").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot be read"):
        read_exam_table(tmp_path / "cut.csv.gz")
    with pytest.raises(InputError, match="cannot be read"):
        read_exam_table(tmp_path / "none.csv")
    monkeypatch.setattr(exam_table, "MAX_CHARACTERS", len(gzip.decompress(path.read_bytes())) - 1)
    with pytest.raises(InputError, match="is larger than"):
        read_exam_table(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,visit\np,T0\n", "lacks the columns"),
        ("patient,visit,ftv_cc\np,T0,1\np,T0,2\n", "twice"),
        ("patient,visit,ftv_cc\np,T0,-1\n", "is '-1'"),
        ("patient,visit,ftv_cc\np,T0,x\n", "is 'x'"),
        ("patient,visit,ftv_cc\nq,T0,3\n", "No patient of the feature table is in OUTCOMES"),
    ],
)
def test_size_tables_that_cannot_be_used_are_refused(text, words, files, capsys, tmp_path):
    (tmp_path / "c.csv").write_text(text)
    arguments = ("train", files / "quick.json", files / "wide.csv.gz", tmp_path / "c.csv", "--out", tmp_path / "m")
    code, _, error = run(capsys, *arguments)
    assert code == 2
    assert words in error
