"""Preprocessing of whole images with OpenCV, before they become a resident tensor."""

import functools
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
from pydantic.dataclasses import dataclass

from retina_kit.data.large_arrays import new_array
from retina_kit.errors import unknown_name
from retina_kit.schema import STRICT


def scaled_size(size: Sequence[int], scale: float) -> tuple[int, int]:
    """Multiply a size (H, W) by `scale`, rounded, at least 16 pixels per side.

    >>> scaled_size((496, 768), 1 / 3)
    (165, 256)
    """
    height, width = size
    return max(16, round(height * scale)), max(16, round(width * scale))


def resize_images(images: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize uint8 images (N, C, H, W) to `size` (h, w): averaged where they shrink, bilinear where they grow.

    >>> resize_images(np.array([[[[0, 100, 10, 10], [0, 100, 10, 30]]]], np.uint8), (1, 2)).tolist()
    [[[[50, 15]]]]
    """
    height, width = size
    if images.shape[-2:] == (height, width):
        return images
    how = cv2.INTER_AREA if height <= images.shape[-2] and width <= images.shape[-1] else cv2.INTER_LINEAR
    resized = new_array((*images.shape[:2], height, width), np.uint8)
    for image, result in zip(images, resized, strict=True):
        for channel, out in zip(image, result, strict=True):
            cv2.resize(channel, (width, height), dst=out, interpolation=how)
    return resized


def resize_masks(masks: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize bool masks (N, H, W) or (N, K, H, W) to `size` (h, w), each pixel the nearest one.

    >>> resize_masks(np.array([[[True, True, False, False]]]), (1, 2)).tolist()
    [[[True, False]]]
    """
    height, width = size
    if masks.shape[-2:] == (height, width):
        return masks
    planes = masks.reshape(-1, *masks.shape[-2:])
    resized = new_array((len(planes), height, width), bool)
    for mask, out in zip(planes.view(np.uint8), resized.view(np.uint8), strict=True):
        cv2.resize(mask, (width, height), dst=out, interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.reshape(*masks.shape[:-2], height, width)


def to_gray(images: np.ndarray) -> np.ndarray:
    """Convert RGB images (N, 3, H, W) to luminance (N, 1, H, W), 0.299 R + 0.587 G + 0.114 B; gray ones pass."""
    if images.shape[1] == 1:
        return images
    gray = new_array((len(images), 1, *images.shape[2:]), np.uint8)
    for image, out in zip(images, gray, strict=True):
        out[0] = cv2.cvtColor(image.transpose(1, 2, 0), cv2.COLOR_RGB2GRAY)
    return gray


def standardize(images: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Standardize gray images, (x - mean) / std, then stretch each to 0..255 (the code of Hu 2018's lab).

    `mean` and `std` are those of the training images.
    """
    standard = (images.astype(np.float32) - mean) / std
    low = standard.min(axis=(1, 2, 3), keepdims=True)
    high = standard.max(axis=(1, 2, 3), keepdims=True)
    return np.rint((standard - low) / np.maximum(high - low, 1e-6) * 255).astype(np.uint8)


def equalize(images: np.ndarray, clip_limit: float = 2.0, tiles: int = 8) -> np.ndarray:
    """Equalize histograms locally and with limited contrast (CLAHE), each channel by itself."""
    clahe = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles))
    equalized = new_array(images.shape, np.uint8)
    for place in np.ndindex(images.shape[:2]):
        equalized[place] = clahe.apply(images[place])
    return equalized


def gamma(images: np.ndarray, value: float = 1.2) -> np.ndarray:
    """Raise images to the power 1 / `value`, through a table of 256 entries.

    >>> gamma(np.array([0, 64, 255], np.uint8)).tolist()
    [0, 81, 255]
    """
    table = np.rint((np.arange(256) / 255) ** (1 / value) * 255).astype(np.uint8)
    return table[images]


STEPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gray": to_gray,
    "equalize": equalize,
    "equalize_weakly": functools.partial(equalize, clip_limit=1.5),
    "gamma": gamma,
}
FITTED = "standardize"  # the step that needs the mean and the SD of the training images
STEP_NAMES = ("gray", FITTED, "equalize", "equalize_weakly", "gamma")


@dataclass(frozen=True, config=STRICT)
class FittedStep:
    """One preprocessing step; `mean` and `std` are those of the training images, None if the step needs none."""

    name: str
    mean: float | None = None
    std: float | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Apply the step to uint8 images (N, C, H, W)."""
        if self.mean is None or self.std is None:
            return STEPS[self.name](images)
        return standardize(images, np.float64(self.mean), np.float64(self.std))  # computed in float64, as fitted


@dataclass(frozen=True, config=STRICT)
class Preprocessing:
    """The steps between an image and what the network sees, with all statistics they need; plain data.

    Each image is treated by itself, so an image comes out the same whatever images it is among.

    >>> steps = Preprocessing((FittedStep("gray"), FittedStep("standardize", 100.0, 50.0)))
    >>> steps.apply(np.array([[[[0, 100, 200]]]], np.uint8)).tolist()
    [[[[0, 128, 255]]]]
    """

    steps: tuple[FittedStep, ...] = ()

    def apply(self, images: np.ndarray, size: Sequence[int] | None = None) -> np.ndarray:
        """Apply the steps in order to uint8 images (N, C, H, W), then resize them to `size` (h, w).

        One image after the other, so that intermediate images are never all in memory at once.
        """
        size = size or images.shape[-2:]
        if not self.steps:
            return resize_images(images, size)
        if not len(images):
            return resize_images(self._treat(images), size)
        first = resize_images(self.of_one(images[0]), size)
        treated = new_array((len(images), *first.shape[1:]), first.dtype)
        treated[:1] = first
        for k in range(1, len(images)):
            treated[k : k + 1] = resize_images(self.of_one(images[k]), size)
        return treated

    def of_one(self, image: np.ndarray) -> np.ndarray:
        """Apply the steps in order to one uint8 image (C, H, W), as (1, C, H, W)."""
        return self._treat(image[None])

    def _treat(self, images: np.ndarray) -> np.ndarray:
        """Apply the steps in order to some uint8 images (N, C, H, W), all at once."""
        for step in self.steps:
            images = step(images)
        return images


def fit_preprocessing(images: np.ndarray, names: Sequence[str], training: np.ndarray) -> Preprocessing:
    """Fit the named steps to uint8 images (N, C, H, W): statistics are those of the images at positions `training`.

    Raises UsageError for a step that does not exist.

    >>> images = np.array([[[[0, 100]]], [[[200, 200]]]], np.uint8)
    >>> fit_preprocessing(images, ["standardize", "gamma"], np.array([0])).steps[0]
    FittedStep(name='standardize', mean=50.0, std=50.0)
    """
    steps: list[FittedStep] = []
    for name in names:
        if name not in STEP_NAMES:
            raise unknown_name("preprocessing step", name, STEP_NAMES)
        if name == FITTED:
            before = Preprocessing(tuple(steps))
            steps.append(FittedStep(name, *mean_and_sd(before.of_one(images[k]) for k in training)))
        else:
            steps.append(FittedStep(name))
    return Preprocessing(tuple(steps))


def mean_and_sd(images: Iterable[np.ndarray]) -> tuple[float, float]:
    """Return the mean and the SD (ddof 0) of all pixels of some uint8 images, from their histogram.

    The sums are exact, and no more than one image is in memory at once.

    >>> mean_and_sd([np.array([0, 100], np.uint8), np.array([200], np.uint8)])
    (100.0, 81.64965809277261)
    """
    counts = np.zeros(256, np.int64)
    for image in images:
        counts += np.bincount(image.ravel(), minlength=256)
    values, number = np.arange(256), counts.sum()
    mean = float((values * counts).sum() / number)
    return mean, float(np.sqrt((counts * (values - mean) ** 2).sum() / number))


def preprocess(images: np.ndarray, steps: Sequence[str], training: np.ndarray) -> np.ndarray:
    """Fit the named steps to uint8 images (N, C, H, W) and apply them; `training` (positions) gives the statistics.

    >>> preprocess(np.zeros((2, 3, 16, 16), np.uint8), ["gray", "gamma"], training=np.array([0])).shape
    (2, 1, 16, 16)
    """
    return fit_preprocessing(images, steps, training).apply(images)
