"""Takes a data pack from downloaded files: a folder or an archive, as published or laid out like a pack."""

import contextlib
import gzip
import tempfile
import zlib
from collections import defaultdict
from pathlib import Path, PurePosixPath

import scipy.io

from retina_kit.data.manifest import read_card
from retina_kit.errors import DataError
from retina_kit.packs.archives import unpack
from retina_kit.packs.convert import convert
from retina_kit.packs.files import missing_files, put_file, work_through, write_terms
from retina_kit.packs.layouts import has_layout, import_release

MOST_BYTES = 512 * 2**20  # of one original file, unpacked


def import_pack(name, source, data_root, *, progress=True):
    """Take a pack from `source` (a folder or an archive), and return how many files were written.

    Each file is made as the card's sources say, or copied where `source` has the pack's own layout already;
    its metadata (EXIF) is dropped and its pixels are compared with the manifest before it gets its name.
    Nothing is written unless the original of every file that is still missing was found. Of a release that the
    kit has no manifest of, one is made (see `releases`).
    """
    card = read_card(name)
    if has_layout(name):
        with opened(Path(source), Path(data_root)) as folder:
            count = import_release(card, folder, data_root, progress=progress)
        write_terms(card, data_root)
        return count
    missing = missing_files(card, data_root)
    with opened(Path(source), Path(data_root)) as folder:
        originals, lacking = locate(missing, folder, name)
        if lacking:
            raise DataError(
                f"{source} lacks {len(lacking)} of the files that {name} is made from, such as {lacking[0]}; "
                f"{card.how_to_get}"
            )
        workers = 1 if any(path.suffix == ".mat" for path in originals) else 8  # a volume is large
        work_through(
            list(originals.items()), lambda path, wanted: take(path, wanted, card),
            title=f"import {name}", workers=workers, progress=progress,
        )  # fmt: skip
    write_terms(card, data_root)
    return len(missing)


@contextlib.contextmanager
def opened(source, data_root):
    """Give the folder to take files from: `source` itself, or a temporary one where it is an archive."""
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise DataError(f"{source} does not exist; give the folder or the archive that holds the original files")
    data_root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=data_root) as folder:
        unpack(source, Path(folder))
        yield Path(folder)


def locate(files, folder, name):
    """Return {original: [(file, source), ...]} and the names of the originals that were not found."""
    index = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            index[path.name.lower()].append(path)
    originals, lacking = defaultdict(list), []
    for file in files:
        for path, source in candidates(file, folder, name, index):
            if path is not None:
                originals[path].append((file, source))
                break
        else:
            lacking.append(file.sources[-1]["file"] if file.sources else file.relative)
    return originals, lacking


def candidates(file, folder, name, index):
    """Yield (path, source) pairs from which a file can be made, best first; path None where there is none."""
    for layout in (folder, folder / name):
        if (layout / file.relative).is_file():
            yield layout / file.relative, {"convert": "keep" if file.column == "image" else "mask"}
    for source in file.sources:
        if source["convert"] == "empty_mask":
            yield Path(), source
        for wanted in [source.get("file", ""), *source["also"]]:
            yield best_match(wanted, index), source


def best_match(wanted, index):
    """Return the path that shares most last parts with `wanted`, a relative path; None where none does."""
    parts = [part.lower() for part in PurePosixPath(wanted).parts[::-1]]
    found = [path for ending in ("", ".gz") for path in index.get((parts[0] + ending) if parts else "", [])]

    def shared(path):
        theirs = [part.lower() for part in path.parts[::-1]]
        return next((k for k, (a, b) in enumerate(zip(parts[1:], theirs[1:], strict=False)) if a != b), len(parts))

    return max(found, key=shared, default=None)


def take(path, wanted, card):
    """Write the files (with their sources) that are made from one original."""
    content = b"" if path == Path() else read_original(path, [source for _, source in wanted])
    for file, source in wanted:
        put_file(file, card, convert(source, content, str(path), card.size), str(path))


def read_original(path, sources):
    """Return an original's bytes, or the arrays {name: array} of a .mat file."""
    if path.suffix.lower() == ".mat":
        return read_matlab(path, sorted({source["variable"] for source in sources}))
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(content) > MOST_BYTES:
        raise DataError(f"{path} holds more than {MOST_BYTES >> 20} MiB; that is no image of this data set")
    return content


def read_matlab(path, variables):
    """Return the named arrays of a MATLAB file (version 7 or earlier)."""
    try:
        return scipy.io.loadmat(str(path), variable_names=variables)
    except NotImplementedError as error:
        raise DataError(f"{path} is a MATLAB 7.3 file; the original .mat files are version 5") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        OSError,
        EOFError,
        zlib.error,
        scipy.io.matlab.MatReadError,
    ) as error:
        raise DataError(f"{path} is not a whole MATLAB file: {error}; download it again") from error
