"""Images of different sizes in one pack: kept with a black margin, or scaled to fit."""

import re
from collections.abc import Sequence

import numpy as np

from retina_kit.data.transforms import resize_images, resize_masks
from retina_kit.errors import DataError, UsageError

LEAST_FILLED = 0.5  # of a pack whose images keep their sizes: with less, most of it would be black margin


def parse_size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT to (height, width).

    >>> parse_size("768x496")
    (496, 768)
    """
    found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if not found:
        raise UsageError(f"--size {text!r} must be WIDTHxHEIGHT in pixels, such as 768x496")
    return int(found[2]), int(found[1])


def common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the size (H, W) that holds images of these sizes; DataError if it would be mostly black margin.

    >>> common_size([(48, 64), (50, 60)])
    (50, 64)
    """
    height, width = (max(sides) for sides in zip(*sizes, strict=True))
    filled = sum(h * w for h, w in sizes) / (len(sizes) * height * width)
    if filled < LEAST_FILLED:
        smallest, largest, middle = min(sizes), max(sizes), sorted(sizes)[len(sizes) // 2]
        raise DataError(
            f"the images differ much in size (from {smallest[1]}x{smallest[0]} to {largest[1]}x{largest[0]}); add "
            f"--size {middle[1]}x{middle[0]} to scale each to fit, with a black margin"
        )
    return height, width


def with_margin(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Add a black margin at the right and bottom up to `size` (H, W): pixels and coordinates stay what they are.

    >>> with_margin(np.ones((1, 2), bool), (2, 3)).astype(int).tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    right = [(0, most - side) for side, most in zip(pixels.shape, size, strict=False)]
    return np.pad(pixels, [*right, (0, 0)][: pixels.ndim])


def on_canvas(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale an image or a bool mask to fit into `size` (H, W), its shape kept, centered on black.

    >>> on_canvas(np.ones((2, 4), bool), (4, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]
    """
    if pixels.shape[:2] == size:
        return pixels
    factor = min(size[0] / pixels.shape[0], size[1] / pixels.shape[1])
    height, width = (max(1, min(most, round(side * factor))) for side, most in zip(pixels.shape, size, strict=False))
    if pixels.dtype == bool:
        scaled = resize_masks(pixels[None], (height, width))[0]
    else:
        stack = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        scaled = resize_images(np.ascontiguousarray(stack)[None], (height, width))[0]
        scaled = scaled[0] if pixels.ndim == 2 else scaled.transpose(1, 2, 0)
    canvas = np.zeros((*size, *pixels.shape[2:]), pixels.dtype)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[top : top + height, left : left + width] = scaled
    return canvas
