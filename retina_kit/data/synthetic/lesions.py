"""The lesions of diabetic retinopathy in a synthetic fundus photograph, more of more kinds at higher grades."""

from collections.abc import Callable

import cv2
import numpy as np

from retina_kit.data.synthetic.light import blend, soft

LESIONS = ("ma", "he", "ex", "se")  # microaneurysms, hemorrhages, hard and soft exudates


def paint_lesions(
    light: np.ndarray,
    masks: dict[str, np.ndarray],
    grade: int,
    fovea: np.ndarray,
    color: np.ndarray,
    to_pixels: Callable[[np.ndarray], np.ndarray],
    radius: float,
    contrast: float,
    rng: np.random.Generator,
) -> None:
    """Paint the lesions that go with a grade (0 to 4) into the photograph and the masks, in place.

    Each kind has its own size, color and border. `fovea` (x, y) is in units of the field's `radius` (pixels),
    `color` that of the retina; `to_pixels` maps points in those units to pixels.
    """
    if grade == 0:
        return
    _place(masks, grade, fovea, to_pixels, radius, rng)
    away = cv2.dilate(masks["disc"], np.ones((3, 3), np.uint8)) == 0
    for name in LESIONS:
        masks[name] *= away & (masks["fov"] > 0)
    masks["ma"] *= masks["he"] == 0
    dark = light * np.array([0.72, 0.5, 0.6], np.float32)
    for name, strength in (("ma", 0.85), ("he", 0.8)):
        light += (strength * contrast * soft(masks[name], 0.003 * radius))[..., None] * (dark - light)
    brightness = np.clip(color * [1.25, 2.0, 2.3], 0, 250)
    blend(light, 0.8 * contrast * soft(masks["ex"], 0.003 * radius), brightness)
    blend(light, 0.5 * contrast * soft(masks["se"], 0.03 * radius), brightness * [1, 1, 1.4])


def _place(
    masks: dict[str, np.ndarray],
    grade: int,
    fovea: np.ndarray,
    to_pixels: Callable[[np.ndarray], np.ndarray],
    radius: float,
    rng: np.random.Generator,
) -> None:
    """Sample number, place and size of all lesions and fill them into the masks."""
    counts = {
        "ma": rng.poisson((0, 5, 14, 24, 28)[grade]) + 1,
        "he": rng.poisson((0, 0, 6, 16, 22)[grade]),
        "ex": rng.poisson((0, 0, 2.2, 3.5, 4.0)[grade]),
        "se": rng.poisson((0, 0, 0.4, 1.2, 1.5)[grade]),
    }
    for _ in range(counts["ex"]):  # clusters of crumbs, often near the fovea
        middle = fovea + rng.normal(0, 0.28, 2)
        for _ in range(rng.integers(4, 26)):
            place = to_pixels(middle + rng.normal(0, 0.07, 2))[0]
            _blot(masks["ex"], place, rng.uniform(0.005, 0.028) * radius, rng)
    for name, low, high in (("ma", 0.005, 0.011), ("he", 0.014, 0.055), ("se", 0.04, 0.085)):
        for _ in range(counts[name]):
            place = to_pixels(fovea * 0.5 + rng.normal(0, 0.38, 2))[0]
            _blot(masks[name], place, rng.uniform(low, high) * radius, rng)


def _blot(mask: np.ndarray, place: np.ndarray, radius: float, rng: np.random.Generator) -> None:
    """Fill a blot with a ragged border."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    reach = max(0.7, radius) * (1 + rng.normal(0, 0.22, 12))
    x = place[0] + reach * np.cos(angles) * rng.uniform(0.7, 1.3)
    points = np.stack([x, place[1] + reach * np.sin(angles)], axis=1)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
