"""The cohort's report in a browser and on paper: hostile cells are text, nothing is fetched, all is drawn."""

from __future__ import annotations

import csv
import shutil
import subprocess

import numpy as np
import pytest

from RadiogenomicReportLib.command_line.main import main
from support.browser import browser  # noqa: F401
from support.report_cases import Page

NASTY = "<script>alert('1')</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The folder of a small simulated cohort, one of whose groups has markup for a name."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(3)
    with (folder / "patients.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", "score", "arm", "os_days", "os_event"])
        for k in range(120):
            score, arm = rng.normal(), NASTY if k % 2 else "a"
            event, censored = rng.exponential(1500 / np.exp(0.8 * score)), rng.uniform(400, 3500)
            writer.writerow([f"P{k}", f"{score:.4f}", arm, f"{min(event, censored) + 1:.0f}", int(event <= censored)])
    arguments = ["survival", str(folder / "patients.csv"), "--score", "score", "--covariates", "arm", "--out"]
    quick = ["--folds", "5", "--repeats", "1", "--bootstrap", "20"]
    assert main([*arguments, str(folder / "out"), *quick]) == 0
    return folder / "out"


def test_the_cohort_page_in_a_browser(browser, report):  # noqa: F811
    n_images = len(Page((report / "report.html").read_text(encoding="utf-8")).all("img"))
    assert n_images >= 5
    for width in (1280, 390):
        opened = browser.open(report / "report.html", width)
        assert opened.messages == ()
        assert opened.requests == ()
        assert len(opened.images) == n_images
        assert all(min(image[1:]) > 50 for image in opened.images)
        assert opened.page_width <= width
        assert NASTY in opened.text


def test_the_cohort_on_paper_says_what_the_page_says(report):
    tool = shutil.which("pdftotext")
    if tool is None:
        pytest.skip("pdftotext is not installed (Debian: poppler-utils)")
    command = [tool, "-raw", str(report / "report.pdf"), "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text = "".join(done.stdout.split())
    page = Page((report / "report.html").read_text(encoding="utf-8"))
    for element in page.elements:
        if element.tag in ("h1", "h2", "caption"):
            assert "".join(element.text.split()) in text
    assert "".join(NASTY.split()) in text
    assert "Researchuseonly.Notamedicaldevice." in text
