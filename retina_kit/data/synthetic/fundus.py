"""Generates fundus photographs: field of view, disc and cup, fovea, vessels, lesions, each with an exact mask."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.collection import ImageSet
from retina_kit.data.synthetic.lesions import LESIONS, paint_lesions
from retina_kit.data.synthetic.light import blend, soft
from retina_kit.data.synthetic.vessels import Vessel, grow_tree
from retina_kit.errors import unknown_name
from retina_kit.schema import Count, Positive, Size

MASKS = ("vessels", "disc", "cup", "fov", *LESIONS)
TO_PIXELS = Callable[[np.ndarray], np.ndarray]  # points (K, 2) in units of the field's radius to pixels


@dataclass(frozen=True)
class Camera:
    """The colors, sharpness and field of view of a fundus camera."""

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

    disc: np.ndarray  # (x, y) of its center
    disc_axes: np.ndarray  # half its width and height
    cup: float  # diameter as a fraction of the disc's
    fovea: np.ndarray  # (x, y)
    vessels: list[Vessel]
    color: np.ndarray  # red, green, blue, 0 to 255
    is_right: bool
    grade: int  # of diabetic retinopathy, 0 to 4


def generate_fundus(
    num_patients: Positive,
    images_per_patient: Positive = 2,
    size: Size = (256, 256),
    *,
    lesions: bool = True,
    camera: Literal["standard", "retcam"] = "standard",
    noise: float = 1.0,
    contrast: float = 1.0,
    seed: Count = 0,
) -> ImageSet:
    """Generate fundus photographs (N, 3, H, W), RGB, with exact masks and rows.

    Masks: vessels, disc, cup, fov, and the lesions ma, he, ex, se (microaneurysms, hemorrhages, hard and soft
    exudates). Rows: disc_x, disc_y, disc_diameter, fovea_x, fovea_y in pixels, grade 0 to 4, has_lesion, eye. Grade 0
    has no lesion; higher grades have more of more kinds. `noise` and `contrast` scale the camera's own. The same seed
    gives the same images.

    >>> eyes = generate_fundus(2, images_per_patient=1, size=(64, 96), seed=1)
    >>> eyes.images.shape, eyes.rows["grade"].tolist()
    ((2, 3, 64, 96), [2, 4])
    """
    if camera not in CAMERAS:
        raise unknown_name("camera", camera, CAMERAS)
    look, size = CAMERAS[camera], (size[0], size[1])
    jobs = [(patient, number) for patient in range(num_patients) for number in range(images_per_patient)]

    def photograph(job: tuple[int, int]) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
        return _photograph(eyes[job[0]], look, size, noise, contrast, np.random.default_rng([seed, *job, 5]))

    eyes = [_sample_eye(np.random.default_rng([seed, patient]), look, lesions) for patient in range(num_patients)]
    taken = [photograph(job) for job in jobs]  # threads do not help: small calls hold the interpreter's lock
    images = np.stack([image for image, _, _ in taken])
    masks = {name: np.stack([found[name] for _, found, _ in taken]) for name in MASKS}
    listed = list_photographs(num_patients, images_per_patient)
    rows = pd.concat([listed, pd.DataFrame([row for _, _, row in taken])], axis=1)
    return ImageSet(images, masks, rows, "synthetic_fundus")


def list_photographs(num_patients: int, images_per_patient: int = 2) -> pd.DataFrame:
    """List the photographs that `generate_fundus` generates, in its order: id, patient, split.

    >>> list_photographs(2, 1)["id"].tolist()
    ['p000_0', 'p001_0']
    """
    rows = [
        {"id": f"p{patient:03d}_{number}", "patient": f"p{patient:03d}", "split": ""}
        for patient in range(num_patients)
        for number in range(images_per_patient)
    ]
    return pd.DataFrame(rows)


def _sample_eye(rng: np.random.Generator, camera: Camera, lesions: bool) -> Eye:
    """Sample the anatomy of one eye."""
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


def _photograph(
    eye: Eye, camera: Camera, size: tuple[int, int], noise: float, contrast: float, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """Take one photograph (3, H, W), with its masks and its row; each is framed and lit a little differently."""
    height, width = size
    radius = camera.field * min(size)
    turn, shift, zoom = rng.normal(0, 0.05), rng.normal(0, 0.03, 2), rng.uniform(0.97, 1.04)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def to_pixels(points: np.ndarray) -> np.ndarray:
        return (np.atleast_2d(points) @ rotation.T * zoom + shift) * radius + [width / 2, height / 2]

    masks = {name: np.zeros(size, np.uint8) for name in MASKS}
    cv2.circle(masks["fov"], (width // 2, height // 2), round(radius), 1, -1)
    fovea, center = to_pixels(eye.fovea)[0], to_pixels(eye.disc)[0]
    axes = eye.disc_axes * radius * zoom
    light = _background(eye, camera, size, radius, fovea, contrast, rng)
    _paint_disc(light, masks, center, axes, eye.cup, np.degrees(turn), contrast)
    _paint_vessels(light, masks["vessels"], eye.vessels, to_pixels, radius * zoom, contrast)
    paint_lesions(light, masks, eye.grade, eye.fovea, eye.color, to_pixels, radius, contrast, rng)
    photograph = _expose(light, masks["fov"], camera, noise, rng)
    fov = masks["fov"] > 0
    found = {name: (mask > 0) & fov for name, mask in masks.items()}
    row = {
        "disc_x": float(center[0]),
        "disc_y": float(center[1]),
        "disc_diameter": float(axes.sum()),
        "fovea_x": float(fovea[0]),
        "fovea_y": float(fovea[1]),
        "grade": eye.grade,
        "has_lesion": int(any(found[name].any() for name in LESIONS)),
        "eye": "R" if eye.is_right else "L",
    }
    return photograph, found, row


def _background(
    eye: Eye,
    camera: Camera,
    size: tuple[int, int],
    radius: float,
    fovea: np.ndarray,
    contrast: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Light the retina (H, W, 3) float32: color, uneven light, choroidal texture, dark fovea."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    middle_x, middle_y = rng.normal(0, 0.15) * radius, rng.normal(0, 0.15) * radius
    from_center = np.hypot(x - width / 2 - middle_x, y - height / 2 - middle_y) / radius
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


def _paint_disc(
    light: np.ndarray,
    masks: dict[str, np.ndarray],
    center: np.ndarray,
    axes: np.ndarray,
    cup: float,
    angle: float,
    contrast: float,
) -> None:
    """Paint the optic disc, pale and with a bright cup."""
    place = tuple(round(float(value) * 16) for value in center)
    for name, part in (("disc", 1.0), ("cup", cup)):
        sides = tuple(round(float(side * part) * 16) for side in axes)
        cv2.ellipse(masks[name], place, sides, angle, 0, 360, 1, -1, cv2.LINE_8, 4)
    local = light[masks["disc"] > 0].mean(axis=0) if masks["disc"].any() else np.array([180, 90, 30])
    pale = np.clip(local * [1.35, 1.75, 2.2], 0, 252)
    blend(light, 0.8 * contrast * soft(masks["disc"], 0.05 * axes[0]), pale)
    blend(light, 0.6 * contrast * soft(masks["cup"], 0.12 * axes[0]), [252, 218, 140])


def _paint_vessels(
    light: np.ndarray, mask: np.ndarray, vessels: list[Vessel], to_pixels: TO_PIXELS, radius: float, contrast: float
) -> None:
    """Paint all vessels into the mask and darken the retina under them, veins more than arteries."""
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
    shadow = cv2.GaussianBlur(darkness, (0, 0), max(0.45, 0.004 * radius))
    light *= 1 - shadow[..., None] * np.array([0.55, 1.0, 0.8], np.float32)


def _expose(light: np.ndarray, fov: np.ndarray, camera: Camera, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Expose the photograph (3, H, W) uint8: lens blur, noise, darkness outside the field of view."""
    sigma = camera.blur * light.shape[1] / 512
    if sigma > 0.25:
        light = cv2.GaussianBlur(light, (0, 0), sigma)
    light = light + camera.noise * noise * rng.standard_normal(light.shape, dtype=np.float32)
    light = light * fov[..., None] + rng.uniform(0, 6) * (1 - fov[..., None])
    return np.clip(light, 0, 255).astype(np.uint8).transpose(2, 0, 1).copy()
