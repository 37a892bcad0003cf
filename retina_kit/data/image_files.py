"""Read images as people have them: any common format, bit depth and number of pages, as 8-bit gray or RGB.

The packs of the kit are read by `data.pixels`, whose decoder is part of their checksums. This module is for images
that no manifest knows: it converts what can be converted, and reports it in the notes of a page.
"""

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from retina_kit.data.pixels import MAX_PIXELS
from retina_kit.errors import DataError, SetupError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".ppm", ".pgm", ".pbm", ".dcm", ".dicom")
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM")
NOT_IMAGES = ("thumbs.db", "desktop.ini")
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # more than 8 bits per pixel
BIT_DEPTHS = (8, 10, 12, 14, 16)
ORIENTATION = 274  # tag of the EXIF


@dataclass
class GrayValues:
    """The values of images with more than 8 bits that are reduced together, so that one scan is not brighter.

    >>> values = GrayValues()
    >>> for scan in ([[0, 900]], [[0, 3000]]):
    ...     values.add(np.array(scan, np.uint16), "scan.tif")
    >>> values.bits_of(np.zeros((1, 2), np.uint16))  # one depth for both
    12
    """

    high: int = 0
    high_float: float = 0.0  # of images of floating-point numbers, which are a kind of their own
    written_as_16: bool = True  # all integers are 8 bits, each written twice: multiples of 257

    def add(self, pixels: np.ndarray, what: str) -> None:
        """Take the values of an image into account; DataError for negative ones and for more than 16 bits."""
        low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
        if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high >= 2**16:
            raise DataError(f"{what} holds values from {low:g} to {high:g}; scale it to 0..255 first")
        if pixels.dtype.kind == "f":
            self.high_float = max(self.high_float, high)
        else:
            self.high = max(self.high, int(high))
            self.written_as_16 &= not (pixels % 257).any()

    def bits_of(self, pixels: np.ndarray) -> int:
        """Return the smallest of 8, 10, 12, 14 and 16 bits that holds all values of this kind; 0: fractions, 0 to 1."""
        if pixels.dtype.kind == "f":
            return 0 if self.high_float <= 1 else next(depth for depth in BIT_DEPTHS if self.high_float < 2**depth)
        if self.written_as_16 and self.high > 255:
            return 16
        return next(depth for depth in BIT_DEPTHS if self.high < 2**depth)


@dataclass(frozen=True)
class Page:
    """One image of a file: uint8 (H, W) gray or (H, W, 3) RGB, upright."""

    path: Path
    number: int  # counted from 1
    pixels: np.ndarray
    notes: tuple[str, ...] = ()  # what was converted
    pixel_size: tuple[float, float] | None = None  # height, width of a pixel in mm, if the file tells

    @property
    def name(self) -> str:
        """The file's name without suffix, with the page's number unless it is the first."""
        return self.path.stem if self.number == 1 else f"{self.path.stem}_page{self.number}"


def list_image_files(paths: Iterable[str | Path]) -> list[Path]:
    """List files, and the images in folders and their subfolders; hidden files and those of file browsers are skipped.

    A file that is named itself is listed whatever its suffix. Raises DataError for a path that does not exist and a
    folder without an image.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = [file for file in sorted(path.rglob("*")) if is_image_file(file, path)]
            if not inside:
                kinds = ", ".join(SUFFIXES)
                raise DataError(f"{path} holds no images ({kinds}); name the folder that does, or save images as PNG")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"{path} does not exist; give an image, or a folder of images")
    return list(dict.fromkeys(found))


def is_image_file(path: Path, folder: Path) -> bool:
    """Tell whether a file below a folder has the suffix of an image and is not hidden.

    >>> is_image_file(Path("eyes/1_L.PNG"), Path("eyes")), is_image_file(Path("eyes/._1_L.png"), Path("eyes"))
    (True, False)
    """
    parts = path.relative_to(folder).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts) or path.name.lower() in NOT_IMAGES
    return path.suffix.lower() in SUFFIXES and not hidden and not path.is_dir()


def gray_values(paths: Iterable[Path]) -> GrayValues:
    """Measure the values of all pages with more than 8 bits in some files, for `read_pages` of each of them.

    Files that cannot be read are left out; reading them again tells why. DICOM files tell their depth themselves.
    """
    values = GrayValues()
    for path in paths:
        with contextlib.suppress(Exception), Image.open(path, formats=FORMATS) as image:
            for position in range(getattr(image, "n_frames", 1)):
                image.seek(position)
                if image.mode not in DEEP_MODES or image.width * image.height > MAX_PIXELS:
                    continue
                values.add(np.asarray(image), str(path))
    return values


def read_pages(path: str | Path, values: GrayValues | None = None) -> Iterator[Page]:
    """Read the pages of an image file one by one; most files have one.

    Pages with more than 8 bits are reduced by one factor: that of `values`, which other files share, or of this file.
    Raises DataError for a file that is missing, truncated, too large or not an image, SetupError for a DICOM file if
    pydicom is not installed.
    """
    path = Path(path)
    if is_dicom(path):
        yield from _dicom_pages(path)
        return
    values = values or gray_values([path])
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_size(path, image.width, image.height)
            number = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # a phone's JPEG, second exposure
            for position in range(number):
                if position:
                    image.seek(position)
                    _check_size(path, image.width, image.height)
                yield Page(path, position + 1, *_to_8_bit(path, image, values))
    except DataError:
        raise
    except UnidentifiedImageError as error:
        kinds = ", ".join(FORMATS)
        raise DataError(f"{path} is not an image of a known format ({kinds}, DICOM); save it as PNG") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except Exception as error:  # on hostile bytes, Pillow's decoders raise whatever comes up
        raise DataError(f"{path} is damaged or truncated ({error}); copy it again") from error


def read_page(path: str | Path) -> Page:
    """Read a file that holds one image; DataError if it holds several."""
    pages = iter(read_pages(path))
    first = next(pages)
    if next(pages, None) is not None:
        raise DataError(f"{path} holds several pages; save the one you need as a file of its own")
    return first


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(f"{path} claims to have {width}x{height} pixels; at most {MAX_PIXELS:,} are read")


def _to_8_bit(path: Path, image: Image.Image, values: GrayValues) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert an opened image to upright uint8 pixels, gray or RGB, and note what was changed."""
    notes = []
    turned = image.getexif().get(ORIENTATION, 1) not in (None, 0, 1)
    upright = ImageOps.exif_transpose(image) if turned else image
    if turned:
        notes.append("turned upright according to its EXIF orientation")
    if upright.mode in DEEP_MODES:
        pixels, note = scaled_to_8_bit(np.asarray(upright), str(path), values)
        notes += [note] if note else []
        return pixels, tuple(notes)
    if upright.mode == "P" or "A" in upright.getbands():
        upright, note = _without_alpha(upright)
        notes += [note] if note else []
    if upright.mode == "1":
        upright = upright.convert("L")
    if upright.mode not in ("L", "RGB"):
        notes.append(f"converted from {upright.mode} to RGB")
        upright = upright.convert("RGB")
    return np.array(upright), tuple(notes)


def _without_alpha(image: Image.Image) -> tuple[Image.Image, str]:
    """Resolve a palette, and put what is transparent on black."""
    gray = image.mode == "LA"
    full = image.convert("RGBA")
    opacity = np.asarray(full.getchannel("A"))
    black = Image.new("RGBA", full.size, (0, 0, 0, 255))
    flat = full if (opacity == 255).all() else Image.alpha_composite(black, full)
    note = "" if (opacity == 255).all() else "what is transparent was put on black"
    return flat.convert("RGB").convert("L") if gray else flat.convert("RGB"), note


def scaled_to_8_bit(
    pixels: np.ndarray, what: str, values: GrayValues | None = None, *, bits: int | None = None
) -> tuple[np.ndarray, str]:
    """Scale pixels of more than 8 bits to uint8, and report how.

    The depth is `bits`, or that of `values` (None: of these pixels), so a 12-bit scan in a 16-bit file keeps its
    contrast. Fractions are 0 to 1. Raises DataError for negative values and for more than 16 bits.

    >>> scaled_to_8_bit(np.array([[0, 2048, 4095]], np.uint16), "scan.tif")[0].tolist()
    [[0, 128, 255]]
    >>> scaled_to_8_bit(np.array([[0, 257, 51400]], np.uint16), "scan.tif")[0].tolist()
    [[0, 1, 200]]
    """
    own = GrayValues()
    own.add(pixels, what)
    bits = (values or own).bits_of(pixels) if bits is None else bits
    if bits == 0:
        return _rounded(pixels * 255), "scaled from fractions to 8 bits"
    if bits == 8:
        return _rounded(pixels), ""
    return _rounded(pixels.astype(np.float64) * (255 / (2**bits - 1))), f"{bits} bits reduced to 8"


def _rounded(pixels: np.ndarray) -> np.ndarray:
    """Round to uint8; what is above white stays white, such as 255.6 or a flag beyond the bits of a DICOM image.

    >>> _rounded(np.array([200.4, 255.6])).tolist()
    [200, 255]
    """
    return np.rint(pixels).clip(0, 255).astype(np.uint8)


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM: by its preamble, or by its suffix."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _dicom_pages(path: Path) -> Iterator[Page]:
    """Read the frames of a DICOM file with pydicom: scaled by the bits that are stored, low values dark."""
    if importlib.util.find_spec("pydicom") is None:
        raise SetupError(f"{path} is a DICOM file; reading it needs pydicom: pip install 'retina-kit[dicom]'")
    import pydicom
    from pydicom.pixels import iter_pixels

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        rows, columns = int(header.Rows), int(header.Columns)
        _check_size(path, columns, rows)
        size = _pixel_size_of(header)
        for number, frame in enumerate(iter_pixels(path), start=1):  # YCbCr comes as RGB
            yield Page(path, number, *_dicom_to_8_bit(path, header, frame), size)
    except DataError:
        raise
    except Exception as error:  # a damaged file raises whatever its decoder meets
        raise DataError(f"{path} cannot be decoded as DICOM: {error}") from error


def _dicom_to_8_bit(path: Path, header: Any, frame: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    bits, kind = int(header.BitsStored), str(header.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        raise DataError(f"{path} has a color palette; save it as RGB")
    notes = []
    if kind == "MONOCHROME1":  # high values are dark
        frame = 2**bits - 1 - frame
        notes.append("inverted, because it is stored with high values dark")
    if frame.dtype != np.uint8 or bits != 8:
        frame, note = scaled_to_8_bit(frame, str(path), bits=bits)
        notes.append(note)
    return np.ascontiguousarray(frame), tuple(note for note in notes if note)


def _pixel_size_of(header: Any) -> tuple[float, float] | None:
    """Height and width of a pixel in mm, if the file has them."""
    spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    return (float(spacing[0]), float(spacing[1])) if spacing else None
