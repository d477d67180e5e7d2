"""A simulated exam from images to the report, inside Slicer without a window: docs/slicer.md."""

import sys
import traceback

import slicer


def main(path: str) -> None:
    import IITHModule
    import RadiogenomicReport
    import SubregionHabitat

    sequence, voi = SubregionHabitat.loadSimulatedExam()
    habitats = SubregionHabitat.SubregionHabitatLogic().processNodes([sequence], voi=(voi, "voi"))
    clinical = {"hr": 1.0, "her2": 0.0, "age_years": 52.0}
    IITHModule.IITHModuleLogic().processNodes(habitats.segmentation, preset=None, clinical=clinical)
    report = RadiogenomicReport.RadiogenomicReportLogic().processNodes(habitats.segmentation, path)
    print(f"research use only: {report.path}")


if __name__ == "__main__":
    status = 0
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "report.html")
    except Exception:
        traceback.print_exc()
        status = 1
    slicer.util.exit(status)
