"""The truth of a simulated exam on disk, beside its DICOM files."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Geometry
from .dicom_writer import DicomOptions, write_dicom
from .exam import RING_MM, SimulatedExam, simulate_exam
from .parameters import TISSUE_NAMES, SimulationParameters, parameters_to_json

SCHEMA = "iith-simulation/1"
ZONE_NAMES = ("outside", "poor", "moderate", "high")


def write_truth(simulated: SimulatedExam, folder: Path | str) -> list[Path]:
    """Write truth_zones, voi, breast and tissue (.nrrd, uint8, exam geometry) and truth.json into ``folder``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images = {
        "truth_zones": simulated.truth_zones,
        "voi": simulated.voi,
        "breast": simulated.truth_breast,
        "tissue": simulated.truth_tissue,
    }
    paths = [folder / f"{name}.nrrd" for name in images]
    for path, array in zip(paths, images.values(), strict=True):
        write_label_image(array, simulated.exam.geometry, path)
    paths.append(folder / "truth.json")
    paths[-1].write_text(json.dumps(truth_record(simulated), indent=2) + "\n", encoding="utf-8")
    return paths


def truth_record(simulated: SimulatedExam) -> dict:
    """What is known exactly about the exam: parameters, times, analytic volumes and kinetics by zone."""
    lesion, geometry, p = simulated.lesion, simulated.exam.geometry, simulated.parameters
    voxels = np.bincount(simulated.truth_zones.ravel(), minlength=4)
    sampled = simulated.zone_shares.sum(axis=(1, 2, 3), dtype=np.float64) * geometry.voxel_volume_mm3
    zones = [
        {
            "label": label,
            "name": ZONE_NAMES[label],
            "analytic_volume_mm3": round(lesion.zone_volumes_mm3[label - 1], 3),
            "subvoxel_volume_mm3": round(float(sampled[label - 1]), 3),
            "n_voxels": int(voxels[label]),
            "ktrans_per_min": tissue.ktrans_per_min,
            "ve": tissue.ve,
            "vp": tissue.vp,
        }
        for label, tissue in enumerate(p.effective_zones(), start=1)
    ]
    return {
        "schema": SCHEMA,
        "simulated": True,
        "note": "Simulated data, not a patient; research use only.",
        "parameters": parameters_to_json(p),
        "geometry": geometry.to_json(),
        "times_s": list(p.times_s),
        "minutes_since_arrival": [round(t, 6) for t in p.minutes_since_arrival],
        "lesion": {
            "center_lps_mm": [round(v, 6) for v in lesion.center_mm],
            "radii_mm": list(lesion.radii_mm),
            "analytic_volume_mm3": round(lesion.volume_mm3, 3),
            "n_voxels": int(voxels[1:].sum()),
            "equal_volume_radius_mm": round(simulated.lesion_radius_mm, 6),
        },
        "ring": {
            "width_mm": RING_MM,
            "analytic_volume_mm3": round(lesion.ring_volume_mm3(RING_MM), 3),
            "inside_breast": simulated.ring_inside_breast,
        },
        "zones": zones,
        "voi": {"n_voxels": int(simulated.voi.sum())},
        "tissue_codes": dict(enumerate(TISSUE_NAMES)),
    }


def write_label_image(array: np.ndarray, geometry: Geometry, path: Path) -> None:
    """Write a (Z, Y, X) mask or label array as compressed uint8 image with its geometry."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=np.uint8))
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    sitk.WriteImage(image, str(path), useCompression=True)


def write_simulated_exam(
    parameters: SimulationParameters | None, folder: Path | str, options: DicomOptions | None = None
) -> SimulatedExam:
    """Simulate an exam and write ``folder``/dicom, ``folder``/truth and ``folder``/voi.nrrd; return the exam.

    The folder appears only when it is complete (written beside it and renamed).
    Raises InputError when ``folder`` is a file or holds anything.
    """
    folder = Path(folder).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"The output folder {folder} is not empty; name a new or an empty folder.")
    simulated = simulate_exam(parameters)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The output folder {folder} cannot be made ({error.strerror}); name another.") from error
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        write_dicom(simulated, partial / "dicom", options)
        write_truth(simulated, partial / "truth")
        shutil.copyfile(partial / "truth" / "voi.nrrd", partial / "voi.nrrd")
        if folder.exists():
            folder.rmdir()
        os.replace(partial, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"The simulated exam cannot be written to {folder} ({reason}); name another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return simulated
