"""Reads one image or one mask from a file, and says clearly what is wrong with it."""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from retina_kit.data.headers import read_header
from retina_kit.errors import DataError

MOST_PIXELS = 80_000_000  # larger than any fundus camera's image; a smaller file that says so is a bomb


def pixel_sha256(pixels):
    """Return the sha256 of decoded uint8 pixels, (H, W) or (H, W, 3) in RGB order, with their shape."""
    header = f"{pixels.dtype}{pixels.shape}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def read_image(path, channels, data=None):
    """Return an image as uint8 (H, W) for 1 channel or (H, W, 3), RGB, for 3.

    `data` is the file's content where it is in memory already. Raises DataError for a file that is missing,
    cut short, not an image, not 8-bit, not gray or RGB, or too large.
    """
    pixels = without_opacity(decode(path, data))
    if channels == 1:
        if pixels.ndim == 3 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
            pixels = pixels[..., 0]
        if pixels.ndim != 2:
            raise DataError(f"{path} is a color image; a gray one is expected")
        return pixels
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(f"{path} has shape {pixels.shape}; an image with three colors is expected")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def read_mask(path, size=None, data=None):
    """Return a mask as bool (H, W). Only two values may occur: 0 and one other (1 or 255).

    `size` (H, W) is that of the image it belongs to; `data` is the content where it is in memory already.
    """
    pixels = decode(path, data)
    if pixels.ndim == 3:
        if (pixels[..., :3] != pixels[..., :1]).any():
            raise DataError(f"{path} is a colored image; a mask is gray and holds 0 and 255 (or 0 and 1) only")
        pixels = pixels[..., 0]
    if size is not None and pixels.shape != tuple(size):
        raise DataError(f"{path} is {pixels.shape[0]}x{pixels.shape[1]}, but its image is {size[0]}x{size[1]} (H x W)")
    values = np.flatnonzero(np.bincount(pixels.ravel(), minlength=256))
    strange = [int(value) for value in values if value not in (0, 1, 255)]
    if strange or {1, 255} <= set(values):
        found = strange[:5] or [1, 255]
        raise DataError(f"{path} holds the values {found}; a mask holds 0 and 255 (or 0 and 1) only")
    return pixels > 0


def without_opacity(pixels):
    """Return pixels without a fourth channel that is opaque everywhere, as a TIFF may have; others pass."""
    opaque = pixels.ndim == 3 and pixels.shape[2] == 4 and (pixels[..., 3] == 255).all()
    return np.ascontiguousarray(pixels[..., :3]) if opaque else pixels


def decode(path, data=None):
    """Return the pixels of an image file as OpenCV decodes them, uint8; a rotation in its EXIF is not obeyed."""
    path = Path(path)
    try:
        data = np.fromfile(path, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; fetch or import its pack again") from error
    check_header(path, data)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise DataError(f"{path} cannot be decoded: {error.err}") from error
    if pixels is None or is_cut_short(data):
        raise DataError(f"{path} is not a whole image (damaged or cut short); fetch or copy it again")
    if pixels.dtype != np.uint8:
        raise DataError(f"{path} has {pixels.dtype} pixels; 8-bit ones are expected")
    return pixels


def is_cut_short(data):
    """Say whether a PNG or JPEG file lacks its end; OpenCV fills that with gray and says nothing."""
    tail = data[-64:].tobytes()
    if data[:4].tobytes() == b"\x89PNG":
        return b"IEND" not in tail
    if data[:2].tobytes() == b"\xff\xd8":
        return b"\xff\xd9" not in tail
    return False


def check_header(path, data):
    """Raise where a file is no image that is read here, promises too many pixels, several frames or four inks."""
    if not data.size:
        return
    header = read_header(data.tobytes())
    if header is None:
        raise DataError(f"{path} is not a whole image of a kind that is read here: PNG, JPEG, TIFF, GIF, BMP or PNM")
    if header.broken:
        raise DataError(f"{path} is not a whole image (damaged or cut short); fetch or copy it again")
    if header.width * header.height > MOST_PIXELS:
        size = f"{header.width}x{header.height}"
        raise DataError(f"{path} says it has {size} pixels; at most {MOST_PIXELS:,} are read")
    if header.four_inks:
        raise DataError(f"{path} is a CMYK image; save it as RGB")
    if header.many_frames:
        raise DataError(f"{path} holds several frames or pages; save the one that is meant by itself")
