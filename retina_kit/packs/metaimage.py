"""Reads a volume of MetaImage: a short text header (.mhd) and the file of voxels beside it (.raw or .zraw).

Only what a release of OCT volumes needs is read: three axes, one channel, 8 or 16 bits, one file of voxels. All else
is refused by name, and a header's numbers are compared with the file before room is made for them. The tags are those
of the format's documentation (https://itk.org/Wiki/MetaIO/Documentation).
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retina_kit.errors import DataError

MOST_HEADER_BYTES = 16 * 2**10
MOST_NAME_BYTES = 255  # what file systems take
MOST_VOXELS = 2**28  # four times a Cirrus volume of 512 x 1024 x 128
MOST_PER_AXIS = 2**14
ELEMENT_TYPES = {"MET_UCHAR": "u1", "MET_USHORT": "u2"}
TRUTH = {"true": True, "1": True, "false": False, "0": False}
FIXED = {
    "ObjectType": "image",
    "NDims": "3",
    "BinaryData": "true",
    "HeaderSize": "0",
    "ElementNumberOfChannels": "1",
}  # tags that may be missing, but not say anything else
ORDERS = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")  # two names of one thing


@dataclass(frozen=True)
class MetaImage:
    """What a header says: `shape` is (scans, height, width), the reverse of its DimSize x y z."""

    path: Path  # the header
    voxels: Path  # the file beside it
    shape: tuple[int, int, int]
    dtype: np.dtype
    compressed: bool

    @property
    def num_bytes(self):
        """Return how many bytes the voxels take, unpacked."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def read_header(path):
    """Return the MetaImage that a header describes, its file of voxels found but not read yet.

    Raises DataError for a header that is missing, too long, no text, or says what is not read here; for a file of
    voxels outside the header's folder; and for one whose length is not the one that the header gives.
    """
    path = Path(path)
    tags = parse_tags(path)
    for tag, expected in FIXED.items():
        if tags.get(tag, expected).lower() != expected:
            raise DataError(f"{path}: {tag} is {tags[tag]!r}; only {expected!r} is read here")
    kind = required(path, tags, "ElementType")
    if kind not in ELEMENT_TYPES:
        raise DataError(f"{path}: ElementType is {kind!r}; only {' and '.join(ELEMENT_TYPES)} are read here")
    orders = {truth(path, tags, tag) for tag in ORDERS if tag in tags} or {False}
    if len(orders) > 1:
        raise DataError(f"{path}: {' and '.join(ORDERS)} contradict each other")
    dtype = np.dtype((">" if orders.pop() else "<") + ELEMENT_TYPES[kind])
    compressed = "CompressedData" in tags and truth(path, tags, "CompressedData")
    image = MetaImage(path, beside(path, required(path, tags, "ElementDataFile")), shape_of(path, tags), dtype,
                      compressed)  # fmt: skip
    check_length(image, tags.get("CompressedDataSize"))
    return image


def parse_tags(path):
    """Return the tags {name: value} of a header; ElementDataFile ends it, and no tag stands in it twice."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_HEADER_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MOST_HEADER_BYTES or b"\0" in content:
        raise DataError(f"{path} is no MetaImage header: short text is expected, its voxels in a file beside it")
    tags = {}
    for line in content.decode("latin-1").splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        if not line.strip():
            continue
        if not equals or name in tags or "ElementDataFile" in tags:
            raise DataError(f"{path} is no MetaImage header: {line[:60]!r} is not a new 'Tag = value'")
        tags[name] = value
    return tags


def required(path, tags, tag):
    """Return the value of a tag that a header must have."""
    if not tags.get(tag):
        raise DataError(f"{path} is no whole MetaImage header: it lacks {tag}")
    return tags[tag]


def truth(path, tags, tag):
    """Return a tag that is True or False."""
    if tags[tag].lower() not in TRUTH:
        raise DataError(f"{path}: {tag} is {tags[tag]!r}; True or False is expected")
    return TRUTH[tags[tag].lower()]


def shape_of(path, tags):
    """Return (scans, height, width) from DimSize, its numbers bounded."""
    text = required(path, tags, "DimSize")
    sides = [int(part) for part in text.split() if part.isascii() and part.isdigit() and len(part) <= 5]
    if len(sides) != 3 or len(text.split()) != 3 or not all(1 <= side <= MOST_PER_AXIS for side in sides):
        raise DataError(f"{path}: DimSize is {text[:60]!r}; three numbers from 1 to {MOST_PER_AXIS} are expected")
    if sides[0] * sides[1] * sides[2] > MOST_VOXELS:
        raise DataError(f"{path} says it has {' x '.join(map(str, sides))} voxels; at most {MOST_VOXELS:,} are read")
    return tuple(sides[::-1])


def beside(path, name):
    """Return the file of voxels, which must lie beside its header under a plain name."""
    is_path = any(sign in name for sign in "/\\:%\0") or name.startswith(".")
    if is_path or name in ("LOCAL", "LIST") or len(name.encode()) > MOST_NAME_BYTES:
        raise DataError(f"{path}: ElementDataFile is {name[:60]!r}; the plain name of a file beside it is expected")
    voxels = path.with_name(name)
    if not voxels.is_file():
        raise DataError(f"{path} names its voxels {name!r}, and no such file lies beside it")
    return voxels


def check_length(image, stated):
    """Raise where the file of voxels is not as long as the header says; a packed one may not be longer than unpacked.

    A packed volume's length is known only where the header states it (CompressedDataSize).
    """
    length = image.voxels.stat().st_size
    if not image.compressed and length != image.num_bytes:
        raise DataError(f"{image.voxels} has {length:,} bytes; {image.path.name} promises {image.num_bytes:,}")
    if image.compressed and stated is not None and stated != str(length):
        raise DataError(f"{image.voxels} has {length:,} bytes; {image.path.name} promises {stated[:20]}")
    if length > image.num_bytes + image.num_bytes // 1000 + 1024:  # what zlib adds to bytes that it cannot shorten
        raise DataError(f"{image.voxels} has {length:,} bytes, more than the {image.num_bytes:,} it is to hold")


def read_voxels(image):
    """Return the voxels (scans, height, width) of a MetaImage, in this machine's byte order.

    Raises DataError where the file cannot be read or does not unpack to exactly what the header promises.
    """
    try:
        content = image.voxels.read_bytes()
    except OSError as error:
        raise DataError(f"{image.voxels} cannot be read: {error.strerror}") from error
    if image.compressed:
        content = unpacked(image, content)
    if len(content) != image.num_bytes:
        raise DataError(f"{image.voxels} gives {len(content):,} bytes; {image.path.name} promises {image.num_bytes:,}")
    return np.frombuffer(content, image.dtype).reshape(image.shape).astype(image.dtype.newbyteorder("="), copy=False)


def unpacked(image, content):
    """Return zlib data unpacked, to one byte more than is expected at most."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(content, image.num_bytes + 1)
    except zlib.error as error:
        raise DataError(f"{image.voxels} cannot be unpacked: {error}; download it again") from error
    if not stream.eof or stream.unused_data:
        raise DataError(f"{image.voxels} does not end where {image.path.name} promises; download it again")
    return found
