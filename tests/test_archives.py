"""Archives are unpacked inside their folder, and bounded, or not at all."""

import io
import stat
import tarfile
import zipfile

import pytest

from retina_kit.errors import DataError
from retina_kit.packs.archives import unpack


def make_zip(path, *members):
    """Write a zip archive of (name, bytes)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def make_tar(path, *members):
    """Write a tar.gz archive of (TarInfo, bytes)."""
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tar_link(name, target):
    """Return a symbolic link for a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_good_archive_is_unpacked(tmp_path, kind):
    members = [("eyes/a.txt", b"one"), ("eyes/deep/b.txt", b"two")]
    if kind == "zip":
        archive = make_zip(tmp_path / "a.zip", *members)
    else:
        archive = make_tar(tmp_path / "a.tgz", *[(tarfile.TarInfo(name), content) for name, content in members])
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/eyes/deep/b.txt").read_bytes() == b"two"
    assert (tmp_path / "out/eyes/a.txt").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["/tmp/evil.txt", "../evil.txt", "a/../../evil.txt", "..\\evil.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, kind, name):
    if kind == "zip":
        archive = make_zip(tmp_path / "a.zip", ("good.txt", b"1"), (name, b"2"))
    else:
        archive = make_tar(tmp_path / "a.tgz", (tarfile.TarInfo("good.txt"), b"1"), (tarfile.TarInfo(name), b"2"))
    with pytest.raises(DataError, match="refused"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "nothing is unpacked from such an archive"
    assert not (tmp_path / "evil.txt").exists()


def test_no_link_is_made(tmp_path):
    tar = make_tar(tmp_path / "a.tgz", (tar_link("images", "/etc"), b""))
    link = zipfile.ZipInfo("images")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(DataError, match="a link, a device"):
        unpack(tar, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out/images").is_symlink(), "a zip's link becomes a plain file"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_bomb_is_refused(tmp_path, kind):
    zeros = bytes(3_000_000)
    if kind == "zip":
        archive = make_zip(tmp_path / "a.zip", ("zeros", zeros))
    else:
        archive = make_tar(tmp_path / "a.tgz", (tarfile.TarInfo("zeros"), zeros))
    assert archive.stat().st_size < 10_000
    with pytest.raises(DataError, match="more than 1,000,000 bytes"):
        unpack(archive, tmp_path / "out", max_bytes=1_000_000)


def test_too_many_files_are_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", *[(f"{number}.txt", b"") for number in range(11)])
    with pytest.raises(DataError, match="more than 40,960 bytes"):
        unpack(archive, tmp_path / "out", max_bytes=10 * 4096)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"hello")
    with pytest.raises(DataError, match="neither a folder nor"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    whole = make_zip(tmp_path / "b.zip", ("a", bytes(range(256)) * 40)).read_bytes()
    spoilt = bytearray(whole)
    spoilt[60:100] = bytes(40)
    (tmp_path / "b.zip").write_bytes(spoilt)
    with pytest.raises(DataError, match="damaged"):
        unpack(tmp_path / "b.zip", tmp_path / "out")
