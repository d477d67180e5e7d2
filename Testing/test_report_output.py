"""``iith report``: a report again as HTML, PDF, figures, numbers and DICOM; in a real browser; bad inputs."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import SimpleITK as sitk

from RadiogenomicReportLib.case_report import CasePictures, case_report_html
from RadiogenomicReportLib.case_result import read_result
from RadiogenomicReportLib.command_line.main import main
from RadiogenomicReportLib.figures_style import charts_as
from RadiogenomicReportLib.page_tree import page_tree
from RadiogenomicReportLib.pdf_report import html_to_pdf, markup
from RadiogenomicReportLib.report_images import read_pictures, write_report_image
from RadiogenomicReportLib.report_output import ReportNumber, numbers_csv, write_files
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam, write_dicom
from SubregionHabitatLib.volume_io import write_volume
from support.browser import browser  # noqa: F401
from support.data import require_data
from support.report_cases import Page, pixels, report_case

NASTY = "<script>alert('1')</script>\"><img src=x onerror=alert(2)> {{ 7*7 }} &lt;b&gt;"
SMALL = {"seed": 6, "shape": (20, 56, 56), "spacing_mm": (3.0, 3.0, 4.0), "lesion_radii_mm": (13.0, 12.0, 13.0)}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A simulated exam as DICOM and its result in ``out``."""
    folder = tmp_path_factory.mktemp("report")
    exam = simulate_exam(SimulationParameters(**SMALL))
    write_dicom(exam, folder / "exam")
    write_volume(folder / "voi.nrrd", exam.voi, exam.exam.geometry)
    arguments = ["analyze", str(folder / "exam"), "--voi", str(folder / "voi.nrrd"), "--out", str(folder / "out")]
    assert main([*arguments, "--hr", "1", "--her2", "0", "--age", "52"]) == 0
    return folder


@pytest.fixture
def result(base, tmp_path):
    """A copy of the result that a test may spoil."""
    shutil.copytree(base / "out", tmp_path / "result")
    return tmp_path / "result"


def digests(folder) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*")) if p.is_file()
    }  # fmt: skip


# ---- the same report ---------------------------------------------------------------------------------------------
def test_pictures_of_a_result_read_back_are_those_of_the_analysis(simulated, simulated_imaging, tmp_path):
    case, pictures = report_case(simulated.exam, simulated_imaging, models=[])
    for name in ("maps", "labels"):
        (tmp_path / name).mkdir()
    for name, array in pictures.maps.items():
        write_volume(tmp_path / "maps" / f"{name}.nrrd", array, pictures.geometry)
    labels = {"lesion": pictures.lesion, "habitats": pictures.habitats, "ring": pictures.ring}
    labels["tissue"] = pictures.tissue
    for name, array in labels.items():
        write_volume(tmp_path / "labels" / f"{name}.nrrd", array, pictures.geometry)
    write_report_image(tmp_path, pictures)
    kept = sitk.ReadImage(str(tmp_path / "images" / "early.nrrd"))
    assert np.prod(kept.GetSize()) < pictures.image.size  # only what is shown is kept
    again = read_pictures(tmp_path, case)
    assert case_report_html(case, again) == case_report_html(case, pictures)
    # A result of an earlier version has no tissue: its report lacks that picture.
    (tmp_path / "labels" / "tissue.nrrd").unlink()
    earlier = read_pictures(tmp_path, case)
    assert earlier.tissue is None
    assert case_report_html(case, earlier).count("<img") == case_report_html(case, pictures).count("<img") - 1


@pytest.mark.parametrize("oblique", [(0.0, 0.0, 0.0), (12.0, -9.0, 15.0)])
def test_the_kept_image_holds_all_that_is_shown_wherever_the_lesion_lies(oblique):
    from support.exams import make_geometry

    rng = np.random.default_rng(3)
    for spacing in ((1.0, 1.0, 1.0), (0.7, 0.9, 3.0)):
        shape = (30, 40, 36)
        lesion = np.zeros(shape, bool)
        z, y, x = (int(rng.integers(2, n - 8)) for n in shape)
        lesion[z : z + 5, y : y + 4, x : x + 6] = True
        angle = np.radians(oblique)
        turn = np.array([[np.cos(angle[2]), -np.sin(angle[2]), 0], [np.sin(angle[2]), np.cos(angle[2]), 0], [0, 0, 1]])
        direction = tuple((turn @ np.diag([-1.0, 1.0, -1.0])).ravel())
        geometry = make_geometry(shape, spacing, direction=direction)
        image = rng.normal(size=shape).astype(np.float32)
        none = np.zeros(shape, bool)
        maps = dict.fromkeys(("pe_peak", "ser", "wis", "wos"), image)
        whole = CasePictures(image, geometry, lesion, lesion.astype(np.uint8), none, maps, dict.fromkeys(maps, "1"), 0)
        from RadiogenomicReportLib.figures_slices import slice_pictures
        from RadiogenomicReportLib.report_images import shown_box

        cut = np.full(shape, np.nan, np.float32)
        box = shown_box(whole)
        cut[box] = image[box]
        part = CasePictures(cut, geometry, lesion, whole.habitats, none, maps, whole.units, 0)
        for a, b in zip(slice_pictures(whole, ("one",)), slice_pictures(part, ("one",)), strict=True):
            assert np.array_equal(pixels(a.src), pixels(b.src))


def test_report_writes_the_forms_asked_for_and_leaves_the_rest_alone(base, result):
    before = digests(result)
    assert main(["report", str(result), "--format", "html", "pdf", "csv", "json", "figures"]) == 0
    after = digests(result)
    new = {"report.pdf", "numbers.csv", "numbers.json"}
    assert new <= set(after)
    assert {n for n in after if n not in before} - new == {n for n in after if n.startswith("figures/")}
    assert {n: d for n, d in after.items() if n in before and n != "report.html"} == {
        n: d for n, d in before.items() if n != "report.html"
    }
    suffixes = [name.rsplit(".", 1)[1] for name in after if name.startswith("figures/")]
    assert suffixes.count("svg") == 2  # the curves and the survival of the training patients
    assert suffixes.count("png") == 8 + 1 + 1 + 2
    assert not [p for p in result.iterdir() if "partial" in p.name]
    page = Page((result / "report.html").read_text())
    assert "This report holds no patient identity" in page.text
    # the same again gives the same bytes
    assert main(["report", str(result), "--format", "html", "csv", "json"]) == 0
    assert digests(result) == after


def test_numbers_are_those_of_the_case_and_missing_ones_have_a_reason(result, capsys):
    assert main(["report", str(result), "--format", "csv", "json", "--out", str(result / "n"), "--json"]) == 0
    case = json.loads((result / "case.json").read_text())
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((result / "n" / "numbers.json").read_text())
    assert printed["schema"] == "iith-report-numbers/1"
    with (result / "n" / "numbers.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(printed["numbers"])

    def number(section, item, quantity):
        (row,) = [r for r in rows if (r["section"], r["item"], r["quantity"]) == (section, item, quantity)]
        return float(row["value"]), row["unit"]

    assert number("lesion", "lesion", "functional tumor volume") == (case["lesion"]["ftv_cc"], "cc")
    assert number("lesion", "lesion", "longest diameter") == (case["lesion"]["longest_diameter_mm"], "mm")
    for region in case["habitats"]["regions"]:
        item = f"habitat {region['label']} ({region['name']})"
        assert number("habitats", item, "volume") == (region["volume_cc"], "cc")
        assert number("habitats", item, "share of the lesion") == (region["share"], "1")
    for score in case["scores"]:
        item = f"{score['model_id']} {score['model_version']}"
        if score["value"] is None:
            (row,) = [r for r in rows if (r["item"], r["quantity"]) == (item, "value")]
            assert (row["value"], row["reason"]) == ("", score["refusal"])
            continue
        assert number("scores", item, "value")[0] == score["value"]
    (side,) = case["background_enhancement"]
    assert number("breast", "ipsilateral breast", "mean background enhancement") == (side["mean_percent"], "%")
    for threshold, share in side["share_above_percent"].items():
        assert number("breast", "ipsilateral breast", f"share of the tissue above {threshold} %") == (share, "1")
    for name, value in case["interaction"]["features"].items():
        assert number("interaction", "habitats", name)[0] == value
    assert all(bool(r["value"]) != bool(r["reason"]) for r in rows)
    assert any(r["quantity"].startswith("enhancing fraction") and "by construction" in r["reason"] for r in rows)


def test_cells_cannot_act_as_formulas_in_the_numbers():
    rows = [ReportNumber("=SUM(A1)", "+x", "@y", "=cmd|' /C calc'!A0"), ReportNumber("a", "b", "c", -2.5, "mm")]
    cells = list(csv.reader(io.StringIO(numbers_csv(rows).decode())))
    assert cells[1][:4] == ["'=SUM(A1)", "'+x", "'@y", "'=cmd|' /C calc'!A0"]
    assert cells[2][3] == "-2.5"


# ---- PDF ---------------------------------------------------------------------------------------------------------
def pdf_text(path) -> str:
    tool = shutil.which("pdftotext")
    if tool is None:
        pytest.skip("pdftotext is not installed (Debian: poppler-utils)")
    return subprocess.run([tool, "-layout", str(path), "-"], capture_output=True, text=True, check=True).stdout


def test_the_pdf_says_what_the_page_says(result):
    assert main(["report", str(result), "--format", "html", "pdf"]) == 0
    page, text = Page((result / "report.html").read_text()), " ".join(pdf_text(result / "report.pdf").split())
    case = json.loads((result / "case.json").read_text())
    for heading in (e.text for e in page.elements if e.tag in ("h1", "h2")):
        assert heading in text
    bare = text.replace(" ", "").replace("\u00a0", "")
    cells = [e.text for e in page.all("td") if re.fullmatch(r"[\u2212-]?[0-9.,]+", e.text)]
    assert len(cells) > 100
    assert not [c for c in cells if c not in text]
    names = list(case["parameters"]["radiomics"])
    assert names
    assert all(f"radiomics.{name}".replace(" ", "") in bare for name in names)
    assert text.count("Research use only. Not a medical device.") >= 4  # on every page
    assert "Simulated exam." in text


def test_a_pdf_shows_markup_and_other_scripts_of_the_input_as_text(result, tmp_path):
    case = json.loads((result / "case.json").read_text())
    case["exam"]["description"] = NASTY
    case["warnings"] = [NASTY, "\u0394 \u2264 5 mm\u00b3, \u041f\u0440\u0438\u0432\u0435\u0442"]
    (result / "case.json").write_text(json.dumps(case))
    assert main(["report", str(result), "--format", "pdf"]) == 0
    text = " ".join(pdf_text(result / "report.pdf").split())
    assert " ".join(NASTY.split()).replace(" ", "") in text.replace(" ", "")
    assert "\u0394 \u2264 5 mm\u00b3, \u041f\u0440\u0438\u0432\u0435\u0442" in text
    inline = markup(page_tree("<p>a &lt;b&gt; <strong>c</strong> &amp;amp; <code>&lt;/font&gt;</code></p>").elements[0])
    assert inline == 'a &lt;b&gt; <b>c</b> &amp;amp; <font face="ReportMono" size="7">&lt;/font&gt;</font>'


def test_the_same_page_gives_the_same_pdf_and_without_reportlab_the_remedy_is_named(result, monkeypatch, capsys):
    with charts_as("png"):
        html = case_report_html(read_result(result).case, read_result(result).pictures())
    assert html_to_pdf(html) == html_to_pdf(html)
    monkeypatch.setitem(__import__("sys").modules, "reportlab", None)
    before = digests(result)
    assert main(["report", str(result)]) == 2
    assert "pip install reportlab" in capsys.readouterr().err
    assert digests(result) == before


# ---- DICOM -------------------------------------------------------------------------------------------------------
def test_report_writes_the_dicom_objects_that_analyze_wrote(base, result):
    written = digests(result / "dicom")
    assert len(written) == 8
    shutil.rmtree(result / "dicom")
    case = json.loads((result / "case.json").read_text())
    assert main(["report", str(result), "--format", "html", "--dicom", str(base / "exam")]) == 0
    assert digests(result / "dicom") == written
    assert json.loads((result / "case.json").read_text()) == case


def test_identity_is_shown_only_on_request(base, result):
    import pydicom

    assert main(["report", str(result), "--dicom", str(base / "exam"), "--format", "html", "--identity"]) == 0
    source = pydicom.dcmread(base / "exam" / "IM00001.dcm", stop_before_pixels=True)
    made = pydicom.dcmread(result / "dicom" / "segmentation.dcm")
    assert (made.PatientID, made.PatientName) == (source.PatientID, source.PatientName)
    page = Page((result / "report.html").read_text())
    assert str(source.PatientID) in page.by_id("identity").text
    assert json.loads((result / "case.json").read_text())["dicom"]["identity"] == "copied from the exam"
    assert main(["report", str(result), "--format", "html"]) == 0
    assert str(source.PatientName) not in (result / "report.html").read_text()


# ---- in a browser ------------------------------------------------------------------------------------------------
def check_page(browser, path, n_images):  # noqa: F811
    for width in (1280, 390):
        opened = browser.open(path, width)
        assert opened.messages == ()
        assert opened.requests == ()
        assert len(opened.images) == n_images
        for alt, natural_width, natural_height, shown_width, shown_height in opened.images:
            assert min(natural_width, natural_height) > 50, alt
            assert min(shown_width, shown_height) > 50, alt
        assert opened.page_width <= width, "the page is wider than the screen"
        yield opened


def test_the_page_in_a_browser_asks_for_nothing_and_draws_everything(browser, result):  # noqa: F811
    assert main(["report", str(result), "--format", "html"]) == 0
    for opened in check_page(browser, result / "report.html", 12):
        assert "Research use only" in opened.text


def test_markup_of_a_patient_and_a_cell_is_text_in_a_browser(browser, result):  # noqa: F811
    case = json.loads((result / "case.json").read_text())
    case["identity"] = {"PatientName": NASTY, "PatientID": "4711"}
    case["warnings"].append(NASTY)
    case["scores"][0] |= {"model_title": NASTY, "group": NASTY}
    (result / "case.json").write_text(json.dumps(case))
    assert main(["report", str(result), "--format", "html", "--identity"]) == 0
    for opened in check_page(browser, result / "report.html", 12):
        assert " ".join(NASTY.split()) in " ".join(opened.text.split())


def test_the_report_of_the_real_exam_in_a_browser(browser, ucsf_imaging, tmp_path):  # noqa: F811
    require_data("ucsf-br-06")
    case, pictures = report_case(*ucsf_imaging)
    (tmp_path / "report.html").write_text(case_report_html(case, pictures), encoding="utf-8")
    assert len(list(check_page(browser, tmp_path / "report.html", 12))) == 2


# ---- bad inputs --------------------------------------------------------------------------------------------------
def edit_case(result, change):
    case = json.loads((result / "case.json").read_text())
    change(case)
    (result / "case.json").write_text(json.dumps(case))


def bad_label(result):
    image = sitk.ReadImage(str(result / "labels" / "habitats.nrrd"))
    sitk.WriteImage(image * 0 + 1, str(result / "labels" / "habitats.nrrd"))


def other_grid(result):
    image = sitk.ReadImage(str(result / "maps" / "ser.nrrd"))
    sitk.WriteImage(image[:-1], str(result / "maps" / "ser.nrrd"))


BAD_RESULTS = {
    "no case file": (lambda r: (r / "case.json").unlink(), "holds no case.json"),
    "case file cut off": (lambda r: (r / "case.json").write_text('{"schema": "iith-case/1",'), "not a valid case file"),
    "another schema": (lambda r: edit_case(r, lambda c: c.update(schema="iith-case/9")), "iith-case/9"),
    "section missing": (lambda r: edit_case(r, lambda c: c.pop("lesion")), "is not complete"),
    "wrong type": (lambda r: edit_case(r, lambda c: c.update(habitats=[1, 2])), "is not complete"),
    "number as text": (
        lambda r: edit_case(r, lambda c: c["lesion"].update(ftv_cc="big", ser_bins_cc=[{"above": "x"}])),
        "is not complete",
    ),
    "labels missing": (lambda r: (r / "labels" / "ring.nrrd").unlink(), "lacks labels/ring.nrrd"),
    "image missing": (lambda r: (r / "images" / "early.nrrd").unlink(), "earlier version"),
    "image damaged": (lambda r: (r / "images" / "early.nrrd").write_bytes(b"NRRD0004\n"), "cannot be read"),
    "labels of another case": (bad_label, "not those of its case.json"),
    "map on another grid": (other_grid, "another grid"),
    "map name that leaves the folder": (
        lambda r: edit_case(r, lambda c: c["kinetics"]["units"].update({"../../etc/passwd": "1"})), "no map's name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_RESULTS)
def test_a_damaged_result_gives_one_line_and_nothing_is_written(result, fault, capsys):
    spoil, words = BAD_RESULTS[fault]
    spoil(result)
    before = digests(result)
    assert main(["report", str(result), "--format", "html", "pdf", "csv", "figures"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("iith report: ")
    assert words in lines[0]
    assert digests(result) == before


BAD_ARGUMENTS = {
    "no folder": (["{base}/nothing"], "is no folder"),
    "a file": (["{base}/voi.nrrd"], "is no folder"),
    "exam of another result": (["{result}", "--dicom", "{other}"], "its images differ"),
    "exam is a file": (["{result}", "--dicom", "{base}/voi.nrrd"], "is no folder"),
    "exam without images": (["{result}", "--dicom", "{base}/out/labels"], "no readable DICOM image"),
    "series without exam": (["{result}", "--series", "3"], "--series belongs to --dicom"),
    "unknown series": (["{result}", "--dicom", "{base}/exam", "--series", "77"], "77"),
    "identity that is not there": (["{result}", "--identity"], "without the patient's identity"),
    "out is a file": (["{result}", "--out", "{base}/voi.nrrd"], "is a file"),
}  # fmt: skip


@pytest.fixture(scope="module")
def other_exam(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    write_dicom(simulate_exam(SimulationParameters(**{**SMALL, "seed": 99})), folder)
    return folder


@pytest.mark.parametrize("fault", BAD_ARGUMENTS)
def test_bad_arguments_give_one_line_and_nothing_is_written(base, result, other_exam, fault, capsys):
    arguments, words = BAD_ARGUMENTS[fault]
    before = digests(result)
    filled = [a.format(base=base, result=result, other=other_exam) for a in arguments]
    assert main(["report", *filled]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert digests(result) == before


def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    from SubregionHabitatLib.errors import InputError

    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").write_bytes(b"old")
    (tmp_path / "report.html").write_text("old")
    before = digests(tmp_path)

    def full(*_args):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        write_files(tmp_path, {"report.html": b"new", "figures/new.png": b"new"})
    monkeypatch.undo()
    assert digests(tmp_path) == before
    write_files(tmp_path, {"report.html": b"new", "figures/new.png": b"new"})
    assert sorted(digests(tmp_path)) == ["figures/new.png", "report.html"]
