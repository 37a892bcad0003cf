"""Tells whether a results folder is what its notebook would write now, so that it need not be executed again.

A folder is kept with hashes of what it was made from, and of its files. This is for the kit's own notebooks, which read
nothing else; a paper of your own is always executed.
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


def made_from(parameters: Mapping[str, Any], runs: Iterable[Path]) -> dict[str, str]:
    """Hash all that the results of one of the kit's papers are made from, by the name that a user has for it.

    `parameters` are those of the notebook, `runs` the folders of its runs in the store.
    """
    return {
        "the kit": _hash_of(_files_of_the_kit()),
        "the options": _digest(json.dumps(dict(parameters), sort_keys=True, default=str)),
        "the runs": _hash_of(sorted(folder / "settings.json" for folder in runs)),
        "the installed packages": _digest(sys.version, *_installed()),
    }


def keep_record(folder: Path, made: Mapping[str, str]) -> None:
    """Write next to the results of a folder what they were made from, and a checksum of each."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = {path.relative_to(folder).as_posix(): _hash_of([path]) for path in paths}
    record = {"made_from": dict(made), "files": files}
    with atomic_path(folder / RECORD) as path:
        path.write_text(json.dumps(record, indent=1), encoding="utf-8")


def what_changed(folder: Path, made: Mapping[str, str], promised: Iterable[str]) -> str:
    """Name the first thing that has changed since a folder's record was kept, such as "the options"; "" if none has.

    `promised` are the files that must be there, relative to the folder. Without a readable record all has changed.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        before, files = dict(record["made_from"]), dict(record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return "everything"
    changed = [name for name, value in made.items() if before.get(name) != value]
    changed += [path.name for path in folder.glob("*.failed.ipynb")]
    for name in sorted({*files, *promised}):
        path = folder / name
        if not path.is_file() or _hash_of([path]) != files.get(name):
            changed.append(name)
    return changed[0] if changed else ""


def _files_of_the_kit() -> list[Path]:
    """List the files that the kit is made of, without those that Python compiles."""
    package = [path for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts]
    around = [path for name in ("notebooks", "data_manifests") for path in (kit_root() / name).rglob("*")]
    return sorted(path for path in [*package, *(p for p in around if p.suffix in READ_BY_NOTEBOOKS)] if path.is_file())


def _installed() -> list[str]:
    """List the installed packages with their versions, as their folders are named."""
    return sorted({found.name for place in sys.path for found in Path(place or ".").glob("*.dist-info")})


def _hash_of(paths: Iterable[Path]) -> str:
    """Hash the names and the contents of some files."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _digest(*texts: str) -> str:
    """Hash some texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
