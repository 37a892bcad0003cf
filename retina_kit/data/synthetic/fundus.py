"""Draws fundus photographs: field of view, disc and cup, fovea, vessels, lesions, each with an exact mask."""

import concurrent.futures
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.collection import ImageSet
from retina_kit.data.synthetic.vessels import grow_tree
from retina_kit.errors import UsageError

LESIONS = ("ma", "he", "ex", "se")
MASKS = ("vessels", "disc", "cup", "fov", *LESIONS)


@dataclass(frozen=True)
class Camera:
    """How a camera shows a retina."""

    background: tuple[float, float, float]  # mean red, green, blue, 0 to 255
    spread: float  # how much eyes differ, as a fraction
    vignette: float  # loss of light at the border
    blur: float  # pixels of a 512-pixel-wide image
    noise: float  # gray values
    field: float  # radius of the field of view as a fraction of the smaller side


CAMERAS = {
    "standard": Camera((185, 84, 24), 0.14, 0.45, 0.8, 3.0, 0.485),
    "retcam": Camera((150, 82, 48), 0.18, 0.6, 1.4, 4.5, 0.47),
}


@dataclass(frozen=True)
class Eye:
    """The anatomy of one eye, in units of the field's radius with its center at (0, 0)."""

    disc: np.ndarray
    disc_axes: np.ndarray
    cup: float
    fovea: np.ndarray
    vessels: list
    color: np.ndarray
    is_right: bool
    grade: int


def generate_fundus(num_patients, images_per_patient=2, size=(256, 256), *, lesions=True, camera="standard", noise=1.0,
                contrast=1.0, seed=0):  # fmt: skip
    """Return synthetic fundus photographs (N, 3, H, W), RGB, with exact masks and rows.

    Masks: vessels, disc, cup, fov, and the lesions ma, he, ex, se (microaneurysms, hemorrhages, hard and soft
    exudates). Rows: disc_x, disc_y, disc_diameter, fovea_x, fovea_y in pixels, grade 0 to 4, has_lesion, eye. Grade 0
    has no lesion; higher grades have more of more kinds. The same seed gives the same images.
    """
    if camera not in CAMERAS:
        raise UsageError(f"camera {camera!r} is not one of {', '.join(CAMERAS)}")
    jobs = [(patient, number) for patient in range(num_patients) for number in range(images_per_patient)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        eyes = list(
            pool.map(
                lambda p: _draw_eye(np.random.default_rng([seed, p]), CAMERAS[camera], lesions),
                range(num_patients),
            )
        )
        drawn = list(
            pool.map(
                lambda job: _photograph(
                    eyes[job[0]],
                    CAMERAS[camera],
                    tuple(size),
                    noise,
                    contrast,
                    np.random.default_rng([seed, *job, 5]),
                ),
                jobs,
            )
        )
    images = np.stack([photograph for photograph, _, _ in drawn])
    masks = {name: np.stack([found[name] for _, found, _ in drawn]) for name in MASKS}
    rows = pd.DataFrame([row for _, _, row in drawn])
    rows.insert(0, "id", [f"p{patient:03d}_{number}" for patient, number in jobs])
    rows.insert(1, "patient", [f"p{patient:03d}" for patient, _ in jobs])
    rows.insert(2, "split", "")
    return ImageSet(images, masks, rows, "synthetic_fundus")


def _draw_eye(rng, camera, lesions):
    """Return the anatomy of one eye."""
    is_right = bool(rng.integers(0, 2))
    nasal = 1 if is_right else -1
    gaze = rng.normal(0, 0.16, 2)
    disc = np.array([nasal * rng.uniform(0.25, 0.7), rng.normal(0, 0.08)]) + gaze
    diameter = rng.uniform(0.24, 0.33)
    fovea = disc + np.array([-nasal * rng.uniform(2.3, 2.8) * diameter, rng.uniform(0.0, 0.12)])
    color = np.array(camera.background) * (1 + rng.normal(0, camera.spread)) * (1 + rng.normal(0, 0.06, 3))
    return Eye(
        disc=disc,
        disc_axes=diameter / 2 * np.array([rng.uniform(0.86, 1.0), rng.uniform(0.98, 1.12)]),
        cup=rng.uniform(0.25, 0.65),
        fovea=fovea,
        vessels=grow_tree(rng, disc, fovea),
        color=np.clip(color, 15, 225),
        is_right=is_right,
        grade=int(rng.choice(5, p=[0.4, 0.12, 0.24, 0.14, 0.10])) if lesions else 0,
    )


def _photograph(eye, camera, size, noise, contrast, rng):
    """Return one photograph (3, H, W), its masks and its row; each is framed and lit a little differently."""
    height, width = size
    radius = camera.field * min(size)
    turn, shift, zoom = rng.normal(0, 0.05), rng.normal(0, 0.03, 2), rng.uniform(0.97, 1.04)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def to_pixels(points):
        return (np.atleast_2d(points) @ rotation.T * zoom + shift) * radius + [width / 2, height / 2]

    masks = {name: np.zeros(size, np.uint8) for name in MASKS}
    cv2.circle(masks["fov"], (width // 2, height // 2), round(radius), 1, -1)
    light = _background(eye, camera, size, radius, to_pixels(eye.fovea)[0], contrast, rng)
    center, axes = to_pixels(eye.disc)[0], eye.disc_axes * radius * zoom
    _draw_disc(light, masks, center, axes, eye.cup, np.degrees(turn), contrast)
    _draw_vessels(light, masks["vessels"], eye.vessels, to_pixels, radius * zoom, contrast)
    _draw_lesions(light, masks, eye, to_pixels, radius, contrast, rng)
    photograph = _expose(light, masks["fov"], camera, noise, rng)
    fov = masks["fov"] > 0
    found = {name: (mask > 0) & fov for name, mask in masks.items()}
    fovea = to_pixels(eye.fovea)[0]
    row = {
        "disc_x": float(center[0]), "disc_y": float(center[1]), "disc_diameter": float(axes.sum()),
        "fovea_x": float(fovea[0]), "fovea_y": float(fovea[1]), "grade": eye.grade,
        "has_lesion": int(any(found[name].any() for name in LESIONS)), "eye": "R" if eye.is_right else "L",
    }  # fmt: skip
    return photograph, found, row


def _background(eye, camera, size, radius, fovea, contrast, rng):
    """Return the lit retina (H, W, 3) float32: color, uneven light, choroidal texture, dark fovea."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    from_center = (
        np.hypot(x - width / 2 - rng.normal(0, 0.15) * radius, y - height / 2 - rng.normal(0, 0.15) * radius) / radius
    )
    light = 1 - camera.vignette * np.clip(from_center, 0, 1.4) ** 2.5
    light *= 1 + rng.normal(0, 0.08) * (x - width / 2) / radius
    texture = np.zeros(size, np.float32)
    for knots, strength in ((6, 0.045), (24, 0.035), (70, 0.022)):
        coarse = rng.standard_normal((knots, knots)).astype(np.float32)
        texture += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    macula = np.exp(-(((x - fovea[0]) ** 2 + (y - fovea[1]) ** 2) / (2 * (0.13 * radius) ** 2)))
    light = light * (1 + texture * contrast) * (1 - 0.32 * contrast * macula)
    depth = np.array([0.75, 1.0, 1.0], np.float32)  # red shows less of everything
    return eye.color.astype(np.float32) * (1 + (light[..., None] - 1) * depth)


def _blend(light, weight, color):
    """Lay a color (3,) over the retina where `weight` (H, W) is above 0."""
    light += weight[..., None] * (np.asarray(color, np.float32) - light)


def _soft(mask, sigma):
    """Return a mask with soft borders, 0 to 1."""
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.4, sigma))


def _draw_disc(light, masks, center, axes, cup, angle, contrast):
    """Draw the optic disc, pale and with a bright cup."""
    place = tuple(round(float(value) * 16) for value in center)
    for name, part in (("disc", 1.0), ("cup", cup)):
        sides = tuple(round(float(side * part) * 16) for side in axes)
        cv2.ellipse(masks[name], place, sides, angle, 0, 360, 1, -1, cv2.LINE_8, 4)
    local = light[masks["disc"] > 0].mean(axis=0) if masks["disc"].any() else np.array([180, 90, 30])
    _blend(
        light,
        0.8 * contrast * _soft(masks["disc"], 0.05 * axes[0]),
        np.clip(local * [1.35, 1.75, 2.2], 0, 252),
    )
    _blend(light, 0.6 * contrast * _soft(masks["cup"], 0.12 * axes[0]), [252, 218, 140])


def _draw_vessels(light, mask, vessels, to_pixels, radius, contrast):
    """Draw all vessels into the mask and darken the retina under them, veins more than arteries."""
    darkness = np.zeros(mask.shape, np.float32)
    for vessel in sorted(vessels, key=lambda v: v.widths[0]):
        points = np.rint(to_pixels(vessel.points) * 16).astype(np.int32)
        strength = (0.24 if vessel.is_artery else 0.36) * contrast
        for first in range(0, len(points) - 1, 6):  # six steps at a time share one width
            width = float(vessel.widths[first : first + 7].mean()) * radius
            piece, thickness = [points[first : first + 7].reshape(-1, 1, 2)], max(1, round(width))
            cv2.polylines(mask, piece, False, 1, thickness, cv2.LINE_8, 4)
            shade = float(strength * min(1.0, 0.5 + width / 3))
            cv2.polylines(darkness, piece, False, shade, thickness, cv2.LINE_8, 4)
    darkness = cv2.GaussianBlur(darkness, (0, 0), max(0.45, 0.004 * radius))
    light *= 1 - darkness[..., None] * np.array([0.55, 1.0, 0.8], np.float32)


def _draw_lesions(light, masks, eye, to_pixels, radius, contrast, rng):
    """Draw the lesions that go with the grade; each kind has its own size, color and border."""
    grade = eye.grade
    if grade == 0:
        return
    counts = {
        "ma": rng.poisson((0, 5, 14, 24, 28)[grade]) + 1,
        "he": rng.poisson((0, 0, 6, 16, 22)[grade]),
        "ex": rng.poisson((0, 0, 2.2, 3.5, 4.0)[grade]),
        "se": rng.poisson((0, 0, 0.4, 1.2, 1.5)[grade]),
    }
    for _ in range(counts["ex"]):  # clusters of crumbs, often near the fovea
        middle = eye.fovea + rng.normal(0, 0.28, 2)
        for _ in range(rng.integers(4, 26)):
            _blot(
                masks["ex"],
                to_pixels(middle + rng.normal(0, 0.07, 2))[0],
                rng.uniform(0.005, 0.028) * radius,
                rng,
            )
    for name, low, high in (("ma", 0.005, 0.011), ("he", 0.014, 0.055), ("se", 0.04, 0.085)):
        for _ in range(counts[name]):
            place = eye.fovea * 0.5 + rng.normal(0, 0.38, 2)
            _blot(masks[name], to_pixels(place)[0], rng.uniform(low, high) * radius, rng)
    away = cv2.dilate(masks["disc"], np.ones((3, 3), np.uint8)) == 0
    for name in LESIONS:
        masks[name] *= away & (masks["fov"] > 0)
    masks["ma"] *= masks["he"] == 0
    dark = light * np.array([0.72, 0.5, 0.6], np.float32)
    for name, strength in (("ma", 0.85), ("he", 0.8)):
        light += (strength * contrast * _soft(masks[name], 0.003 * radius))[..., None] * (dark - light)
    brightness = light.mean(axis=(0, 1)) * 0 + np.clip(eye.color * [1.25, 2.0, 2.3], 0, 250)
    _blend(light, 0.8 * contrast * _soft(masks["ex"], 0.003 * radius), brightness)
    _blend(light, 0.5 * contrast * _soft(masks["se"], 0.03 * radius), brightness * [1, 1, 1.4])


def _blot(mask, place, radius, rng):
    """Draw a filled blot with a ragged border."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    reach = max(0.7, radius) * (1 + rng.normal(0, 0.22, 12))
    points = np.stack(
        [place[0] + reach * np.cos(angles) * rng.uniform(0.7, 1.3), place[1] + reach * np.sin(angles)], axis=1
    )
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 1, cv2.LINE_8, 4)


def _expose(light, fov, camera, noise, rng):
    """Return the photograph (3, H, W) uint8: lens blur, noise, darkness outside the field of view."""
    sigma = camera.blur * light.shape[1] / 512
    if sigma > 0.25:
        light = cv2.GaussianBlur(light, (0, 0), sigma)
    light = light + camera.noise * noise * rng.standard_normal(light.shape, dtype=np.float32)
    light = light * fov[..., None] + rng.uniform(0, 6) * (1 - fov[..., None])
    return np.clip(light, 0, 255).astype(np.uint8).transpose(2, 0, 1).copy()
