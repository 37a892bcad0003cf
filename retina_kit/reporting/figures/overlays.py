"""Quick pictures for widgets: masks laid over a scan as coloured pixels, without axes, in a few milliseconds."""

import cv2
import numpy as np
from matplotlib.colors import to_rgb

from retina_kit.reporting.figures.axes import FALSE_ALARM, HIT, MISS

BRIGHT = ("#F0E442", "#56B4E9", "#FF7F50", "#7CFC00", "#FF6EC7", "#40E0D0", "#FFA500", "#B39DFF")  # on dark scans
LINE, FONT = 18, cv2.FONT_HERSHEY_SIMPLEX


def as_colour(image):
    """Return an image (C, H, W) uint8, grey or RGB, as RGB (H, W, 3)."""
    return np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))


def fit_width(picture, width=640):
    """Return a picture (H, W, ...) at this width: enlarged to the nearest pixel, reduced by area."""
    factor = width / picture.shape[1]
    if factor == 1:
        return picture
    method = cv2.INTER_NEAREST if factor > 1 or picture.dtype == bool else cv2.INTER_AREA
    size = (width, max(1, round(picture.shape[0] * factor)))
    return cv2.resize(picture.view(np.uint8), size, interpolation=method).view(picture.dtype)


def blend_masks(image, masks, opacity=0.4, *, colours=BRIGHT, width=640):
    """Return RGB (h, w, 3): an image (C, H, W) with its masks {name: bool (H, W)} filled, and outlined.

    `opacity` 0 leaves the outlines alone, 1 covers the image.
    """
    picture = fit_width(as_colour(image), width)
    for colour, mask in zip(colours, masks.values(), strict=False):
        paint = 255 * np.array(to_rgb(colour))
        large = fit_width(mask, width)
        picture[large] = ((1 - opacity) * picture[large] + opacity * paint).astype(np.uint8)
        lines, _ = cv2.findContours(large.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, lines, -1, paint.tolist(), 1)
    return picture


def blend_errors(image, predicted, target, opacity=0.5, *, width=640):
    """Return RGB (h, w, 3): an image with what was hit (yellow), missed (red) and made up (green)."""
    parts = {"hit": predicted & target, "missed": target & ~predicted, "false alarm": predicted & ~target}
    return blend_masks(image, parts, opacity, colours=(HIT, MISS, FALSE_ALARM), width=width)


def with_caption(picture, title, legend=None):
    """Return RGB with a strip on top: a title, then each {name: colour} of the legend in its colour."""
    strip = np.full((LINE + 6, picture.shape[1], 3), 32, np.uint8)
    place = _write(strip, title, 6, (235, 235, 235))
    for name, colour in (legend or {}).items():
        place = _write(strip, name, place + 14, tuple(int(255 * part) for part in to_rgb(colour)))
    return np.concatenate([strip, picture])


def _write(strip, text, place, colour):
    """Write a text into a strip and return where it ends, in pixels."""
    cv2.putText(strip, text, (place, LINE - 2), FONT, 0.48, colour, 1, cv2.LINE_AA)
    return place + cv2.getTextSize(text, FONT, 0.48, 1)[0][0]


def side_by_side(pictures, gap=8):
    """Return RGB pictures of one height in a row, white between them."""
    parts = [pictures[0]]
    for picture in pictures[1:]:
        parts += [np.full((picture.shape[0], gap, 3), 255, np.uint8), picture]
    return np.concatenate(parts, axis=1)


def as_png(picture):
    """Return RGB (H, W, 3) uint8 as the bytes of a PNG."""
    return cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
