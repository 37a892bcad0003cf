"""The files of a pack: what each is made from, and how it is verified and written."""

import concurrent.futures
import dataclasses
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from retina_kit.data.card import Card, Source
from retina_kit.data.manifest import read_manifest
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.errors import DataError
from retina_kit.files import atomic_path

MAX_FAILURES = 5  # after this many originals that failed, the others are not tried
SECONDS_BETWEEN_LINES = 30  # of progress in a log file

Origin = TypeVar("Origin")


@dataclass(frozen=True)
class PackFile:
    """One file of a pack: where it goes, what its pixels must be, and what it can be made from."""

    path: Path
    relative: str  # its path inside the pack
    column: str  # "image" or "mask_<name>"
    sha256: str  # of the decoded pixels; "" if the manifest does not have it
    sources: tuple[Source, ...]  # the card's sources of this column, their templates filled from the row


Wanted = list[tuple[PackFile, Source]]  # the files that are made from one original


def pack_files(card: Card, data_root: str | Path) -> list[PackFile]:
    """List the files of a pack, in the order of its manifest."""
    columns = ["image", *[f"mask_{name}" for name in card.masks]]
    files = []
    for position, row in enumerate(read_manifest(card.name, data_root).to_dict("records")):
        for column in columns:
            if row[column]:
                path = Path(data_root) / card.name / row[column]
                sources = sources_of(card, column, row, position)
                files.append(PackFile(path, row[column], column, row[f"{column}_sha256"], sources))
    return files


def sources_of(card: Card, column: str, row: dict[Any, Any], position: int) -> tuple[Source, ...]:
    """The sources that a row's file of this column can be made from, their templates filled."""
    fields = row | {"row": position, "number": (re.findall(r"\d+", row["id"]) or [""])[-1]}
    found = []
    for source in card.sources:
        if source.of == column and all(str(row[key]) == value for key, value in source.where.items()):
            filled = {key: text.format(**fields) for key in ("file", "scan") if (text := getattr(source, key))}
            also = tuple(name.format(**fields) for name in source.also)
            found.append(dataclasses.replace(source, also=also, **filled))
    return tuple(found)


def check_file(file: PackFile, card: Card, content: bytes | None = None) -> None:
    """Raise DataError unless a file (or the content that is to become it) is what the manifest lists."""
    if file.column == "image":
        pixels = read_image(file.path, card.channels, content)
    else:
        pixels = read_mask(file.path, card.size, content).astype("uint8")
    if file.sha256 and pixel_sha256(pixels) != file.sha256:
        raise DataError(f"{file.path}: the pixels are not those of the manifest")
    if card.size and pixels.shape[:2] != card.size:
        raise DataError(f"{file.path} is {pixels.shape[:2]}, expected {card.size} (H, W)")


def is_verified(file: PackFile, card: Card) -> bool:
    """Tell whether a file of a pack is there and is what the manifest lists."""
    try:
        check_file(file, card)
    except DataError:
        return False
    return True


def missing_files(card: Card, data_root: str | Path) -> list[PackFile]:
    """List the files of a pack that are not there or not what the manifest lists."""
    if Path(data_root).exists() and not Path(data_root).is_dir():
        raise DataError(f"{data_root} is a file; give the folder of the data sets")
    files = pack_files(card, data_root)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        verified = pool.map(lambda file: is_verified(file, card), files)
        return [file for file, good in zip(files, verified, strict=True) if not good]


def put_file(file: PackFile, card: Card, content: bytes, origin: str) -> None:
    """Verify the content of a file of a pack, then write it; `origin` names what it was made from."""
    try:
        check_file(file, card, content)
    except DataError as error:
        raise DataError(f"{origin} does not give the {file.relative} of the manifest: {error}") from error
    with atomic_path(file.path) as temporary:
        temporary.write_bytes(content)


def write_terms(card: Card, data_root: str | Path) -> None:
    """Write the license, the citation and what was changed next to the images, unless there is such a file."""
    path = Path(data_root) / card.name / "LICENSE.txt"
    if path.exists():
        return
    lines = [
        f"DATA SET: {card.title}",
        f"HOME: {card.home}",
        f"LICENSE: {card.license}",
        f"CITE: {card.citation}",
    ]
    lines += [f"TAKEN FROM: {base}" for base in dict.fromkeys(source.base for source in card.sources if source.base)]
    lines += [f"CHANGED: {card.changes}"] if card.changes else []
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def work_through(
    jobs: Iterable[tuple[Origin, Wanted]],
    do: Callable[[Origin, Wanted], None],
    *,
    title: str,
    workers: int,
    progress: bool,
) -> None:
    """Call do(origin, files) for every job in a pool of threads.

    A job that raises a DataError does not stop the others until MAX_FAILURES have failed; one DataError at
    the end names the first and how many there were. What was finished is kept.
    """
    jobs, failures = list(jobs), []
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    with FileBar(title, sum(len(files) for _, files in jobs), shown=progress) as bar:
        futures = {pool.submit(do, origin, files): files for origin, files in jobs}
        try:
            for future in concurrent.futures.as_completed(futures):
                try:
                    future.result()
                    bar.advance(len(futures[future]))
                except DataError as error:
                    failures.append(str(error))
                    if len(failures) >= MAX_FAILURES:
                        break
        finally:
            pool.shutdown(cancel_futures=True)
    if failures:
        count = f"{len(failures)} original{'s' if len(failures) > 1 else ''} failed"
        raise DataError(f"{title}: {count}; finished files are kept. The first: {failures[0]}")


class FileBar:
    """Shows how many files are done: a bar on a terminal, elsewhere a line every 30 seconds at most."""

    def __init__(self, title: str, total: int, *, shown: bool) -> None:
        console = Console(file=sys.stderr, quiet=not shown)
        parts = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
        self.console, self.title, self.total, self.done = console, title, total, 0
        self.bar = Progress(*parts, console=console) if console.is_terminal and shown else None
        self.last_line = time.monotonic()

    def __enter__(self) -> "FileBar":
        """Show the bar."""
        if self.bar:
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=self.total)
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it is."""
        if self.bar:
            self.bar.stop()

    def advance(self, number: int) -> None:
        """Count files that are finished."""
        self.done += number
        if self.bar:
            self.bar.advance(self.task, number)
        elif self.done == self.total or time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self.console.print(f"{self.title}: {self.done} of {self.total} files", highlight=False)
            self.last_line = time.monotonic()
