"""Printable pages of each session: the answer key, the lecturer's notes, and a handout of one page.

All are made from what the course has anyway: the exercises with their feedback, the course page, and the notebooks'
first cells and solutions.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat

from retina_kit.errors import DataError
from retina_kit.files import atomic_path
from retina_kit.reporting.export import markdown_page
from retina_kit.reporting.notebook import built_text, tags_of
from retina_kit.reporting.timing import time_of_paper
from retina_kit.teaching.exercises import Exercise, Notes, read_exercises, read_notes
from retina_kit.teaching.questions import ArmsQuestion, Cell, NamesQuestion, Source
from retina_kit.teaching.sessions import PART, CourseSession, read_schedule, read_sessions

LINES = "[space for %d lines]"  # becomes ruled lines to write on
STYLE = """
@page {size: A4; margin: 14mm 16mm}
.lines div {border-bottom: 1px solid #777; height: 2.1em} pre code {padding: 0; background: none}
@media print {body {margin: 0; padding: 0; max-width: none; font-size: 10pt; line-height: 1.35}
  h1 {font-size: 15pt; margin: 0 0 4pt}
  h2 {font-size: 11.5pt; margin: 8pt 0 2pt; padding-top: 3pt; border-top-width: 1px; break-after: avoid}
  p, ul, ol {margin: 3pt 0} li, tr {break-inside: avoid} table {font-size: 8.5pt} pre {white-space: pre-wrap}}
"""
VERDICTS = (
    "*Supported*: the whole 95 % interval of the difference is on the claimed side. *Not supported*: it is on the "
    "other side. *Inconclusive*: neither. *Not tested*: a network of the claim was not trained."
)


def write_pages(sources: Mapping[str, Path], output: str | Path) -> list[Path]:
    """Write key_NN.html, notes_NN.html and handout_NN.html below a folder, for each session; return the paths.

    `sources` maps each paper to its notebook's percent script. A session without a notebook has notes only.
    """
    by_number = {path.stem[:2]: (paper, path) for paper, path in sources.items()}
    pages = {}
    for session in read_sessions():
        number = f"{session.number:02}"
        paper, source = by_number.get(session.notebook, ("", None))
        pages[f"notes_{number}"] = notes_page(session, paper)
        if source:
            pages[f"key_{number}"] = key_page(session, paper, solutions_of(source))
            pages[f"handout_{number}"] = handout_page(session, paper, opening_of(source))
    written = []
    for name, (title, text) in pages.items():
        page = markdown_page(text, title).replace("</style>", f"{STYLE}</style>", 1)
        ruled = re.sub(r"<p>\[space for (\d) lines\]</p>", lambda m: _ruled(int(m[1])), page)
        with atomic_path(Path(output) / f"{name}.html") as path:
            path.write_text(ruled, encoding="utf-8")
        written.append(Path(output) / f"{name}.html")
    return written


def key_page(session: CourseSession, paper: str, solutions: Sequence[str]) -> tuple[str, str]:
    """Return title and Markdown of the answer key: right answers, why, and what typical wrong ones show."""
    title = f"Answer key, session {session.number}: {session.title}"
    lines = [f"# {title}", "For lecturers. A number of *this run* differs from student to student, with the seed."]
    for number, (exercise, code) in enumerate(zip(read_exercises(paper), solutions, strict=True), start=1):
        lines += [
            f"## {number} · {exercise.asks}",
            f"**Answer.** {right_answer(exercise)}",
            f"**Why.** {exercise.because}",
        ]
        lines += [f"**Hint that students see.** {exercise.hint}", f"    {code.replace(chr(10), chr(10) + '    ')}"]
        wrong = [f"| {answer} | {feedback} |" for answer, feedback in wrong_answers(exercise)]
        lines += ["\n".join(["| a student who answers | gets to read |", "|---|---|", *wrong])] if wrong else []
    return title, "\n\n".join(lines)


def right_answer(exercise: Exercise) -> str:
    """Describe the right answer of an exercise in one line of Markdown.

    >>> words = {"name": "q", "asks": "?", "hint": "", "because": ""}
    >>> right_answer(NamesQuestion(**words, kind="names", right=("fcn",)))
    '`fcn`'
    """
    if isinstance(exercise, NamesQuestion):
        return ", ".join(f"`{name}`" for name in exercise.right)
    if isinstance(exercise, ArmsQuestion):
        rules = (f"like `{rule.like}`, with {_changes(rule.change)}" for rule in exercise.arm)
        return "; then ".join(rules)
    return f"{_number(exercise)}, ± {exercise.tolerance:g}"


def wrong_answers(exercise: Exercise) -> list[tuple[str, str]]:
    """List (answer, feedback) of the typical mistakes of an exercise."""
    if isinstance(exercise, NamesQuestion):
        found = [(f"`{name}`", says) for name, says in exercise.wrong.items()]
        return found + ([("some of them", exercise.missing)] if exercise.missing else [])
    if isinstance(exercise, ArmsQuestion):
        return [(f"another arm than one like `{rule.like}`", rule.says) for rule in exercise.arm]
    return [(_number(mistake), mistake.says) for mistake in exercise.mistake]


def notes_page(session: CourseSession, paper: str) -> tuple[str, str]:
    """Return title and Markdown of the lecturer's notes: points to make, questions, expected answers, and the timing.

    Raises DataError if the course page asks another number of questions than the notes answer.
    """
    title = f"Lecturer's notes, session {session.number}: {session.title}"
    notes = read_notes(paper) if paper else Notes()
    lines = [f"# {title}"]
    lines += [f"**{name}.** {text}" for name, text in session.parts.items() if name != "Discuss"]
    if paper:
        time = time_of_paper(paper)
        lines += ["## When", read_schedule(), *([f"**How long it takes.** {time}"] if time else [])]
        lines += ["## Points to make", "\n".join(f"- {point}" for point in notes.points)]
        lines += ["## Ask, and what to expect", *_discussion(session, notes)]
        asked = [f"- {e.asks} **{right_answer(e)}** {e.because}" for e in read_exercises(paper)]
        lines += ["## Exercises in one line each", "\n".join(asked)]
        lines += ["## The guess of minute 10", "Ask at the end: who was wrong, and which control changed your mind?"]
    return title, "\n\n".join(lines)


def _discussion(session: CourseSession, notes: Notes) -> list[str]:
    """Return each question with its expected answer."""
    if len(notes.answers) != len(session.questions):
        asked, answered = len(session.questions), len(notes.answers)
        raise DataError(
            f"session {session.number}: the course page asks {asked} questions, the notes answer {answered}"
        )
    pairs = zip(session.questions, notes.answers, strict=True)
    return [f"**{number}. {question}** {answer}" for number, (question, answer) in enumerate(pairs, start=1)]


def handout_page(session: CourseSession, paper: str, opening: Mapping[str, str]) -> tuple[str, str]:
    """Return title and Markdown of the students' handout, without any answer; printed, it is one page of A4."""
    title = f"Session {session.number}: {session.title}"
    lines = [f"# {title}"]
    lines += [f"**{name}.** {text}" for name, text in opening.items() if name in ("The question", "The claim")]
    lines += ["## Your guess, before any result", opening.get("Your guess, before any result", ""), LINES % 3]
    lines += ["## You will learn to", "\n".join(f"- {goal}" for goal in _sentences(session.parts["Goals"]))]
    lines += ["## Reading a result", "Dice = 2 TP / (2 TP + FP + FN), from counts of pixels. " + VERDICTS]
    questions = [f"{number}. {e.asks}" for number, e in enumerate(read_exercises(paper), start=1)]
    lines += ["## Exercises", "\n".join(questions)]
    lines += ["## At the end: what did the control show, and what would change your mind?", LINES % 3]
    return title, "\n\n".join(lines)


def opening_of(source: Path) -> dict[str, str]:
    """Return the paragraphs before the first section by name: {"The question": ..., "The claim": ...}."""
    cells = nbformat.reads(built_text(source), as_version=4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    opening = itertools.takewhile(lambda text: not text.startswith("## "), texts)
    return {name: " ".join(words.split()) for name, words in PART.findall("\n\n".join([*opening, ""]))}


def solutions_of(source: Path) -> list[str]:
    """Return the code of a notebook's solutions, in their order."""
    cells = nbformat.reads(built_text(source, solutions=True), as_version=4).cells
    return [cell.source for cell in cells if "solution" in tags_of(cell)]


def _number(source: Source) -> str:
    """Describe a number: a value, or a cell of this run's tables minus another."""
    if source.of is None:
        return f"{source.value:g}"
    text = _place(source.of) + (f" minus {_place(source.minus)}" if source.minus else "")
    return f"in *this run*, {text}" + (f", times {source.factor:g}" if source.factor != 1 else "")


def _place(cell: Cell) -> str:
    return f"`{cell.arm}` ({cell.table}, {cell.metric})"


def _changes(change: Mapping[str, tuple]) -> str:
    """Describe what a designed arm may change."""
    special = {"previous": "the arm before", "sum": "the sum of both arms' steps"}
    return ", ".join(
        f"`{setting}` = {' or '.join(special.get(str(value), f'`{value}`') for value in values)}"
        for setting, values in change.items()
    )


def _sentences(text: str) -> list[str]:
    """Split a text into its sentences.

    >>> _sentences("Read a ±. Vary a gap.")
    ['Read a ±.', 'Vary a gap.']
    """
    return [sentence for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z*])", text.strip()) if sentence]


def _ruled(count: int) -> str:
    """Return ruled lines to write on."""
    return f'<div class="lines">{"<div></div>" * count}</div>'
