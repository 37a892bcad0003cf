"""Read masks as people draw them: black and white, palettes, colors, transparency, soft edges, label maps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from retina_kit.data.image_files import GrayValues, Page, is_dicom, read_pages
from retina_kit.errors import DataError, UsageError

NEAR = 32  # gray values that a JPEG's compression may add to black and white
OPAQUE = 128  # opacity from which a pixel counts as marked
Color = tuple[int, int, int]
BLACK: Color = (0, 0, 0)


@dataclass(frozen=True)
class MaskRules:
    """How masks are to be understood if that is not plain from their pixels."""

    threshold: int | None = None  # gray value, 0 to 255, from which a pixel is foreground
    classes: dict[str, tuple[Color, ...]] = field(default_factory=dict)  # mask -> its colors in a label map
    invert: bool = False
    resize: bool = False  # a mask of another size than its image, but of its shape


def read_first_page(path: Path, values: GrayValues | None = None) -> tuple[Page, list[str]]:
    """Read the first page of an image file and note what was converted, and how many pages were left."""
    pages = list(read_pages(path, values))
    left = [f"only the first of {len(pages)} pages was taken"] if len(pages) > 1 else []
    return pages[0], [*pages[0].notes, *left]


def read_any_mask(path: Path, rules: MaskRules, name: str) -> tuple[np.ndarray, list[str]]:
    """Read a mask as bool (H, W), with notes on what was assumed; `name` chooses the colors of a label map.

    Raises DataError, with the option that helps, for a mask that can be understood in several ways.
    """
    by_alpha = not rules.classes and rules.threshold is None  # else the colors were described
    shape = _shape_in_alpha(path) if by_alpha else None
    if shape is not None:
        return shape != rules.invert, ["its shape was read from its transparency"]
    page, notes = read_first_page(path)
    if rules.classes:
        return _of_colors(page.pixels, rules.classes[name]) != rules.invert, notes
    gray = page.pixels if page.pixels.ndim == 2 else page.pixels.max(axis=2)
    if rules.threshold is not None:
        return (gray >= rules.threshold) != rules.invert, notes
    colors = distinct_colors(page.pixels)
    if len(colors) > 2 and _is_jpeg(path) and ((gray <= NEAR) | (gray >= 255 - NEAR)).mean() > 0.9:
        return (gray >= OPAQUE) != rules.invert, [*notes, "JPEG mask: cut at 128 (see --mask-threshold)"]
    if len(colors) > 2:
        raise DataError(f"{path} holds {len(colors)} different colors ({_listed(colors)}); {_remedy(colors)}")
    if len(colors) == 2 and BLACK not in colors:
        raise DataError(f"{path} holds the colors {_listed(colors)}, and none is black; {_remedy(colors)}")
    return (gray > 0) != rules.invert, notes


def distinct_colors(pixels: np.ndarray) -> list[Color]:
    """List the colors of an image (H, W) or (H, W, 3), the most frequent first.

    >>> distinct_colors(np.array([[0, 0, 7]], np.uint8))
    [(0, 0, 0), (7, 7, 7)]
    """
    full = np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels
    codes = full.reshape(-1, 3).astype(np.int64) @ np.array([65536, 256, 1])
    found, counts = np.unique(codes, return_counts=True)
    return [
        (int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in found[np.argsort(-counts, kind="stable")]
    ]


def _listed(colors: Sequence[Color]) -> str:
    """List colors for a message, gray ones as one number."""
    text = ", ".join(str(c[0]) if c[0] == c[1] == c[2] else "#{:02x}{:02x}{:02x}".format(*c) for c in colors[:4])
    return text + (", ..." if len(colors) > 4 else "")


def _remedy(colors: Sequence[Color]) -> str:
    soft = "for soft edges add --mask-threshold 128"
    return f"{soft}; for a label map name each class, such as --mask-class target={_listed(colors[1:2])}"


def _of_colors(pixels: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    """Find the pixels of some colors, as bool (H, W); an image may have none of them."""
    full = np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels
    return np.logical_or.reduce([(full == np.array(color)).all(axis=2) for color in colors])


def _is_jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\xff\xd8"


def _shape_in_alpha(path: Path) -> np.ndarray | None:
    """Read a shape that is painted in one color on a transparent layer; None if nothing is transparent.

    Raises DataError if colors and transparency both vary and disagree.
    """
    if is_dicom(path):
        return None
    try:
        with Image.open(path) as image:
            if "A" not in image.getbands() and "transparency" not in image.info:
                return None
            pixels = np.asarray(image.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning, Image.DecompressionBombError):
        return None  # the reader tells what is wrong with the file
    drawn = np.asarray(pixels[..., 3] >= OPAQUE)
    if drawn.all():
        return None
    colored = np.asarray((pixels[..., :3] > 0).any(axis=2))
    if len(np.unique(pixels[drawn][:, :3], axis=0)) <= 1 or (colored & drawn == drawn).all():
        return drawn
    if (colored & drawn == colored).all():
        return colored
    raise DataError(f"{path}: colors and transparency show different shapes; flatten the image, or save one of them")


def fit_mask(mask: np.ndarray, size: tuple[int, int], path: Path, rules: MaskRules, turned: bool) -> np.ndarray:
    """Return a mask at the size (H, W) of its image; DataError that names the likely cause if it has another."""
    if mask.shape == size:
        return mask
    ratio = (mask.shape[0] / size[0], mask.shape[1] / size[1])
    same_shape = abs(ratio[0] / ratio[1] - 1) < 0.02
    if same_shape and rules.resize:
        return cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)
    cause = "they do not belong together, or one was cropped; replace one of them, or pair them with --table"
    if same_shape:
        cause = f"it has {ratio[0]:.3g} times its image's size; add --resize-masks"
    elif mask.shape == size[::-1]:
        cause = "it is turned by 90 degrees or transposed; turn it as its image"
        if turned:
            cause += ", which is upright because its EXIF orientation was applied"
    sizes = f"{mask.shape[0]}x{mask.shape[1]}, but its image is {size[0]}x{size[1]} (H x W)"
    raise DataError(f"{path} is {sizes}: {cause}")


def parse_classes(given: Sequence[str]) -> dict[str, tuple[Color, ...]]:
    """Parse classes of a label map, NAME=VALUE[,VALUE...]; a value is a gray value or #RRGGBB.

    >>> parse_classes(["disc=0,128", "cup=#ff0000"])
    {'disc': ((0, 0, 0), (128, 128, 128)), 'cup': ((255, 0, 0),)}
    """
    classes = {}
    for text in given:
        name, _, values = text.partition("=")
        name = name.strip()
        if name in classes:
            raise UsageError(f"--mask-class names {name!r} twice; list its values once, such as {name}=1,2")
        try:
            classes[name] = tuple(_parse_color(value.strip()) for value in values.split(","))
        except ValueError as error:
            message = f"--mask-class {text!r} must be NAME=VALUE, such as disc=128 or cup=#ff0000"
            raise UsageError(message) from error
    return classes


def _parse_color(text: str) -> Color:
    if text.startswith("#") and len(text) == 7:
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
    value = int(text)
    if not 0 <= value <= 255:
        raise ValueError(text)
    return value, value, value
