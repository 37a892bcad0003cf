"""Exercises with automatic checks: questions, answers and typical mistakes are in notebooks/exercises/<paper>.toml.

A check never raises an error over an answer: it tells the student what is right, or what is not and why. A number that
depends on the run is read from this run's own tables.
"""

import html
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic.dataclasses import dataclass as settings

from retina_kit.errors import UsageError, unknown_name
from retina_kit.files import kit_root
from retina_kit.schema import STRICT, Names, parse
from retina_kit.teaching.questions import KINDS, Exercise
from retina_kit.teaching.records import ANSWER, RunFacts, record_of


@dataclass(frozen=True)
class Outcome:
    """The feedback on an answer, and its record for grading (see records).

    >>> Outcome(False, "Not yet.", hint="Look at table1.")
    Not yet. Hint: Look at table1.
    """

    passed: bool
    message: str
    hint: str = ""
    record: dict[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        """The message as text, with the hint if the answer is not right yet."""
        return self.message if self.passed or not self.hint else f"{self.message} Hint: {self.hint}"

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The record, which the notebook keeps next to what it shows."""
        return {ANSWER: self.record} if self.record else {}

    def _repr_html_(self) -> str:
        """The message in a box, the hint folded."""
        color = "#009E73" if self.passed else "#D55E00"
        box = f"<div style='border-left:4px solid {color}; padding:4px 10px'>{html.escape(self.message)}"
        hint = f"<details><summary>hint</summary>{html.escape(self.hint)}</details>" if self.hint else ""
        return f"{box}{'' if self.passed else hint}</div>"


class Lesson(RunFacts, Protocol):
    """An experiment with exercises."""

    @property
    def exercises_file(self) -> Path:
        """The file of the exercises; it need not exist."""


class Checks:
    """The checks of one experiment's exercises: `check.<name>(answer)`."""

    def __init__(self, experiment: Lesson) -> None:
        self.experiment = experiment
        self.exercises = {exercise.name: exercise for exercise in read_exercises(experiment.exercises_file)}
        self.solved: set[str] = set()

    def __getattr__(self, name: str) -> "Check":
        """Return the check of that name."""
        if name.startswith("_") or name in ("experiment", "exercises", "solved"):
            raise AttributeError(name)
        if name not in self.exercises:
            raise unknown_name("exercise", name, self.exercises)
        return Check(self.exercises[name], self)

    def __dir__(self) -> list[str]:
        """The names of the exercises, for completion with Tab."""
        return list(self.exercises)


class Check:
    """One exercise: call it with an answer."""

    def __init__(self, exercise: Exercise, checks: Checks) -> None:
        self.exercise, self.checks = exercise, checks

    def __repr__(self) -> str:
        """The question, and how to answer it."""
        return f"{self.exercise.asks} Answer with check.{self.exercise.name}(...)"

    def __call__(self, answer: Any = ...) -> Outcome:
        """Return the feedback on an answer."""
        if answer is ... or answer is None:
            return Outcome(False, f"No answer yet. {self.exercise.asks}", self.exercise.hint)
        problem = self.exercise.problem(answer, self.checks.experiment)
        record = record_of(self.exercise, answer, self.checks.experiment)
        if problem:
            return Outcome(False, f"Not yet. {problem}", self.exercise.hint, record)
        self.checks.solved.add(self.exercise.name)
        progress = f"({len(self.checks.solved)} of {len(self.checks.exercises)} solved.)"
        return Outcome(True, f"Right. {self.exercise.explanation(self.checks.experiment)} {progress}", record=record)


@settings(frozen=True, config=STRICT)
class Notes:
    """The points a lecturer makes in a session, and the expected answers to its questions, in their order."""

    points: Names = ()
    answers: Names = ()


@settings(frozen=True, config=STRICT)
class ExerciseFile:
    """The content of notebooks/exercises/<paper>.toml."""

    exercise: tuple[dict[str, Any], ...]
    notes: Notes = Notes()


def read_exercises(paper: str | Path) -> list[Exercise]:
    """Read the exercises of a paper, in their order; none if it has no file.

    `paper` is the key of a paper of the kit, or the path of a TOML file.
    Raises UsageError, with the closest known name, for anything in the file that is not known or does not fit.
    """
    path = _path_of(paper)
    content = _read_file(path)
    exercises = [parse_exercise(entry, path.name) for entry in content.exercise]
    for name, count in Counter(exercise.name for exercise in exercises).items():
        if count > 1:
            raise UsageError(f"{path.name}: {count} exercises are called {name!r}")
    return exercises


def read_notes(paper: str | Path) -> Notes:
    """Read the lecturer's notes of a paper, from the file of its exercises; empty if there are none."""
    return _read_file(_path_of(paper)).notes


def _path_of(paper: str | Path) -> Path:
    """Return the path of a paper's exercises: the paper is a key, or the path itself."""
    path = Path(paper)
    return path if path.suffix == ".toml" else kit_root() / "notebooks" / "exercises" / f"{paper}.toml"


def _read_file(path: Path) -> ExerciseFile:
    """Read a file of exercises; an empty one if there is no file."""
    if not path.is_file():
        return ExerciseFile(exercise=())
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # invalid TOML or UTF-8, an endless number, endless nesting
        raise UsageError(f"{path.name}: {error}") from error
    return parse(ExerciseFile, content, path.name)


def parse_exercise(entry: dict[str, Any], where: str) -> Exercise:
    """Check one [[exercise]] entry by its kind; raise UsageError, with `where` and its name, if it does not fit."""
    where = f"{where}, exercise {entry.get('name')}"
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise UsageError(f"{where}: {unknown_name('kind of exercise', kind, KINDS)}")
    return parse(KINDS[kind], entry, where)
