"""File locks: one process holds a lock file at a time, and the lock of a dead owner is free."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import filelock

from retina_kit.errors import SetupError


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, waiting while another process has it.

    The operating system (on a shared folder: its server) frees the lock of an owner that died, so nothing has to be
    cleaned up and no clock is compared. Raises SetupError if the folder is not writable or its file system has no
    locks.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with hold_lock(Path(folder) / "run"):
    ...         held = is_held(Path(folder) / "run")
    ...     print(held, is_held(Path(folder) / "run"))
    True False
    """
    lock = _lock_file(path)
    _acquire(lock, blocking=True)
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Tell whether some process holds the lock file at `path`; almost without waiting.

    Looking takes the lock for a moment, so a process that finds it taken looks again: another one may just look, too.
    """
    for pause in (0.02, 0.0):
        if not path.exists():
            return False
        lock = _lock_file(path)
        with contextlib.suppress(filelock.Timeout):
            _acquire(lock, blocking=False)
            lock.release()
            return False
        time.sleep(pause)
    return True


def _lock_file(path: Path) -> filelock.BaseFileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise SetupError(f"cannot write to the run store {path.parent.parent}: {error.strerror}") from error
    return filelock.FileLock(path)


def _acquire(lock: filelock.BaseFileLock, *, blocking: bool) -> None:
    """Take a lock; filelock.Timeout if it is taken and `blocking` is False."""
    try:
        with warnings.catch_warnings():  # filelock warns when it falls back, which is an error here
            warnings.simplefilter("ignore")
            lock.acquire(blocking=blocking)
        if not isinstance(lock, filelock.SoftFileLock):
            return
        lock.release()  # a file that merely exists would outlive an owner that died
        reason = "Function not implemented"
    except filelock.Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise SetupError(
        f"{lock.lock_file} cannot be locked ({reason}); put --output-root on a file system that supports locks"
    )
