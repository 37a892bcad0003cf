"""Read one image or one mask from a file, and explain what is wrong with it."""

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from retina_kit.errors import DataError

MAX_PIXELS = 80_000_000  # more than any fundus camera has; a small file that claims more is a decompression bomb
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM")
TILE_WIDTH, TILE_HEIGHT = 322, 323  # tags of a TIFF
END_OF_JPEG = b"\xff\xd9"

warnings.filterwarnings("error", category=Image.DecompressionBombWarning)  # for all threads, so not within a function


def pixel_sha256(pixels: np.ndarray) -> str:
    """Hash decoded uint8 pixels, (H, W) or (H, W, 3) in RGB order, together with their shape.

    >>> pixel_sha256(np.zeros((2, 3), np.uint8))[:8]
    '5391b1ca'
    """
    header = f"{pixels.dtype}{pixels.shape}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def read_image(path: str | Path, channels: int, data: bytes | None = None) -> np.ndarray:
    """Read an image as uint8: (H, W) for 1 channel, (H, W, 3) in RGB order for 3.

    `data` is the file's content if it is in memory already. Raises DataError for a file that is missing, truncated,
    not an image, not 8-bit, not gray or RGB, or too large.
    """
    pixels = without_opacity(decode(path, data))
    if channels == 1:
        if pixels.ndim == 3 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
            pixels = pixels[..., 0]
        if pixels.ndim != 2:
            raise DataError(f"{path} is a color image; expected a gray one")
        return pixels
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(f"{path} has shape {pixels.shape}; expected an image with three colors")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def read_mask(path: str | Path, size: tuple[int, ...] | None = None, data: bytes | None = None) -> np.ndarray:
    """Read a mask as bool (H, W); it holds only two values: 0 and one other (1 or 255).

    `size` (H, W) is that of the image it belongs to; `data` is the file's content if it is in memory already. Raises
    DataError for a file that is not a mask, or not of this size.
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


def without_opacity(pixels: np.ndarray) -> np.ndarray:
    """Drop a fourth channel that is opaque everywhere, as some TIFFs have; leave other pixels as they are."""
    opaque = pixels.ndim == 3 and pixels.shape[2] == 4 and (pixels[..., 3] == 255).all()
    return np.ascontiguousarray(pixels[..., :3]) if opaque else pixels


def decode(path: str | Path, data: bytes | None = None) -> np.ndarray:
    """Decode an image file with OpenCV to uint8 (H, W) or (H, W, channels), BGR.

    A rotation in its EXIF is ignored: an image and its mask are two files, and only one of them may have it. The
    manifests' checksums are of these pixels, so the decoder is part of their definition.
    """
    path = Path(path)
    try:
        content = path.read_bytes() if data is None else data
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; fetch or import its pack again") from error
    check_header(path, content)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f"{path} cannot be decoded: {error.err}") from error
    if pixels is None:
        raise unreadable(path)
    if pixels.dtype != np.uint8:
        raise DataError(f"{path} has {pixels.dtype} pixels; expected 8-bit ones")
    return pixels


def check_header(path: Path, content: bytes) -> None:
    """Let Pillow examine a file before OpenCV decodes it.

    Raises DataError for what is not an image of the FORMATS, truncated, too large, CMYK, or has several frames.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = _size_to_allocate(image)
            if width * height > MAX_PIXELS:
                raise too_large(path, f"{width}x{height}")
            if image.mode == "CMYK":
                raise DataError(f"{path} is a CMYK image; save it as RGB")
            if getattr(image, "is_animated", False) and image.format != "MPO":  # a phone's JPEG with a second exposure
                raise DataError(f"{path} holds several frames or pages; save the one you need as a file of its own")
            if image.format == "PNG":
                image.verify()  # reads the checksum of every chunk and decodes nothing
            elif image.format not in ("JPEG", "MPO"):
                image.load()
            elif END_OF_JPEG not in content[-64:]:  # OpenCV would fill the rest with gray, without a word
                raise unreadable(path)
    except DataError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise too_large(path, "more") from error
    except Exception as error:  # on hostile bytes, Pillow's decoders raise whatever comes up
        raise unreadable(path) from error


def _size_to_allocate(image: Image.Image) -> tuple[int, int]:
    """Width and height that a decoder makes room for: the image's, or those of a TIFF's tile if that is larger."""
    tags: Any = getattr(image, "tag_v2", {})
    return max(image.width, tags.get(TILE_WIDTH, 0)), max(image.height, tags.get(TILE_HEIGHT, 0))


def too_large(path: Path, size: str) -> DataError:
    """An error about an image with more pixels than are read."""
    return DataError(f"{path} claims to have {size} pixels; at most {MAX_PIXELS:,} are read")


def unreadable(path: Path) -> DataError:
    """An error about a file that is not a complete image."""
    kinds = "PNG, JPEG, TIFF, GIF, BMP or PNM"
    return DataError(
        f"{path}: unsupported or truncated image file (expected a complete {kinds}); fetch or copy it again"
    )
