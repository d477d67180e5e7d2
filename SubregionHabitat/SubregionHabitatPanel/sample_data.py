"""The simulated exam as sample data of Slicer, made on this machine. Imports slicer."""

from __future__ import annotations

from pathlib import Path

import slicer


def registerSampleData() -> None:
    """Offer the simulated exam in the Sample Data module; it is made on this machine, no network is used."""
    try:
        import SampleData
    except ImportError:  # the Sample Data module is switched off
        return
    folder = Path(__file__).parents[1] / "Resources" / "Icons"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="IITH",
        sampleName="SimulatedBreastDCE",
        customDownloader=loadSimulatedExam,
        thumbnailFileName=str(folder / "SimulatedBreastDCE.png"),
    )


def loadSimulatedExam(_source=None) -> list:
    """The default simulated exam as a DCE sequence with a segment around its lesion: [sequence, segmentation]."""
    from .exam_views import ExamPhases, show_phase

    _simulated, sequence, voi = simulatedNodes(small=False)
    show_phase(ExamPhases.of([sequence]), 1)
    return [sequence, voi]


def simulatedNodes(small: bool = True):
    """A simulated exam in the scene: (SimulatedExam, sequence node, segmentation with the segment "voi").

    small: coarse, for tests; else the exam of ``iith simulate``.
    """
    from SubregionHabitatLib.mrml_bridge import TISSUE_TERMINOLOGY, Segment, set_segments, set_sequence
    from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam

    coarse = {"shape": (32, 80, 80), "spacing_mm": (2.0, 2.0, 4.0)} if small else {}
    simulated = simulate_exam(SimulationParameters(**coarse))
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Simulated DCE")
    set_sequence(sequence, simulated.exam)
    voi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Simulated VOI")
    segment = Segment("voi", "VOI", (1.0, 1.0, 1.0), TISSUE_TERMINOLOGY, simulated.voi, filled=False)
    set_segments(voi, [segment], simulated.exam.geometry, sequence.GetNthDataNode(0))
    return simulated, sequence, voi
