"""Genomic files: what is read, computed and refused, against definitions and other software."""

from __future__ import annotations

import csv
import gzip
import json
import re

import numpy as np
import pytest
from scipy import stats

from RadiogenomicReportLib.command_line.main import main
from RadiogenomicReportLib.genomics.centroid_scores import centroid_scores, read_centroids
from RadiogenomicReportLib.genomics.copy_number import copy_number_burden
from RadiogenomicReportLib.genomics.expression import Expression, gene_set_scores, read_expression, read_gene_sets
from RadiogenomicReportLib.genomics.group_differences import (
    differential_abundance,
    differential_expression,
    preranked_gsea,
)
from RadiogenomicReportLib.genomics.maf_file import read_maf
from RadiogenomicReportLib.genomics.sample_features import frequent_genes, math_score, mutation_features
from RadiogenomicReportLib.genomics.vcf_file import read_vcf
from SubregionHabitatLib.errors import InputError

HEADER = "Hugo_Symbol\tVariant_Classification\tTumor_Sample_Barcode"


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def maf(path, rows, more: str = "t_ref_count\tt_alt_count"):
    return write(
        path, "#version 2.4\n" + HEADER + "\t" + more + "\n" + "".join("\t".join(map(str, r)) + "\n" for r in rows)
    )


def test_math_of_the_published_toy_and_its_filters():
    assert math_score([0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5]).value == pytest.approx(53.9127, abs=5e-5)
    few = math_score([0.05, 0.1, 0.2, 0.25, 0.3])
    assert few.value is None
    assert "4 mutations" in few.reason


@pytest.mark.parametrize("seed", range(0, 200, 4))
def test_math_by_definition(seed):
    vaf = np.random.default_rng(seed).uniform(0, 1, 30)
    used = sorted(v for v in vaf if v >= 0.075)
    middle = float(np.median(used))
    deviations = sorted(abs(v - middle) for v in used)
    assert math_score(vaf).value == pytest.approx(100 * 1.4826 * float(np.median(deviations)) / middle, rel=1e-12)


def test_maf_of_gdc_with_counts(tmp_path):
    rows = [
        ("TP53", "Missense_Mutation", "A", 60, 40),
        ("TP53", "Silent", "A", 1, 1),
        ("PIK3CA", "Splice_Site", "B", 0, 9),
    ]
    path = tmp_path / "gdc.maf.gz"
    maf(tmp_path / "gdc.maf", rows)
    path.write_bytes(gzip.compress((tmp_path / "gdc.maf").read_bytes()))
    found = read_maf(path)
    assert found.vaf == pytest.approx([0.4, 0.5, 1.0])
    assert found.non_synonymous.tolist() == [True, False, True]
    assert found.vaf_source == "read counts"
    features = mutation_features(found, 30.0, ["TP53"], ["A", "B", "C"])
    assert features["A"]["nonsynonymous_mutations"].value == 1
    assert features["A"]["tmb_per_mb"].value == pytest.approx(1 / 30)
    assert features["A"]["TP53_vaf_sum"].value == pytest.approx(0.4)
    assert (features["B"]["TP53_mutated"].value, features["B"]["TP53_vaf_sum"].value) == (0, 0)
    assert features["C"]["nonsynonymous_mutations"].value == 0
    assert "no non-synonymous" in features["C"]["math"].reason
    assert mutation_features(found, None)["A"]["tmb_per_mb"].value is None
    assert frequent_genes(found, 5) == ["PIK3CA", "TP53"]


@pytest.mark.parametrize(
    ("values", "expected", "how"),
    [(("12.5", "80", "0.5"), (0.125, 0.8, 0.005), "percent"), (("0.125", "0.8", "1"), (0.125, 0.8, 1.0), "fractions")],
)
def test_percent_and_fractions_are_told_apart_per_file(tmp_path, values, expected, how):
    """Sample B alone looks like a fraction in both files; the file decides."""
    rows = [("G", "Missense_Mutation", "AAB"[k], v) for k, v in enumerate(values)]
    found = read_maf(maf(tmp_path / "x.maf", rows, "i_TumorVAF_WU"))
    assert found.vaf == pytest.approx(expected)
    assert how in found.vaf_source


def test_counts_by_depth_and_a_file_without_vaf(tmp_path):
    rows = [("G", "Missense_Mutation", "A", 50, 10), ("G", "Missense_Mutation", "A", "", "")]
    found = read_maf(maf(tmp_path / "x.maf", rows, "t_depth\tt_alt_count"))
    assert found.vaf[0] == pytest.approx(0.2)
    assert np.isnan(found.vaf[1])
    assert mutation_features(found, 1.0, ["G"])["A"]["G_vaf_sum"].reason == "a VAF is unknown"
    bare = read_maf(maf(tmp_path / "y.maf", [("G", "Missense_Mutation", "A", "x")], "note"))
    assert np.isnan(bare.vaf).all()
    assert "neither" in bare.vaf_source


def test_malformed_rows_are_named_by_line(tmp_path):
    text = "#v\n" + HEADER + "\tt_ref_count\tt_alt_count\n"
    good = "TP53\tMissense_Mutation\tA\t5\t5\n"
    text += good * 6 + "TP53\tMissense_Mutation\tA\t5\n" + "\n# a comment\n" + "TP53\tMissense_Mutation\t\t5\t5\n"
    text += (
        "TP53\tNonsense\tA\t5\t5\n" + "TP53\tMissense_Mutation\tA\tfive\t5\n" + "TP53\tMissense_Mutation\tA\t-1\t5\n"
    )
    found = read_maf(write(tmp_path / "x.maf", text))
    assert len(found) == 6
    reasons = {m.line: m.reason for m in found.malformed}
    assert list(reasons) == [9, 12, 13, 14, 15]
    assert reasons[9] == "4 cells instead of 5"
    assert reasons[12] == "no sample"
    assert "unknown Variant_Classification 'Nonsense'" in reasons[13]
    assert "no number" in reasons[14]
    assert "below 0" in reasons[15]
    with pytest.raises(InputError, match=r"rows of y\.maf are malformed \(line 2"):
        read_maf(write(tmp_path / "y.maf", HEADER + "\n" + "a\tb\n" * 5 + "G\tSilent\tA\n"))


VCF = """##fileformat=VCFv4.2
##FILTER=<ID=PASS,Description="ok">
##FILTER=<ID=bad,Description="bad">
##INFO=<ID=ANN,Number=.,Type=String,Description="x">
##FORMAT=<ID=GT,Number=1,Type=String,Description="x">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="x">
##FORMAT=<ID=FREQ,Number=1,Type=String,Description="x">
##contig=<ID=1>
##tumor_sample=T1
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	N1	T1
1	10	.	A	T	.	PASS	ANN=T|missense_variant&splice_region_variant|MOD|TP53|x	GT:AD	0/0:50,0	0/1:30,10
1	20	.	AC	A	.	PASS	ANN=A|frameshift_variant|HIGH|PTEN|x	GT:AD	0/0:50,0	0/1:20,20
1	30	.	A	G	.	bad	ANN=G|stop_gained|HIGH|RB1|x	GT:AD	0/0:50,0	0/1:20,20
1	40	.	A	G	.	PASS	ANN=G|synonymous_variant|LOW|MUC16|x	GT:AD	0/0:50,0	0/1:9,1
1	50	.	A	G,C	.	PASS	ANN=G|stop_gained|H|ATM|x,C|missense_variant|M|ATM|x	GT:AD	0/0:50,0,0	0/2:9,0,1
1	60	.	A	G	.	PASS	ANN=G|stop_gained|HIGH|APC|x	GT:FREQ	0/0:0%	0/1:12.5%
"""


def test_vcf_genes_classes_and_fractions(tmp_path):
    pytest.importorskip("vcfpy")
    found = read_vcf(write(tmp_path / "x.vcf", VCF))
    assert found.samples == ("T1",)
    assert found.gene.tolist() == ["TP53", "PTEN", "MUC16", "ATM", "APC"]
    classes = ["Missense_Mutation", "Frame_Shift_Del", "Silent", "Missense_Mutation", "Nonsense_Mutation"]
    assert found.variant_class.tolist() == classes
    assert found.vaf == pytest.approx([0.25, 0.5, 0.1, 0.1, 0.125])
    assert "1 calls" in found.notes[0]
    with pytest.raises(InputError, match="no sample 'X'"):
        read_vcf(tmp_path / "x.vcf", ["X"])
    with pytest.raises(InputError, match="is no VCF file"):
        read_vcf(write(tmp_path / "y.vcf", "chrom\tpos\n"))
    with pytest.raises(InputError, match="names no genes"):
        read_vcf(write(tmp_path / "z.vcf", re.sub(r"##INFO.*\n", "", VCF)))


@pytest.mark.parametrize(
    ("ref", "alt", "terms", "expected"),
    [
        ("AC", "A", "frameshift_variant&splice_region_variant", "Frame_Shift_Del"),
        ("A", "T", "stop_gained&splice_region_variant", "Nonsense_Mutation"),
        ("A", "ATTT", "inframe_insertion&splice_region_variant", "In_Frame_Ins"),
        ("A", "T", "missense_variant,T|stop_gained", "Nonsense_Mutation"),  # two transcripts
        ("A", "T", "splice_region_variant&intron_variant", "Splice_Region"),
        ("ATTT", "A", "protein_altering_variant", "In_Frame_Del"),
        ("A", "T", "splice_polypyrimidine_tract_variant&intron_variant", "Splice_Region"),
    ],
)
def test_vcf_takes_the_most_severe_consequence(tmp_path, ref, alt, terms, expected):
    pytest.importorskip("vcfpy")
    annotations = ",".join(f"{alt}|{t.split('|')[-1]}|x|TP53|x" for t in terms.split(","))
    row = f"1\t10\t.\t{ref}\t{alt}\t.\tPASS\tANN={annotations}\tGT:AD\t0/0:50,0\t0/1:30,10\n"
    found = read_vcf(write(tmp_path / "x.vcf", VCF[: VCF.index("1\t10")] + row))
    assert found.variant_class.tolist() == [expected]


def test_vcf_of_vep_tells_alleles_apart_and_counts_stay_fractions(tmp_path):
    pytest.importorskip("vcfpy")
    head = VCF[: VCF.index("1\t10")].replace("ID=ANN", "ID=CSQ")
    head = head.replace(
        'Type=String,Description="x">', 'Type=String,Description="Format: Allele|Consequence|SYMBOL">', 1
    )
    rows = "1\t10\t.\tCA\tC,CAT\t.\tPASS\tCSQ=-|frameshift_variant|G1,AT|synonymous_variant|G1\tGT:AD\t0/0:9,0,0\t"
    rows += "1/2:5,10,5\n1\t20\t.\tA\tG\t.\tPASS\tCSQ=G|missense_variant|G2\tGT:FREQ\t0/0:0\t0/1:40\n"
    found = read_vcf(write(tmp_path / "x.vcf", head + rows))
    assert found.variant_class.tolist() == ["Frame_Shift_Del", "Silent", "Missense_Mutation"]
    assert found.vaf == pytest.approx([0.5, 0.25, 0.4])


def test_maf_rows_of_one_variant_count_once_and_signs_of_percent_are_read(tmp_path):
    head = "Hugo_Symbol\tVariant_Classification\tTumor_Sample_Barcode\tChromosome\tStart_Position"
    head += "\tTumor_Seq_Allele2\tt_vaf\n"
    rows = ("A\t1\t100\tT\t40%", "A\t1\t100\tT\t40%", "A\t1\t100\tG\t0.5%", "B\t1\t100\tT\t20%")
    text = head + "".join(f"TP53\tMissense_Mutation\t{row}\n" for row in rows)
    found = read_maf(write(tmp_path / "x.maf", text))
    assert found.vaf == pytest.approx([0.4, 0.005, 0.2])
    assert "1 rows of x.maf repeat a variant" in found.notes[0]
    assert found.malformed == ()


def test_copy_number_burden_of_ratios_and_copies(tmp_path):
    text = "Sample\tChromosome\tStart\tEnd\tNum_Probes\tSegment_Mean\n"
    text += "A\t1\t1\t600\t9\t0.5\nA\t2\t1\t300\t9\t-0.1\nA\tchr3\t1\t100\t9\t-0.2\n"
    text += "A\tX\t1\t5000\t9\t2\nB\tY\t1\t10\t1\t1\n"
    found = copy_number_burden(write(tmp_path / "s.seg", text))
    a = {k: v.value for k, v in found.features["A"].items()}
    assert a == pytest.approx({"cnb": 0.7, "cnb_gain": 0.6, "cnb_loss": 0.1})
    assert found.features["B"]["cnb"].value is None
    copies = "ID,chrom,loc.start,loc.end,total_cn\nA,1,1,600,2.2\nA,1,601,1000,3.9\n"
    found = copy_number_burden(write(tmp_path / "s.csv", copies))
    assert found.features["A"]["cnb"].value == pytest.approx(0.4)
    with pytest.raises(InputError, match=r"Line 2 .* ends before it starts"):
        copy_number_burden(write(tmp_path / "t.csv", "ID,chrom,start,end,total_cn\nA,1,700,600,2\n"))
    with pytest.raises(InputError, match="neither a Segment_Mean"):
        copy_number_burden(write(tmp_path / "u.csv", "ID,chrom,start,end\nA,1,7,600\n"))


def random_expression(n_genes: int = 200, n_samples: int = 12, seed: int = 0) -> Expression:
    rng = np.random.default_rng(seed)
    values = rng.normal(6, 2, (n_genes, n_samples))
    return Expression(
        values, tuple(f"G{k}" for k in range(n_genes)), tuple(f"S{k}" for k in range(n_samples)), "x", "0"
    )


def test_ssgsea_is_barbies_running_sum():
    pytest.importorskip("gseapy")
    expression = random_expression()
    sets = {"one": [f"G{k}" for k in range(0, 60, 2)], "two": [f"G{k}" for k in range(100, 140)], "small": ["G1", "G2"]}
    scores, names, notes = gene_set_scores(expression, sets)
    assert names == ["one", "two"]
    assert "1 gene sets" in notes[0]
    raw = np.empty((2, 12))
    for j in range(12):
        ranks = stats.rankdata(expression.values[:, j])
        order = np.argsort(-ranks, kind="stable")
        for i, name in enumerate(names):
            inside = np.isin(np.array(expression.genes)[order], sets[name])
            weight = np.where(inside, ranks[order] ** 0.25, 0)
            raw[i, j] = (np.cumsum(weight) / weight.sum() - np.cumsum(~inside) / (~inside).sum()).sum()
    # gseapy scales ranks and by the range of all scores; correlation and order are the definition's.
    for i in range(2):
        assert np.corrcoef(scores[i], raw[i])[0, 1] > 0.9999


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (
            "ssgsea",
            [
                [0.060001488, 0.16649638, 0.087751824, 0.28534523, 0.38557092, 0.59148529],
                [1.020249077, 0.12001030, 0.484150795, 0.50053927, 0.28536333, 1.06000149],
            ],
        ),
        (
            "gsva",
            [
                [-0.0088495575, -0.255639098, -0.244609164, 0.071428571, 0.230215827, 0.26378446],
                [0.25, -0.063211125, -0.043911007, -0.094827586, -0.023109244, 0.1121118],
            ],
        ),
    ],
)
def test_gene_set_scores_are_those_of_bioconductor(method, expected):
    """Values printed by R's GSVA 1.46 on the same matrix (ssgsea normalized by the range)."""
    pytest.importorskip("gseapy")
    i, j = np.meshgrid(np.arange(40), np.arange(6), indexing="ij")
    values = 6 + 3 * np.sin(1.7 * i + 0.9 * j * j + 0.31 * i * j) + 0.01 * i
    expression = Expression(values, tuple(f"G{k}" for k in range(40)), tuple(f"S{k}" for k in range(6)), "x", "0")
    sets = {"A": [f"G{k}" for k in range(12)], "B": [f"G{k}" for k in range(5, 40, 3)]}
    scores, names, _ = gene_set_scores(expression, sets, method, 5)
    assert names == ["A", "B"]
    np.testing.assert_allclose(scores, expected, atol=5e-9)


def test_expression_tables_are_cleaned_and_named(tmp_path):
    text = "Hugo_Symbol\tEntrez_Gene_Id\tA\tB\nTP53\t1\t1\t2\nTP53\t1\t5\t6\nPTEN\t2\t\t3\n\t3\t1\t1\nRB1\t4\t7\t8\n"
    found = read_expression(write(tmp_path / "e.txt", text))
    assert found.genes == ("TP53", "RB1")
    np.testing.assert_array_equal(found.values, [[5, 6], [7, 8]])
    assert len(found.notes) == 2
    with pytest.raises(InputError, match=r"Line 2 .* 'high', which is no number"):
        read_expression(write(tmp_path / "f.txt", "gene\tA\tB\nTP53\thigh\t2\n"))
    with pytest.raises(InputError, match="1 columns of samples"):
        read_expression(write(tmp_path / "g.txt", "gene\tA\nTP53\t2\n"))
    with pytest.raises(InputError, match=r"Line 2 of s\.gmt is no gene set"):
        read_gene_sets(write(tmp_path / "s.gmt", "A\tx\tG1\nB\tx\n"))
    with pytest.raises(InputError, match="names the gene set 'A' again"):
        read_gene_sets(write(tmp_path / "t.gmt", "A\tx\tG1\nA\tx\tG2\n"))


def test_centroid_scores_by_definition(tmp_path):
    expression = random_expression(30, 9, seed=4)
    rng = np.random.default_rng(5)
    template = rng.normal(size=(20, 4))
    rows = ["gene,Basal,Her2,LumA,LumB"] + [f"G{k}," + ",".join(f"{v:.6f}" for v in template[k]) for k in range(20)]
    centroids = read_centroids(write(tmp_path / "c.csv", "\n".join(rows)))
    found = centroid_scores(expression, centroids, "ror")
    centered = expression.values[:20] - np.median(expression.values[:20], axis=1, keepdims=True)
    for j, sample in enumerate(expression.samples):
        rho = [stats.spearmanr(centroids.values[:, c], centered[:, j]).statistic for c in range(4)]
        expected = 0.05 * rho[0] + 0.12 * rho[1] - 0.34 * rho[2] + 0.23 * rho[3]
        assert found[sample]["ror_score"].value == pytest.approx(expected, abs=1e-12)
        assert found[sample]["ror_nearest"] == ["Basal", "Her2", "LumA", "LumB"][int(np.argmax(rho))]
    good = read_centroids(
        write(tmp_path / "g.csv", "gene,good\n" + "\n".join(f"G{k},{template[k, 0]:.6f}" for k in range(20)))
    )
    seventy = centroid_scores(expression, good, "70-gene")["S0"]
    a, b = good.values[:, 0], centered[:, 0]
    assert seventy["70_gene_cosine"].value == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert seventy["70_gene_score"].value == pytest.approx(-stats.spearmanr(a, b).statistic)
    p53 = read_centroids(
        write(
            tmp_path / "p.csv",
            "gene,mutant,wildtype\n" + "\n".join(f"G{k},{template[k, 0]:.6f},{template[k, 1]:.6f}" for k in range(20)),
        )
    )
    rho = [stats.spearmanr(p53.values[:, c], centered[:, 0]).statistic for c in range(2)]
    assert centroid_scores(expression, p53, "p53")["S0"]["p53_score"].value == pytest.approx(rho[0] - rho[1])
    with pytest.raises(InputError, match="no class basal"):
        centroid_scores(expression, p53, "ror")
    strange = read_centroids(write(tmp_path / "s.csv", "gene,good\n" + "\n".join(f"X{k},1" for k in range(20))))
    with pytest.raises(InputError, match="0 of the 20 genes"):
        centroid_scores(expression, strange, "subtype")


def test_differential_expression_and_gsea_find_what_was_shifted():
    pytest.importorskip("gseapy")
    expression = random_expression(120, 16, seed=7)
    values = expression.values.copy()
    values[:20, 8:] += 9
    shifted = Expression(values, expression.genes, expression.samples, "x", "0")
    labels = {s: "high" if k >= 8 else "alow" for k, s in enumerate(shifted.samples)}
    found = differential_expression(shifted, labels, counts=False)
    assert found.groups == ("alow", "high")
    t = stats.ttest_ind(values[3, 8:], values[3, :8], equal_var=False)
    assert (found.statistic[3], found.p[3]) == (pytest.approx(t.statistic), pytest.approx(t.pvalue))
    assert found.log2_fold_change[3] == pytest.approx(values[3, 8:].mean() - values[3, :8].mean())
    assert (found.adjusted_p[:20] < 0.05).all()
    sets = {"up": [f"G{k}" for k in range(20)], "rest": [f"G{k}" for k in range(60, 90)]}
    rows = {r["set"]: r for r in preranked_gsea(found, sets, permutations=200)}
    assert rows["up"]["nes"] > 1.5
    assert rows["up"]["fdr"] < 0.05
    # The enrichment score by its definition.
    order = np.argsort(-found.statistic, kind="stable")
    inside = np.isin(np.array(found.genes)[order], sets["up"])
    weight = np.where(inside, np.abs(found.statistic[order]), 0)
    walk = np.cumsum(weight) / weight.sum() - np.cumsum(~inside) / (~inside).sum()
    assert rows["up"]["es"] == pytest.approx(walk[np.argmax(np.abs(walk))], abs=1e-6)


def test_counts_go_to_pydeseq2():
    pytest.importorskip("pydeseq2")
    rng = np.random.default_rng(2)
    means = rng.uniform(50, 500, 60)
    counts = rng.negative_binomial(10, 10 / (10 + means[:, None]), (60, 10)).astype(float)
    counts[:5, 5:] *= 6
    expression = Expression(counts, tuple(f"G{k}" for k in range(60)), tuple(f"S{k}" for k in range(10)), "x", "0")
    labels = {s: "b" if k >= 5 else "a" for k, s in enumerate(expression.samples)}
    found = differential_expression(expression, labels, counts=True)
    assert found.method == "PyDESeq2"
    assert found.log2_fold_change[:5] == pytest.approx(np.log2(6), abs=1.0)
    assert (found.adjusted_p[:5] < 0.01).all()
    with pytest.raises(InputError, match="no raw counts"):
        differential_expression(random_expression(20, 10), labels, counts=True)


def test_abundance_scores_of_pathways():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(10, 20))
    values[:3, 10:] += 6
    values[3, 10:] -= 6
    matrix = Expression(values, tuple(f"M{k}" for k in range(10)), tuple(f"S{k}" for k in range(20)), "x", "0")
    labels = {s: "high" if k >= 10 else "alow" for k, s in enumerate(matrix.samples)}
    pathways = {
        "rising": ["M0", "M1", "M2"],
        "mixed": ["M0", "M1", "M3", "M7"],
        "few": ["M0", "M1"],
        "flat": ["M5", "M6", "M8"],
    }
    found = {
        r["pathway"]: (r["increased"], r["decreased"], r["score"])
        for r in differential_abundance(matrix, pathways, labels)
    }
    assert found == {"rising": (3, 0, 1.0), "mixed": (2, 1, 0.25), "flat": (0, 0, 0.0)}


@pytest.fixture
def files(tmp_path):
    """A small cohort of 12 patients with every kind of file."""
    rng = np.random.default_rng(3)
    patients = [f"TCGA-AA-{k:04d}" for k in range(12)]
    rows = []
    for p in patients:
        for _ in range(12):
            ref, alt = rng.integers(20, 60), rng.integers(10, 50)
            rows.append((f"G{rng.integers(0, 30)}", "Missense_Mutation", f"{p}-01A", ref, alt))
    maf(tmp_path / "m.maf", rows)
    segments = "Sample\tChromosome\tStart\tEnd\tSegment_Mean\n" + "".join(
        f"{p}-01A\t1\t1\t1000\t{rng.normal(0, 0.3):.3f}\n" for p in patients
    )
    write(tmp_path / "s.seg", segments)
    values = rng.normal(6, 1, (60, 12))
    values[:20, 6:] += 3
    head = "gene\t" + "\t".join(f"{p}-01A" for p in patients) + "\n"
    write(
        tmp_path / "e.tsv",
        head + "".join(f"G{k}\t" + "\t".join(f"{v:.4f}" for v in values[k]) + "\n" for k in range(60)),
    )
    write(tmp_path / "sets.gmt", "UP\tx\t" + "\t".join(f"G{k}" for k in range(20)) + "\n")
    write(tmp_path / "path.gmt", "P\tx\t" + "\t".join(f"G{k}" for k in range(10)) + "\n")
    write(
        tmp_path / "groups.csv",
        "patient,iith\n" + "".join(f"{p},{'high' if k >= 6 else 'alow'}\n" for k, p in enumerate(patients)),
    )
    return tmp_path


def test_the_command_writes_one_row_per_patient_and_what_differs(files, capsys):
    pytest.importorskip("gseapy")
    out = files / "out"
    arguments = ["genomics", "--maf", str(files / "m.maf"), "--territory-mb", "35", "--top-genes", "3"]
    arguments += [
        "--segments",
        str(files / "s.seg"),
        "--expression",
        str(files / "e.tsv"),
        "--gmt",
        str(files / "sets.gmt"),
    ]
    arguments += ["--groups", str(files / "groups.csv"), "--group", "iith", "--barcode-length", "12"]
    arguments += ["--metabolites", str(files / "e.tsv"), "--pathways", str(files / "path.gmt")]
    assert main([*arguments, "--out", str(out)]) == 0
    with (out / "genomics.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 12
    assert rows[0]["patient"] == "TCGA-AA-0000"
    assert float(rows[0]["tmb_per_mb"]) == pytest.approx(12 / 35)
    assert {"math", "cnb", "ssgsea_UP"} <= set(rows[0])
    with (out / "differential_expression.csv").open(newline="", encoding="utf-8") as stream:
        genes = list(csv.DictReader(stream))
    assert {g["gene"] for g in genes[:20]} == {f"G{k}" for k in range(20)}
    assert (out / "figures" / "volcano.svg").is_file()
    assert (out / "gsea.csv").is_file()
    assert (out / "pathway_abundance.csv").read_text().splitlines()[1].endswith("1.0")
    record = json.loads((out / "genomics.json").read_text(encoding="utf-8"))
    assert record["schema"] == "iith-genomics/1"
    assert record["parameters"]["territory_mb"] == 35
    assert "research use" in record["research_use"].lower()
    # The table is at once a table of variables for associations.
    again = [
        "associate",
        str(out / "genomics.csv"),
        str(files / "groups.csv"),
        "--group",
        "iith",
        "--out",
        str(files / "a"),
    ]
    assert main(again) == 0
    tests = json.loads((files / "a" / "association.json").read_text(encoding="utf-8"))["tests"]
    assert min(tests, key=lambda t: t["p"] if t["p"] is not None else 2)["variable"] == "ssgsea_UP"


BAD_RUNS = {
    "nothing": ([], "No genomic file is given"),
    "sets without expression": (["--maf", "m.maf", "--gmt", "sets.gmt"], "score an expression matrix"),
    "half of the groups": (["--expression", "e.tsv", "--groups", "groups.csv"], "both --groups TABLE and --group NAME"),
    "nothing asked": (["--expression", "e.tsv"], "Nothing is asked of the expression matrix"),
    "metabolites alone": (["--metabolites", "e.tsv"], "need --metabolites, --pathways"),
    "no MAF": (["--maf", "groups.csv"], "is no MAF file"),
    "absent": (["--maf", "nothing.maf"], "does not exist"),
    "territory": (["--maf", "m.maf", "--territory-mb", "0"], "not between 0.05 and 3300"),
    "no segments": (["--segments", "groups.csv"], "no column for the"),
    "barcodes that collide": (["--maf", "m.maf", "--barcode-length", "4"], "two samples of the patient"),
    "centroids without a file": (["--expression", "e.tsv", "--centroids", "ror"], "is not KIND=FILE"),
    "unknown centroids": (["--expression", "e.tsv", "--centroids", "magic=e.tsv"], "is no centroid score"),
    "genes that fit no set": (
        ["--expression", "e.tsv", "--gmt", "sets.gmt", "--min-genes", "50"],
        "No gene set has 50",
    ),
    "groups of others": (["--expression", "e.tsv", "--groups", "groups.csv", "--group", "iith"], "check the names"),
    "no counts": (
        ["--expression", "e.tsv", "--groups", "groups.csv", "--group", "iith", "--barcode-length", "12", "--counts"],
        "no raw counts",
    ),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_bad_runs_say_one_line_and_write_nothing(files, capsys, case):
    more, message = BAD_RUNS[case]
    before = {p.name for p in files.iterdir()}
    arguments = [
        str(files / a) if a.endswith((".maf", ".csv", ".tsv", ".seg", ".gmt")) and "=" not in a else a for a in more
    ]
    arguments = [a.replace("magic=e.tsv", f"magic={files / 'e.tsv'}") for a in arguments]
    assert main(["genomics", *arguments, "--out", str(files / "out")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert message in error[0]
    assert {p.name for p in files.iterdir()} == before
