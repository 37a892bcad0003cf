"""Unpacks a zip or tar archive that came from elsewhere, and nothing outside the folder it is given."""

import errno
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from retina_kit.errors import DataError, SetupError

MOST_BYTES = 20 * 2**30  # of all files together, unpacked
MOST_FILES = 100_000
CHUNK = 2**20
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError,
    RuntimeError, NotImplementedError, ValueError, OverflowError, IndexError, struct.error,
)  # fmt: skip
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def unpack(archive, folder, *, most_bytes=MOST_BYTES, most_files=MOST_FILES):
    """Unpack an archive into a folder.

    Refuses absolute paths, "..", links and devices, and archives that unpack to more than `most_bytes` or
    `most_files`; bytes are counted as they are written, whatever the archive's own table says.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                members = [(info.filename, zip_kind(info), info) for info in opened.infolist()]
                _unpack(archive, members, opened.open, folder, most_bytes, most_files)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as opened:
                members = [(info.name, tar_kind(info), info) for info in opened.getmembers()]
                _unpack(archive, members, opened.extractfile, folder, most_bytes, most_files)
        else:
            raise DataError(f"{archive} is neither a folder nor a zip or tar archive")
    except DAMAGE as error:
        raise DataError(f"{archive} is damaged or cannot be unpacked: {error}; download it again") from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise SetupError(f"{archive} cannot be unpacked into {folder}: {error.strerror}") from error
        raise DataError(f"{archive} is damaged or cannot be unpacked: {error}; download it again") from error


def zip_kind(info):
    """Return "folder", "file" or "link or device" for a member of a zip archive."""
    if info.filename.endswith("/"):
        return "folder"
    mode = info.external_attr >> 16
    return "file" if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "link or device"


def tar_kind(info):
    """Return "folder", "file" or "link or device" for a member of a tar archive."""
    return "folder" if info.isdir() else "file" if info.isreg() else "link or device"


def _unpack(archive, members, open_member, folder, most_bytes, most_files):
    """Write the files among `members` (name, kind, info) below `folder`."""
    if len(members) > most_files:
        raise DataError(f"{archive} holds {len(members)} files; at most {most_files} are unpacked")
    for name, kind, _ in members:
        parts = PurePosixPath(name).parts
        if kind == "link or device" or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[:1]:
            raise DataError(f"{archive} holds {name!r}, a {kind} that does not stay in its folder; it is refused")
    written = 0
    for name, kind, info in members:
        if kind == "folder":
            continue
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_member(info) as source, path.open("wb") as target:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > most_bytes:
                    raise DataError(f"{archive} unpacks to more than {most_bytes:,} bytes; it is refused")
                target.write(chunk)
