"""Samples the anatomy of a synthetic macula: layers with a foveal pit, and fluid within, below and under them.

Heights are fractions of a scan's height, 0 at the top. Across a scan x runs from -1 to 1; `place` (n,) is where the
scans of an eye are, in the same units.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Macula:
    """The anatomy of one eye in n scans of height H and width W."""

    anchors: (
        np.ndarray
    )  # (6, n, W), top to bottom: membrane, outer border, ellipsoid, epithelium's top, bottom, Bruch's
    subretinal: np.ndarray  # (n, W), thickness of the fluid between ellipsoid and epithelium
    pigment: np.ndarray  # (n, W), thickness of the fluid between epithelium and Bruch's membrane
    cysts: np.ndarray  # bool (n, H, W), fluid within the inner and middle layers


def sample_macula(
    rng: np.random.Generator, num_scans: int, size: tuple[int, int], thickness: float, fluid: float
) -> Macula:
    """Sample one eye; `thickness` is the retina's, `fluid` scales how much fluid there is."""
    x = np.linspace(-1, 1, size[1], dtype=np.float32)
    place = np.linspace(-1, 1, num_scans, dtype=np.float32) * 0.75 if num_scans > 1 else np.zeros(1, np.float32)
    thickness = thickness * rng.uniform(0.85, 1.15)
    bruch = rng.uniform(0.55, 0.68) + rng.uniform(-0.06, 0.06) * x + rng.uniform(-0.04, 0.10) * x**2
    bruch = bruch + 0.004 * smooth_noise(rng, (len(place), len(x)), 9) + 0.02 * rng.uniform(-1, 1, (len(place), 1))
    inner, outer = _layers(rng, x, place, thickness)
    epithelium = np.full_like(outer, thickness * 0.085)
    subretinal = _domes(rng, x, place, 0.6 * fluid, thickness, (0.12, 0.4), 0.5, (0.12, 0.4))
    pigment = _domes(rng, x, place, 0.5 * fluid, thickness, (0.1, 0.35), 0.6, (0.08, 0.3))
    bottom = bruch - pigment
    top = bottom - epithelium
    ellipsoid = top - subretinal
    border = ellipsoid - outer
    membrane = border - inner
    anchors = np.stack([membrane, border, ellipsoid, top, bottom, bruch]).astype(np.float32)
    return Macula(anchors, subretinal, pigment, _cysts(rng, place, anchors, size, fluid))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], knots: int) -> np.ndarray:
    """Sample smooth curves (n, W) with standard deviation about 1, from `knots` random points per curve."""
    points = rng.standard_normal((shape[0], knots)).astype(np.float32)
    return cv2.resize(points, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _layers(
    rng: np.random.Generator, x: np.ndarray, place: np.ndarray, thickness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sample the thickness (n, W) of the inner and of the outer layers: a foveal pit, in some eyes a swelling."""
    fovea, pit_width = rng.uniform(-0.25, 0.25), rng.uniform(0.16, 0.3)
    pit = np.exp(-(((x - fovea) / pit_width) ** 2)[None] - (place[:, None] / 0.35) ** 2)
    inner = thickness * 0.62 * (1 - rng.uniform(0.5, 0.85) * pit) * (1 + 0.10 * smooth_noise(rng, (1, len(x)), 5))
    outer = thickness * 0.26 * (1 + 0.25 * pit)
    middle, spread = fovea + rng.uniform(-0.2, 0.2), rng.uniform(0.2, 0.45)
    swelling = np.exp(-(((x - middle) / spread) ** 2)[None] - ((place[:, None] - rng.uniform(-0.3, 0.3)) / 0.5) ** 2)
    return inner + rng.uniform(0, 0.9) * thickness * swelling * rng.integers(0, 2), outer


def _domes(
    rng: np.random.Generator,
    x: np.ndarray,
    place: np.ndarray,
    rate: float,
    thickness: float,
    heights: tuple[float, float],
    reach: float,
    widths: tuple[float, float],
) -> np.ndarray:
    """Sample the thickness (n, W) of fluid that gathers under a layer in domes, about `rate` of them.

    `heights` bounds their height as a fraction of the retina's `thickness`, `reach` their distance from the center and
    `widths` half their width, in units of x.
    """
    profile = np.zeros((len(place), len(x)), np.float32)
    for _ in range(rng.poisson(rate)):
        center, scan = rng.uniform(-reach, reach), rng.uniform(-reach, reach)
        half_width, extent = rng.uniform(*widths), rng.uniform(0.2, 0.6)
        height = rng.uniform(*heights) * thickness
        profile = np.maximum(profile, height * _dome(x, place, center, scan, half_width, extent))
    return profile


def _dome(x: np.ndarray, place: np.ndarray, center: float, scan: float, half_width: float, extent: float) -> np.ndarray:
    """Compute the height profile (n, W), 0 to 1, of something round at (center, scan) seen from every scan."""
    slice_height = np.clip(1 - ((place - scan) / extent) ** 2, 0, None)[:, None]
    return np.clip(slice_height - ((x - center) / half_width) ** 2, 0, None) ** 0.8


def _cysts(
    rng: np.random.Generator, place: np.ndarray, anchors: np.ndarray, size: tuple[int, int], fluid: float
) -> np.ndarray:
    """Sample the mask (n, H, W) of intraretinal cysts: clusters of ellipses in the inner and middle layers."""
    height, width = size
    mask = np.zeros((len(place), height, width), np.uint8)
    if rng.random() > min(0.95, 0.75 * fluid):
        return mask.astype(bool)
    cluster, scan = rng.uniform(-0.45, 0.45), rng.uniform(-0.4, 0.4)
    for _ in range(int(rng.integers(3, 16) * fluid)):
        center = cluster + rng.normal(0, 0.22)
        z, extent = scan + rng.normal(0, 0.25), rng.uniform(0.15, 0.5)
        half_width, half_height, depth = rng.uniform(0.02, 0.11), rng.uniform(0.06, 0.26), rng.uniform(0.45, 1.05)
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
