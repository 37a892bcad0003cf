"""Where the kit's own files lie, and how it writes a file so that a kill leaves the old one or the new one."""

import contextlib
import glob
import os
import platform
import shutil
import sysconfig
import uuid
from collections.abc import Iterator
from pathlib import Path

from retina_kit.errors import SetupError


def kit_root() -> Path:
    """Return the folder that holds `notebooks/` and `data_manifests/`.

    That is the checkout itself, or the environment's `share/retina-kit` where the kit was installed as a wheel. A
    system's own Python may keep that elsewhere than under `sys.prefix` (Debian, and so Colab: /usr/local).
    """
    checkout = Path(__file__).resolve().parents[1]
    installed = Path(sysconfig.get_path("data")) / "share" / "retina-kit"
    for folder in (checkout, installed):
        if (folder / "data_manifests").is_dir():
            return folder
    raise SetupError(
        f"neither {checkout} nor {installed} holds data_manifests/; install the kit from its checkout (make setup)"
    )


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to (a file or a folder), renamed to `path` on success.

    When the block raises, the temporary is removed and whatever stood at `path` before is untouched.
    Out of disk or permission becomes an `SetupError` that names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{_node()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if path.is_dir() and temporary.is_dir():
            _swap_folder(temporary, path)
        else:
            temporary.replace(path)
    except OSError as error:
        if path.parent.is_dir():
            remedy = "free some space or choose another folder"
        else:
            remedy = f"{path.parent} is no folder and cannot become one; choose another"
        raise SetupError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # a second error would hide the first, such as a parent that is a file
                temporary.unlink(missing_ok=True)


def remove_remains(path: str | Path) -> None:
    """Remove the temporaries beside `path` that processes of this machine left there when they were killed."""
    path = Path(path)
    for remains in path.parent.glob(f".{glob.escape(f'{path.stem}.{_node()}')}.*.part{glob.escape(path.suffix)}"):
        owner = remains.name.removeprefix(f".{path.stem}.{_node()}.").split(".")[0]
        if owner.isdigit() and not _is_alive(int(owner)):
            shutil.rmtree(remains) if remains.is_dir() else remains.unlink(missing_ok=True)


def _node() -> str:
    """Return the machine's name, without dots."""
    return platform.node().replace(".", "-")


def _is_alive(pid: int) -> bool:
    """Say whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _swap_folder(temporary: Path, path: Path) -> None:
    """Put the finished folder in the place of the old one; the old one goes last."""
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    path.rename(old)
    temporary.rename(path)
    shutil.rmtree(old)
