"""MetaImage volumes: what is read, what is refused, and that no header makes the reader leave its folder or memory."""

import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_releases import write_volume

from retina_kit.errors import DataError
from retina_kit.packs.metaimage import MOST_VOXELS, read_header, read_voxels

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VOLUME = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)  # z, y, x
LARGE = 4 * VOLUME.size + 5_000


def read(path):
    """Return the voxels that a header describes."""
    return read_voxels(read_header(path))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_x_runs_first_then_y_then_z(tmp_path, compressed, dtype):
    volume = VOLUME.astype(dtype) * (1 if dtype == np.uint8 else 1000)
    write_volume(tmp_path / "oct.mhd", volume, compressed=compressed)
    assert "DimSize = 4 3 2" in (tmp_path / "oct.mhd").read_text()
    assert read_header(tmp_path / "oct.mhd").shape == (2, 3, 4)
    found = read(tmp_path / "oct.mhd")
    assert found.dtype == dtype
    assert (found == volume).all()


@pytest.mark.parametrize("tag", ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])
def test_either_tag_gives_the_byte_order(tmp_path, tag):
    order = {"BinaryDataByteOrderMSB": None} | {tag: "True"}
    write_volume(tmp_path / "oct.mhd", VOLUME.astype(np.uint16), **order)
    assert (read(tmp_path / "oct.mhd") == VOLUME.astype(np.uint16) * 256).all()


def test_what_may_be_missing_may_be_missing(tmp_path):
    optional = ["ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "CompressedData", "TransformMatrix"]
    write_volume(tmp_path / "oct.mhd", VOLUME, **dict.fromkeys(optional))
    assert (read(tmp_path / "oct.mhd") == VOLUME).all()


HOSTILE = {
    "another object": ({"ObjectType": "Tube"}, "ObjectType is 'Tube'"),
    "two axes": ({"NDims": "2"}, "NDims is '2'"),
    "text": ({"BinaryData": "False"}, "BinaryData is 'False'"),
    "a header before the voxels": ({"HeaderSize": "-1"}, "HeaderSize is '-1'"),
    "colors": ({"ElementNumberOfChannels": "3"}, "ElementNumberOfChannels is '3'"),
    "floating point": ({"ElementType": "MET_FLOAT"}, "ElementType is 'MET_FLOAT'; only MET_UCHAR and MET_USHORT"),
    "no type": ({"ElementType": None}, "lacks ElementType"),
    "no size": ({"DimSize": None}, "lacks DimSize"),
    "no file": ({"ElementDataFile": None}, "lacks ElementDataFile"),
    "two sides": ({"DimSize": "4 3"}, "DimSize is '4 3'; three numbers"),
    "four sides": ({"DimSize": "4 3 2 1"}, "three numbers"),
    "a side of nothing": ({"DimSize": "4 0 2"}, "three numbers"),
    "a negative side": ({"DimSize": "-4 -3 2"}, "three numbers"),
    "a side in other digits": ({"DimSize": "٤ 3 2"}, "three numbers"),
    "a side of a bomb": ({"DimSize": "4 3 99999999999999999999"}, "three numbers"),
    "a bomb": ({"DimSize": "16384 16384 16384"}, f"at most {MOST_VOXELS:,} are read"),
    "a size that is too large": ({"DimSize": "5 3 2"}, r"has 24 bytes; oct\.mhd promises 30"),
    "a size that is too small": ({"DimSize": "4 3 1"}, r"has 24 bytes; oct\.mhd promises 12"),
    "a wider type": ({"ElementType": "MET_USHORT"}, r"has 24 bytes; oct\.mhd promises 48"),
    "an order that is none": ({"BinaryDataByteOrderMSB": "Perhaps"}, "True or False is expected"),
    "two orders": ({"ElementByteOrderMSB": "True"}, "contradict each other"),
    "a folder above": ({"ElementDataFile": "../oct.raw"}, "the plain name of a file beside it"),
    "an absolute path": ({"ElementDataFile": "/etc/passwd"}, "the plain name of a file beside it"),
    "a path of Windows": ({"ElementDataFile": "C:\\oct.raw"}, "the plain name of a file beside it"),
    "a pattern": ({"ElementDataFile": "oct%03d.raw 1 9 1"}, "the plain name of a file beside it"),
    "voxels in the header": ({"ElementDataFile": "LOCAL"}, "the plain name of a file beside it"),
    "a list": ({"ElementDataFile": "LIST"}, "the plain name of a file beside it"),
    "the folder itself": ({"ElementDataFile": "."}, "the plain name of a file beside it"),
    "a name too long for a file": ({"ElementDataFile": "\xff" * 130}, "the plain name of a file beside it"),
    "no such file": ({"ElementDataFile": "other.raw"}, "no such file lies beside it"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_that_is_not_read_is_refused_and_named(tmp_path, name):
    changes, message = HOSTILE[name]
    write_volume(tmp_path / "oct.mhd", VOLUME, **changes)
    with pytest.raises(DataError, match=rf"oct\.(mhd|raw).*{message}"):
        read(tmp_path / "oct.mhd")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "lacks ElementType"),
        (b"NDims = 3\nNDims = 3\n", "'NDims = 3' is not a new"),
        (b"a page about volumes\n", "is not a new 'Tag = value'"),
        (b"NDims = 3\0\n", "no MetaImage header"),
        (b"Comment = " + b"x" * 20_000, "no MetaImage header"),
        (b"ElementDataFile = oct.raw\nNDims = 3\n", "'NDims = 3' is not a new"),
    ],
)
def test_what_is_no_header_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "oct.mhd").write_bytes(content)
    with pytest.raises(DataError, match=rf"oct\.mhd.*{message}"):
        read(tmp_path / "oct.mhd")


PACKED = zlib.compress(VOLUME.tobytes())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PACKED[:-6], "does not end where"),
        (PACKED + b"more", "does not end where"),
        (zlib.compress(bytes(10**7)), "bytes|does not end where"),
        (zlib.compress(bytes(23)), "gives 23 bytes; oct.mhd promises 24"),
        (zlib.compress(bytes(25)), "gives 25 bytes; oct.mhd promises 24"),
        (b"no zlib data", "cannot be unpacked"),
        (b"", "does not end where"),
        (bytes(LARGE), "more than the 24 it is to hold"),
    ],
)
def test_packed_voxels_that_are_not_what_is_promised_are_refused(tmp_path, content, message):
    write_volume(tmp_path / "oct.mhd", VOLUME, compressed=True)
    (tmp_path / "oct.zraw").write_bytes(content)
    with pytest.raises(DataError, match=rf"oct\.zraw.*({message})"):
        read(tmp_path / "oct.mhd")


def test_a_stated_length_is_compared(tmp_path):
    write_volume(tmp_path / "oct.mhd", VOLUME, compressed=True)
    text = (tmp_path / "oct.mhd").read_text()
    (tmp_path / "oct.mhd").write_text(f"CompressedDataSize = {len(PACKED)}\n{text}")
    assert (read(tmp_path / "oct.mhd") == VOLUME).all()
    (tmp_path / "oct.mhd").write_text(f"CompressedDataSize = 7\n{text}")
    with pytest.raises(DataError, match=r"oct\.mhd promises 7"):
        read(tmp_path / "oct.mhd")


@QUICK
@given(st.binary(max_size=300), st.binary(max_size=40), st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path, header, voxels, compressed):
    start = f"CompressedData = {compressed}\nElementType = MET_UCHAR\nDimSize = 2 2 2\n".encode()
    (tmp_path / "oct.raw").write_bytes(voxels)
    for content in (header, start + header, start + b"ElementDataFile = oct.raw\n"):
        (tmp_path / "oct.mhd").write_bytes(content)
        try:
            assert read(tmp_path / "oct.mhd").shape == (2, 2, 2)
        except DataError as error:
            assert "oct." in str(error)


@QUICK
@given(st.data())
def test_a_header_with_changed_bytes_is_read_or_refused(tmp_path, data):
    write_volume(tmp_path / "oct.mhd", VOLUME, compressed=data.draw(st.booleans()))
    path = data.draw(st.sampled_from([tmp_path / "oct.mhd", next(tmp_path.glob("*raw"))]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert read(tmp_path / "oct.mhd").size * read_header(tmp_path / "oct.mhd").dtype.itemsize == VOLUME.nbytes
    except DataError as error:
        assert "oct." in str(error)
    for left in tmp_path.glob("*raw"):
        left.unlink()
