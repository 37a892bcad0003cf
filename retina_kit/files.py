"""Paths to the kit's own resources, and atomic file writing."""

import contextlib
import errno
import glob
import lzma
import os
import platform
import shutil
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from retina_kit.errors import DataError, SetupError

PACKAGE = Path(__file__).resolve().parent
FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk, or what a user may take of it
UNREADABLE_ZIP = (  # what reading a damaged or encrypted zip file raises, in addition to OSError
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    IndexError,
    OverflowError,
)


def kit_root() -> Path:
    """Find the folder that holds `notebooks/` and `data_manifests/`: the checkout, or the package's `share/`.

    Nothing is ever written there, except in a checkout by what its authors run: `retina-kit build`, and the modules of
    `authoring` that keep results and write the README, the reference and a figure.
    """
    checkout, installed = PACKAGE.parent, PACKAGE / "share"
    for folder in (checkout, installed):
        if (folder / "data_manifests").is_dir():
            return folder
    raise SetupError(f"neither {checkout} nor {installed} holds data_manifests/; install the kit again")


def check_writable(folder: str | Path) -> None:
    """Raise SetupError if a folder cannot be written to."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{uuid.uuid4().hex[:8]}"  # of this call: several processes may look at once
        probe.touch()
        probe.unlink()
    except OSError as error:
        what = f"cannot write to {folder}" if folder.is_dir() else f"cannot make the folder {folder} in {folder.parent}"
        raise SetupError(f"{what}: {error.strerror}; choose another --output-root") from error


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path next to `path` to write to (a file or a folder), renamed to `path` on success.

    If the block raises, the temporary is removed and whatever was at `path` before is untouched; a kill leaves the
    old file or the new one. A folder that replaces another takes two renames: a kill between them leaves the old one
    under a hidden name that ends in .old. A full disk or a missing permission becomes a `SetupError` that names the
    file; another file that the block cannot read becomes a `DataError` that names that one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "table.csv") as path:
    ...         _ = path.write_text("arm,dice")
    ...     [path.name for path in Path(folder).iterdir()]
    ['table.csv']
    """
    path = Path(path)
    path = path.resolve() if path.name in ("", "..") else path
    if not path.name:
        raise SetupError(f"cannot write {path}: it is the root of the file system; choose another folder")
    temporary = path.with_name(f".{path.stem}.{_node()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _read_errors_named(temporary):
            yield temporary
        if path.is_dir() and temporary.is_dir():
            _swap_folder(temporary, path)
        else:
            temporary.replace(path)
    except OSError as error:
        if path.is_dir() and not temporary.is_dir() and error.errno not in FULL:
            remedy = "it is a folder; name a file"
        elif path.parent.is_dir():
            remedy = "free some space or choose another folder"
        else:
            remedy = f"{path.parent} is not a directory"
        raise SetupError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # a second error would hide the first, such as a parent that is a file
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _read_errors_named(temporary: Path) -> Iterator[None]:
    """Turn an error about any file other than the temporary one into a DataError, unless a disk is full."""
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, str | os.PathLike) or error.errno in FULL:
            raise
        other = Path(error.filename)
        if temporary in (other, *other.parents):
            raise
        raise DataError(f"{other} cannot be read: {error.strerror}") from error


def remove_remains(path: str | Path) -> None:
    """Remove the temporaries that killed processes of this machine left next to `path`."""
    path = Path(path)
    for remains in path.parent.glob(f".{glob.escape(f'{path.stem}.{_node()}')}.*.part{glob.escape(path.suffix)}"):
        owner = remains.name.removeprefix(f".{path.stem}.{_node()}.").split(".")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(remains) if remains.is_dir() else remains.unlink(missing_ok=True)


def _node() -> str:
    """Name this machine, without dots."""
    return platform.node().replace(".", "-")


def _swap_folder(temporary: Path, path: Path) -> None:
    """Replace an old folder by the finished one; the old one is deleted last."""
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)
