"""Generates OCT B-scans of a macula with fluid: layers, speckle, shadows, three kinds of fluid, two devices.

`macula` gives the anatomy: for every column of a scan a stack of anchors, from the inner limiting membrane down to
Bruch's membrane. A pixel's place between two anchors picks its reflectivity from a table, so all scans of an eye are
rendered with a few array operations. Fluid pushes the anchors above it up; its masks are exact because they come from
the same anchors.
"""

import concurrent.futures
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
import pandas as pd
from pydantic import Field

from retina_kit.data.collection import ImageSet
from retina_kit.data.synthetic.annotators import annotate
from retina_kit.data.synthetic.macula import Macula, sample_macula, smooth_noise
from retina_kit.errors import UsageError, unknown_name
from retina_kit.schema import Count, Positive, Size

CELLS = 48  # entries of the reflectivity table between two anchors
ANNOTATORS = ("annotator1", "annotator1_again", "annotator2")


@dataclass(frozen=True)
class Device:
    """The gray values, noise and resolution of an OCT device; gray values are fractions of white."""

    vitreous: float  # mean gray value before the noise
    nerve_fibers: float
    inner: float  # ganglion cells and inner plexiform layer
    dark: float  # outer nuclear layer
    bright: float  # ellipsoid zone and pigment epithelium
    choroid: float
    fluid: float
    speckle: float  # standard deviation of the multiplicative noise
    grain: float  # width of a speckle, pixels of a 256-pixel-high scan
    noise: float  # standard deviation of the additive noise
    blur: float  # axial resolution, pixels of a 256-pixel-high scan
    thickness: float  # of the retina, as a fraction of the scan's height
    wedges: float  # how often registration leaves a white wedge, 0 to 1


SPECTRALIS = Device(0.065, 0.42, 0.34, 0.21, 0.68, 0.27, 0.15, 0.30, 0.55, 0.045, 0.5, 0.25, 0.6)
CIRRUS = Device(0.20, 0.54, 0.47, 0.35, 0.74, 0.42, 0.26, 0.42, 1.15, 0.085, 1.1, 0.34, 0.0)
DEVICES = {"spectralis": (SPECTRALIS, CIRRUS), "cirrus": (CIRRUS, SPECTRALIS)}


def mix_devices(name: str, gap: float) -> Device:
    """Mix the named device with the other one: `gap` 0 is the device itself, 1 the other.

    >>> mix_devices("spectralis", 1.0) == CIRRUS
    True
    """
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    if not 0 <= gap <= 1:
        raise UsageError(f"gap is {gap}; it is between 0 (the device itself) and 1 (the other device)")
    own, other = DEVICES[name]
    return Device(**{key: (1 - gap) * value + gap * vars(other)[key] for key, value in vars(own).items()})


def generate_oct(
    num_patients: Positive,
    scans_per_patient: Positive = 8,
    size: Size = (256, 256),
    *,
    device: Literal["spectralis", "cirrus"] = "spectralis",
    gap: Annotated[float, Field(ge=0, le=1)] = 0.0,
    noise: float = 1.0,
    contrast: float = 1.0,
    fluid: float = 1.0,
    annotators: bool = False,
    disagreement: float = 1.0,
    seed: Count = 0,
) -> ImageSet:
    """Generate B-scans (N, 1, H, W) of `num_patients` eyes with exact masks of their fluid.

    `gap` moves from the device to the other one, `noise` and `contrast` scale its own, `fluid` scales how much of
    it there is. Masks: fluid (any), irf, srf, ped (intraretinal and subretinal fluid, pigment epithelial detachment),
    retina; with `annotators` also annotator1, annotator1_again and annotator2, imperfect copies that differ more with
    `disagreement`. The same seed gives the same images.

    >>> scans = generate_oct(2, scans_per_patient=3, size=(64, 96), seed=1)
    >>> scans.images.shape, list(scans.masks), scans.rows["id"].iloc[0]
    ((6, 1, 64, 96), ['fluid', 'irf', 'srf', 'ped', 'retina'], 'p000_s00')
    """
    look, size = mix_devices(device, gap), (size[0], size[1])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        rngs = [np.random.default_rng([seed, patient]) for patient in range(num_patients)]
        eyes = list(pool.map(lambda rng: _scan_eye(rng, scans_per_patient, size, look, noise, contrast, fluid), rngs))
        images = np.concatenate([eye[0] for eye in eyes])[:, None]
        masks = {name: np.concatenate([eye[1][name] for eye in eyes]) for name in eyes[0][1]}
        for number, name in enumerate(ANNOTATORS if annotators else ()):
            jobs = [(masks["fluid"][k], k, number, disagreement, seed) for k in range(len(images))]
            masks[name] = np.stack(list(pool.map(lambda job: annotate(*job), jobs)))
    return ImageSet(images, masks, list_scans(num_patients, scans_per_patient), "synthetic_oct")


def list_scans(num_patients: int, scans_per_patient: int = 8) -> pd.DataFrame:
    """List the scans that `generate_oct` generates, in its order: id, patient, split.

    >>> list_scans(2, 1)["id"].tolist()
    ['p000_s00', 'p001_s00']
    """
    rows = [
        {"id": f"p{patient:03d}_s{scan:02d}", "patient": f"p{patient:03d}", "split": ""}
        for patient in range(num_patients)
        for scan in range(scans_per_patient)
    ]
    return pd.DataFrame(rows)


def _scan_eye(
    rng: np.random.Generator,
    num_scans: int,
    size: tuple[int, int],
    look: Device,
    noise: float,
    contrast: float,
    fluid: float,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Scan one eye: images (n, H, W) uint8 that share anatomy and fluid, and their masks."""
    macula = sample_macula(rng, num_scans, size, look.thickness, fluid)
    reflectivity, masks = _render(macula, size, look, contrast, rng)
    images = _acquire(reflectivity, look, noise, rng)
    _add_wedges(images, masks["retina"], look, rng)
    return images, masks


def _reflectivity_table(look: Device, contrast: float) -> np.ndarray:
    """Tabulate the reflectivity (6 * CELLS + 1) along the anchors: inner, outer, SRF, epithelium, PED, choroid."""
    inner, dark, bright, choroid = look.inner, look.dark, look.bright, look.choroid
    knots = [
        (
            (0, 0.12, 0.18, 0.45, 0.55, 0.68, 0.75, 0.88, 1.0),
            (look.nerve_fibers,) * 2
            + (inner, inner * 0.95, inner * 0.68, inner * 0.66, inner * 0.98, inner * 0.9, dark),
        ),
        (
            (0, 0.62, 0.68, 0.72, 0.80, 0.92, 1.0),
            (dark, dark, inner * 0.9, dark * 1.2, bright * 0.9, bright, inner),
        ),
        ((0, 1), (look.fluid * 0.9, look.fluid)),
        ((0, 0.5, 1), (bright, bright * 1.05, bright * 0.8)),
        ((0, 1), (look.fluid * 1.35, look.fluid * 1.2)),
        ((0, 0.1, 0.35, 0.7, 1), (choroid * 1.15, choroid, choroid * 0.75, choroid * 0.45, look.vitreous)),
    ]
    parts = [np.interp(np.linspace(0, 1, CELLS, endpoint=False), *knot) for knot in knots]
    table = np.concatenate([*parts, [look.vitreous]])
    table[0] = look.vitreous
    return (look.vitreous + (table - look.vitreous) * contrast).astype(np.float32)


def _render(
    macula: Macula, size: tuple[int, int], look: Device, contrast: float, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Render the reflectivity (n, H, W) and the masks of an anatomy."""
    anchors, irf = macula.anchors, macula.cysts
    height, width = size
    num_scans = anchors.shape[1]
    y = (np.arange(height, dtype=np.float32) + 0.5)[None, :, None] / height
    lower = np.concatenate([anchors[1:], anchors[-1:] + look.thickness * 0.9])
    place = np.zeros((num_scans, height, width), np.float32)
    for top, bottom in zip(anchors, lower, strict=True):
        place += np.clip((y - top[:, None]) / np.maximum(bottom - top, 1e-6)[:, None], 0, 1)
    scan = _reflectivity_table(look, contrast)[(place * CELLS).astype(np.int32)]
    srf = (y >= anchors[2][:, None]) & (y < anchors[3][:, None]) & (macula.subretinal[:, None] > 0)
    ped = (y >= anchors[4][:, None]) & (y < anchors[5][:, None]) & (macula.pigment[:, None] > 0)
    retina = (y >= anchors[0][:, None]) & (y < anchors[5][:, None])
    scan[irf] = look.vitreous + (look.fluid * rng.uniform(0.85, 1.15) - look.vitreous) * contrast
    scan *= _shadows(rng, anchors, y, num_scans, width)
    scan *= 1 + 0.12 * smooth_noise(rng, (num_scans, width), 6)[:, None]
    masks = {"fluid": irf | srf | ped, "irf": irf, "srf": srf & ~irf, "ped": ped & ~irf, "retina": retina}
    return scan, masks


def _shadows(rng: np.random.Generator, anchors: np.ndarray, y: np.ndarray, num_scans: int, width: int) -> np.ndarray:
    """Sample the shadows (n, H, W) that vessels of the inner retina throw on everything below them."""
    columns = np.ones((num_scans, width), np.float32)
    for _ in range(rng.integers(3, 9)):
        center, half = rng.uniform(0, width), max(1.0, rng.uniform(0.004, 0.018) * width)
        drift = center + np.linspace(0, rng.normal(0, 0.1) * width, num_scans)[:, None]
        columns *= 1 - rng.uniform(0.2, 0.6) * np.exp(-(((np.arange(width) - drift) / half) ** 2)).astype(np.float32)
    begin = anchors[0] + 0.25 * (anchors[1] - anchors[0])
    return np.where(y > begin[:, None], columns[:, None], 1)


def _acquire(reflectivity: np.ndarray, look: Device, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Image the reflectivity (n, H, W) as uint8 as the device does: resolution, speckle, additive noise."""
    height = reflectivity.shape[1]
    scale = height / 256
    images = np.empty(reflectivity.shape, np.uint8)
    for scan, image in zip(reflectivity, images, strict=True):
        blur = look.blur * scale
        sharp = cv2.GaussianBlur(scan, (0, 0), sigmaX=max(0.3, 0.4 * look.blur * scale), sigmaY=max(0.3, blur))
        grain = rng.standard_normal(scan.shape, dtype=np.float32)
        if look.grain * scale > 0.3:
            grain = cv2.GaussianBlur(grain, (0, 0), sigmaX=look.grain * scale, sigmaY=0.6 * look.grain * scale)
            grain /= grain.std()
        fine = rng.standard_normal(scan.shape, dtype=np.float32)
        if 0.5 * look.grain * scale > 0.3:  # neighbors share some of the noise, as in real scans
            fine = cv2.GaussianBlur(fine, (0, 0), sigmaX=0.5 * look.grain * scale)
            fine /= fine.std()
        seen = sharp * (1 + look.speckle * noise * grain) + look.noise * noise * fine
        cv2.convertScaleAbs(np.maximum(seen, 0), dst=image, alpha=255)
    return images


def _add_wedges(images: np.ndarray, retina: np.ndarray, look: Device, rng: np.random.Generator) -> None:
    """Paint the white wedges that registration leaves at the top or bottom of some scans; the retina stays clear."""
    num_scans, height, width = images.shape
    for k in range(num_scans):
        if rng.random() < look.wedges:
            left, right = rng.uniform(0, 0.12, 2) * height
            corners = np.array([[0, 0], [width, 0], [width, right], [0, left]], np.int32)
            if rng.random() < 0.4:
                corners[:, 1] = height - corners[:, 1]
            wedge = np.zeros((height, width), np.uint8)
            cv2.fillPoly(wedge, [corners], 1)
            images[k][(wedge > 0) & ~retina[k]] = 255
