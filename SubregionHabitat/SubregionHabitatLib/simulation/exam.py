"""Assembly of the simulated exam: anatomy, lesion, kinetics, signal and noise on one grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..exam import DceExam, ExamSource, Timing
from ..geometry import Geometry, bounding_box
from .anatomy import Anatomy, breast_base_mm, noise_box_mm
from .lesion import SimulatedLesion, lesion_of
from .parameters import AIR, FAT, FIBROGLANDULAR, LESION, TISSUE_NAMES, SimulationParameters
from .signal_model import receive_field, rician, spoiled_gradient_echo, tissue_signal
from .smooth_noise import SmoothNoise
from .tofts import extended_tofts

# Truth at borders: each voxel of the lesion's box is split into this many samples per axis.
SUBSAMPLES = 5
RING_MM = 5.0
# In front of the breast's tip and behind the chest wall: where the field of view lies along P.
_AIR_IN_FRONT_MM = 10.0


@dataclass(frozen=True)
class SimulatedExam:
    """A simulated exam with its truth; arrays are (Z, Y, X) on ``exam.geometry``, signal (T, Z, Y, X).

    exam: noisy signal, float32 holding the integers that DICOM will hold; noiseless: the same before noise and
    rounding (receive field included); truth_zones: uint8, 0 outside, 1 poor, 2 moderate, 3 high perfusion, by
    the voxel's centre; truth_lesion: zones > 0; zone_shares: (3, Z, Y, X) float32 share of every voxel in each
    zone, from 125 samples per voxel; truth_breast: inside the skin and in front of the pectoral muscle (skin
    not included); truth_tissue: uint8 codes of TISSUE_NAMES; voi: the box a reader would draw around the
    lesion, inside the breast; lesion: the analytic shape; lesion_radius_mm: radius of the ball of equal volume;
    ring_inside_breast: True when the 5 mm ring touches neither skin nor chest wall nor the edge of the grid.
    """

    exam: DceExam
    noiseless: np.ndarray
    truth_zones: np.ndarray
    truth_lesion: np.ndarray
    zone_shares: np.ndarray
    truth_breast: np.ndarray
    truth_tissue: np.ndarray
    voi: np.ndarray
    lesion: SimulatedLesion
    lesion_radius_mm: float
    ring_inside_breast: bool
    parameters: SimulationParameters
    tissue_names: tuple[str, ...] = TISSUE_NAMES


def simulate_exam(parameters: SimulationParameters | None = None) -> SimulatedExam:
    """One simulated exam; equal parameters give equal arrays.

    Raises InputError when the lesion does not lie in the breast, is smaller than a voxel or the signal does not
    fit the stored bits.
    """
    p = parameters or SimulationParameters()
    streams = [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(p.seed).spawn(4)]
    geometry = grid_of(p)
    lesion = lesion_of(p, breast_base_mm(p))
    anatomy = Anatomy(p, lesion, streams[0])
    ring_inside = _check_position(anatomy, lesion, geometry)

    points = geometry.lps_of(np.indices(geometry.shape, dtype=np.float32).reshape(3, -1).T)
    sample = anatomy.sample(points)
    breast = sample.breast.reshape(geometry.shape)
    zones, shares, box = _lesion_truth(lesion, geometry)
    if not zones.any():
        raise InputError("The simulated lesion holds no voxel centre; enlarge the lesion or refine the spacing.")
    tissue = sample.tissue.reshape(geometry.shape)
    noiseless = _background_signal(p, tissue, sample.fibroglandular.reshape(geometry.shape), points, streams[1])
    _add_lesion_signal(p, noiseless, lesion, zones, shares, box, geometry, streams[2])
    if p.bias_field > 0:
        noiseless *= receive_field(geometry, p.bias_field, streams[1])
    tissue[zones > 0] = LESION
    return SimulatedExam(
        exam=_acquire(p, noiseless, geometry, streams[3]),
        noiseless=noiseless,
        truth_zones=zones,
        truth_lesion=zones > 0,
        zone_shares=shares,
        truth_breast=breast,
        truth_tissue=tissue,
        voi=_region_of_interest(p, lesion, geometry, breast),
        lesion=lesion,
        lesion_radius_mm=math.prod(p.lesion_radii_mm) ** (1 / 3),
        ring_inside_breast=ring_inside,
        parameters=p,
    )


def grid_of(parameters: SimulationParameters) -> Geometry:
    """The grid, centred on the breast (or between both) with some air in front of the nipple."""
    p = parameters
    # Columns: LPS direction of the x, y and z index. Sagittal rows run posterior, columns inferior.
    axes = {
        "axial": np.eye(3),
        "sagittal": np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], dtype=float),
    }[p.orientation]
    direction = np.round(_rotation(p.oblique_deg) @ axes, 10) + 0.0
    extent = (np.array(p.shape[::-1]) - 1) * np.array(p.spacing_mm)
    depth = float(np.abs(axes[1]) @ extent)
    base = breast_base_mm(p)
    front = base[1] - p.breast_semi_axes_mm[1] - _AIR_IN_FRONT_MM
    middle = np.array([0.0 if p.bilateral else base[0], front + depth / 2, base[2]])
    origin = middle - direction @ (extent / 2)
    return Geometry(
        shape=tuple(int(n) for n in p.shape),
        spacing_mm=tuple(float(s) for s in p.spacing_mm),
        origin_mm=tuple(float(v) + 0.0 for v in np.round(origin, 6)),
        direction=tuple(float(v) for v in direction.ravel()),
    )


def _rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    return matrix


def _check_position(anatomy: Anatomy, lesion: SimulatedLesion, geometry: Geometry) -> bool:
    """Refuse a lesion that leaves the breast or the grid; tell whether its 5 mm ring stays inside both."""
    surface = _directions() * lesion.radii_mm + lesion.center_mm
    if not (anatomy.in_breast(surface).all() and _on_grid(surface, geometry)):
        raise InputError(
            f"The simulated lesion (radii {lesion.radii_mm} mm at LPS {lesion.center_mm} mm) leaves the breast or the "
            "grid; make it smaller, move it or enlarge the grid."
        )
    normal = _directions() / lesion.radii_mm
    ring = surface + RING_MM * normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return bool(anatomy.in_breast(ring).all() and _on_grid(ring, geometry))


def _directions(n: int = 4000) -> np.ndarray:
    """Unit vectors (n, 3) spread evenly over the sphere (Fibonacci lattice)."""
    step = np.arange(n) + 0.5
    height, azimuth = 1 - 2 * step / n, step * math.pi * (1 + math.sqrt(5))
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), height], axis=1)


def _on_grid(points: np.ndarray, geometry: Geometry) -> bool:
    index = geometry.index_of(points)
    return bool((index >= -0.5).all() and (index <= np.array(geometry.shape) - 0.5).all())


def _lesion_truth(
    lesion: SimulatedLesion, geometry: Geometry
) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice, slice]]:
    """Zone of every voxel centre, share of every voxel in each zone, and the lesion's box."""
    index = geometry.index_of(_directions() * lesion.radii_mm + lesion.center_mm)
    low = np.maximum(np.floor(index.min(axis=0) - 1), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0) + 2), geometry.shape).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    centres = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), axis=-1)
    zones = np.zeros(geometry.shape, dtype=np.uint8)
    zones[box] = lesion.zone_at(geometry.lps_of(centres))
    counts = np.zeros((3, *centres.shape[:3]), dtype=np.float32)
    steps = (np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5
    for dz in steps:
        for dy in steps:
            for dx in steps:
                zone = lesion.zone_at(geometry.lps_of(centres + np.array([dz, dy, dx])))
                for label in (1, 2, 3):
                    counts[label - 1] += zone == label
    shares = np.zeros((3, *geometry.shape), dtype=np.float32)
    shares[(slice(None), *box)] = counts / SUBSAMPLES**3
    return zones, shares, box


def _background_signal(
    p: SimulationParameters,
    tissue: np.ndarray,
    fibroglandular: np.ndarray,
    points: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Signal (T, Z, Y, X) float32 of everything but the lesion."""
    minutes = np.array(p.minutes_since_arrival)
    curves = np.zeros((len(TISSUE_NAMES), minutes.size), dtype=np.float32)
    for name, values in p.background_tissues.items():
        concentration = extended_tofts(minutes, values.ktrans_per_min, values.ve, values.vp)
        curves[TISSUE_NAMES.index(name)] = tissue_signal(concentration, values, p.sequence)
    curves[FAT] *= p.sequence.fat_signal_share
    texture = np.zeros(tissue.shape, dtype=np.float32)
    enhancement = np.zeros(tissue.shape, dtype=np.float32)
    body = tissue != AIR
    inside = points[body.ravel()]
    box_mm = noise_box_mm(p)
    texture[body] = SmoothNoise(generator, 7.0, *box_mm).at(inside)
    enhancement[body] = SmoothNoise(generator, 16.0, *box_mm).at(inside)
    mixed = (tissue == FAT) | (tissue == FIBROGLANDULAR)
    share = fibroglandular[mixed]
    # Patchy background enhancement; bounded so that parenchyma stays clearly below the lesion.
    patch = np.clip(1 + 0.35 * enhancement[mixed], 0.3, 1.7)
    density = 1 + 0.05 * np.clip(texture, -3, 3)
    signal = np.empty((minutes.size, *tissue.shape), dtype=np.float32)
    for phase in range(minutes.size):
        signal[phase] = curves[:, phase][tissue]
        gland = curves[FIBROGLANDULAR, 0] + patch * (curves[FIBROGLANDULAR, phase] - curves[FIBROGLANDULAR, 0])
        signal[phase][mixed] = curves[FAT, phase] + share * (gland - curves[FAT, phase])
        signal[phase] *= density
    return signal


def _add_lesion_signal(
    p: SimulationParameters,
    signal: np.ndarray,
    lesion: SimulatedLesion,
    zones: np.ndarray,
    shares: np.ndarray,
    box: tuple[slice, slice, slice],
    geometry: Geometry,
    generator: np.random.Generator,
) -> None:
    """Put the lesion's signal into ``signal`` (changed in place): by voxel centre, or by share of the voxel."""
    local = shares[(slice(None), *box)]
    weight = local if p.partial_volume else np.stack([zones[box] == label for label in (1, 2, 3)]).astype(np.float32)
    where = weight.sum(axis=0) > 0
    weight = weight[:, where]
    start = np.array([s.start for s in box])
    points = geometry.lps_of(np.argwhere(where) + start)
    box_mm = (np.subtract(lesion.center_mm, lesion.radii_mm), np.add(lesion.center_mm, lesion.radii_mm))
    ktrans_noise, ve_noise, density_noise = (SmoothNoise(generator, 4.0, *box_mm).at(points) for _ in range(3))
    minutes = np.array(p.minutes_since_arrival)
    mixed = np.zeros((minutes.size, points.shape[0]))
    for share, zone in zip(weight, p.effective_zones(), strict=True):
        used = share > 0
        ktrans = zone.ktrans_per_min * np.exp(p.zone_variation * ktrans_noise[used])
        ve = np.minimum(zone.ve * np.exp(0.5 * p.zone_variation * ve_noise[used]), 1.0)
        density = zone.proton_density * (1 + 0.5 * p.zone_variation * density_noise[used])
        concentration = extended_tofts(minutes, ktrans, ve, zone.vp)
        mixed[:, used] += share[used] * spoiled_gradient_echo(
            concentration, zone.t1_s, density, zone.r2star_per_s, p.sequence
        )
    for phase in range(minutes.size):
        block = signal[phase][box]
        block[where] = mixed[phase] + (1 - weight.sum(axis=0)) * block[where]


def _acquire(
    p: SimulationParameters, noiseless: np.ndarray, geometry: Geometry, generator: np.random.Generator
) -> DceExam:
    """The exam as stored: noisy magnitude, rounded to the integers of the DICOM pixels."""
    top = 2**p.bits_stored - 1
    if float(noiseless.max()) > top:
        raise InputError(
            f"The simulated signal reaches {noiseless.max():.0f} but {p.bits_stored} bits hold {top}; lower the gain "
            "or store 16 bits."
        )
    signal = np.empty_like(noiseless)
    for phase, (image, stream) in enumerate(zip(noiseless, generator.spawn(len(noiseless)), strict=True)):
        signal[phase] = np.clip(np.rint(rician(image, p.noise_sigma, stream)), 0, top)
    return DceExam(
        signal=signal,
        times_s=p.times_s,
        geometry=geometry,
        timing=Timing(source="simulation", confidence="high", temporal_resolution_s=float(p.phase_duration_s)),
        source=ExamSource(
            kind="simulated",
            description=f"simulated exam, seed {p.seed}",
            manufacturer="IITH simulation",
            field_strength_t=p.sequence.field_strength_t,
        ),
        slice_axis=0,
    )


def _region_of_interest(
    p: SimulationParameters, lesion: SimulatedLesion, geometry: Geometry, breast: np.ndarray
) -> np.ndarray:
    """A box along the patient's axes with ``voi_margin_mm`` around the lesion, inside the breast."""
    half = np.array(lesion.radii_mm) + p.voi_margin_mm
    candidates = bounding_box(breast)
    index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in candidates), indexing="ij"), axis=-1)
    offset = np.abs(geometry.lps_of(index) - lesion.center_mm)
    voi = np.zeros(geometry.shape, dtype=bool)
    voi[candidates] = (offset <= half).all(axis=-1)
    return voi & breast
