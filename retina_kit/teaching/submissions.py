"""Reads submitted notebooks: hostile input, of which nothing is ever executed.

An answer is what an exercise's cell passes to its check, if that is a literal, or else what the check recorded in the
cell's output when the student ran it (see records). Sizes are bounded, links are not followed, archives are read in
memory.
"""

import ast
import json
import os
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from retina_kit.errors import DataError
from retina_kit.files import UNREADABLE_ZIP
from retina_kit.teaching.questions import Cell
from retina_kit.teaching.records import ANSWER, plain, read_numbers

MOST_BYTES = 64 * 2**20  # of one notebook; an executed one has a few MiB
MOST_FILES = 5000
MOST_CODE = 20_000  # characters of a cell that are parsed
# such as 01_localize_then_segment_hu2018
KIT_NOTEBOOK = re.compile(r"(?<![A-Za-z0-9])[0-9]{2}_(?:[a-z][a-z0-9_]*_)?[a-z]+[0-9]{4}")
CODE_ERRORS = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)  # what ast raises for odd code


@dataclass(frozen=True)
class Answer:
    """A submitted answer as JSON data, where it was found, and the numbers that its record has."""

    value: Any
    source: str  # "cell": a literal; "record": the check's record
    numbers: Mapping[Cell, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Submission:
    """A submitted notebook: whose, of which paper, run with which seeds, and its answers by exercise."""

    place: str
    student: str
    paper: str
    made_for: str
    seeds: tuple[int, ...]
    profile: str
    answers: Mapping[str, Answer]
    changed: bool = False  # other data, or settings that differ from the profile's: it is not the lecturer's run

    @property
    def numbers(self) -> dict[Cell, float]:
        """All numbers of the run that its answers' records have."""
        return {cell: value for answer in self.answers.values() for cell, value in answer.numbers.items()}


def collect(
    folder: str | Path, students: Collection[str], exercises: Mapping[str, Collection[str]]
) -> tuple[list[Submission], list[str]]:
    """Read every notebook below a folder, also inside zip files; return the submissions and what was wrong with others.

    `students` are the ids of the class, `exercises` maps each paper to the names of its exercises. A notebook belongs
    to the student whose id is in its path (`s01/...`, `Name_s01_file.ipynb`); failing that, to the one for whom it was
    made. A path that names two students is a problem. Of several notebooks of a student and a paper, the one with most
    answers counts.
    """
    if not Path(folder).is_dir():
        raise DataError(f"{folder} is not a folder of submissions")
    found: dict[tuple[str, str], Submission] = {}
    problems: list[str] = []
    for place, content in notebooks_below(Path(folder), problems):
        try:
            submission = read_submission(place, content, students, exercises)
        except DataError as error:
            problems.append(str(error))
            continue
        key = (submission.student, submission.paper)
        if key in found:
            problems.append(f"{place}: another notebook of {key[0]} on {key[1]}; the one with more answers counts")
        if key not in found or len(submission.answers) > len(found[key].answers):
            found[key] = submission
    return list(found.values()), problems


def notebooks_below(folder: Path, problems: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (path below the folder, content) of every notebook; what is too large or damaged is added to `problems`."""
    count = 0

    def report(error: OSError) -> None:
        problems.append(f"{error.filename}: cannot be read ({error.strerror})")

    for parent, folders, names in os.walk(folder, onerror=report):  # does not follow links to folders
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            path, place = Path(parent) / name, (Path(parent) / name).relative_to(folder).as_posix()
            if path.suffix.lower() not in (".ipynb", ".zip") or name.startswith(".") or path.is_symlink():
                continue
            count += 1
            if count > MOST_FILES:
                raise DataError(f"{folder} holds more than {MOST_FILES} notebooks and archives; grade it in parts")
            if path.suffix.lower() == ".zip":
                yield from _in_archive(path, place, problems)
            else:
                yield from _in_file(path, place, problems)


def _in_file(path: Path, place: str, problems: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the content of a notebook, unless it is too large or cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            problems.append(f"{place}: larger than {MOST_BYTES // 2**20} MiB, or no file; not read")
            return
        content = path.read_bytes()
    except OSError as error:
        problems.append(f"{place}: cannot be read ({error.strerror})")
        return
    yield place, content


def _in_archive(path: Path, place: str, problems: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the notebooks of a zip file, read in memory and bounded, whatever the archive declares."""
    try:
        with zipfile.ZipFile(path) as archive:
            inner = [info.filename for info in archive.infolist() if info.filename.lower().endswith(".zip")]
            problems += [f"{place}/{name}: an archive in an archive; unpack the outer one first" for name in inner]
            names = [info for info in archive.infolist() if info.filename.lower().endswith(".ipynb")]
            left = MOST_BYTES
            for info in names[:MOST_FILES]:
                if PurePosixPath(info.filename).name.startswith(".") or "__MACOSX" in info.filename:
                    continue
                with archive.open(info) as opened:
                    content = opened.read(left + 1)
                left -= len(content)
                if left < 0:
                    problems.append(f"{place}: unpacks to more than {MOST_BYTES // 2**20} MiB; the rest is not read")
                    return
                yield f"{place}/{info.filename}", content
    except (*UNREADABLE_ZIP, OSError) as error:
        problems.append(f"{place}: damaged or encrypted archive ({error})")


def read_submission(
    place: str, content: bytes, students: Collection[str], exercises: Mapping[str, Collection[str]]
) -> Submission:
    """Read one notebook; DataError if it is none, or if its student or paper is not known."""
    notebook = _parsed(place, content)
    cells = [cell for cell in notebook["cells"] if isinstance(cell, dict)]
    made = _dict(_dict(notebook.get("metadata")).get("retina_kit"))
    made_for = str(made.get("student", ""))[:64]
    student = owner_of(place, students) or (made_for if made_for in students else "")
    if not student:
        raise DataError(f"{place}: no student of the class is in its path, and it was made for nobody in the class")
    paper = next((key for key in exercises if key in PurePosixPath(place).name), "") or str(made.get("paper", ""))
    if paper not in exercises:
        raise DataError(f"{place}: neither its name nor its metadata names one of {', '.join(exercises)}")
    records = [record for cell in cells for record in _records(cell) if record.get("paper") == paper]
    settings = _parameters(cells)
    seeds = next((record["seeds"] for record in reversed(records) if _is_seeds(record.get("seeds"))), None)
    profile = next((record["profile"] for record in records if isinstance(record.get("profile"), str)), None)
    found = {name: answer for cell in cells for name, answer in _answers(cell, exercises[paper])}
    seeds = seeds or (settings.get("seeds") if _is_seeds(settings.get("seeds")) else None)
    return Submission(
        place=place,
        student=student,
        paper=paper,
        made_for=made_for,
        seeds=tuple(seeds or ()),
        profile=str(profile or settings.get("profile", "")),
        answers=found,
        changed=bool(settings.get("overrides")) or settings.get("data", "synthetic") != "synthetic",
    )


def students_in(part: str, students: Collection[str]) -> set[str]:
    """Return the students whose ids a part of a path is, or has in it, standing for themselves.

    The name of the kit's own notebook is left out: its 01 is nobody's id. What is in front of it counts.

    >>> students_in("Ann Lee_s01_file", ["s0", "s01"]), students_in("01_localize_then_segment_hu2018.ipynb", ["01"])
    ({'s01'}, set())
    >>> students_in("s02_01_localize_then_segment_hu2018.ipynb", ["s01", "s02"]), students_in("02_01_hu2018", ["02"])
    ({'s02'}, {'02'})
    """
    text = re.sub(r"\.(ipynb|zip)$", "", part, flags=re.IGNORECASE)
    if text in students:
        return {text}
    text = KIT_NOTEBOOK.sub("", text)
    inside = {s for s in students if re.search(rf"(?<![A-Za-z0-9]){re.escape(s)}(?![A-Za-z0-9])", text)}
    return {s for s in inside if not any(s != other and s in other for other in inside)}


def owner_of(place: str, students: Collection[str]) -> str:
    """Return the student whose id is in a path, "" if there is none; DataError if it names several students.

    So nobody hands in under another's name: what a student calls a file inside the own folder decides nothing.

    >>> owner_of("class.zip/s02/01.ipynb", ["s01", "s02"]), owner_of("s01.zip/01.ipynb", ["s01", "s02"])
    ('s02', 's01')
    """
    named = set[str]().union(*(students_in(part, students) for part in PurePosixPath(place).parts))
    if len(named) > 1:
        raise DataError(f"{place}: its path names several students ({', '.join(sorted(named))}); not graded")
    return next(iter(named), "")


def _parsed(place: str, content: bytes) -> dict[str, Any]:
    """Parse the JSON of a notebook."""
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not a notebook ({type(error).__name__})") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise DataError(f"{place}: not a notebook of format 4: it has no list of cells")
    return notebook


def _answers(cell: dict[str, Any], names: Collection[str]) -> Iterator[tuple[str, Answer]]:
    """Yield the answers of a code cell: the literal that it passes to a check, or what the check recorded.

    Of a cell that cannot be parsed, the records count.
    """
    records = {str(record.get("exercise")): record for record in _records(cell)}
    checks = _checks(_source(cell), names) if cell.get("cell_type") == "code" else []
    if checks is None:
        recorded = {name: record for name, record in records.items() if name in names and "answer" in record}
        yield from ((name, Answer(r["answer"], "record", read_numbers(r))) for name, r in recorded.items())
    for name, argument in checks or []:
        record = _dict(records.get(name))
        numbers = read_numbers(record)
        try:
            literal = ast.literal_eval(argument)
        except CODE_ERRORS:
            if "answer" in record:
                yield name, Answer(record["answer"], "record", numbers)
            continue
        if literal is not ... and literal is not None:
            yield name, Answer(plain(literal), "cell", numbers)


def _checks(code: str, names: Collection[str]) -> list[tuple[str, ast.expr]] | None:
    """List (exercise, the argument) of each `check.<exercise>(argument)` of a cell's code, which is only parsed.

    None for code that is none. Lines of IPython alone, such as `%time` and `check.gain?`, are left out.
    """
    lines = code[:MOST_CODE].splitlines()
    plain_lines = [line for line in lines if not (line.lstrip().startswith(("%", "!", "?")) or line.endswith("?"))]
    try:
        nodes = list(ast.walk(ast.parse("\n".join(plain_lines))))
    except CODE_ERRORS:
        return None
    found = []
    for node in nodes:
        match node:
            case ast.Call(ast.Attribute(ast.Name("check") | ast.Attribute(attr="check"), name), places, keywords):
                given = [*places, *(keyword.value for keyword in keywords if keyword.arg == "answer")]
                if name in names and len(given) == 1 == len(places) + len(keywords):
                    found.append((name, given[0]))
    return found


def _records(cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the records in a cell's outputs."""
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        record = _dict(_dict(output).get("data")).get(ANSWER)
        if isinstance(record, dict):
            yield record


def _parameters(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Read the literals of the cell tagged `parameters`."""
    found: dict[str, Any] = {}
    for cell in cells:
        tags = _dict(cell.get("metadata")).get("tags")
        if not isinstance(tags, list) or not {"parameters", "injected-parameters"} & {str(tag) for tag in tags}:
            continue
        try:
            for node in ast.parse(_source(cell)[:MOST_CODE]).body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    found[node.targets[0].id] = ast.literal_eval(node.value)
        except CODE_ERRORS:
            continue
    return found


def _source(cell: dict[str, Any]) -> str:
    """Return the text of a cell, which is one text or a list of lines."""
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _dict(value: Any) -> dict[str, Any]:
    """Return a dict as it is, and an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def _is_seeds(value: Any) -> bool:
    """Tell whether a value is a short list of whole numbers."""
    return isinstance(value, list) and 0 < len(value) < 100 and all(type(seed) is int for seed in value)
