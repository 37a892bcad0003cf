"""Draws OCT B-scans of a macula with fluid: layers, speckle, shadows, three kinds of fluid, two devices.

Every column of a scan is a stack of anchors, from the inner limiting membrane down to Bruch's membrane. A pixel's
place between two anchors picks its reflectivity from a table, so a batch is drawn with a few array operations.
Fluid pushes the anchors above it up; its masks are exact because they come from the same anchors.
"""

import concurrent.futures
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.collection import ImageSet
from retina_kit.errors import UsageError

CELLS = 48  # entries of the reflectivity table between two anchors


@dataclass(frozen=True)
class Device:
    """How a device shows a retina; numbers between 0 and 1 are fractions of white."""

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
    wedges: float  # how often registration leaves a white wedge


SPECTRALIS = Device(0.065, 0.42, 0.34, 0.21, 0.68, 0.27, 0.15, 0.30, 0.55, 0.045, 0.5, 0.25, 0.6)
CIRRUS = Device(0.20, 0.54, 0.47, 0.35, 0.74, 0.42, 0.26, 0.42, 1.15, 0.085, 1.1, 0.34, 0.0)
DEVICES = {"spectralis": (SPECTRALIS, CIRRUS), "cirrus": (CIRRUS, SPECTRALIS)}


def mix_devices(name, gap):
    """Return the device that lies `gap` (0 to 1) of the way from the named one to the other."""
    if name not in DEVICES:
        raise UsageError(f"device {name!r} is not one of {', '.join(DEVICES)}")
    if not 0 <= gap <= 1:
        raise UsageError(f"gap {gap} must lie between 0 (the device itself) and 1 (the other device)")
    own, other = DEVICES[name]
    return Device(**{key: (1 - gap) * value + gap * vars(other)[key] for key, value in vars(own).items()})


def generate_oct(num_patients, scans_per_patient=8, size=(256, 256), *, device="spectralis", gap=0.0, noise=1.0,
             contrast=1.0, fluid=1.0, annotators=False, disagreement=1.0, seed=0):  # fmt: skip
    """Return synthetic B-scans (N, 1, H, W) of `num_patients` eyes with exact masks of their fluid.

    `gap` moves from the device to the other one, `noise` and `contrast` scale its own, `fluid` scales how much of
    it there is. Masks: fluid (any), irf, srf, ped, retina; with `annotators` also annotator1, annotator1_again and
    annotator2, imperfect copies that differ more with `disagreement`. The same seed gives the same images.
    """
    look = mix_devices(device, gap)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [
            (patient, scans_per_patient, tuple(size), look, noise, contrast, fluid, seed)
            for patient in range(num_patients)
        ]
        eyes = list(pool.map(lambda job: _draw_eye(*job), jobs))
        images = np.concatenate([eye[0] for eye in eyes])[:, None]
        masks = {name: np.concatenate([eye[1][name] for eye in eyes]) for name in eyes[0][1]}
        if annotators:
            for number, name in enumerate(("annotator1", "annotator1_again", "annotator2")):
                drawn = pool.map(
                    lambda k, n=number: annotate(masks["fluid"][k], k, n, disagreement, seed),
                    range(len(images)),
                )
                masks[name] = np.stack(list(drawn))
    rows = pd.DataFrame(
        {
            "id": [f"p{p:03d}_s{s:02d}" for p in range(num_patients) for s in range(scans_per_patient)],
            "patient": [f"p{p:03d}" for p in range(num_patients) for _ in range(scans_per_patient)],
            "split": "",
        }
    )
    return ImageSet(images, masks, rows, "synthetic_oct")


def _draw_eye(patient, num_scans, size, look, noise, contrast, fluid, seed):
    """Return (images (n, H, W) uint8, masks) of one eye; its scans share anatomy and lesions."""
    rng = np.random.default_rng([seed, patient])
    x = np.linspace(-1, 1, size[1], dtype=np.float32)
    place = np.linspace(-1, 1, num_scans, dtype=np.float32) * 0.75 if num_scans > 1 else np.zeros(1, np.float32)
    anchors, pushed = _anatomy(rng, x, place, look, fluid)
    irf = _cysts(rng, x, place, anchors, size, fluid)
    reflectivity, masks = _render(anchors, pushed, irf, size, look, contrast, rng)
    images = _acquire(reflectivity, look, noise, rng)
    _add_wedges(images, masks, look, rng)
    return images, masks


def _smooth_noise(rng, shape, knots):
    """Return smooth random curves (n, W) with standard deviation about 1, from `knots` random points a curve."""
    points = rng.standard_normal((shape[0], knots)).astype(np.float32)
    return cv2.resize(points, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _dome(x, place, center, scan, half_width, extent):
    """Return the height profile (n, W), 0 to 1, of something round at (center, scan) seen from every scan."""
    slice_height = np.clip(1 - ((place - scan) / extent) ** 2, 0, None)[:, None]
    return np.clip(slice_height - ((x - center) / half_width) ** 2, 0, None) ** 0.8


def _anatomy(rng, x, place, look, fluid):
    """Return the anchors (7, n, W) as fractions of the height, top to bottom, and the domes of SRF and PED."""
    thickness = look.thickness * rng.uniform(0.85, 1.15)
    bruch = rng.uniform(0.55, 0.68) + rng.uniform(-0.06, 0.06) * x + rng.uniform(-0.04, 0.10) * x**2
    bruch = bruch + 0.004 * _smooth_noise(rng, (len(place), len(x)), 9) + 0.02 * rng.uniform(-1, 1, (len(place), 1))
    fovea, pit_width = rng.uniform(-0.25, 0.25), rng.uniform(0.16, 0.3)
    pit = np.exp(-(((x - fovea) / pit_width) ** 2)[None] - (place[:, None] / 0.35) ** 2)
    inner = thickness * 0.62 * (1 - rng.uniform(0.5, 0.85) * pit) * (1 + 0.10 * _smooth_noise(rng, (1, len(x)), 5))
    outer = thickness * 0.26 * (1 + 0.25 * pit)
    epithelium = np.full_like(outer, thickness * 0.085)
    middle, spread = fovea + rng.uniform(-0.2, 0.2), rng.uniform(0.2, 0.45)
    swelling = np.exp(-(((x - middle) / spread) ** 2)[None] - ((place[:, None] - rng.uniform(-0.3, 0.3)) / 0.5) ** 2)
    inner = inner + rng.uniform(0, 0.9) * thickness * swelling * rng.integers(0, 2)
    subretinal, pigment = np.zeros_like(outer), np.zeros_like(outer)
    for _ in range(rng.poisson(0.6 * fluid)):
        where = (
            rng.uniform(-0.5, 0.5),
            rng.uniform(-0.5, 0.5),
            rng.uniform(0.12, 0.4),
            rng.uniform(0.2, 0.6),
        )
        subretinal = np.maximum(subretinal, rng.uniform(0.12, 0.4) * thickness * _dome(x, place, *where))
    for _ in range(rng.poisson(0.5 * fluid)):
        where = (
            rng.uniform(-0.6, 0.6),
            rng.uniform(-0.6, 0.6),
            rng.uniform(0.08, 0.3),
            rng.uniform(0.2, 0.6),
        )
        pigment = np.maximum(pigment, rng.uniform(0.1, 0.35) * thickness * _dome(x, place, *where))
    bottom = bruch - pigment
    top = bottom - epithelium
    ellipsoid = top - subretinal
    border = ellipsoid - outer
    membrane = border - inner
    return np.stack([membrane, border, ellipsoid, top, bottom, bruch]).astype(np.float32), (
        subretinal,
        pigment,
    )


def _cysts(rng, x, place, anchors, size, fluid):
    """Return the mask (n, H, W) of intraretinal cysts: clusters of ellipses in the inner and middle layers."""
    height, width = size
    mask = np.zeros((len(place), height, width), np.uint8)
    if rng.random() > min(0.95, 0.75 * fluid):
        return mask.astype(bool)
    cluster, scan = rng.uniform(-0.45, 0.45), rng.uniform(-0.4, 0.4)
    for _ in range(int(rng.integers(3, 16) * fluid)):
        center = cluster + rng.normal(0, 0.22)
        z, extent = scan + rng.normal(0, 0.25), rng.uniform(0.15, 0.5)
        half_width, half_height, depth = (
            rng.uniform(0.02, 0.11),
            rng.uniform(0.06, 0.26),
            rng.uniform(0.45, 1.05),
        )
        for k in np.flatnonzero(np.abs(place - z) < extent):
            shrink = np.sqrt(1 - ((place[k] - z) / extent) ** 2)
            column = int(np.clip((center + 1) / 2 * (width - 1), 0, width - 1))
            membrane, border, ellipsoid = anchors[:3, k, column]
            middle = (membrane + depth * (border - membrane)) * height
            radius = half_height * shrink * (ellipsoid - membrane) * height
            axes = (max(1, round(half_width * shrink * width / 2)), max(1, round(radius)))
            cv2.ellipse(mask[k], (column, round(middle)), axes, rng.uniform(-20, 20), 0, 360, 1, -1)
    y = (np.arange(height, dtype=np.float32) + 0.5)[None, :, None] / height
    inside = (y > anchors[0][:, None] + 0.012) & (y < anchors[2][:, None] - 0.012)
    return (mask > 0) & inside


def _table(look, contrast):
    """Return the reflectivity (6 * CELLS + 1) along the anchors: inner, outer, SRF, epithelium, PED, choroid."""
    knots = [
        ((0, 0.12, 0.18, 0.45, 0.55, 0.68, 0.75, 0.88, 1.0),
         (look.nerve_fibers, look.nerve_fibers, look.inner, look.inner * 0.95, look.inner * 0.68, look.inner * 0.66,
          look.inner * 0.98, look.inner * 0.9, look.dark)),
        ((0, 0.62, 0.68, 0.72, 0.80, 0.92, 1.0),
         (look.dark, look.dark, look.inner * 0.9, look.dark * 1.2, look.bright * 0.9, look.bright, look.inner)),
        ((0, 1), (look.fluid * 0.9, look.fluid)),
        ((0, 0.5, 1), (look.bright, look.bright * 1.05, look.bright * 0.8)),
        ((0, 1), (look.fluid * 1.35, look.fluid * 1.2)),
        ((0, 0.1, 0.35, 0.7, 1),
         (look.choroid * 1.15, look.choroid, look.choroid * 0.75, look.choroid * 0.45, look.vitreous)),
    ]  # fmt: skip
    parts = [np.interp(np.linspace(0, 1, CELLS, endpoint=False), *knot) for knot in knots]
    table = np.concatenate([*parts, [look.vitreous]])
    table[0] = look.vitreous
    return (look.vitreous + (table - look.vitreous) * contrast).astype(np.float32)


def _render(anchors, pushed, irf, size, look, contrast, rng):
    """Return the reflectivity (n, H, W) and the masks, from the anchors and the cysts."""
    height, width = size
    num_scans = anchors.shape[1]
    y = (np.arange(height, dtype=np.float32) + 0.5)[None, :, None] / height
    lower = np.concatenate([anchors[1:], anchors[-1:] + look.thickness * 0.9])
    place = np.zeros((num_scans, height, width), np.float32)
    for top, bottom in zip(anchors, lower, strict=True):
        place += np.clip((y - top[:, None]) / np.maximum(bottom - top, 1e-6)[:, None], 0, 1)
    scan = _table(look, contrast)[(place * CELLS).astype(np.int32)]
    subretinal, pigment = pushed
    srf = (y >= anchors[2][:, None]) & (y < anchors[3][:, None]) & (subretinal[:, None] > 0)
    ped = (y >= anchors[4][:, None]) & (y < anchors[5][:, None]) & (pigment[:, None] > 0)
    retina = (y >= anchors[0][:, None]) & (y < anchors[5][:, None])
    scan[irf] = look.vitreous + (look.fluid * rng.uniform(0.85, 1.15) - look.vitreous) * contrast
    scan *= _shadows(rng, anchors, y, num_scans, width)
    scan *= 1 + 0.12 * _smooth_noise(rng, (num_scans, width), 6)[:, None]
    masks = {"fluid": irf | srf | ped, "irf": irf, "srf": srf & ~irf, "ped": ped & ~irf, "retina": retina}
    return scan, masks


def _shadows(rng, anchors, y, num_scans, width):
    """Return the shadows (n, H, W) that vessels of the inner retina throw on everything below them."""
    columns = np.ones((num_scans, width), np.float32)
    for _ in range(rng.integers(3, 9)):
        center, half = rng.uniform(0, width), max(1.0, rng.uniform(0.004, 0.018) * width)
        drift = center + np.linspace(0, rng.normal(0, 0.1) * width, num_scans)[:, None]
        columns *= 1 - rng.uniform(0.2, 0.6) * np.exp(-(((np.arange(width) - drift) / half) ** 2)).astype(np.float32)
    begin = anchors[0] + 0.25 * (anchors[1] - anchors[0])
    return np.where(y > begin[:, None], columns[:, None], 1)


def _acquire(reflectivity, look, noise, rng):
    """Return the scans (n, H, W) uint8 as the device shows them: resolution, speckle, noise, black at the bottom."""
    height = reflectivity.shape[1]
    scale = height / 256
    images = np.empty(reflectivity.shape, np.uint8)
    for scan, image in zip(reflectivity, images, strict=True):
        sharp = cv2.GaussianBlur(
            scan, (0, 0), sigmaX=max(0.3, 0.4 * look.blur * scale), sigmaY=max(0.3, look.blur * scale)
        )
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


def _add_wedges(images, masks, look, rng):
    """Paint the white wedges that registration leaves at the top or bottom of some scans; fluid stays clear of them."""
    num_scans, height, width = images.shape
    for k in range(num_scans):
        if rng.random() < look.wedges:
            left, right = rng.uniform(0, 0.12, 2) * height
            corners = np.array([[0, 0], [width, 0], [width, right], [0, left]], np.int32)
            if rng.random() < 0.4:
                corners[:, 1] = height - corners[:, 1]
            wedge = np.zeros((height, width), np.uint8)
            cv2.fillPoly(wedge, [corners], 1)
            images[k][(wedge > 0) & ~masks["retina"][k]] = 255


def annotate(fluid, number, annotator, disagreement, seed):
    """Return an imperfect copy (H, W) of a fluid mask: a wobbling border, and small pieces missed.

    Annotators 0 and 1 are the same person twice: what they miss is the same, their borders wobble less.
    """
    rng = np.random.default_rng([seed, number, annotator, 77])
    person = np.random.default_rng([seed, number, annotator // 2, 78])
    height, width = fluid.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(fluid.view(np.uint8))
    seen = np.zeros_like(fluid)
    for label in range(1, count):
        small = np.exp(-stats[label, cv2.CC_STAT_AREA] / (0.0008 * height * width))
        if person.random() > 0.5 * small * disagreement:
            seen |= labels == label
    distance = cv2.distanceTransform(seen.view(np.uint8), cv2.DIST_L2, 3)
    distance -= cv2.distanceTransform((~seen).view(np.uint8), cv2.DIST_L2, 3)
    points = rng.standard_normal((9, 12)).astype(np.float32)
    wobble = cv2.resize(points, (width, height), interpolation=cv2.INTER_CUBIC)
    bias = person.normal(0, 1.2)
    strength = disagreement * height / 256
    return (distance > (1.5 * wobble + bias) * strength) & (
        cv2.dilate(seen.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    )
