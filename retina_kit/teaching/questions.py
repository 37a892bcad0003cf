"""The three kinds of exercises: which names, which number, which arms. Each finds what is wrong with an answer."""

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, Protocol, Self

import numpy as np
import pandas as pd
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from retina_kit.errors import KitError, UsageError, did_you_mean
from retina_kit.reporting.tables import differing_settings, flattened
from retina_kit.schema import STRICT, Names, parse, to_json
from retina_kit.training.arm import Arm


class Results(Protocol):
    """What an exercise reads from an experiment: its arms, and the tables of this run."""

    @property
    def arms(self) -> Sequence[Arm]:
        """The arms of the experiment."""

    def arm(self, name: str) -> Arm:
        """Look up an arm by its name; raise UsageError if there is none."""

    def table(self, table_id: str) -> pd.DataFrame:
        """Return a tidy table of this run."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Question:
    """What all exercises have: `asks` is the question, `because` the explanation of the right answer."""

    name: str
    asks: str
    hint: str
    because: str

    def explanation(self, results: Results) -> str:
        """Explain the right answer."""
        return self.because

    def cells(self) -> list["Cell"]:
        """List the cells of a run's tables on which the feedback depends."""
        return []


@dataclass(frozen=True, config=STRICT, kw_only=True)
class NamesQuestion(Question):
    """A question whose answer is a name or a set of names.

    `wrong` explains some wrong names, `missing` is the feedback on an incomplete set.

    >>> question = NamesQuestion(name="q", kind="names", asks="?", hint="", because="", right="fcn", wrong={"a": "No."})
    >>> [question.problem(answer, None) for answer in ("fcn", "a", "b")]
    ['', 'No.', "'b' does not belong here."]
    """

    kind: Literal["names"]
    right: Names
    wrong: dict[str, str] = field(default_factory=dict)
    missing: str = ""

    def problem(self, answer: Any, results: Results | None) -> str:
        """Tell what is wrong with an answer, "" if it is right."""
        answer = {answer} if isinstance(answer, str) else answer
        if not isinstance(answer, set | frozenset | list | tuple) or not all(isinstance(item, str) for item in answer):
            return 'Give a name, or a set of names such as {"one", "another"}.'
        for name in sorted(set(answer) - set(self.right)):
            return self.wrong.get(name) or self._about(name, results)
        num_missing = len(set(self.right) - set(answer))
        if num_missing:
            return self.missing or f"{num_missing} more {'belongs' if num_missing == 1 else 'belong'} here."
        return ""

    def misconceptions(self) -> list[str]:
        """List the feedback on typical wrong answers."""
        return [*self.wrong.values(), *filter(None, [self.missing])]

    def _about(self, name: str, results: Results | None) -> str:
        """Tell whether a wrong name is that of an arm at all, if the right ones are."""
        arms = [arm.name for arm in results.arms] if results else []
        if name not in arms and set(self.right) <= set(arms):
            return f"No arm is called {name!r}{did_you_mean(name, arms)}"
        return f"{name!r} does not belong here."


@dataclass(frozen=True, config=STRICT)
class Cell:
    """A cell of one of this run's tables."""

    table: str
    arm: str
    metric: str
    column: str = "ours_mean"

    def number(self, results: Results) -> float:
        """Read the cell; raise UsageError if this run's table has no such row."""
        return self.in_table(results.table(self.table))

    def in_table(self, table: pd.DataFrame) -> float:
        """Read the cell of its table; raise UsageError if the table has no such row or column."""
        rows = table[(table["arm"] == self.arm) & (table["metric"] == self.metric)]
        if rows.empty or self.column not in rows:
            raise UsageError(f"{self.table} of this run has no row for {self.arm}, {self.metric}")
        return float(rows[self.column].iloc[0])


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Source:
    """A number: `value`, or the cell `of` a table of this run, `minus` another cell; times `factor`."""

    value: float | None = None
    of: Cell | None = None
    minus: Cell | None = None
    factor: float = 1.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.value is None) == (self.of is None) or (self.minus is not None and self.of is None):
            raise ValueError("a number needs either `value`, or `of` with or without `minus`")
        return self

    def matches(self, answer: float, tolerance: float, results: Results) -> bool:
        """Tell whether an answer is this number within the tolerance (of the number before `factor`).

        With a factor, a number below ten times its tolerance is not recognized: anything near 0 would be.
        """
        expected = self.value if self.of is None else self.of.number(results)
        assert expected is not None  # _check
        expected = self.factor * (expected - (self.minus.number(results) if self.minus else 0))
        tolerance *= max(1, abs(self.factor))
        near = abs(answer - expected) <= tolerance and (self.factor == 1 or abs(expected) >= 10 * tolerance)
        return near or (math.isnan(answer) and math.isnan(expected))


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Mistake(Source):
    """A typical wrong number, and the feedback on it."""

    says: str


@dataclass(frozen=True, config=STRICT, kw_only=True)
class NumberQuestion(Question, Source):
    """A question whose answer is a number; `mistake` lists typical wrong ones."""

    kind: Literal["number"]
    tolerance: float = 0.001
    mistake: tuple[Mistake, ...] = ()

    def problem(self, answer: Any, results: Results) -> str:
        """Tell what is wrong with an answer, "" if it is right."""
        number = as_number(answer)
        if number is None:
            return f"Give one number, not {type(answer).__name__}."
        if self.matches(number, self.tolerance, results):
            return ""
        for mistake in self.mistake:
            if mistake.matches(number, self.tolerance, results):
                return mistake.says
        return f"{number:g} is not the answer."

    def cells(self) -> list[Cell]:
        """List the cells of a run's tables on which the feedback depends."""
        found = [cell for source in (self, *self.mistake) for cell in (source.of, source.minus) if cell]
        return list(dict.fromkeys(found))

    def misconceptions(self) -> list[str]:
        """List the feedback on typical wrong answers."""
        return [mistake.says for mistake in self.mistake]

    def explanation(self, results: Results) -> str:
        """Explain the right answer; a difference of this run that is negative is pointed out."""
        if self.of and self.minus and self.of.number(results) < self.minus.number(results):
            return f"{self.because} In this run the difference is negative: {self.minus.arm} scores higher."
        return self.because


def as_number(answer: Any) -> float | None:
    """Return a number, or an array or tensor with no dimension, as a float; None for anything else.

    >>> as_number(np.float32(0.25)), as_number("0.25"), as_number(True), as_number(10**400)
    (0.25, None, None, None)
    """
    if isinstance(answer, bool | np.bool) or not (isinstance(answer, numbers.Real) or getattr(answer, "ndim", 1) == 0):
        return None
    try:
        return float(answer)
    except (TypeError, ValueError, OverflowError):
        return None


CONFOUNDED = "then two things differ, and no score can tell them apart."


@dataclass(frozen=True, config=STRICT)
class ArmRules:
    """What a designed arm must be like, and which settings it may change, each with the values it may take.

    Of these values, "previous" is the arm designed before, and "sum" is that setting added up over the arms `sum_of`.
    `says` is the feedback on anything else.
    """

    like: str
    change: dict[str, tuple[Any, ...]]
    says: str
    sum_of: Names = ()

    def problem(self, answer: Mapping[str, Any], previous: str, results: Results) -> str:
        """Tell what is wrong with one designed arm, "" if it is right."""
        name = answer.get("name")
        if not isinstance(name, str) or name in {arm.name for arm in results.arms}:
            return f"An arm needs a name that no other arm has, not {name!r}."
        if not isinstance(answer.get("like", ""), str):
            return f"{name}: `like` is the name of an arm, not {answer['like']!r}."
        try:
            like, designed = results.arm(answer.get("like", "")), designed_arm(answer, results)
        except KitError as error:
            return f"{name}: {error}"
        if like.name != self.like:
            return f"{name} is like {like.name!r}. {self.says}"
        for setting in differing_settings(to_json(like), to_json(designed))["setting"]:
            if setting not in self.change:
                return f"{name} also changes {setting!r}: {CONFOUNDED}"
        settings = dict(flattened(to_json(designed, defaults=True)))
        for setting in self.change:
            if settings.get(setting) not in self.allowed(setting, previous, results):
                return f"{name}, {setting}: {settings.get(setting)!r}. {self.says}"
        return ""

    def allowed(self, setting: str, previous: str, results: Results) -> list[Any]:
        """List the values that a setting may take, with the special ones replaced."""
        values: list[Any] = [previous if value == "previous" else value for value in self.change[setting]]
        if "sum" in values:
            parts = [dict(flattened(to_json(results.arm(name), defaults=True)))[setting] for name in self.sum_of]
            values.append(sum(parts))
        return values


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ArmsQuestion(Question):
    """A question whose answer is one or several designed arms, in the order of the rules `arm`.

    A designed arm is {"name": ..., "like": an arm of the experiment, "recipe.steps": 50, ...}: a new name, the arm it
    is like, and every setting that it changes.
    """

    kind: Literal["arms"]
    arm: tuple[ArmRules, ...]

    def problem(self, answer: Any, results: Results) -> str:
        """Tell what is wrong with an answer, "" if it is right."""
        answer = [answer] if isinstance(answer, dict) else answer
        if not isinstance(answer, list | tuple) or not all(isinstance(arm, dict) for arm in answer):
            return 'Give a list of arms, each such as {"name": "mine", "like": "an_arm", "recipe.steps": 50}.'
        if len(answer) != len(self.arm):
            arms = "arm" if len(self.arm) == 1 else "arms"
            return f"The question needs {len(self.arm)} new {arms}, not {len(answer)}: which arm starts from which?"
        previous = ""
        for arm, rules in zip(answer, self.arm, strict=True):
            problem = rules.problem(arm, previous, results)
            if problem:
                return problem
            previous = arm["name"]
        return ""

    def misconceptions(self) -> list[str]:
        """List the feedback on typical wrong answers."""
        return [*(rules.says for rules in self.arm), CONFOUNDED]


def designed_arm(answer: Mapping[str, Any], results: Results) -> Arm:
    """Resolve {"name", "like", "section.setting": value, ...} to an arm.

    Raises UsageError if the arm it is like or a setting does not exist, or if a value has the wrong type.
    """
    made = to_json(results.arm(answer.get("like", ""))) | {"name": answer["name"], "label": answer["name"]}
    for key, value in answer.items():
        if key not in ("name", "like"):
            *sections, last = str(key).split(".")
            table = made
            for section in sections:
                table = table.setdefault(section, {})
                if not isinstance(table, dict):
                    raise UsageError(f"{key!r} is not a setting: {section!r} has no settings below it")
            before = table.get(last, {})
            table[last] = before | value if isinstance(value, dict) and isinstance(before, dict) else value
    return parse(Arm, made, answer["name"])


KINDS = {"names": NamesQuestion, "number": NumberQuestion, "arms": ArmsQuestion}
Exercise = NamesQuestion | NumberQuestion | ArmsQuestion
