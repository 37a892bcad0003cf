"""A notebook per student: the seed follows from the student's id, so that a copied number shows."""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from retina_kit.errors import DataError, UsageError
from retina_kit.files import atomic_path
from retina_kit.reporting.notebook import built_text, tags_of

STUDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")  # also the name of a folder
SEEDS = re.compile(r"^seeds = None\b.*$", re.MULTILINE)
ROSTER = "variants.csv"


@dataclass(frozen=True)
class Student:
    """A student of the class, with the seed of the variant."""

    id: str
    seed: int


def seed_of(student: str, course: str = "") -> int:
    """Derive a student's seed, of six digits, from the id and the name of the course.

    >>> seed_of("s01"), seed_of("s01", "spring 2027") == seed_of("s01")
    (927268, False)
    """
    digest = hashlib.sha256(f"{course}/{student}".encode()).digest()
    return 100_000 + int.from_bytes(digest[:8], "big") % 900_000


def read_students(file: str | Path, course: str = "") -> list[Student]:
    """Read the ids of a class from a CSV file with a column `student`; a column `seed`, if there is one, is taken.

    Raises DataError for a file that cannot be read, an id that cannot name a folder or occurs twice, and for two
    students with the same seed.
    """
    path = Path(file)
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not rows or "student" not in rows[0]:
        raise DataError(f"{path} needs a header line with the column `student`, and a line per student")
    ids = [(row["student"] or "").strip() for row in rows]
    for student in ids:
        if not STUDENT.fullmatch(student) or student.endswith("."):
            raise DataError(f"{path}: {student!r} is not a valid id; use up to 64 letters, digits, and . _ @ -")
    given = [row.get("seed") for row in rows]
    if any(seed and not re.fullmatch(r"\d{1,9}", seed) for seed in given):
        raise DataError(f"{path}: a seed is a whole number of up to nine digits")
    students = [Student(id, int(seed) if seed else seed_of(id, course)) for id, seed in zip(ids, given, strict=True)]
    _check_unique([student.id.casefold() for student in students], f"{path}: the student")
    _check_unique([student.seed for student in students], f"{path}: choose another --course; the seed")
    return students


def _check_unique(values: Sequence[object], what: str) -> None:
    """Raise DataError if a value occurs twice."""
    value, count = Counter(values).most_common(1)[0]
    if count > 1:
        raise DataError(f"{what} {value} occurs {count} times")


def build_variants(students: Sequence[Student], sources: Mapping[str, Path], output: str | Path) -> list[Path]:
    """Write <output>/<student>/<notebook>.ipynb for every student, and variants.csv for the lecturer; return the paths.

    `sources` maps each paper to its notebook's percent script. Solutions are left out.
    """
    folder = Path(output)
    texts = {paper: (source.stem, built_text(source)) for paper, source in sources.items()}
    written = []
    for student in students:
        for paper, (stem, text) in texts.items():
            with atomic_path(folder / student.id / f"{stem}.ipynb") as path:
                path.write_text(variant_text(text, student, paper), encoding="utf-8")
            written.append(folder / student.id / f"{stem}.ipynb")
    with atomic_path(folder / ROSTER) as path:
        lines = ["student,seed", *(f"{student.id},{student.seed}" for student in students)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


def variant_text(text: str, student: Student, paper: str) -> str:
    """Set the seeds of a notebook to a student's, and note for whom it was made in its metadata."""
    notebook = nbformat.reads(text, as_version=4)
    set_here = 0
    for cell in notebook.cells:
        if "parameters" in tags_of(cell):
            line = f"seeds = [{student.seed}]  # yours: it follows from your id, {student.id}"
            cell.source, count = SEEDS.subn(line, cell.source)
            set_here += count
    if set_here != 1:
        raise UsageError(f"the notebook of {paper} must have one line `seeds = None` in its parameters, not {set_here}")
    notebook.metadata["retina_kit"] = {"student": student.id, "seed": student.seed, "paper": paper}
    return nbformat.writes(notebook) + "\n"
