"""Read OCT volumes in MetaImage format (.mhd with its .raw or .zraw) through SimpleITK, an optional package.

ITK leaves whatever was in memory in the voxels that it cannot read, and reports nothing. So a file of voxels is
compared with its header before ITK reads it. Two threads that read volumes at once can crash the process, in ITK: one
volume is read at a time.
"""

import math
import re
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from retina_kit.errors import DataError, SetupError

MAX_VOXELS = 2**28  # four times a Cirrus volume of 512 x 1024 x 128
MAX_HEADER_BYTES = 16 * 2**10
ITK_LOCK = threading.Lock()
PLAIN_NAME = r"\w[\w -]*\.[\w.-]+"  # a file next to the header; LIST, LOCAL and patterns have a meaning of their own


@dataclass(frozen=True)
class Volume:
    """What the header of a volume describes; its voxels are not read yet."""

    path: Path  # the header
    voxels: Path
    shape: tuple[int, int, int]  # B-scans, height, width
    num_bytes: int  # of the voxels, unpacked
    compressed: bool


def simple_itk() -> ModuleType:
    """Import SimpleITK; raise SetupError with the remedy if it is not installed."""
    try:
        import SimpleITK
    except ImportError as error:
        raise SetupError("volumes need SimpleITK; run: pip install 'retina-kit[retouch]'") from error
    return SimpleITK


def open_volume(path: str | Path) -> Volume:
    """Examine the header of a volume of 8- or 16-bit gray voxels.

    Raises DataError for a file that is not such a header, is too large, or names no file of voxels next to it.
    """
    path, itk = Path(path), simple_itk()
    try:
        with path.open("rb") as stream:
            header = stream.read(MAX_HEADER_BYTES).decode("latin-1")
        with ITK_LOCK:
            reader = _reader(path)
            reader.ReadImageInformation()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except RuntimeError as error:
        raise DataError(
            f"{path} is not a MetaImage header that SimpleITK can read; unpack the release again"
        ) from error
    bytes_per_voxel = {itk.sitkUInt8: 1, itk.sitkUInt16: 2}.get(reader.GetPixelID())
    size = tuple(reader.GetSize())
    if len(size) != 3 or reader.GetNumberOfComponents() != 1 or bytes_per_voxel is None:
        found = f"{itk.GetPixelIDValueAsString(reader.GetPixelID())}, {' x '.join(map(str, size))}"
        raise DataError(f"{path} describes {found}; expected gray voxels of 8 or 16 bits with three axes")
    if not 0 < math.prod(size) <= MAX_VOXELS:
        raise DataError(f"{path} claims {' x '.join(map(str, size))} voxels; at most {MAX_VOXELS:,} are read")
    voxels = path.with_name(_voxel_file(path, header))
    compressed = _tag(header, "CompressedData")[:1] in ("T", "t", "1")
    return Volume(path, voxels, (size[2], size[1], size[0]), math.prod(size) * bytes_per_voxel, compressed)


def read_voxels(volume: Volume) -> np.ndarray:
    """Read the voxels of a volume, (B-scans, height, width), uint8 or uint16.

    Raises DataError if the file of voxels does not hold exactly what the header promises.
    """
    try:
        length = _unpacked_length(volume) if volume.compressed else volume.voxels.stat().st_size
        if length != volume.num_bytes:
            promised = f"{volume.path.name} promises {volume.num_bytes:,}"
            raise DataError(f"{volume.voxels} holds {length:,} bytes of voxels; {promised}; unpack the release again")
        with ITK_LOCK:
            return simple_itk().GetArrayFromImage(_reader(volume.path).Execute())
    except (OSError, RuntimeError, zlib.error) as error:
        raise DataError(f"{volume.voxels} cannot be read: {error}; unpack the release again") from error


def _reader(path: Path) -> Any:
    reader = simple_itk().ImageFileReader()
    reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(path))
    return reader


def _voxel_file(path: Path, header: str) -> str:
    name = _tag(header, "ElementDataFile")
    if not re.fullmatch(PLAIN_NAME, name) or len(name) > 255 or not path.with_name(name).is_file():
        raise DataError(f"{path} names {name[:60]!r} as its file of voxels; expected a file next to it")
    return name


def _tag(header: str, name: str) -> str:
    """The value of `name = value` in a header, "" if it has none."""
    found = re.search(rf"^[ \t]*{name}[ \t]*[=:][ \t]*(.*?)[ \t\r]*$", header, re.MULTILINE)
    return found[1] if found else ""


def _unpacked_length(volume: Volume) -> int:
    """Number of bytes that a compressed file of voxels unpacks to; at most one more than expected is unpacked."""
    content = volume.voxels.read_bytes()
    stated = _tag(volume.path.read_text(encoding="latin-1"), "CompressedDataSize")
    if stated not in ("", str(len(content))):
        raise DataError(f"{volume.voxels} has {len(content):,} bytes; {volume.path.name} promises {stated[:20]}")
    stream = zlib.decompressobj()
    found = stream.decompress(content, volume.num_bytes + 1)
    return len(found) if stream.eof else max(len(found), volume.num_bytes) + 1
