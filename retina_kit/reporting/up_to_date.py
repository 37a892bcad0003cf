"""Tells whether anything has changed that a results folder depends on; if not, its notebook is not executed again.

A folder is kept with hashes of what it was made from, and of its files. This is for the kit's own notebooks and data
sets; a paper or a data set of your own may bring files that the kit does not know, so its notebook is always executed.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from retina_kit.files import PACKAGE, atomic_path, kit_root

RECORD = ".made_from.json"
READ_BY_NOTEBOOKS = {".py", ".ipynb", ".toml", ".csv"}  # of the folders around the package
EVERYTHING = "everything"  # changed, or nobody knows what

Hashes = dict[str, str]  # by what users call the thing


def state_of_the_kit() -> Hashes | None:
    """Hash the files that the kit is made of and the names of the installed packages; None if one is unreadable."""
    try:
        installed = [found.name for place in sys.path for found in Path(place or ".").glob("*.*-info")]
        return {"the kit": _hash_of(_files_of_the_kit()), "the installed packages": _digest(sys.version, *installed)}
    except OSError:
        return None


def made_from(kit: Hashes | None, parameters: Mapping[str, Any], runs: Iterable[Path]) -> Hashes | None:
    """Hash all that the results of one of the kit's papers depend on; None if some of it is unreadable.

    `kit` is the kit's state when the session started, `parameters` are those of the notebook, and `runs` the folders
    of its runs in the store.
    """
    try:
        of_runs = _hash_of((folder / "settings.json", folder.name) for folder in sorted(runs))
    except OSError:  # a run was removed after it had been trained
        return None
    options = _digest(json.dumps(dict(parameters), sort_keys=True, default=str))
    return None if kit is None else {**kit, "the options": options, "the runs": of_runs}


def keep_record(folder: Path, made: Hashes) -> None:
    """Write next to the results of a folder what they were made from, and a checksum of each."""
    try:
        files = {name: _hash_of([(path, name)]) for path, name in _visible_files(folder)}
    except OSError:  # another session writes to this folder: without a record, the notebook is executed again
        return
    with atomic_path(folder / RECORD) as path:
        path.write_text(json.dumps({"made_from": made, "files": files}, indent=1), encoding="utf-8")


def what_changed(folder: Path, made: Hashes | None, promised: Iterable[str]) -> str:
    """Name the first thing that has changed since a folder's record was kept, such as "the options"; "" if none has.

    `promised` are the files that must be there, relative to the folder. Without a readable record, everything has.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        before, files = dict(record["made_from"]), dict(record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return EVERYTHING
    if made is None:
        return EVERYTHING
    changed = [name for name, value in made.items() if before.get(name) != value]
    changed += [path.name for path in folder.glob("*.failed.ipynb")]
    changed += [name for name in sorted({*files, *promised}) if not _is_intact(folder, name, files.get(name))]
    return changed[0] if changed else ""


def _is_intact(folder: Path, name: str, expected: str | None) -> bool:
    """Tell whether a file is there with the content that it had."""
    try:
        return _hash_of([(folder / name, name)]) == expected
    except OSError:
        return False


def _files_of_the_kit() -> list[tuple[Path, str]]:
    """List the files that the kit is made of and their names, without those that Python compiles."""
    package = [(path, name) for path, name in _visible_files(PACKAGE) if "__pycache__" not in path.parts]
    folders = [kit_root() / name for name in ("notebooks", "data_manifests")]
    around = [found for folder in folders for found in _visible_files(folder)]
    return package + [(path, name) for path, name in around if path.suffix in READ_BY_NOTEBOOKS]


def _visible_files(folder: Path) -> list[tuple[Path, str]]:
    """List the files below a folder and their relative names; hidden files and folders are left out."""
    named = [(path, path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(path, name.as_posix()) for path, name in named if not any(part.startswith(".") for part in name.parts)]


def _hash_of(files: Iterable[tuple[Path, str]]) -> str:
    """Hash the names and the contents of some files."""
    digest = hashlib.sha256()
    for path, name in files:
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _digest(*texts: str) -> str:
    """Hash some texts, whatever their order."""
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:16]
