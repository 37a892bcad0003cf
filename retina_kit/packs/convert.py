"""Turns the files of an original release into the files of a pack, pixel for pixel as the manifest has them.

A card's `sources` say it file by file: `of` (the manifest's column), `file` (the original's name, filled from
the row), `base` (the pinned public folder it lies in, where there is one), `where` (only rows with these
values), `also` (other names that the original goes by) and `convert`, one of the conversions below.
"""

import cv2
import numpy as np

from retina_kit.data.pixels import decode, without_opacity
from retina_kit.errors import DataError

PRIVATE = {
    *range(0xE1, 0xEE),
    0xEF,
    0xFE,
}  # JPEG segments: EXIF, XMP, comments; APP14, how colors are coded, is not
JPEG_444 = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def convert(source, content, name, size):
    """Return the bytes of a pack's file, made from an original's content.

    `content` is the original's bytes (arrays by name where it was a .mat file); `name` names it in messages;
    `size` (H, W) is that of the pack's images.
    """
    return CONVERSIONS[source["convert"]](content, name, source, size)


def keep(content, name, source, size):
    """Return the file as it is, without its metadata."""
    decode(name, content)
    return without_metadata(content)


def to_png(content, name, source, size):
    """Return the same pixels as PNG."""
    return encode_png(without_opacity(decode(name, content)))


def to_jpeg(content, name, source, size):
    """Return the image at the pack's size (area-averaged) as JPEG of `quality`, no chroma subsampling."""
    pixels = decode(name, content)
    if pixels.shape[:2] != tuple(size):
        pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return encode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, source["quality"], *JPEG_444])


def to_mask(content, name, source, size):
    """Return a mask: luminance above 127."""
    pixels = decode(name, content)
    luminance = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY)
    return encode_mask(luminance > 127)


def red_to_mask(content, name, source, size):
    """Return a mask: red above 127, for labels drawn in red on blue."""
    pixels = decode(name, content)
    if pixels.ndim != 3:
        raise DataError(f"{name} has shape {pixels.shape}; a label in red on blue is expected")
    return encode_mask(pixels[..., 2] > 127)


def shrink_mask(content, name, source, size):
    """Return a mask on the pack's grid: a pixel is set where at least half of it is covered.

    A lesion that would vanish keeps its best-covered pixels. Any channel counts, opacity too: that is how the
    pack was made, and why its one opaque four-channel label covers the whole image (see the card's traps).
    """
    pixels = decode(name, content)
    mask = ((pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0).astype(np.uint8)
    covered = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    shrunk = covered >= 0.5
    scale = np.array(mask.shape) / np.array(size)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for left, top, width, height, _ in boxes[1:]:
        rows = slice(int(top / scale[0]), int(np.ceil((top + height) / scale[0])))
        columns = slice(int(left / scale[1]), int(np.ceil((left + width) / scale[1])))
        if not shrunk[rows, columns].any():
            shrunk[rows, columns] = covered[rows, columns] == covered[rows, columns].max()
    return encode_mask(shrunk)


def bright_field(content, name, source, size):
    """Return the field of view: the brightest color above 25, then `largest_closed`."""
    return encode_mask(largest_closed(decode(name, content).max(axis=2) > 25))


def red_field(content, name, source, size):
    """Return the field of view: red above 40 after a Gaussian blur of 1.5 pixels, then `largest_closed`."""
    return encode_mask(largest_closed(cv2.GaussianBlur(decode(name, content)[..., 2], (0, 0), 1.5) > 40))


def largest_closed(mask):
    """Return the largest connected part of a mask after a closing of radius 3, without holes."""
    from scipy import ndimage  # slow to import, and needed here only

    labels, _ = ndimage.label(ndimage.binary_closing(mask, iterations=3))
    areas = np.bincount(labels.ravel())[1:]
    return ndimage.binary_fill_holes(labels == 1 + areas.argmax()) if len(areas) else np.zeros_like(mask)


def empty_mask(content, name, source, size):
    """Return a mask in which nothing is set: the original has no file where a lesion was not marked."""
    return encode_mask(np.zeros(size, bool))


def scan_of_matlab(content, name, source, size):
    """Return one B-scan of a volume (H, W, scans) as PNG."""
    scan = one_scan(content, name, source)
    if scan.dtype != np.uint8:
        raise DataError(f"{name}: {source['variable']} holds {scan.dtype}; uint8 is expected")
    return encode_png(scan)


def mask_of_matlab(content, name, source, size):
    """Return one B-scan's mask of a volume of instance numbers: above 0 is fluid, NaN is not annotated."""
    scan = one_scan(content, name, source)
    if np.isnan(scan).all():
        raise DataError(f"{name}: B-scan {source['scan']} of {source['variable']} is not annotated (NaN)")
    return encode_mask(scan > 0)


def one_scan(content, name, source):
    """Return B-scan number `scan` (from 0) of the volume `variable`, (H, W)."""
    volume, scan = content.get(source["variable"]), int(source["scan"])
    if volume is None or volume.ndim != 3 or volume.shape[2] <= scan:
        shape = "missing" if volume is None else f"of shape {volume.shape}"
        expected = f"a volume (H, W, scans) with scan {scan} is expected"
        raise DataError(f"{name}: {source['variable']} is {shape}; {expected}")
    return volume[:, :, scan]


CONVERSIONS = {
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


def encode_mask(mask):
    """Return a bool mask (H, W) as a 1-bit PNG, 0 and 255."""
    return encode(".png", mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])


def encode_png(pixels):
    """Return uint8 pixels as OpenCV has them (gray or BGR) as PNG."""
    return encode(".png", np.ascontiguousarray(pixels), [])


def encode(kind, pixels, settings):
    """Return pixels as the bytes of a PNG or JPEG file."""
    return cv2.imencode(kind, pixels, settings)[1].tobytes()


def without_metadata(content):
    """Return a JPEG file without its EXIF, XMP and comment segments, or a PNG file's pixels written anew.

    The pixels stay; what may name a patient, a place or a date goes.
    """
    if content[:2] != b"\xff\xd8":
        return encode_png(decode("an image", content))
    kept, place = [content[:2]], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 1] not in PRIVATE:
            kept.append(content[place:end])
        place = end
    return b"".join([*kept, content[place:]])
