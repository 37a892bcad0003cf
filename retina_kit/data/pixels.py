"""Reads one picture or one mask from a file, and says clearly what is wrong with it."""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from retina_kit.errors import DataError

MOST_PIXELS = 80_000_000  # larger than any fundus camera's picture; a smaller file that says so is a bomb


def pixel_sha256(pixels):
    """Return the sha256 of decoded uint8 pixels, (H, W) or (H, W, 3) in RGB order, with their shape."""
    header = f"{pixels.dtype}{pixels.shape}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def read_image(path, channels):
    """Return a picture as uint8 (H, W) for 1 channel or (H, W, 3), RGB, for 3.

    Raises DataError for a file that is missing, cut short, not a picture, not 8-bit, or too large.
    """
    pixels = decode(path)
    if channels == 1:
        if pixels.ndim == 3 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
            pixels = pixels[..., 0]
        if pixels.ndim != 2:
            raise DataError(f"{path} is a colour picture; a grey one is expected")
        return pixels
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(f"{path} has shape {pixels.shape}; a picture with three colours is expected")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def read_mask(path, size=None):
    """Return a mask as bool (H, W). Only two values may occur: 0 and one other (1 or 255).

    `size` (H, W) is that of the picture it belongs to.
    """
    pixels = decode(path)
    if pixels.ndim == 3:
        pixels = pixels[..., 0]
    if size is not None and pixels.shape != tuple(size):
        raise DataError(f"{path} is {pixels.shape[0]}x{pixels.shape[1]}, but its picture is {size[0]}x{size[1]} (H x W)")
    if not np.isin(np.unique(pixels), (0, 1, 255)).all():
        strange = [int(v) for v in np.unique(pixels) if v not in (0, 1, 255)][:5]
        raise DataError(f"{path} holds the values {strange}; a mask holds 0 and 255 (or 0 and 1) only")
    return pixels > 0


def decode(path):
    """Return the pixels of a PNG, JPEG or TIFF file as OpenCV decodes them, uint8."""
    path = Path(path)
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    check_size(path, data)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise DataError(f"{path} cannot be decoded: {error.err}") from error
    if pixels is None or is_cut_short(path, data):
        raise DataError(f"{path} is not a whole picture (damaged or cut short); fetch or copy it again")
    if pixels.dtype != np.uint8:
        raise DataError(f"{path} has {pixels.dtype} pixels; 8-bit ones are expected")
    return pixels


def is_cut_short(path, data):
    """Say whether a PNG or JPEG file lacks its end; OpenCV fills what is missing with grey and says nothing."""
    tail = data[-64:].tobytes()
    if data[:4].tobytes() == b"\x89PNG":
        return b"IEND" not in tail
    if data[:2].tobytes() == b"\xff\xd8":
        return b"\xff\xd9" not in tail
    return False


def check_size(path, data):
    """Raise where a PNG file's header promises more pixels than any camera takes, before they are unpacked."""
    if data[:4].tobytes() == b"\x89PNG" and data.size >= 24:
        width, height = (int.from_bytes(data[k : k + 4].tobytes(), "big") for k in (16, 20))
        if width * height > MOST_PIXELS:
            raise DataError(f"{path} says it has {width}x{height} pixels; at most {MOST_PIXELS:,} are read")
