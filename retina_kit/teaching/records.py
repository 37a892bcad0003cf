"""What a notebook keeps of a checked answer, so that it can be graded from the file alone, without running anything.

A check leaves its record next to its feedback, in the output of the cell, as JSON: the answer, the seeds of the run,
and the numbers of this run's tables that the exercise and its typical mistakes are about.
"""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from retina_kit.errors import KitError
from retina_kit.teaching.questions import Cell, Exercise, Results, as_number
from retina_kit.training.arm import Arm

ANSWER = "application/vnd.retina-kit.answer+json"  # the kind of output in which a notebook keeps a record
MOST_CHARACTERS = 2000  # of an answer that is not JSON data


class RunFacts(Results, Protocol):
    """An experiment that knows which run it is."""

    @property
    def paper(self) -> str:
        """The key of the paper."""

    @property
    def profile(self) -> str:
        """The profile: smoke, lesson or paper."""

    @property
    def data(self) -> str:
        """The data choice."""

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds of the run."""


def record_of(exercise: Exercise, answer: Any, run: RunFacts) -> dict[str, Any]:
    """Return the record of an answer as JSON data; numbers that this run does not have are left out."""
    return {
        "exercise": exercise.name,
        "answer": plain(answer),
        "paper": run.paper,
        "profile": run.profile,
        "data": run.data,
        "seeds": list(run.seeds),
        "numbers": [vars(cell) | {"value": value} for cell, value in numbers_of(exercise.cells(), run).items()],
    }


def plain(answer: Any) -> Any:
    """Return an answer as JSON data: a number, a text, or lists and tables of these; anything else as its text.

    >>> plain({"b", "a"}), plain(float("nan")), plain(object) == str(object)
    (['a', 'b'], 'nan', True)
    """
    number = as_number(answer)
    if number is not None:
        return number if math.isfinite(number) else str(number)
    if isinstance(answer, set | frozenset):
        answer = sorted(answer, key=str)
    try:
        return json.loads(json.dumps(answer, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        with contextlib.suppress(Exception):  # whatever the __str__ of an answer does; Python writes no huge integer
            return str(answer)[:MOST_CHARACTERS]
        return f"<{type(answer).__name__}>"


def numbers_of(cells: Sequence[Cell], run: Results) -> dict[Cell, float]:
    """Read cells of a run's tables, each table once; cells that the run does not have are left out."""
    tables: dict[str, pd.DataFrame] = {}
    found: dict[Cell, float] = {}
    for cell in cells:
        try:
            tables.setdefault(cell.table, run.table(cell.table) if cell.table not in tables else pd.DataFrame())
            value = cell.in_table(tables[cell.table])
        except KitError:
            continue
        if math.isfinite(value):
            found[cell] = value
    return found


@dataclass(frozen=True)
class RecordedRun:
    """The arms of an experiment, with recorded numbers in place of its tables."""

    experiment: Results
    numbers: Mapping[Cell, float]

    @property
    def arms(self) -> Sequence[Arm]:
        """The arms of the experiment."""
        return self.experiment.arms

    def arm(self, name: str) -> Arm:
        """Look up an arm by its name; raise UsageError if there is none."""
        return self.experiment.arm(name)

    def table(self, table_id: str) -> pd.DataFrame:
        """Return what was recorded of a table: one row per number."""
        rows = [vars(cell) | {cell.column: value} for cell, value in self.numbers.items() if cell.table == table_id]
        return pd.DataFrame(rows, columns=None if rows else ["arm", "metric"])


def read_numbers(record: Mapping[str, Any]) -> dict[Cell, float]:
    """Read the numbers of a record from elsewhere; what does not have the form of a number is left out."""
    found: dict[Cell, float] = {}
    numbers = record.get("numbers")
    for entry in numbers[:100] if isinstance(numbers, list) else []:
        if not isinstance(entry, dict):
            continue
        place = [entry.get(key) for key in ("table", "arm", "metric", "column")]
        value = as_number(entry.get("value"))
        if all(isinstance(name, str) for name in place) and value is not None and math.isfinite(value):
            found[Cell(*place)] = value  # type: ignore[arg-type]
    return found
