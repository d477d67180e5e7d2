"""What a simulated exam is made of: grid, breast, lesion, tissues, timing, pulse sequence and noise."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass, field

from ..errors import InputError

ORIENTATIONS = ("sagittal", "axial")
ZONE_PATTERNS = ("core_and_sectors", "concentric", "slabs")

# Codes of SimulatedExam.truth_tissue.
TISSUE_NAMES = (
    "air",
    "skin",
    "fat",
    "fibroglandular",
    "muscle",
    "bone",
    "lung",
    "blood",
    "lesion",
)
AIR, SKIN, FAT, FIBROGLANDULAR, MUSCLE, BONE, LUNG, BLOOD, LESION = range(len(TISSUE_NAMES))


@dataclass(frozen=True)
class Tissue:
    """Extended Tofts and relaxation properties of one tissue.

    ktrans_per_min: volume transfer constant, 1/min, >= 0; ve: extravascular extracellular volume share, 0..1,
    > 0 where ktrans > 0; vp: plasma volume share, 0..1; t1_s: T1 before contrast, s; proton_density: relative
    to water, >= 0; r2star_per_s: R2* before contrast, 1/s.
    Raises InputError for values outside these ranges.
    """

    ktrans_per_min: float
    ve: float
    vp: float
    t1_s: float
    proton_density: float = 0.9
    r2star_per_s: float = 20.0

    def __post_init__(self) -> None:
        values = dataclasses.astuple(self)
        if not all(math.isfinite(v) and v >= 0 for v in values):
            raise InputError(f"The simulated tissue {values} holds a negative or non-finite value; correct it.")
        if self.t1_s <= 0 or self.ve > 1 or self.vp > 1 or (self.ktrans_per_min > 0 and self.ve <= 0):
            raise InputError(
                f"The simulated tissue {values} is not possible; T1 must be above 0, ve and vp between 0 and 1, "
                "and ve above 0 where Ktrans is above 0."
            )


# Order: poor, moderate, high perfusion (truth labels 1, 2, 3). Ktrans and ve lie in the range measured in breast
# carcinoma; they are chosen so that the three curves are persistent, plateau and wash-out, and so that even the
# poorest zone enhances by more than 80 % at the early phase.
DEFAULT_ZONES = (
    Tissue(ktrans_per_min=0.08, ve=0.65, vp=0.01, t1_s=1.30),
    Tissue(ktrans_per_min=0.20, ve=0.50, vp=0.025, t1_s=1.30),
    Tissue(ktrans_per_min=0.90, ve=0.46, vp=0.06, t1_s=1.30),
)

# T1 at 1.5 T: fibroglandular tissue 1.27 s and fat 0.30 s after Rakow-Penner et al., JMRI 2006;23:87-91.
_BACKGROUND = {
    "skin": Tissue(ktrans_per_min=0.012, ve=0.20, vp=0.004, t1_s=0.90, proton_density=0.45),
    "fat": Tissue(ktrans_per_min=0.002, ve=0.05, vp=0.001, t1_s=0.30, proton_density=1.0),
    "fibroglandular": Tissue(ktrans_per_min=0.005, ve=0.12, vp=0.003, t1_s=1.27, proton_density=0.9),
    "muscle": Tissue(ktrans_per_min=0.006, ve=0.12, vp=0.004, t1_s=1.00, proton_density=0.65, r2star_per_s=35.0),
    "bone": Tissue(ktrans_per_min=0.0, ve=0.0, vp=0.002, t1_s=0.60, proton_density=0.12),
    "lung": Tissue(ktrans_per_min=0.0, ve=0.0, vp=0.05, t1_s=1.20, proton_density=0.12, r2star_per_s=300.0),
    # Plasma share of blood: 1 - hematocrit of 0.42.
    "blood": Tissue(ktrans_per_min=0.0, ve=0.0, vp=0.58, t1_s=1.44, proton_density=0.95),
}


@dataclass(frozen=True)
class PulseSequence:
    """A 3-D spoiled gradient echo.

    repetition_time_ms and echo_time_ms in ms, flip_angle_deg in degrees, field_strength_t in tesla (written to
    the header; the tissues' T1 are what the signal uses), relaxivity_r1 and relaxivity_r2star in 1/(mM s),
    fat_signal_share: what fat suppression leaves of the fat signal, 1 for none; gain: scanner units per unit
    signal.
    """

    repetition_time_ms: float = 5.0
    echo_time_ms: float = 2.0
    flip_angle_deg: float = 12.0
    field_strength_t: float = 1.5
    relaxivity_r1: float = 4.5
    relaxivity_r2star: float = 5.5
    fat_signal_share: float = 0.10
    gain: float = 9000.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) and v >= 0 for v in dataclasses.astuple(self)):
            raise InputError("The simulated pulse sequence holds a negative or non-finite value; correct it.")
        if self.repetition_time_ms <= self.echo_time_ms or not 0 < self.flip_angle_deg <= 90:
            raise InputError(
                "The simulated pulse sequence is not possible; the repetition time must exceed the echo time and "
                "the flip angle lie between 0 and 90 degrees."
            )
        if self.fat_signal_share > 1:
            raise InputError("The share of fat signal left by fat suppression cannot exceed 1; lower it.")

    @property
    def fat_suppressed(self) -> bool:
        return self.fat_signal_share < 1


@dataclass(frozen=True)
class SimulationParameters:
    """Everything that defines one simulated exam; equal parameters give equal bytes.

    seed: all random streams (anatomy, tissue variation, noise of each phase) derive from it, >= 0.
    shape: (Z, Y, X) voxels; spacing_mm: (x, y, z); orientation: "sagittal" or "axial" slices;
    oblique_deg: turn of the grid about the patient's (L, P, S) axes; laterality: "L" or "R", the breast with the
    lesion; bilateral: simulate both breasts (give a field wide enough).
    breast_semi_axes_mm: half extent (left-right, protrusion, superior-inferior); skin_mm: thickness;
    fibroglandular_share: share of parenchyma in the breast, 0..1; vessels: draw vessels that keep clear of the lesion.
    lesion_radii_mm: semi-axes of the ellipsoid (left-right, anterior-posterior, superior-inferior);
    lesion_center_mm: (lateral, anterior, superior) from the middle of the breast's base on the chest wall.
    zone_pattern: "core_and_sectors" (poor core; the shell around it split by angle), "concentric" (poor core,
    high rim) or "slabs" (parallel planes); zone_shares: volume shares of poor, moderate, high, each >= 0, sum 1;
    zone_rotation_deg: turn of the sectors or slabs about the left-right axis (sagittal) or the superior axis (axial);
    zone_tissues: their kinetics; heterogeneity: contrast between the zones: 0 makes them all the lesion's
    volume-weighted geometric mean, 1 leaves them as given; zone_variation: coefficient of variation of Ktrans
    inside a zone (smooth, correlation about 4 mm; ve varies half as much); partial_volume: mix signals at the
    lesion's and zones' borders by volume share instead of the voxel centre's label.
    phase_starts_s: start of each phase from the start of the pre-contrast phase; phase_duration_s: the signal is
    that of the middle of a phase (centre of k-space); injection_s: start of the injection on the same clock;
    bolus_arrival_s: from injection to arrival of contrast in the breast artery.
    noise_sigma: SD of the Gaussian noise in each of the two receiver channels, scanner units (magnitude noise
    is Rician); 0 for none. bias_field: amplitude of a smooth receive field, the same in every phase (0.2 means
    the signal varies between about /1.2 and *1.2). bits_stored: 12 or 16, the range of the stored integers.
    voi_margin_mm: margin of the box a reader would draw around the lesion.
    Raises InputError when a value is out of its range.
    """

    seed: int = 0
    shape: tuple[int, int, int] = (64, 160, 160)
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 2.0)
    orientation: str = "sagittal"
    oblique_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    laterality: str = "L"
    bilateral: bool = False

    breast_semi_axes_mm: tuple[float, float, float] = (56.0, 88.0, 64.0)
    skin_mm: float = 2.0
    fibroglandular_share: float = 0.20
    vessels: bool = True

    lesion_radii_mm: tuple[float, float, float] = (11.0, 11.0, 11.0)
    lesion_center_mm: tuple[float, float, float] = (10.0, 40.0, 14.0)
    zone_pattern: str = "core_and_sectors"
    zone_shares: tuple[float, float, float] = (0.25, 0.35, 0.40)
    zone_rotation_deg: float = 30.0
    zone_tissues: tuple[Tissue, Tissue, Tissue] = DEFAULT_ZONES
    heterogeneity: float = 1.0
    zone_variation: float = 0.05
    partial_volume: bool = False
    background_tissues: dict[str, Tissue] = field(default_factory=lambda: dict(_BACKGROUND))

    phase_starts_s: tuple[float, ...] = (0.0, 130.0, 220.0, 310.0, 400.0)
    phase_duration_s: float = 90.0
    injection_s: float = 110.0
    bolus_arrival_s: float = 15.0
    sequence: PulseSequence = field(default_factory=PulseSequence)

    noise_sigma: float = 8.0
    bias_field: float = 0.0
    bits_stored: int = 12
    voi_margin_mm: float = 8.0

    def __post_init__(self) -> None:
        _check_grid(self)
        _check_lesion(self)
        _check_timing(self)
        _check_signal(self)

    @property
    def times_s(self) -> tuple[float, ...]:
        """Seconds of every phase from the pre-contrast phase."""
        return tuple(float(t) for t in self.phase_starts_s)

    @property
    def minutes_since_arrival(self) -> tuple[float, ...]:
        """Minutes from arrival of the bolus to the middle of every phase; negative before contrast."""
        arrival = self.injection_s + self.bolus_arrival_s
        return tuple((start + self.phase_duration_s / 2 - arrival) / 60 for start in self.phase_starts_s)

    def effective_zones(self) -> tuple[Tissue, Tissue, Tissue]:
        """The zones' kinetics after ``heterogeneity`` has been applied."""
        return tuple(
            dataclasses.replace(
                zone,
                **{
                    name: _contrast(self, name, getattr(zone, name))
                    for name in ("ktrans_per_min", "ve", "vp", "t1_s", "proton_density")
                },
            )
            for zone in self.zone_tissues
        )


def parameters_to_json(parameters: SimulationParameters) -> dict:
    """Plain numbers, strings, lists and dictionaries that rebuild ``parameters``."""
    return dataclasses.asdict(parameters)


def _contrast(parameters: SimulationParameters, name: str, value: float) -> float:
    """``value`` moved towards or away from the volume-weighted mean of the three zones (geometric unless one is 0)."""
    values = [getattr(zone, name) for zone in parameters.zone_tissues]
    strength = parameters.heterogeneity
    if min(values) > 0:
        mean = sum(share * math.log(v) for share, v in zip(parameters.zone_shares, values, strict=True))
        return math.exp(mean + strength * (math.log(value) - mean))
    mean = sum(share * v for share, v in zip(parameters.zone_shares, values, strict=True))
    return max(0.0, mean + strength * (value - mean))


def _finite(*values: float) -> bool:
    return all(isinstance(v, int | float) and math.isfinite(v) for v in values)


def _check_grid(p: SimulationParameters) -> None:
    if not isinstance(p.seed, int) or p.seed < 0:
        raise InputError(f"The seed {p.seed!r} is not a whole number of 0 or more; give one.")
    if len(p.shape) != 3 or min(p.shape) < 4 or len(p.spacing_mm) != 3 or not _finite(*p.spacing_mm):
        raise InputError(f"The simulated grid {p.shape} is not usable; give three sizes of at least 4 voxels.")
    if min(p.spacing_mm) <= 0:
        raise InputError(f"The simulated spacing {p.spacing_mm} mm is not usable; give three lengths above 0.")
    if p.orientation not in ORIENTATIONS:
        raise InputError(f"The orientation {p.orientation!r} is unknown; choose one of {', '.join(ORIENTATIONS)}.")
    if p.laterality not in ("L", "R"):
        raise InputError(f"The laterality {p.laterality!r} is unknown; choose L or R.")
    if not _finite(*p.oblique_deg, *p.breast_semi_axes_mm, p.skin_mm) or min(p.breast_semi_axes_mm) < 20:
        raise InputError("The simulated breast needs three half extents of at least 20 mm; correct them.")
    if not 0 <= p.skin_mm <= 5 or not 0 <= p.fibroglandular_share <= 0.9:
        raise InputError("Skin is 0 to 5 mm thick and the fibroglandular share 0 to 0.9; correct these values.")


def _check_lesion(p: SimulationParameters) -> None:
    if not _finite(*p.lesion_radii_mm, *p.lesion_center_mm) or min(p.lesion_radii_mm) <= 0:
        raise InputError(f"The lesion radii {p.lesion_radii_mm} mm are not usable; give three lengths above 0.")
    if p.zone_pattern not in ZONE_PATTERNS:
        raise InputError(f"The zone pattern {p.zone_pattern!r} is unknown; choose one of {', '.join(ZONE_PATTERNS)}.")
    shares_fit = len(p.zone_shares) == 3 and min(p.zone_shares) >= 0 and abs(sum(p.zone_shares) - 1) < 1e-6
    if not shares_fit or len(p.zone_tissues) != 3:
        raise InputError(f"The zone shares {p.zone_shares} do not fit; give three shares of 0 or more that add to 1.")
    if not 0 <= p.heterogeneity <= 2 or not 0 <= p.zone_variation <= 0.5:
        raise InputError("Heterogeneity lies between 0 and 2 and zone variation between 0 and 0.5; correct them.")
    if set(p.background_tissues) != set(TISSUE_NAMES) - {"air", "lesion"}:
        raise InputError(f"The background tissues must be exactly {', '.join(TISSUE_NAMES[1:-1])}; complete them.")


def _check_timing(p: SimulationParameters) -> None:
    starts = p.phase_starts_s
    if len(starts) < 2 or not _finite(*starts, p.phase_duration_s, p.injection_s, p.bolus_arrival_s):
        raise InputError("A simulated exam needs at least two phase start times in seconds; give them.")
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    if starts[0] != 0 or p.phase_duration_s <= 0 or min(gaps) < p.phase_duration_s - 1e-9:
        raise InputError(
            f"The phase starts {list(starts)} s do not fit phases of {p.phase_duration_s:g} s; start at 0 and leave "
            "at least one phase duration between starts."
        )
    if p.injection_s < p.phase_duration_s or p.bolus_arrival_s < 0:
        raise InputError(
            f"The injection at {p.injection_s:g} s falls into the pre-contrast phase; inject after its end at "
            f"{p.phase_duration_s:g} s."
        )


def _check_signal(p: SimulationParameters) -> None:
    if not _finite(p.noise_sigma, p.bias_field, p.voi_margin_mm) or min(p.noise_sigma, p.voi_margin_mm) < 0:
        raise InputError("Noise and the margin of the region of interest must be 0 or more; correct them.")
    if not 0 <= p.bias_field <= 1:
        raise InputError(f"The bias field amplitude {p.bias_field:g} is out of range; give 0 to 1.")
    if p.bits_stored not in (12, 16):
        raise InputError(f"Pixels of {p.bits_stored} bits are not supported; choose 12 or 16.")
