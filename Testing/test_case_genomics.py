"""Genomic data of one patient: the cohort's numbers, one sample alone, the report of a case, and bad inputs."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from scipy import stats

from IITHModuleLib.case_values import CaseValue, user_value
from IITHModuleLib.model_file import load_model
from IITHModuleLib.resources import resource_path
from IITHModuleLib.scoring import try_score_case
from RadiogenomicReportLib.case_genomic_data import genomic_values, with_genomics
from RadiogenomicReportLib.case_numbers import case_numbers
from RadiogenomicReportLib.case_report import case_report_html
from RadiogenomicReportLib.command_line.main import main
from RadiogenomicReportLib.genomics.case_genomics import MAX_VARIANTS, CaseGenomicsPlan, case_genomics
from RadiogenomicReportLib.genomics.genomics_run import GenomicsPlan
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam, write_dicom
from SubregionHabitatLib.volume_io import write_volume
from support.browser import browser  # noqa: F401
from support.genomic_files import expression_text, maf_text, segment_text, write_cohort
from support.report_cases import Page, report_case

NASTY = "<script>alert('1')</script>\"><img src=x onerror=alert(2)> {{ 7*7 }} &lt;b&gt;"
SMALL = {"seed": 6, "shape": (20, 56, 56), "spacing_mm": (3.0, 3.0, 4.0), "lesion_radii_mm": (13.0, 12.0, 13.0)}


@pytest.fixture
def files(tmp_path):
    """Genomic files of a cohort in a folder of their own."""
    folder = tmp_path / "genomic"
    folder.mkdir()
    write_cohort(folder)
    return folder


def values_of(found) -> dict:
    return {name: value if isinstance(value, str) else value.value for name, value in found.values}


def reason_of(found, name) -> str:
    return next(value.reason for key, value in found.values if key == name)


# ---- numbers -----------------------------------------------------------------------------------------------------
def test_one_patient_of_a_cohort_has_the_cohorts_numbers(files):
    pytest.importorskip("gseapy")
    options = ["--maf", "m.maf", "--segments", "s.seg", "--expression", "e.tsv", "--gmt", "sets.gmt"]
    options = [str(files / o) if "." in o else o for o in options]
    options += ["--territory-mb", "35", "--genes", "G1,G3,NONE", "--barcode-length", "12"]
    assert main(["genomics", *options, "--out", str(files / "out")]) == 0
    with (files / "out" / "genomics.csv").open(newline="") as stream:
        rows = {row.pop("patient"): row for row in csv.DictReader(stream)}
    plan = GenomicsPlan(
        maf=(files / "m.maf",), segments=files / "s.seg", expression=files / "e.tsv", gmt=(files / "sets.gmt",),
        territory_mb=35.0, genes=("G1", "G3", "NONE"), barcode_length=12,
    )  # fmt: skip
    for patient, row in rows.items():
        found = case_genomics(CaseGenomicsPlan(files=plan, sample=(patient,)))
        values = values_of(found)
        assert list(values) == list(row)
        for name, cell in row.items():
            assert values[name] == (float(cell) if cell else None), name
        # The row of the table that the command made says the same.
        again = case_genomics(CaseGenomicsPlan(table=files / "out" / "genomics.csv", sample=(patient,)))
        assert values_of(again) == values
        assert again.variants is None
    assert "scaled by the range of all scores of 5 samples" in " ".join(found.notes)
    assert "1 gene sets have fewer than 15" in " ".join(found.notes)


def test_math_vaf_sums_and_variants_by_hand(tmp_path):
    alternative = [10, 20, 25, 30, 40, 50]
    rows = [("TP53", "Missense_Mutation", "T", 100 - a, a) for a in alternative]
    rows += [("PTEN", "Frame_Shift_Del", "T", 5, 5), ("PTEN", "Silent", "T", 1, 9), ("RB1", "Splice_Site", "T", "", "")]
    (tmp_path / "one.maf").write_text(maf_text(rows))
    plan = GenomicsPlan(maf=(tmp_path / "one.maf",), genes=("TP53", "PTEN", "RB1", "APC"), territory_mb=40)
    found = case_genomics(CaseGenomicsPlan(files=plan))
    values = values_of(found)
    assert values["nonsynonymous_mutations"] == 8
    assert values["tmb_per_mb"] == pytest.approx(8 / 40)
    # VAFs 0.10 0.20 0.25 0.30 0.40 0.50 0.50: median 0.30, deviations 0 .05 .10 .10 .20 .20 .20, their median 0.10
    assert values["math"] == pytest.approx(100 * 1.4826 * 0.10 / 0.30, rel=1e-12)
    assert values["TP53_vaf_sum"] == pytest.approx(1.75, rel=1e-12)
    assert (values["PTEN_mutations"], values["PTEN_vaf_sum"]) == (1, 0.5)
    assert (values["APC_mutated"], values["APC_vaf_sum"]) == (0, 0)
    assert (values["RB1_mutated"], values["RB1_vaf_sum"], reason_of(found, "RB1_vaf_sum")) == (
        1, None, "a VAF is unknown",
    )  # fmt: skip
    shown = [(v.gene, v.vaf) for v in found.variants]
    assert shown == [("PTEN", 0.5), ("TP53", 0.5), *(("TP53", a / 100) for a in (40, 30, 25, 20, 10)), ("RB1", None)]
    chosen = case_genomics(CaseGenomicsPlan(files=GenomicsPlan(maf=plan.maf, genes=("PTEN",))))
    assert [(v.gene, v.variant_class, v.vaf) for v in chosen.variants] == [("PTEN", "Frame_Shift_Del", 0.5)]
    assert "territory" in reason_of(chosen, "tmb_per_mb")


def model_of_mutations(folder):
    """The shipped model of pCR with the VAF sum of TP53 in the place of age."""
    content = json.loads((resource_path("Models", "pcr-ispy2-v1") / "model.json").read_text())
    form = content["forms"][0]
    place = [f["name"] for f in form["features"]].index("age_years")
    changed = {"name": "vaf_TP53", "unit": "1", "preset": "vaf-sum", "mean": 0.4, "sd": 0.5, "coefficient": 0.8}
    form["features"][place] |= changed | {"training_quantiles": [0.0] * 4 + [0.2, 0.4, 0.8, 1.5, 3.0]}
    for key in ("covariance", "correlation"):
        form[key]["names"] = [n.replace("age_years", "vaf_TP53") for n in form[key]["names"]]
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(content))
    return load_model(folder)


@pytest.mark.parametrize(
    ("row", "read"),
    [
        (("TP53", "Missense_Mutation", "T", 60, 40), 0.4),
        (("APC", "Missense_Mutation", "T", 60, 40), 0.0),
        (("TP53", "Missense_Mutation", "T", "", ""), None),
    ],
)
def test_a_model_reads_its_genes_from_the_mutations(tmp_path, row, read):
    (tmp_path / "one.maf").write_text(maf_text([row]))
    found = case_genomics(CaseGenomicsPlan(files=GenomicsPlan(maf=(tmp_path / "one.maf",))))
    model = model_of_mutations(tmp_path / "model")
    values = genomic_values(found, [model])
    assert list(values) == ["vaf_TP53"]
    given = {"ftv_mm3": CaseValue(9000.0, "mm3", "measured"), "hr": user_value("hr", 1), "her2": user_value("her2", 0)}
    score = try_score_case(model, given | values)
    if read is None:
        assert "a VAF is unknown" in score.refusal
        assert "--maf" in score.refusal
        return
    form = model.forms[0]
    inputs = {"ftv_mm3": np.log(9000.0), "hr": 1.0, "her2": 0.0, "vaf_TP53": read}
    logit = form.intercept + sum(f.coefficient * (inputs[f.name] - f.mean) / f.sd for f in form.features)
    assert score.value == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-9)
    assert genomic_values(None, [model]) == {}


def test_a_model_reads_its_genes_from_a_table_whose_name_stays_out(tmp_path):
    """The reason of a missing sum goes into the case's values, where a file called after the patient has no place."""
    (tmp_path / "P1.csv").write_text("patient,TP53_vaf_sum,APC_vaf_sum\nP1,,0.3\n")
    found = case_genomics(CaseGenomicsPlan(table=tmp_path / "P1.csv"))
    (value,) = genomic_values(found, [model_of_mutations(tmp_path / "model")]).values()
    assert value.value is None
    assert "is empty" in value.reason
    assert "P1" not in value.reason
    assert found.vaf_sum("APC").value == 0.3
    assert found.vaf_sum("REL") is None


def test_many_variants_are_cut_and_counted(tmp_path):
    rows = [(f"G{k}", "Missense_Mutation", "T", 1000 - k, k) for k in range(1, 200)]
    (tmp_path / "one.maf").write_text(maf_text(rows))
    found = case_genomics(CaseGenomicsPlan(files=GenomicsPlan(maf=(tmp_path / "one.maf",))))
    assert (len(found.variants), found.n_variants) == (MAX_VARIANTS, 199)
    assert [v.vaf for v in found.variants] == [k / 1000 for k in range(199, 199 - MAX_VARIANTS, -1)]


def test_one_sample_alone_has_what_needs_no_cohort_and_says_what_does(tmp_path, files):
    pytest.importorskip("gseapy")
    (tmp_path / "one.tsv").write_text(expression_text(["T"]))
    centroids = "gene,Basal,Her2,LumA,LumB\n" + "\n".join(f"G{k},{k},1,2,{-k}" for k in range(10))
    (tmp_path / "c.csv").write_text(centroids)
    common = {"expression": tmp_path / "one.tsv", "gmt": (files / "sets.gmt",)}
    plan = GenomicsPlan(**common, centroids=(("ror", tmp_path / "c.csv"),))
    found = case_genomics(CaseGenomicsPlan(files=plan))
    assert reason_of(found, "ror_score") == "its genes are centered over a cohort, and the file holds one sample"
    assert "not scaled" in " ".join(found.notes)
    # Barbie's running sum; gseapy ranks from the sample's values and scales nothing here.
    cells = [line.split("\t") for line in (tmp_path / "one.tsv").read_text().splitlines()[1:]]
    genes, values = np.array([c[0] for c in cells]), np.array([float(c[1]) for c in cells])
    ranks = stats.rankdata(values) * 10_000 / len(values)
    order = np.argsort(-ranks, kind="stable")
    for name, members in (("UP", range(20)), ("DOWN", range(20, 44))):
        inside = np.isin(genes[order], [f"G{k}" for k in members])
        weight = np.where(inside, ranks[order] ** 0.25, 0)
        walk = np.cumsum(weight) / weight.sum() - np.cumsum(~inside) / (~inside).sum()
        assert values_of(found)[f"ssgsea_unscaled_{name}"] == pytest.approx(walk.sum(), abs=1e-6)
    gsva = case_genomics(CaseGenomicsPlan(files=GenomicsPlan(**common, set_score="gsva")))
    assert values_of(gsva) == {"gsva_UP": None, "gsva_DOWN": None}
    assert "needs the samples of a cohort" in reason_of(gsva, "gsva_UP")
    # Scores that do not differ have no scale, and no number stands in for it.
    lines = [f"G{k}\t{k}\t{k}" for k in range(60)]
    (tmp_path / "twins.tsv").write_text("gene\tA\tB\n" + "\n".join(lines) + "\n")
    (tmp_path / "up.gmt").write_text((files / "sets.gmt").read_text().splitlines()[0] + "\n")
    twins = GenomicsPlan(expression=tmp_path / "twins.tsv", gmt=(tmp_path / "up.gmt",))
    found = case_genomics(CaseGenomicsPlan(files=twins, sample=("A",)))
    assert values_of(found) == {"ssgsea_UP": None}
    assert "so none has a scale" in reason_of(found, "ssgsea_UP")


def test_a_sample_without_mutations_counts_as_none_only_where_it_was_sequenced(files):
    (files / "sequenced.txt").write_text("EMPTY\n")
    plan = GenomicsPlan(maf=(files / "m.maf",), samples=files / "sequenced.txt", genes=("TP53",))
    found = case_genomics(CaseGenomicsPlan(files=plan, sample=("EMPTY",)))
    values = values_of(found)
    assert (values["nonsynonymous_mutations"], values["TP53_mutated"], values["math"]) == (0, 0, None)
    assert (found.variants, found.n_variants) == ((), 0)
    with pytest.raises(InputError, match=r"m\.maf holds 5 samples, none of them named by --sample; one without any"):
        case_genomics(CaseGenomicsPlan(files=GenomicsPlan(maf=(files / "m.maf",)), sample=("EMPTY",)))


VCF = """##fileformat=VCFv4.2
##FILTER=<ID=PASS,Description="ok">
##INFO=<ID=ANN,Number=.,Type=String,Description="x">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="x">
##contig=<ID=1>
{tumor}#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	N1	T1
1	10	.	A	T	.	PASS	ANN=T|missense_variant|MOD|TP53|x	AD	50,0	30,10
1	20	.	AC	A	.	PASS	ANN=A|frameshift_variant|HIGH|PTEN|x	AD	50,0	20,20
"""


def test_the_tumor_of_a_vcf_is_the_headers_or_the_one_named(tmp_path):
    pytest.importorskip("vcfpy")
    (tmp_path / "told.vcf").write_text(VCF.format(tumor="##tumor_sample=T1\n"))
    (tmp_path / "untold.vcf").write_text(VCF.format(tumor=""))
    plans = [GenomicsPlan(vcf=(tmp_path / name,), genes=("TP53",)) for name in ("told.vcf", "untold.vcf")]
    for plan, sample in ((plans[0], ()), (plans[1], ("T1",))):
        found = case_genomics(CaseGenomicsPlan(files=plan, sample=sample))
        assert values_of(found)["nonsynonymous_mutations"] == 2
        assert [(v.gene, v.variant_class, v.vaf) for v in found.variants] == [("TP53", "Missense_Mutation", 0.25)]
        assert found.inputs[0]["read_as"] == "VAF from allele depths"
    with pytest.raises(InputError, match=r"untold\.vcf holds 2 samples; name this patient's"):
        case_genomics(CaseGenomicsPlan(files=plans[1]))


def test_reasons_of_a_table_come_from_the_record_beside_it(files):
    (files / "genomics.csv").write_text("patient,math,cnb,group\nP1,,0.25,low\nP2,31.5,,\n")
    record = {"schema": "iith-genomics/1", "missing": {"math": {"3 mutations; MATH needs 5": 1}}}
    (files / "genomics.json").write_text(json.dumps(record))
    one, two = (case_genomics(CaseGenomicsPlan(table=files / "genomics.csv", sample=(p,))) for p in ("P1", "P2"))
    assert values_of(one) == {"math": None, "cnb": 0.25, "group": "low"}
    assert reason_of(one, "math") == "3 mutations; MATH needs 5"
    assert values_of(two) == {"math": 31.5, "cnb": None, "group": None}
    assert reason_of(two, "cnb") == "the cell of genomics.csv is empty"


# ---- who it is ---------------------------------------------------------------------------------------------------
def test_a_case_names_neither_sample_nor_a_patients_file(tmp_path, files):
    rows = [("TP53", "Missense_Mutation", "DOE-JANE", 60, 40)] * 3
    rows.insert(1, ("TP53", "DOE-JANE", "DOE-JANE", 60, 40))
    (tmp_path / "jane.maf").write_text(maf_text(rows))
    (files / "DOE-JANE and others.seg").write_text(segment_text([("DOE-JANE", 1, 1, 9, 0.5), ("X", 1, 1, 9, 0.5)]))
    plan = GenomicsPlan(maf=(tmp_path / "jane.maf",), segments=files / "DOE-JANE and others.seg")
    found = case_genomics(CaseGenomicsPlan(files=plan, sample=("DOE-JANE",)))
    text = json.dumps(found.to_json())
    assert not re.search("jane", text, re.IGNORECASE)
    assert [r["line"] for r in found.malformed] == [4]
    assert found.malformed[0]["reason"] == "unknown Variant_Classification"
    assert found.inputs[0]["sha256"] == hashlib.sha256((tmp_path / "jane.maf").read_bytes()).hexdigest()
    assert found.identity == {"Genomic sample": "DOE-JANE", "Genomic files": "jane.maf, DOE-JANE and others.seg"}
    cohort = case_genomics(
        CaseGenomicsPlan(files=GenomicsPlan(maf=(files / "m.maf",)), sample=("TCGA-AA-0001-01A-11D",))
    )
    assert cohort.inputs[0]["name"] == "m.maf"
    assert "TCGA" not in json.dumps(cohort.to_json())


# ---- the report of a case ----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A simulated exam as DICOM, genomic files, and the exam's result with a patient's row of a table in ``out``."""
    folder = tmp_path_factory.mktemp("case")
    exam = simulate_exam(SimulationParameters(**SMALL))
    write_dicom(exam, folder / "exam")
    write_volume(folder / "voi.nrrd", exam.voi, exam.exam.geometry)
    write_cohort(folder)
    (folder / "genomics.csv").write_text("patient,nonsynonymous_mutations,math,tmb_per_mb\nP1,12,31.5,\nP2,3,,1.5\n")
    (folder / "one.maf").write_text(maf_text([("TP53", "Missense_Mutation", "BARCODE-7", 60, 40)] * 6))
    arguments = ["analyze", str(folder / "exam"), "--voi", str(folder / "voi.nrrd"), "--out", str(folder / "out")]
    arguments += ["--hr", "1", "--her2", "0", "--age", "52", "--n-stage", "1", "--regions", "lesion", "--show-identity"]
    assert main([*arguments, "--genomics", str(folder / "genomics.csv"), "--sample", "P1", "--no-dicom"]) == 0
    return folder


@pytest.fixture
def result(base, tmp_path):
    """A copy of the result that a test may change."""
    shutil.copytree(base / "out", tmp_path / "result")
    return tmp_path / "result"


def digests(folder) -> dict[str, str]:
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def test_analyze_puts_the_row_of_a_table_into_case_and_report(base):
    case = json.loads((base / "out" / "case.json").read_text())
    entries = {e["name"]: (e["value"], e["unit"], e["reason"]) for e in case["genomics"]["values"]}
    assert entries == {
        "nonsynonymous_mutations": (12.0, "mutations", None),
        "math": (31.5, "1", None),
        "tmb_per_mb": (None, "mutations/Mb", "the cell of genomics.csv is empty"),
    }
    assert case["identity"]["Genomic sample"] == "P1"
    page = Page((base / "out" / "report.html").read_text())
    text = page.by_id("clinical").text
    assert "Mutant-allele tumor heterogeneity (MATH) 31.5" in text
    assert "Tumor mutational burden missing: the cell of genomics.csv is empty" in text
    assert "Age 52 years the user" in text
    assert "Not given: longest diameter before treatment, early change of the longest diameter, Ki-67 index" in text
    assert "P1" in page.by_id("identity").text


def test_report_reads_files_into_case_page_pdf_and_numbers(base, result, capsys):
    command = ["report", str(result), "--format", "html", "pdf", "csv", "json", "--genes", "TP53,APC"]
    command += ["--maf", str(base / "one.maf"), "--territory-mb", "30"]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["numbers"]
    case = json.loads((result / "case.json").read_text())
    assert [e["role"] for e in case["genomics"]["inputs"]] == ["MAF"]
    numbers = {r["quantity"]: r["value"] for r in printed if r["section"] == "genomics"}
    assert numbers == {e["name"]: e["value"] for e in case["genomics"]["values"]}
    assert numbers["TP53_vaf_sum"] == pytest.approx(2.4)
    assert [r["value"] for r in printed if r["section"] == "genomic variants"] == [0.4] * 6
    clinical = {r["quantity"]: (r["value"], r["unit"]) for r in printed if r["section"] == "clinical"}
    assert clinical["age_years"] == (52.0, "years")
    assert clinical["lvi"] == (None, "0/1")
    with (result / "numbers.csv").open(newline="") as stream:
        assert all(bool(r["value"]) != bool(r["reason"]) for r in csv.DictReader(stream))
    text = Page((result / "report.html").read_text()).by_id("clinical").text
    assert "Tumor mutational burden 0.200 mutations/Mb" in text
    assert "TP53 yes 6 2.40 APC no 0 0" in text
    assert text.count("TP53 Missense Mutation 0.400") == 6
    for name in ("report.html", "case.json", "numbers.csv", "numbers.json"):
        assert "BARCODE" not in (result / name).read_text(), name
    assert (result / "report.pdf").stat().st_size > 50_000
    # The same again, without files: the case keeps what was read, and gives the same bytes.
    before = digests(result)
    assert main(["report", str(result), "--format", "html", "csv", "json"]) == 0
    assert digests(result) == before
    # Asked for, the page names the sample beside the patient; the case does not keep it.
    command[command.index("pdf")] = "csv"
    assert main([*command, "--show-identity"]) == 0
    assert "BARCODE-7" in Page((result / "report.html").read_text()).by_id("identity").text
    assert "BARCODE-7" not in (result / "case.json").read_text()


def test_a_report_elsewhere_leaves_the_result_as_it_is(base, result, tmp_path):
    before = digests(result)
    command = ["report", str(result), "--format", "html", "--out", str(tmp_path / "other")]
    assert main([*command, "--maf", str(base / "m.maf"), "--sample", "TCGA-AA-0002-01A-11D"]) == 0
    assert digests(result) == before
    assert "VAF from read counts" in (tmp_path / "other" / "report.html").read_text()


def test_a_case_of_an_earlier_version_still_reports(simulated, simulated_imaging):
    case, pictures = report_case(simulated.exam, simulated_imaging, models=[], clinical={})
    assert "genomics" not in case
    text = Page(case_report_html(case, pictures)).by_id("clinical").text
    assert text == "Clinical and genomic data Clinical values No clinical value was given."
    assert not [n for n in case_numbers(case) if n.section.startswith("genomic")]


def nasty_case(simulated, simulated_imaging, folder):
    rows = [(NASTY, "Missense_Mutation", "T", 60, 40), ("TP53", NASTY, "T", 60, 40), *[("G", "Silent", "T", 6, 4)] * 3]
    (folder / "x.maf").write_text(maf_text(rows))
    (folder / "e.tsv").write_text(expression_text(["T", "U"]))
    genes = "\t".join(f"G{k}" for k in range(20))
    (folder / "x.gmt").write_text(f"{NASTY}\tx\t{genes}\nB\tx\tG30\t{genes}\n")
    plan = GenomicsPlan(
        maf=(folder / "x.maf",), expression=folder / "e.tsv", gmt=(folder / "x.gmt",), genes=(NASTY, "TP53")
    )
    case, pictures = report_case(simulated.exam, simulated_imaging, models=[])
    return with_genomics(case, case_genomics(CaseGenomicsPlan(files=plan, sample=("T",)))), pictures


def test_markup_in_genomic_files_is_text_in_a_browser(browser, simulated, simulated_imaging, tmp_path):  # noqa: F811
    pytest.importorskip("gseapy")
    case, pictures = nasty_case(simulated, simulated_imaging, tmp_path)
    html = case_report_html(case, pictures)
    page = Page(html)
    shown = " ".join(NASTY.split())
    assert page.by_id("clinical").text.count(shown) >= 3  # variant, gene, gene set
    assert not page.all("script")
    assert not [e for e in page.all("img") if e.attributes["src"] == "x"]
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    for width in (1280, 390):
        opened = browser.open(tmp_path / "report.html", width)
        assert (opened.messages, opened.requests) == ((), ())
        assert opened.page_width <= width
        assert shown in " ".join(opened.text.split())


# ---- bad inputs --------------------------------------------------------------------------------------------------
BAD = {
    "no file": (["--territory-mb", "30"], "No genomic file is given"),
    "a sample and no file": (["--sample", "A"], "No genomic file is given"),
    "several samples, none named": (["--maf", "m.maf"], "m.maf holds 5 samples; name this patient's with --sample"),
    "a sample that is not there": (["--maf", "m.maf", "--sample", "JANE"], "holds 5 samples, none of them named"),
    "a name that fits several": (
        ["--maf", "m.maf", "--sample", "TCGA-XX", "--barcode-length", "4"], "--sample fits 5 of the 5 samples",
    ),
    "a name too many": (
        ["--maf", "m.maf", "--sample", "TCGA-AA-0001-01A-11D,OTHER"], "The sample 'OTHER' is in none of the files",
    ),
    "files of two patients": (["--maf", "one.maf", "--segments", "one.seg"], "name their samples in 2 ways"),
    "the sample in one file only": (
        ["--maf", "m.maf", "--segments", "one.seg", "--sample", "TCGA-AA-0001-01A-11D"], "one.seg holds 1 sample, none",
    ),
    "mutations twice": (["--maf", "one.maf", "--vcf", "x.vcf"], "each would count twice"),
    "no MAF": (["--maf", "s.seg"], "s.seg is no MAF file"),
    "absent": (["--maf", "nothing.maf"], "does not exist"),
    "half of it malformed": (["--maf", "cut.maf"], "rows of cut.maf are malformed (line 4"),
    "no VCF": (["--vcf", "one.maf"], "is no VCF file"),
    "territory": (["--maf", "one.maf", "--territory-mb", "0"], "not between 0.05 and 3300"),
    "gene sets without expression": (["--maf", "one.maf", "--gmt", "sets.gmt"], "name it with --expression"),
    "genes of no set": (
        ["--expression", "e.tsv", "--gmt", "sets.gmt", "--min-genes", "50", "--sample", "TCGA-AA-0001-01A-22R"],
        "No gene set has 50 genes",
    ),
    "all genes alike": (["--expression", "flat.tsv", "--gmt", "sets.gmt"], "have one value"),
    "table and files": (["--genomics", "genomics.csv", "--maf", "m.maf"], "leave --maf out"),
    "row not named": (["--genomics", "genomics.csv"], "holds 2 samples; name this patient's"),
    "row that is not there": (["--genomics", "genomics.csv", "--sample", "P9"], "none of them named by --sample"),
    "no table of patients": (["--genomics", "s.csv"], "has no column patient"),
    "centroids": (["--expression", "e.tsv", "--centroids", "ror"], "is not KIND=FILE"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bad_files(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    for path in base.iterdir():
        if path.is_file():
            shutil.copy(path, folder / path.name)
    (folder / "one.seg").write_text(segment_text([("OTHER", 1, 1, 9, 0.5)]))
    (folder / "cut.maf").write_text(maf_text([("TP53", "Silent", "T", 1, 1)] + [("TP53", "Silent", "T")] * 4))
    (folder / "flat.tsv").write_text("gene\tT\n" + "".join(f"G{k}\t1\n" for k in range(40)))
    (folder / "s.csv").write_text("a,b\n1,2\n")
    return folder


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("command", ["analyze", "report"])
def test_bad_genomic_data_give_one_line_and_nothing_is_written(base, bad_files, tmp_path, fault, command, capsys):
    options, words = BAD[fault]
    filled = [str(bad_files / o) if "." in o and not o.startswith("-") else o for o in options]
    result = base / "out"
    before = digests(result)
    if command == "analyze":
        start = ["analyze", str(base / "exam"), "--voi", str(base / "voi.nrrd"), "--out", str(tmp_path / "new")]
    else:
        start = ["report", str(result), "--format", "html"]
    assert main([*start, *filled]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert "TCGA-AA-0000" not in lines[0]  # no other patient is named
    assert digests(result) == before
    assert not list(tmp_path.iterdir())


def test_genomic_data_belong_to_one_result(base, capsys):
    command = ["report", str(base / "out"), str(base / "out"), "--out", str(base / "visits")]
    assert main([*command, "--maf", str(base / "one.maf")]) == 2
    assert "belong to one result" in capsys.readouterr().err
    assert not (base / "visits").exists()
