"""Quick images for widgets: masks laid over a scan as colored pixels, without axes, in a few milliseconds."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import cv2
import numpy as np
from matplotlib import get_data_path
from matplotlib.colors import to_rgb
from PIL import Image, ImageDraw, ImageFont

from retina_kit.reporting.figures.images import ERROR_COLORS

BRIGHT = ("#F0E442", "#56B4E9", "#FF7F50", "#00FFC8", "#5C7CFF", "#FFFFFF", "#00A878", "#FFA500")  # on dark scans
LINE, FONT = 18, cv2.FONT_HERSHEY_SIMPLEX


def as_color(image: np.ndarray) -> np.ndarray:
    """Turn an image (C, H, W) uint8, gray or RGB, into RGB (H, W, 3).

    >>> as_color(np.zeros((1, 4, 8), np.uint8)).shape
    (4, 8, 3)
    """
    return np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))


def fit_width(canvas: np.ndarray, width: int = 640) -> np.ndarray:
    """Resize an image or a mask (H, W, ...) to this width: enlarged to the nearest pixel, reduced by area.

    >>> fit_width(np.array([[True, False]]), 4).tolist()
    [[True, True, False, False], [True, True, False, False]]
    """
    factor = width / canvas.shape[1]
    if factor == 1:
        return canvas
    method = cv2.INTER_NEAREST if factor > 1 or canvas.dtype == bool else cv2.INTER_AREA
    size = (width, max(1, round(canvas.shape[0] * factor)))
    return cv2.resize(canvas.view(np.uint8), size, interpolation=method).view(canvas.dtype)


def blend_masks(
    image: np.ndarray,
    masks: Mapping[str, np.ndarray],
    opacity: float = 0.4,
    *,
    colors: Sequence[str] = BRIGHT,
    width: int = 640,
) -> np.ndarray:
    """Lay masks {name: bool (H, W)} over an image (C, H, W), filled and outlined, as RGB (h, w, 3).

    `opacity` 0 leaves only the outlines, 1 covers the image.
    """
    canvas = fit_width(as_color(image), width)
    for color, mask in zip(cycle(colors), masks.values(), strict=False):
        paint = 255 * np.array(to_rgb(color))
        large = fit_width(mask, width)
        canvas[large] = ((1 - opacity) * canvas[large] + opacity * paint).astype(np.uint8)
        lines, _ = cv2.findContours(large.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, lines, -1, paint.tolist(), 1)
    return canvas


def blend_errors(
    image: np.ndarray, predicted: np.ndarray, target: np.ndarray, opacity: float = 0.5, *, width: int = 640
) -> np.ndarray:
    """Lay hits (yellow), misses (blue) and false alarms (orange) over an image (C, H, W), as RGB (h, w, 3)."""
    errors = {"hit": predicted & target, "missed": target & ~predicted, "false alarm": predicted & ~target}
    return blend_masks(image, errors, opacity, colors=tuple(ERROR_COLORS.values()), width=width)


def with_caption(canvas: np.ndarray, title: str, legend: Mapping[str, str] | None = None) -> np.ndarray:
    """Add a strip on top of an RGB image: a title, then each {name: color} of the legend in its color."""
    strip = np.full((LINE + 6, canvas.shape[1], 3), 32, np.uint8)
    place = _write(strip, title, 6, (235, 235, 235))
    for name, color in (legend or {}).items():
        red, green, blue = (int(255 * part) for part in to_rgb(color))
        place = _write(strip, name, place + 14, (red, green, blue))
    return np.concatenate([strip, canvas])


def with_large_title(canvas: np.ndarray, title: str) -> np.ndarray:
    """Add a strip with a title that can be read on a phone on top of an RGB image (H, W, 3)."""
    strip = Image.new("RGB", (canvas.shape[1], 46), (32, 32, 32))
    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 24)
    ImageDraw.Draw(strip).text((8, 8), title, (235, 235, 235), font)
    return np.concatenate([np.asarray(strip), canvas])


def _write(strip: np.ndarray, text: str, place: int, color: tuple[int, int, int]) -> int:
    """Write a text into a strip and return where it ends, in pixels."""
    cv2.putText(strip, text, (place, LINE - 2), FONT, 0.48, color, 1, cv2.LINE_AA)
    return place + cv2.getTextSize(text, FONT, 0.48, 1)[0][0]


def side_by_side(images: Sequence[np.ndarray], gap: int = 8) -> np.ndarray:
    """Join RGB images of one height in a row, with white gaps.

    >>> side_by_side([np.zeros((4, 10, 3), np.uint8)] * 2).shape
    (4, 28, 3)
    """
    parts = [images[0]]
    for canvas in images[1:]:
        parts += [np.full((canvas.shape[0], gap, 3), 255, np.uint8), canvas]
    return np.concatenate(parts, axis=1)


def as_png(canvas: np.ndarray) -> bytes:
    """Encode RGB (H, W, 3) uint8 as a PNG.

    >>> as_png(np.zeros((2, 2, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    return cv2.imencode(".png", canvas[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
