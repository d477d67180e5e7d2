"""The early image around the lesion, kept in the result folder so that a report can be drawn again without the exam."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.volume_io import read_volume, write_volume

from .case_report import CasePictures
from .figures_planes import View, lesion_views

IMAGE_FILE = Path("images") / "early.nrrd"
# The whole slice on which the breast is shown.
SLICE_FILE = Path("images") / "slice.nrrd"
MAPS_FOLDER, LABELS_FOLDER = "maps", "labels"
# Interpolation on the page looks at the voxels next to the shown square.
_MARGIN_VOXELS = 2
MAX_VOXELS = 2_000_000_000


def write_report_image(folder: Path, pictures: CasePictures) -> None:
    """The parts of the early phase that the pictures show, float32, each on its own part of the exam's grid."""
    (folder / IMAGE_FILE.parent).mkdir(exist_ok=True)
    for file, box in ((IMAGE_FILE, shown_box(pictures)), (SLICE_FILE, slice_box(pictures))):
        write_volume(folder / file, pictures.image[box].astype(np.float32), pictures.geometry.crop(box))


def slice_box(pictures: CasePictures) -> tuple[slice, slice, slice]:
    """(z, y, x) slices of the acquisition plane's slice that is shown."""
    view = lesion_views(pictures.geometry, pictures.lesion, pictures.ring, pictures.slice_axis)[0]
    whole = [slice(0, n) for n in pictures.lesion.shape]
    whole[view.plane.axis] = slice(view.index, view.index + 1)
    return tuple(whole)


def shown_box(pictures: CasePictures) -> tuple[slice, slice, slice]:
    """(z, y, x) slices around every square that the three views show."""
    spans: list[list[tuple[int, int]]] = [[], [], []]
    for view in lesion_views(pictures.geometry, pictures.lesion, pictures.ring, pictures.slice_axis):
        spans[view.plane.axis].append((view.index, view.index + 1))
        for axis, middle, spacing, flipped in _axes_of(view):
            n = pictures.lesion.shape[axis]
            first = math.floor((middle - view.side_mm / 2) / spacing) - _MARGIN_VOXELS
            last = math.ceil((middle + view.side_mm / 2) / spacing) + _MARGIN_VOXELS
            first, last = (n - last, n - first) if flipped else (first, last)
            spans[axis].append((max(0, first), min(n, last)))
    return tuple(slice(min(a for a, _ in axis), max(b for _, b in axis)) for axis in spans)


def _axes_of(view: View):
    plane = view.plane
    yield plane.horizontal, view.center_mm[0], plane.spacing_mm[0], plane.flip_horizontal
    yield plane.vertical, view.center_mm[1], plane.spacing_mm[1], plane.flip_vertical


def read_pictures(folder: Path, case: dict) -> CasePictures:
    """What a report draws, from a result folder and its case.

    Raises InputError when a file is missing, cannot be read, or does not belong to the case.
    """
    lesion, geometry = _volume(folder / LABELS_FOLDER / "lesion.nrrd")
    _check_grid(case, geometry, folder)

    def on_grid(path: Path) -> np.ndarray:
        array, own = _volume(path)
        if not own.same_grid(geometry):
            raise InputError(
                f"{path.name} of the result {folder.name} lies on another grid than its lesion; {_REMEDY}."
            )
        return array

    habitats = on_grid(folder / LABELS_FOLDER / "habitats.nrrd")
    ring = on_grid(folder / LABELS_FOLDER / "ring.nrrd") > 0
    units, tissue = case["kinetics"]["units"], folder / LABELS_FOLDER / "tissue.nrrd"
    pictures = CasePictures(
        image=_early_image(folder, geometry),
        geometry=geometry,
        lesion=lesion > 0,
        habitats=habitats,
        ring=ring,
        maps={name: on_grid(folder / MAPS_FOLDER / f"{file_name(name)}.nrrd") for name in units},
        units=units,
        slice_axis=int(case["exam"]["slice_axis"]),
        # Results of earlier versions have neither the tissue nor the whole slice to show it on.
        tissue=on_grid(tissue) if tissue.is_file() and (folder / SLICE_FILE).is_file() else None,
    )
    _check_labels(case, pictures, folder)
    return pictures


_REMEDY = "analyze the exam again"


def file_name(name: object) -> str:
    """A map's name as its file's name. Raises InputError for one that could leave the folder."""
    text = str(name)
    if not text.replace("_", "").isalnum():
        raise InputError(f"The case file names a map {text[:40]!r}, which is no map's name; {_REMEDY}.")
    return text


def _volume(path: Path) -> tuple[np.ndarray, Geometry]:
    if not path.is_file():
        hint = " It may be of an earlier version." if path.name == IMAGE_FILE.name else ""
        raise InputError(f"The result {path.parent.parent.name} lacks {path.parent.name}/{path.name}.{hint} {_AGAIN}")
    return read_volume(path)


_AGAIN = "Analyze the exam again."


def _early_image(folder: Path, geometry: Geometry) -> np.ndarray:
    """The image on the whole grid, NaN where it was not kept."""
    image = np.full(geometry.shape, np.nan, dtype=np.float32)
    for file in (SLICE_FILE, IMAGE_FILE):
        if file is IMAGE_FILE or (folder / file).is_file():
            _paste(image, folder, file, geometry)
    return image


def _paste(image: np.ndarray, folder: Path, file: Path, geometry: Geometry) -> None:
    part, own = _volume(folder / file)
    start = geometry.index_of(np.array([own.origin_mm]))[0]
    corner = np.rint(start).astype(int)
    stop = corner + part.shape
    inside = corner.min() >= 0 and np.all(stop <= geometry.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(corner, stop, strict=True))
    if not inside or not geometry.crop(box).same_grid(own):
        raise InputError(f"{file} of the result {folder.name} is no part of its grid; {_REMEDY}.")
    image[box] = part


def _check_grid(case: dict, geometry: Geometry, folder: Path) -> None:
    noted = case["exam"]["geometry"]
    same = list(geometry.shape[::-1]) == list(noted["size_xyz"]) and np.allclose(
        geometry.spacing_mm, noted["spacing_mm"], rtol=1e-4
    )
    if not same or int(np.prod(geometry.shape, dtype=np.int64)) > MAX_VOXELS:
        raise InputError(f"The labels of the result {folder.name} lie on another grid than its case.json; {_REMEDY}.")


def _check_labels(case: dict, pictures: CasePictures, folder: Path) -> None:
    """The labels must be those that the case counted, else pictures and numbers would be of different exams."""
    cc = pictures.geometry.voxel_volume_mm3 / 1000.0
    counted = [region["volume_cc"] for region in case["habitats"]["regions"]]
    found = [float(np.count_nonzero(pictures.habitats == i + 1) * cc) for i in range(len(counted))]
    same = int(pictures.lesion.sum()) == case["lesion"]["n_voxels"] and np.allclose(
        found, counted, rtol=1e-4, atol=1e-6
    )
    if not same:
        raise InputError(f"The labels of the result {folder.name} are not those of its case.json; {_REMEDY}.")
