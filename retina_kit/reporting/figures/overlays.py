"""Quick images for widgets: masks laid over a scan as colored pixels, without axes, in a few milliseconds."""

import cv2
import numpy as np
from matplotlib.colors import to_rgb

from retina_kit.reporting.figures.axes import FALSE_ALARM, HIT, MISS

BRIGHT = ("#F0E442", "#56B4E9", "#FF7F50", "#7CFC00", "#FF6EC7", "#40E0D0", "#FFA500", "#B39DFF")  # on dark scans
LINE, FONT = 18, cv2.FONT_HERSHEY_SIMPLEX


def as_color(image):
    """Return an image (C, H, W) uint8, gray or RGB, as RGB (H, W, 3)."""
    return np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))


def fit_width(canvas, width=640):
    """Return an image (H, W, ...) at this width: enlarged to the nearest pixel, reduced by area."""
    factor = width / canvas.shape[1]
    if factor == 1:
        return canvas
    method = cv2.INTER_NEAREST if factor > 1 or canvas.dtype == bool else cv2.INTER_AREA
    size = (width, max(1, round(canvas.shape[0] * factor)))
    return cv2.resize(canvas.view(np.uint8), size, interpolation=method).view(canvas.dtype)


def blend_masks(image, masks, opacity=0.4, *, colors=BRIGHT, width=640):
    """Return RGB (h, w, 3): an image (C, H, W) with its masks {name: bool (H, W)} filled, and outlined.

    `opacity` 0 leaves the outlines alone, 1 covers the image.
    """
    canvas = fit_width(as_color(image), width)
    for color, mask in zip(colors, masks.values(), strict=False):
        paint = 255 * np.array(to_rgb(color))
        large = fit_width(mask, width)
        canvas[large] = ((1 - opacity) * canvas[large] + opacity * paint).astype(np.uint8)
        lines, _ = cv2.findContours(large.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, lines, -1, paint.tolist(), 1)
    return canvas


def blend_errors(image, predicted, target, opacity=0.5, *, width=640):
    """Return RGB (h, w, 3): an image with what was hit (yellow), missed (red) and made up (green)."""
    parts = {"hit": predicted & target, "missed": target & ~predicted, "false alarm": predicted & ~target}
    return blend_masks(image, parts, opacity, colors=(HIT, MISS, FALSE_ALARM), width=width)


def with_caption(canvas, title, legend=None):
    """Return RGB with a strip on top: a title, then each {name: color} of the legend in its color."""
    strip = np.full((LINE + 6, canvas.shape[1], 3), 32, np.uint8)
    place = _write(strip, title, 6, (235, 235, 235))
    for name, color in (legend or {}).items():
        place = _write(strip, name, place + 14, tuple(int(255 * part) for part in to_rgb(color)))
    return np.concatenate([strip, canvas])


def _write(strip, text, place, color):
    """Write a text into a strip and return where it ends, in pixels."""
    cv2.putText(strip, text, (place, LINE - 2), FONT, 0.48, color, 1, cv2.LINE_AA)
    return place + cv2.getTextSize(text, FONT, 0.48, 1)[0][0]


def side_by_side(image_set, gap=8):
    """Return RGB images of one height in a row, white between them."""
    parts = [image_set[0]]
    for canvas in image_set[1:]:
        parts += [np.full((canvas.shape[0], gap, 3), 255, np.uint8), canvas]
    return np.concatenate(parts, axis=1)


def as_png(canvas):
    """Return RGB (H, W, 3) uint8 as the bytes of a PNG."""
    return cv2.imencode(".png", canvas[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
