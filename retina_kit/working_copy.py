"""The notebooks that a student changes: copies below the current folder, never the kit's own."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from retina_kit.errors import UsageError
from retina_kit.files import atomic_path, kit_root

FOLDER = "retina-kit-notebooks"
ORIGINALS = ".originals.json"  # {notebook: SHA-256 of the kit's notebook when it was copied}
WRITTEN_AT_HOME = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR")


def starting_folder() -> Path:
    """Return the folder that relative paths start from: the current one, or its parent if that holds notebooks.

    A notebook runs in the folder where it is; its results belong next to those of the command line.
    """
    current = Path.cwd()
    return current.parent if current.name == FOLDER or current == kit_root() / "notebooks" else current


def rooted(path: str | Path) -> Path:
    """Return a path that starts at the starting folder if it is relative and the current folder is another.

    >>> rooted("outputs").as_posix()
    'outputs'
    """
    if not isinstance(path, str | Path):
        raise UsageError(f'{path!r} is not a folder; data_root and output_root are text, such as "data"')
    start = starting_folder()
    return Path(path) if start == Path.cwd() else start / path


def make_working_copy(parent: str | Path) -> tuple[Path, list[str]]:
    """Copy the notebooks to a folder below `parent`; return the folder and the names of outdated copies.

    A copy that was never changed follows the kit's notebook. One with changes is left alone: it is outdated if the
    kit's notebook has changed since, and renaming it brings the new one.
    """
    folder = Path(parent) / FOLDER
    known = _read_originals(folder)
    originals, outdated = {}, []
    for source in sorted((kit_root() / "notebooks").glob("[0-9]*.ipynb")):
        copy, newest = folder / source.name, _hash_of(source)
        originals[source.name] = newest
        if copy.exists() and _hash_of(copy) not in (newest, known.get(source.name)):
            originals[source.name] = known.get(source.name, newest)
            outdated += [source.name] * (originals[source.name] != newest)
        elif not copy.exists() or _hash_of(copy) != newest:
            with atomic_path(copy) as path:
                shutil.copyfile(source, path)  # not its mode: the kit's own may be read-only
    with atomic_path(folder / ORIGINALS) as path:
        path.write_text(json.dumps(originals, indent=1), encoding="utf-8")
    return folder, outdated


def first_notebook(folder: str | Path) -> list[str]:
    """Return the name of the notebook that JupyterLab opens first in a folder, as a list that may be empty."""
    return sorted(path.name for path in Path(folder).glob("*.ipynb"))[:1]


def _read_originals(folder: Path) -> dict[str, str]:
    """Read what was copied before; nothing if there is no such file or it is damaged."""
    try:
        content = json.loads((folder / ORIGINALS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _hash_of(path: Path) -> str:
    """Hash a text file, whatever its line ends."""
    return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()


@contextlib.contextmanager
def writable_home() -> Iterator[None]:
    """Let Jupyter, IPython and matplotlib write to a temporary folder if the home folder cannot be written to."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  Path.home() raises for a user without one
    if home.is_dir() and os.access(home, os.W_OK):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="retina-kit-home-") as folder:
        moved = {name: str(Path(folder) / name.lower()) for name in WRITTEN_AT_HOME if name not in os.environ}
        os.environ.update(moved)
        try:
            yield
        finally:
            for name in moved:
                os.environ.pop(name, None)
