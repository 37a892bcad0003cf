"""Unpack a zip or tar archive from elsewhere, bounded, and nothing outside the folder it is given."""

import errno
import gzip
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from retina_kit.errors import DataError, SetupError
from retina_kit.files import UNREADABLE_ZIP

MAX_BYTES = 20 * 2**30  # of all files together, unpacked
BLOCK = 4096  # what even an empty file takes on the disk
ARCHIVE_ERRORS = (*UNREADABLE_ZIP, tarfile.TarError, gzip.BadGzipFile)  # of an archive that is damaged
UNWRITABLE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def unpack(archive: str | Path, folder: str | Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Unpack an archive into a folder.

    Raises DataError for an archive that is damaged, for one with absolute paths, "..", links or devices, and for one
    whose files take more than `max_bytes`; SetupError if the folder cannot be written.
    """
    try:
        kind = "zip" if zipfile.is_zipfile(archive) else "tar" if tarfile.is_tarfile(archive) else ""
        if not kind:
            raise DataError(f"{archive} is neither a folder nor a zip or tar archive")
        total = 0
        for name, is_regular, size in _zip_members(archive) if kind == "zip" else _tar_members(archive):
            parts = PurePosixPath(name.replace("\\", "/")).parts
            if not is_regular or name.startswith(("/", "\\")) or ".." in parts or ":" in "".join(parts[:1]):
                raise DataError(f"{archive} holds {name!r}, a link, a device or a path outside its folder; refused")
            total += max(size, BLOCK)
            if total > max_bytes:  # neither zipfile nor tarfile reads more of a member than this size
                raise DataError(f"{archive} unpacks to more than {max_bytes:,} bytes; refused")
        if kind == "zip":
            shutil.unpack_archive(archive, folder, "zip")
        else:
            shutil.unpack_archive(archive, folder, "tar", filter="data")
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{archive} is damaged or cannot be unpacked: {error}; download it again") from error
    except OSError as error:
        if error.errno in UNWRITABLE_ERRNOS:
            raise SetupError(f"{archive} cannot be unpacked into {folder}: {error.strerror}") from error
        raise DataError(f"{archive} is damaged or cannot be unpacked: {error}; download it again") from error


def _zip_members(archive: str | Path) -> Iterator[tuple[str, bool, int]]:
    """Yield (name, is a file or folder, size) of each member; shutil writes a zip's link as a plain file."""
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            yield info.filename, True, info.file_size


def _tar_members(archive: str | Path) -> Iterator[tuple[str, bool, int]]:
    """Yield (name, is a file or folder, size) of each member, without unpacking one that is too large."""
    with tarfile.open(archive) as opened:
        for info in opened:
            yield info.name, info.isreg() or info.isdir(), info.size
