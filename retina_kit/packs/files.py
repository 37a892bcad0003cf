"""Which files a pack consists of, what each is made from, and how one is proven and put in its place."""

import concurrent.futures
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from retina_kit.data.manifest import read_manifest
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.errors import DataError
from retina_kit.files import atomic_path

MOST_FAILURES = 5  # so many files that cannot be had, and the others are not tried


@dataclass(frozen=True)
class PackFile:
    """One file of a pack: where it goes, what its pixels must be, and what it can be made from."""

    path: Path
    relative: str  # its path inside the pack
    column: str  # "image" or "mask_<name>"
    sha256: str  # of the decoded pixels; "" where the manifest does not know it
    sources: tuple[dict, ...]  # the card's sources of this column, filled from the row


def pack_files(card, data_root):
    """Return the files of a pack, in the order of its manifest."""
    columns = ["image", *[f"mask_{name}" for name in card.masks]]
    files = []
    for position, row in enumerate(read_manifest(card.name).to_dict("records")):
        for column in columns:
            if row[column]:
                path = Path(data_root) / card.name / row[column]
                sources = sources_of(card, column, row, position)
                files.append(PackFile(path, row[column], column, row[f"{column}_sha256"], sources))
    return files


def sources_of(card, column, row, position):
    """Return the sources from which a row's file of this column can be made, their templates filled.

    A template may name the row's columns, {row} (its position from 0) and {number} (the last digits of id).
    """
    fields = row | {"row": position, "number": re.findall(r"\d+", row["id"])[-1]}
    found = []
    for source in card.sources:
        where = source.get("where", {})
        if source["of"] == column and all(str(row[key]) == value for key, value in where.items()):
            filled = {key: source[key].format(**fields) for key in ("file", "scan") if key in source}
            also = [name.format(**fields) for name in source.get("also", [])]
            found.append(source | filled | {"also": also})
    return tuple(found)


def check_file(file, card, content=None):
    """Raise a DataError where a file (or the content that is to become it) is not what the manifest says."""
    if file.column == "image":
        pixels = read_image(file.path, card.channels, content)
    else:
        pixels = read_mask(file.path, card.size or None, content).astype("uint8")
    if file.sha256 and pixel_sha256(pixels) != file.sha256:
        raise DataError(f"{file.path}: the pixels are not those of the manifest")
    if card.size and pixels.shape[:2] != tuple(card.size):
        raise DataError(f"{file.path} is {pixels.shape[:2]}, expected {tuple(card.size)} (H, W)")


def is_proven(file, card):
    """Say whether a file of a pack is there and is what the manifest says."""
    try:
        check_file(file, card)
    except DataError:
        return False
    return True


def missing_files(card, data_root):
    """Return the files of a pack that are not there or not what the manifest says."""
    if Path(data_root).exists() and not Path(data_root).is_dir():
        raise DataError(f"{data_root} is a file; give the folder below which data packs lie")
    files = pack_files(card, data_root)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return [
            file for file, good in zip(files, pool.map(lambda f: is_proven(f, card), files), strict=True) if not good
        ]


def put_file(file, card, content, origin):
    """Write a file of a pack, proven before it gets its name; `origin` says what it was made from."""
    try:
        check_file(file, card, content)
    except DataError as error:
        raise DataError(f"{origin} does not give the {file.relative} that the manifest has: {error}") from error
    with atomic_path(file.path) as temporary:
        temporary.write_bytes(content)


def write_terms(card, data_root):
    """Write the license, the citation and what was changed beside the images, where no such file is yet."""
    path = Path(data_root) / card.name / "LICENSE.txt"
    if path.exists():
        return
    lines = [
        f"DATA SET: {card.title}",
        f"HOME: {card.home}",
        f"LICENSE: {card.license}",
        f"CITE: {card.citation}",
    ]
    lines += [f"TAKEN FROM: {base}" for base in dict.fromkeys(s["base"] for s in card.sources if s.get("base"))]
    lines += [f"CHANGED: {card.changes}"] if card.changes else []
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def work_through(jobs, do, *, title, workers, progress):
    """Call do(origin, files) for every (origin, files) of `jobs` in a pool of threads.

    A job that raises a DataError does not stop the others until MOST_FAILURES have failed; one DataError at
    the end names the first and how many there were. What was finished stays.
    """
    failures, total = [], sum(len(files) for _, files in jobs)
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    with FileBar(title, total, shown=progress) as bar:
        futures = {pool.submit(do, origin, files): files for origin, files in jobs}
        try:
            for future in concurrent.futures.as_completed(futures):
                try:
                    future.result()
                    bar.advance(len(futures[future]))
                except DataError as error:
                    failures.append(str(error))
                    if len(failures) >= MOST_FAILURES:
                        break
        finally:
            pool.shutdown(cancel_futures=True)
    if failures:
        count = f"{len(failures)} original{'s' if len(failures) > 1 else ''} failed"
        raise DataError(f"{title}: {count}; what is finished is kept. The first: {failures[0]}")


class FileBar:
    """Shows how many files are done: a bar on a terminal, elsewhere a line at most every 30 seconds."""

    def __init__(self, title, total, *, shown):
        console = Console(file=sys.stderr, quiet=not shown)
        parts = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
        self.console, self.title, self.total, self.done = console, title, total, 0
        self.bar = Progress(*parts, console=console) if console.is_terminal and shown else None
        self.last_line = time.monotonic()

    def __enter__(self):
        """Start drawing."""
        if self.bar:
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=self.total)
        return self

    def __exit__(self, *error):
        """Stop drawing."""
        if self.bar:
            self.bar.stop()

    def advance(self, number):
        """Count files that are finished."""
        self.done += number
        if self.bar:
            self.bar.advance(self.task, number)
        elif self.done == self.total or time.monotonic() - self.last_line >= 30:
            self.console.print(f"{self.title}: {self.done} of {self.total} files", highlight=False)
            self.last_line = time.monotonic()
