"""Convert the files of an original release to the files of a pack, pixel for pixel as the manifest has them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from retina_kit.data.card import Conversion, Source
from retina_kit.data.pixels import decode, without_opacity
from retina_kit.errors import DataError

IDENTIFYING_SEGMENTS = {
    *range(0xE1, 0xEE),
    0xEF,
    0xFE,
}  # of a JPEG: EXIF, XMP, comments; not APP14, which tells how colors are coded
JPEG_444 = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # no chroma subsampling
THRESHOLD = 127  # of a label that was saved with loss


@dataclass(frozen=True)
class Original:
    """One original file, and the settings of the conversion that it goes through."""

    name: str  # for messages
    content: bytes = b""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)  # of a .mat file, instead of content
    size: tuple[int, int] = (0, 0)  # height and width of the pack's images
    quality: int = 100
    variable: str = ""
    scan: int = 0

    @classmethod
    def of(
        cls, source: Source, name: str, content: bytes | Mapping[str, np.ndarray], size: tuple[int, int] | None
    ) -> "Original":
        """The original that a card's source names; `content` is its bytes, or the arrays of a .mat file."""
        data, arrays = (content, {}) if isinstance(content, bytes) else (b"", content)
        scan = int(source.scan or 0)
        return cls(name, data, arrays, size or (0, 0), source.quality or 100, source.variable or "", scan)


def convert_original(how: Conversion, original: Original) -> bytes:
    """Convert an original to the bytes of a pack's file.

    >>> content = encode_png(np.array([[0, 127, 128, 255]], np.uint8))
    >>> decode("mask.png", convert_original("mask", Original("label.png", content))).tolist()
    [[0, 0, 255, 255]]
    """
    return CONVERSIONS[how](original)


def keep(original: Original) -> bytes:
    """The file as it is, without its metadata."""
    decode(original.name, original.content)
    return without_metadata(original.content)


def to_png(original: Original) -> bytes:
    """The same pixels as PNG."""
    return encode_png(without_opacity(decode(original.name, original.content)))


def to_jpeg(original: Original) -> bytes:
    """The image, area-averaged to the pack's size, as JPEG of `quality` without chroma subsampling."""
    pixels, (height, width) = decode(original.name, original.content), original.size
    if pixels.shape[:2] != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return encode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, original.quality, *JPEG_444])


def to_mask(original: Original) -> bytes:
    """A mask: luminance above the threshold."""
    pixels = decode(original.name, original.content)
    luminance = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY)
    return encode_mask(luminance > THRESHOLD)


def red_to_mask(original: Original) -> bytes:
    """A mask: red above the threshold, for labels painted in red on blue."""
    pixels = decode(original.name, original.content)
    if pixels.ndim != 3:
        raise DataError(f"{original.name} has shape {pixels.shape}; expected a label in red on blue")
    return encode_mask(pixels[..., 2] > THRESHOLD)


def shrink_mask(original: Original) -> bytes:
    """A mask on the pack's grid: a pixel is set if at least half of it is covered.

    A lesion that would vanish keeps its best-covered pixels. Any channel counts, opacity too: that is how the
    pack was made, and why its one opaque four-channel label covers the whole image (see the card's pitfalls).
    """
    pixels, (height, width) = decode(original.name, original.content), original.size
    mask = ((pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0).astype(np.uint8)
    covered = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    shrunk = covered >= 0.5
    scale = np.array(mask.shape) / np.array((height, width))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for left, top, box_width, box_height, _ in boxes[1:]:
        rows = slice(int(top / scale[0]), int(np.ceil((top + box_height) / scale[0])))
        columns = slice(int(left / scale[1]), int(np.ceil((left + box_width) / scale[1])))
        if not shrunk[rows, columns].any():
            shrunk[rows, columns] = covered[rows, columns] == covered[rows, columns].max()
    return encode_mask(shrunk)


def bright_field(original: Original) -> bytes:
    """The field of view: the brightest color above 25, then `largest_closed`."""
    return encode_mask(largest_closed(decode(original.name, original.content).max(axis=2) > 25))


def red_field(original: Original) -> bytes:
    """The field of view: red above 40 after a Gaussian blur of 1.5 pixels, then `largest_closed`."""
    red = decode(original.name, original.content)[..., 2]
    return encode_mask(largest_closed(cv2.GaussianBlur(red, (0, 0), 1.5) > 40))


def largest_closed(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a bool mask (H, W) after a closing of radius 3, with its holes filled."""
    from scipy import ndimage  # slow to import, and needed here only

    labels, _ = ndimage.label(ndimage.binary_closing(mask, iterations=3))
    areas = np.bincount(labels.ravel())[1:]
    return ndimage.binary_fill_holes(labels == 1 + areas.argmax()) if len(areas) else np.zeros_like(mask)


def empty_mask(original: Original) -> bytes:
    """A mask in which nothing is set: the original has no file if a lesion was not annotated."""
    return encode_mask(np.zeros(original.size, bool))


def scan_of_matlab(original: Original) -> bytes:
    """One B-scan of a volume (H, W, scans) as PNG."""
    scan = one_scan(original)
    if scan.dtype != np.uint8:
        raise DataError(f"{original.name}: {original.variable} holds {scan.dtype}; expected uint8")
    return encode_png(scan)


def mask_of_matlab(original: Original) -> bytes:
    """The mask of one B-scan in a volume of instance numbers: above 0 is fluid, NaN is not annotated."""
    scan = one_scan(original)
    if np.isnan(scan).all():
        raise DataError(f"{original.name}: B-scan {original.scan} of {original.variable} is not annotated (NaN)")
    return encode_mask(scan > 0)


def one_scan(original: Original) -> np.ndarray:
    """B-scan number `scan` (from 0) of the volume `variable`, (H, W)."""
    volume = original.arrays.get(original.variable)
    if volume is None or volume.ndim != 3 or volume.shape[2] <= original.scan:
        found = "missing" if volume is None else f"of shape {volume.shape}"
        expected = f"expected a volume (H, W, scans) with scan {original.scan}"
        raise DataError(f"{original.name}: {original.variable} is {found}; {expected}")
    return volume[:, :, original.scan]


CONVERSIONS: dict[Conversion, Callable[[Original], bytes]] = {
    "keep": keep,
    "png": to_png,
    "jpeg": to_jpeg,
    "mask": to_mask,
    "red_mask": red_to_mask,
    "shrunk_mask": shrink_mask,
    "bright_field": bright_field,
    "red_field": red_field,
    "empty_mask": empty_mask,
    "matlab_scan": scan_of_matlab,
    "matlab_mask": mask_of_matlab,
}


def encode_mask(mask: np.ndarray) -> bytes:
    """A bool mask (H, W) as a 1-bit PNG, 0 and 255."""
    return encode(".png", mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])


def encode_png(pixels: np.ndarray) -> bytes:
    """Gray or BGR pixels, uint8, as PNG."""
    return encode(".png", np.ascontiguousarray(pixels), [])


def encode(kind: str, pixels: np.ndarray, settings: list[int]) -> bytes:
    """Pixels as the bytes of a PNG or JPEG file."""
    return cv2.imencode(kind, pixels, settings)[1].tobytes()


def without_metadata(content: bytes) -> bytes:
    """A JPEG file without its EXIF, XMP and comment segments; any other image re-encoded as PNG.

    The pixels stay the same; what may identify a patient, a place or a date is removed.
    """
    if content[:2] != b"\xff\xd8":
        return encode_png(decode("an image", content))
    kept, place = [content[:2]], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 1] not in IDENTIFYING_SEGMENTS:
            kept.append(content[place:end])
        place = end
    return b"".join([*kept, content[place:]])
