"""The filtered images of PyRadiomics 3.0.1 (``imageoperations.py``), computed on a piece of the image.

Names are PyRadiomics' own: "wavelet-LLH", "log-sigma-3-0-mm-3D", "gradient", "square", "squareroot", "logarithm",
"exponential", "lbp-2D". Each result equals that of the filter on the whole image; what the piece must hold around the
regions for that is told by ``reach_voxels``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from SubregionHabitatLib.errors import InputError

from .image_patch import WRAP, ImagePatch
from .local_binary_pattern import uniform_patterns

ORIGINAL = "original"
# In PyRadiomics' order; the letters stand for x, y and z, L for low and H for high pass.
WAVELETS = tuple(f"wavelet-{band}" for band in ("LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH", "LLL"))
POINTWISE = ("square", "squareroot", "logarithm", "exponential")
_LOG = re.compile(r"log-sigma-(\d+)-(\d+)-mm-3D")
# The recursive Gaussian's answer to an edge falls by e every sigma / 1.37; at 20 sigma 1e-12 of it is left.
LOG_REACH_SIGMAS = 20.0
_TYPES_PER_PART = 3


def expand_image_types(names: Sequence[str]) -> tuple[str, ...]:
    """The image types in ``names``, with "wavelet" standing for its eight images.

    Raises InputError for a name that is not known or comes twice.
    """
    found: list[str] = []
    for name in names:
        found += WAVELETS if name == "wavelet" else [name]
    for name in found:
        known = name in (ORIGINAL, *WAVELETS, *POINTWISE, "gradient", "lbp-2D") or (log_sigma_mm(name) or 0) > 0
        if not known:
            raise InputError(
                f"The image type {name} is unknown; choose from original, wavelet (or one of {', '.join(WAVELETS)}), "
                f"log-sigma-<mm>-<tenths>-mm-3D, gradient, {', '.join(POINTWISE)}, lbp-2D."
            )
        if found.count(name) > 1:
            raise InputError(f"The image type {name} is listed twice; list each once.")
    return tuple(found)


def log_sigma_mm(name: str) -> float | None:
    """The sigma in "log-sigma-2-5-mm-3D" (2.5), None for another name."""
    match = _LOG.fullmatch(name)
    return float(f"{match[1]}.{match[2]}") if match else None


def reach_voxels(image_type: str, spacing_zyx: Sequence[float]) -> tuple[int, int, int]:
    """How many voxels (z, y, x) around a place decide the filtered value there."""
    sigma = log_sigma_mm(image_type)
    if sigma is not None:
        return tuple(math.ceil(LOG_REACH_SIGMAS * sigma / s) for s in spacing_zyx)
    if image_type in WAVELETS:
        return (WRAP,) * 3
    return (2,) * 3 if image_type in ("gradient", "lbp-2D") else (0,) * 3


def image_type_groups(image_types: Sequence[str]) -> list[tuple[str, ...]]:
    """The image types in parts that are worth computing apart: the wavelets, each LoG, and a few at a time of the rest.

    Large parts come first, so that processes that share them finish together.
    """
    wavelets = tuple(t for t in image_types if t in WAVELETS)
    logs = [(t,) for t in image_types if log_sigma_mm(t) is not None]
    rest = tuple(t for t in image_types if t not in WAVELETS and log_sigma_mm(t) is None)
    parts = [rest[i : i + _TYPES_PER_PART] for i in range(0, len(rest), _TYPES_PER_PART)]
    return [group for group in (wavelets, *logs, *parts) if group]


def filtered_images(patch: ImagePatch, image_types: Sequence[str]) -> Iterator[tuple[str, np.ndarray | None]]:
    """Each image type with its values over ``patch.inner``; None where the image is too small for the filter."""
    bands: dict[str, np.ndarray] = {}
    for name in image_types:
        if name == ORIGINAL:
            yield name, patch.image[patch.inner]
        elif name in WAVELETS:
            bands = bands or _wavelet_bands(patch)
            yield name, bands.pop(name)
        elif name in POINTWISE:
            yield name, _POINTWISE[name](patch.image[patch.inner].astype(np.float64), patch.peak)
        elif name == "gradient":
            yield name, _gradient(patch)
        elif name == "lbp-2D":
            yield name, uniform_patterns(patch)
        else:
            yield name, _laplacian_of_gaussian(patch, name)


def _wavelet_bands(patch: ImagePatch) -> dict[str, np.ndarray]:
    """One level of the undecimated transform with coif1 along z, y and x."""
    try:
        import pywt
    except ImportError as error:
        raise InputError(
            "Wavelet images need the package PyWavelets; install it (pip install PyWavelets) or choose a preset "
            "without wavelets."
        ) from error
    data, inner = _wavelet_input(patch)
    bands = pywt.swtn(data, "coif1", level=1, start_level=0, axes=(2, 1, 0))[0]
    return {"wavelet-" + key.replace("a", "L").replace("d", "H"): band[inner] for key, band in bands.items()}


def _wavelet_input(patch: ImagePatch):
    """An array of even size around ``inner``, as if cut from the periodic whole image, and where inner lies in it."""
    if patch.wrapped is not None:
        return patch.wrapped, patch.wrapped_inner
    outer, inner = patch.around_inner((WRAP,) * 3)
    data = patch.image[outer]
    # The extra layer lies further from ``inner`` than the wavelet reaches, so its values do not matter.
    return np.pad(data, [(0, n % 2) for n in data.shape], mode="edge"), inner


def _laplacian_of_gaussian(patch: ImagePatch, name: str) -> np.ndarray | None:
    """ITK's LaplacianRecursiveGaussian, normalised across scales, but only where it is wanted.

    None for an image smaller than PyRadiomics accepts.
    """
    sigma_mm = log_sigma_mm(name)
    size, spacing = np.array(patch.whole_shape), np.array(patch.spacing_zyx)
    if size.min() < 4 or (size < np.ceil(sigma_mm / spacing) + 1).any():
        return None
    outer, inner = patch.around_inner(reach_voxels(name, patch.spacing_zyx))
    # ITK adds up in its own pixel type, float for all but double images.
    kind = np.float64 if patch.image.dtype == np.float64 else np.float32
    total = np.zeros([s.stop - s.start for s in inner], dtype=kind)
    for axis in (2, 1, 0):
        part = patch.image[outer]
        # ITK's order: the second derivative along one axis first, then smoothing along the others, x before y before z.
        # Nothing outside the wanted rows is needed any more once an axis is done.
        for other in (axis, *(a for a in (2, 1, 0) if a != axis)):
            part = _recursive_gaussian(part, other, 2 if other == axis else 0, sigma_mm, patch.spacing_zyx)
            part = part[tuple(inner[a] if a == other else slice(None) for a in range(3))]
        weight = 1 / float(patch.spacing_zyx[axis]) ** 2
        total = (total.astype(np.float64) + part.astype(np.float64) * weight).astype(kind)
    return total


def _recursive_gaussian(image: np.ndarray, axis: int, order: int, sigma_mm: float, spacing_zyx) -> np.ndarray:
    import SimpleITK as sitk

    recursive = sitk.RecursiveGaussianImageFilter()
    recursive.SetDirection(2 - axis)
    recursive.SetOrder(order)
    recursive.SetSigma(sigma_mm)
    recursive.SetNormalizeAcrossScale(True)
    return sitk.GetArrayFromImage(recursive.Execute(_itk(np.ascontiguousarray(image), spacing_zyx)))


def _gradient(patch: ImagePatch) -> np.ndarray:
    """Magnitude of the gradient by central differences, per mm."""
    import SimpleITK as sitk

    outer, inner = patch.around_inner((2, 2, 2))
    magnitude = sitk.GradientMagnitudeImageFilter()
    magnitude.SetUseImageSpacing(True)
    return sitk.GetArrayViewFromImage(magnitude.Execute(_itk(patch.image[outer], patch.spacing_zyx)))[inner].copy()


def _itk(array: np.ndarray, spacing_zyx: Sequence[float]):
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(s) for s in spacing_zyx[::-1]])
    return image


def _square(x: np.ndarray, peak: float) -> np.ndarray:
    return ((1 / np.sqrt(peak)) * x) ** 2


def _square_root(x: np.ndarray, peak: float) -> np.ndarray:
    x[x > 0] = np.sqrt(x[x > 0] * peak)
    x[x < 0] = -np.sqrt(-x[x < 0] * peak)
    return x


def _logarithm(x: np.ndarray, peak: float) -> np.ndarray:
    x[x > 0] = np.log(x[x > 0] + 1)
    x[x < 0] = -np.log(-(x[x < 0] - 1))
    return x * (peak / np.log(np.array([peak + 1.0]))[0])


def _exponential(x: np.ndarray, peak: float) -> np.ndarray:
    return np.exp(np.log(peak) / peak * x)


_POINTWISE = {"square": _square, "squareroot": _square_root, "logarithm": _logarithm, "exponential": _exponential}
