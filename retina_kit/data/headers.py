"""What an image file says of itself before it is unpacked: kind, size, inks and number of frames."""

import contextlib
import re
import struct
from dataclasses import dataclass

START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the JPEG markers that give height, width and colors
TIFF_SIZES = {1: "B", 3: "H", 4: "I"}  # the number types that sizes are written in
WIDTH, HEIGHT, INKS, ROWS_OF_STRIP, TILE_WIDTH, TILE_HEIGHT = 256, 257, 262, 278, 322, 323
FOUR_INKS = 5  # of TIFF's tag INKS


@dataclass(frozen=True)
class Header:
    """What a file's first bytes promise; sizes are 0 where they say nothing."""

    kind: str  # png | jpeg | tiff | gif | bmp | pnm
    width: int = 0
    height: int = 0
    four_inks: bool = False  # CMYK
    many_frames: bool = False  # an animation, or several pages
    broken: bool = False  # a part claims to be longer than the file


def read_header(data):
    """Return the Header of a file's bytes, None where they are no image of a kind that the kit reads."""
    readers = {
        b"\x89PNG\r\n\x1a\n": png_header, b"\xff\xd8": jpeg_header, b"II*\0": tiff_header, b"MM\0*": tiff_header,
        b"GIF8": gif_header, b"BM": bmp_header, b"P4": pnm_header, b"P5": pnm_header, b"P6": pnm_header,
    }  # fmt: skip
    for start, reader in readers.items():
        if data.startswith(start):
            with contextlib.suppress(struct.error, IndexError):
                return reader(data)
            return Header(reader.__name__.removesuffix("_header"))  # cut short: the decoder will say so
    return None


def png_header(data):
    """Return the header of a PNG, its chunks walked: `acTL` makes it an animation.

    A chunk that claims to be longer than the file makes it broken; OpenCV would make room for it first.
    """
    width, height = struct.unpack_from(">II", data, 16)
    place, kinds = 8, set()
    while place + 12 <= len(data) and b"IEND" not in kinds:
        (length,) = struct.unpack_from(">I", data, place)
        kinds.add(data[place + 4 : place + 8])
        place += 12 + length
    return Header("png", width, height, many_frames=b"acTL" in kinds, broken=place > len(data))


def jpeg_header(data):
    """Return the header of a JPEG; one whose frame cannot be found is broken, since a decoder may find another."""
    height, width, colors = jpeg_frame(data)
    return Header("jpeg", width, height, four_inks=colors == 4, broken=width * height == 0)


def jpeg_frame(data):
    """Return (height, width, number of colors) from a JPEG's frame header; (0, 0, 3) where it has none."""
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        if data[place + 1] == 0xFF:  # a marker may be padded
            place += 1
            continue
        if data[place + 1] in START_OF_FRAME:
            numbers = data[place + 5 : place + 10]
            return int.from_bytes(numbers[:2], "big"), int.from_bytes(numbers[2:4], "big"), numbers[4]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0, 0, 3


def tiff_header(data):
    """Return the header of a TIFF: the larger of image, strip and tile counts, since each is given memory."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (num_entries,) = struct.unpack_from(f"{order}H", data, start)
    tags = {}
    for entry in range(start + 2, start + 2 + 12 * num_entries, 12):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, entry)
        if kind in TIFF_SIZES:
            (value,) = struct.unpack_from(f"{order}{TIFF_SIZES[kind]}", data, entry + 8)
            tags[tag] = max(value, tags.get(tag, 0)) if tag != INKS else value
    (following,) = struct.unpack_from(f"{order}I", data, start + 2 + 12 * num_entries)
    width = max(tags.get(WIDTH, 0), tags.get(TILE_WIDTH, 0))
    height = max(tags.get(HEIGHT, 0), tags.get(TILE_HEIGHT, 0))
    return Header("tiff", width, height, tags.get(INKS) == FOUR_INKS, many_frames=following > 0)


def gif_header(data):
    """Return the header of a GIF, its blocks walked to count the frames."""
    width, height = struct.unpack_from("<HH", data, 6)
    place, frames = 13 + color_table(data[10]), 0
    with contextlib.suppress(IndexError):
        while data[place] in (0x21, 0x2C):
            frames += data[place] == 0x2C
            place += 2 if data[place] == 0x21 else 11 + color_table(data[place + 9])
            while data[place]:
                place += 1 + data[place]
            place += 1
    return Header("gif", width, height, many_frames=frames > 1)


def color_table(flags):
    """Return how many bytes the color table of a GIF takes."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def bmp_header(data):
    """Return the header of a Windows bitmap."""
    width, height = struct.unpack_from("<ii", data, 18)
    return Header("bmp", abs(width), abs(height))


def pnm_header(data):
    """Return the header of a PBM, PGM or PPM file."""
    numbers = re.match(rb"P[456](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)", data[:2000])
    return Header("pnm", *(int(number[:12]) for number in numbers.groups())) if numbers else Header("pnm")
