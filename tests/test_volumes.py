"""OCT volumes are read through SimpleITK, bounded, and only if their file of voxels is what the header promises."""

import concurrent.futures
import sys
import threading
import time

import numpy as np
import pytest
from small_releases import write_volume

from retina_kit.errors import DataError, SetupError
from retina_kit.packs import volumes
from retina_kit.packs.volumes import MAX_VOXELS, open_volume, read_voxels, simple_itk

VOLUME = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)  # z, y, x


@pytest.fixture(autouse=True)
def installed():
    """Skip where the optional package is missing."""
    pytest.importorskip("SimpleITK")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_x_runs_first_then_y_then_z(tmp_path, compressed, dtype):
    volume = VOLUME.astype(dtype) * (1 if dtype == np.uint8 else 1000)
    write_volume(tmp_path / "oct.mhd", volume, compressed=compressed)
    assert "DimSize = 4 3 2" in (tmp_path / "oct.mhd").read_text()
    opened = open_volume(tmp_path / "oct.mhd")
    assert (opened.shape, opened.num_bytes) == ((2, 3, 4), volume.nbytes)
    found = read_voxels(opened)
    assert found.dtype == dtype
    assert (found == volume).all()


def test_a_volume_that_simple_itk_wrote_is_read(tmp_path):
    itk = simple_itk()
    itk.WriteImage(itk.GetImageFromArray(VOLUME), str(tmp_path / "oct.mhd"), useCompression=True)
    assert (read_voxels(open_volume(tmp_path / "oct.mhd")) == VOLUME).all()


def test_the_byte_order_is_the_headers(tmp_path):
    write_volume(tmp_path / "oct.mhd", VOLUME.astype(np.uint16), BinaryDataByteOrderMSB="True")
    assert (read_voxels(open_volume(tmp_path / "oct.mhd")) == VOLUME.astype(np.uint16) * 256).all()


def test_threads_read_one_volume_at_a_time(tmp_path, monkeypatch):
    """ITK can crash the process if two threads read at once."""
    for index in range(8):
        write_volume(tmp_path / f"oct{index}.mhd", VOLUME)
    itk_reader, reading = volumes._reader, threading.Semaphore(1)
    alone = []

    class Reader:
        def __init__(self, path):
            self.itk_reader = itk_reader(path)

        def Execute(self):  # noqa: N802  the name in ITK
            alone.append(reading.acquire(blocking=False))
            time.sleep(0.02)
            image = self.itk_reader.Execute()
            reading.release()
            return image

    opened = [open_volume(tmp_path / f"oct{index}.mhd") for index in range(8)]
    monkeypatch.setattr(volumes, "_reader", Reader)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_voxels, opened))
    assert alone == [True] * 8
    assert all((voxels == VOLUME).all() for voxels in found)


HOSTILE = {
    "two axes": ({"NDims": "2", "DimSize": "4 3"}, "expected gray voxels .* three axes"),
    "colors": ({"ElementNumberOfChannels": "3"}, "expected gray voxels"),
    "floating point": ({"ElementType": "MET_FLOAT"}, "32-bit float.*expected gray voxels"),
    "no type": ({"ElementType": None}, "not a MetaImage header"),
    "no size": ({"DimSize": None}, "not a MetaImage header"),
    "no file": ({"ElementDataFile": None}, "not a MetaImage header"),
    "a side of nothing": ({"DimSize": "4 0 2"}, "claims 4 x 0 x 2 voxels"),
    "a negative side": ({"DimSize": "-4 3 2"}, "oct.mhd"),
    "too many voxels": ({"DimSize": f"{MAX_VOXELS} 1 2"}, f"at most {MAX_VOXELS:,} are read"),
    "a number without end": ({"DimSize": "9" * 200 + " 3 2"}, "oct.mhd"),
    "a file elsewhere": ({"ElementDataFile": "/etc/passwd"}, "names '/etc/passwd' as its file of voxels"),
    "a file above": ({"ElementDataFile": "../oct.raw"}, "names '../oct.raw'"),
    "a file of Windows": ({"ElementDataFile": "C:\\oct.raw"}, "as its file of voxels"),
    "voxels in the header": ({"ElementDataFile": "LOCAL"}, "names 'LOCAL'"),
    "a list of files": ({"ElementDataFile": "LIST"}, "names 'LIST'"),
    "a pattern of files": ({"ElementDataFile": "oct%03d.raw 1 3 1"}, "as its file of voxels"),
    "a name too long": ({"ElementDataFile": "a" * 300 + ".raw"}, "as its file of voxels"),
    "a larger volume": ({"DimSize": "4 3 3"}, "holds 24 bytes of voxels; oct.mhd promises 36"),
    "a smaller volume": ({"DimSize": "4 3 1"}, "holds 24 bytes of voxels; oct.mhd promises 12"),
    "bytes that are not compressed": ({"CompressedData": "True"}, "oct.raw cannot be read"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_not_a_volume_is_refused_and_named(tmp_path, what):
    tags, message = HOSTILE[what]
    write_volume(tmp_path / "oct.mhd", VOLUME, **tags)
    with pytest.raises(DataError, match=message):
        read_voxels(open_volume(tmp_path / "oct.mhd"))


@pytest.mark.parametrize("change", [lambda c: c[:-4], lambda c: c[:5], lambda c: b"", lambda c: b"abc" + c])
def test_damaged_compressed_voxels_are_refused(tmp_path, change):
    """ITK would return whatever was in memory."""
    write_volume(tmp_path / "oct.mhd", VOLUME, compressed=True)
    content = (tmp_path / "oct.zraw").read_bytes()
    (tmp_path / "oct.zraw").write_bytes(change(content))
    with pytest.raises(DataError, match=r"oct\.zraw"):
        read_voxels(open_volume(tmp_path / "oct.mhd"))


def test_a_compressed_bomb_is_not_unpacked(tmp_path):
    write_volume(tmp_path / "oct.mhd", np.zeros((200, 300, 400), np.uint8), compressed=True, DimSize="4 3 2")
    with pytest.raises(DataError, match="promises 24"):
        read_voxels(open_volume(tmp_path / "oct.mhd"))


def test_a_wrong_length_of_compressed_voxels_is_refused(tmp_path):
    write_volume(tmp_path / "oct.mhd", VOLUME, compressed=True, CompressedDataSize="7")
    with pytest.raises(DataError, match=r"oct\.zraw has 32 bytes; oct\.mhd promises 7"):
        read_voxels(open_volume(tmp_path / "oct.mhd"))


def test_any_other_file_is_no_header(tmp_path):
    (tmp_path / "oct.mhd").write_bytes(b"\0" * 400)
    with pytest.raises(DataError, match=r"oct\.mhd is not a MetaImage header"):
        open_volume(tmp_path / "oct.mhd")
    with pytest.raises(DataError, match=r"nowhere\.mhd cannot be read"):
        open_volume(tmp_path / "nowhere.mhd")


def test_without_simple_itk_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(SetupError, match=r"pip install 'retina-kit\[retouch\]'"):
        open_volume(tmp_path / "oct.mhd")
