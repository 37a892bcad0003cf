"""Import a data set from downloaded files: a folder or an archive, as published or in the layout of a pack."""

import contextlib
import gzip
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import scipy.io

from retina_kit.data.card import Card, Source, read_card
from retina_kit.errors import DataError
from retina_kit.packs.archives import unpack
from retina_kit.packs.convert import Original, convert_original
from retina_kit.packs.files import PackFile, Wanted, missing_files, put_file, work_through, write_terms
from retina_kit.packs.layouts import has_layout, import_release

MAX_ORIGINAL_BYTES = 512 * 2**20  # of one original file, unpacked
MATLAB_ERRORS = (ValueError, TypeError, KeyError, OSError, EOFError, zlib.error, scipy.io.matlab.MatReadError)
NOTHING = Path()  # the original of an empty mask


def import_pack(name: str, source: str | Path, data_root: str | Path, *, progress: bool = True) -> int:
    """Import a pack from `source` (a folder or an archive), and return how many files were written.

    Each file is made as the card's sources describe, or copied if `source` has the layout of a pack already; its
    metadata (EXIF) is dropped and its pixels are compared with the manifest before it gets its name. Nothing is
    written unless the original of every file that is still missing was found. Of a release that the kit has no
    manifest of, one is made (see `layouts`). Raises DataError if the files are not those of the data set.
    """
    card = read_card(name)
    if has_layout(name):
        with open_folder(Path(source), Path(data_root)) as folder:
            count = import_release(card, folder, data_root, progress=progress)
        write_terms(card, data_root)
        return count
    missing = missing_files(card, data_root)
    with open_folder(Path(source), Path(data_root)) as folder:
        originals, lacking = locate(missing, folder, name)
        if lacking:
            raise DataError(
                f"{source} lacks {len(lacking)} of the files that {name} is made from, such as {lacking[0]}; "
                f"{card.how_to_get}"
            )

        def make(path: Path, wanted: Wanted) -> None:
            make_files(path, wanted, card)

        workers = 1 if any(path.suffix == ".mat" for path in originals) else 8  # a volume is large
        work_through(originals.items(), make, title=f"import {name}", workers=workers, progress=progress)
    write_terms(card, data_root)
    return len(missing)


@contextlib.contextmanager
def open_folder(source: Path, data_root: Path) -> Iterator[Path]:
    """Give the folder to import from: `source` itself, or a temporary one if it is an archive."""
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise DataError(f"{source} does not exist; give the folder or the archive that holds the original files")
    data_root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=data_root) as folder:
        unpack(source, Path(folder))
        yield Path(folder)


def locate(files: list[PackFile], folder: Path, name: str) -> tuple[dict[Path, Wanted], list[str]]:
    """Find the originals of files: {original: [(file, source), ...]}, and the names of those that are not there."""
    index: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            index[path.name.lower()].append(path)
    originals: dict[Path, Wanted] = defaultdict(list)
    lacking = []
    for file in files:
        for found, source in candidates(file, folder, name, index):
            if found is not None:
                originals[found].append((file, source))
                break
        else:
            lacking.append((file.sources[-1].file if file.sources else None) or file.relative)
    return originals, lacking


def candidates(
    file: PackFile, folder: Path, name: str, index: dict[str, list[Path]]
) -> Iterator[tuple[Path | None, Source]]:
    """Yield the originals that a file can be made from, best first; None for one that is not there."""
    for layout in (folder, folder / name):
        if (layout / file.relative).is_file():
            how = "keep" if file.column == "image" else "mask"
            yield layout / file.relative, Source(of=file.column, convert=how, file=file.relative)  # type: ignore[arg-type]
    for source in file.sources:
        if source.convert == "empty_mask":
            yield NOTHING, source
        for wanted in [source.file or "", *source.also]:
            yield best_match(wanted, index), source


def best_match(wanted: str, index: dict[str, list[Path]]) -> Path | None:
    """The path that shares most last parts with `wanted`, a relative path; None if no file has its name."""
    parts = [part.lower() for part in PurePosixPath(wanted).parts[::-1]]
    found = [path for ending in ("", ".gz") for path in index.get((parts[0] + ending) if parts else "", [])]

    def num_shared(path: Path) -> int:
        theirs = [part.lower() for part in path.parts[::-1]]
        return next((k for k, (a, b) in enumerate(zip(parts[1:], theirs[1:], strict=False)) if a != b), len(parts))

    return max(found, key=num_shared, default=None)


def make_files(path: Path, wanted: Wanted, card: Card) -> None:
    """Write the files that are made from one original."""
    content = b"" if path == NOTHING else read_original(path, [source for _, source in wanted])
    for file, source in wanted:
        original = Original.of(source, str(path), content, card.size)
        put_file(file, card, convert_original(source.convert, original), original.name)


def read_original(path: Path, sources: list[Source]) -> bytes | dict[str, np.ndarray]:
    """Read an original: its bytes, or the arrays {name: array} of a .mat file."""
    if path.suffix.lower() == ".mat":
        return read_matlab(path, sorted({source.variable for source in sources if source.variable}))
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            content = stream.read(MAX_ORIGINAL_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(content) > MAX_ORIGINAL_BYTES:
        raise DataError(
            f"{path} holds more than {MAX_ORIGINAL_BYTES >> 20} MiB, too much for an image of this data set"
        )
    return content


def read_matlab(path: Path, variables: list[str]) -> dict[str, np.ndarray]:
    """Read the named arrays of a MATLAB file (version 7 or earlier)."""
    try:
        return scipy.io.loadmat(str(path), variable_names=variables)
    except NotImplementedError as error:
        raise DataError(f"{path} is a MATLAB 7.3 file; the original .mat files are version 5") from error
    except MATLAB_ERRORS as error:
        raise DataError(f"{path} is not a complete MATLAB file: {error}; download it again") from error
