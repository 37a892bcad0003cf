"""Exercises that check themselves: what is asked stands in notebooks/exercises/<paper>.toml, and so do the mistakes.

A check never raises over an answer: whatever it is given, it says what is right, or what is not and why. What a
number must be is read from this run's own tables wherever it depends on the run.
"""

import html
import math
import numbers
import tomllib
from dataclasses import dataclass

from retina_kit.errors import KitError, UsageError, unknown_name
from retina_kit.files import kit_root
from retina_kit.schema import parse, to_json
from retina_kit.training.arm import Arm

COMMON_KEYS = {"name", "kind", "asks", "hint", "because"}
KINDS = {
    "names": {"right", "wrong", "missing"},
    "number": {"value", "of", "minus", "factor", "tolerance", "mistake"},
    "arms": {"arm"},
}
MISTAKE_KEYS = {"value", "of", "minus", "factor", "says"}
ARM_KEYS = {"like", "change", "sum_of", "says"}


@dataclass(frozen=True)
class Outcome:
    """What a check says of an answer."""

    passed: bool
    message: str
    hint: str = ""

    def __str__(self):
        """The message as text, with the hint where the answer is not right yet."""
        return self.message if self.passed or not self.hint else f"{self.message} Hint: {self.hint}"

    __repr__ = __str__

    def _repr_html_(self):
        """The message in a box, the hint folded away."""
        color = "#009E73" if self.passed else "#D55E00"
        box = f"<div style='border-left:4px solid {color}; padding:4px 10px'>{html.escape(self.message)}"
        hint = f"<details><summary>hint</summary>{html.escape(self.hint)}</details>" if self.hint else ""
        return f"{box}{'' if self.passed else hint}</div>"


class Checks:
    """The checks of one experiment's exercises: `check.<name>(answer)`."""

    def __init__(self, experiment):
        self.experiment = experiment
        self.exercises = {exercise["name"]: exercise for exercise in read_exercises(experiment.paper)}

    def __getattr__(self, name):
        """Return the check of that name."""
        if name.startswith("_") or name in ("experiment", "exercises"):
            raise AttributeError(name)
        if name not in self.exercises:
            raise unknown_name("exercise", name, list(self.exercises))
        return Check(self.exercises[name], self.experiment)

    def __dir__(self):
        """The names of the exercises, for completion with Tab."""
        return list(self.exercises)


class Check:
    """One exercise: call it with an answer."""

    def __init__(self, exercise, experiment):
        self.exercise, self.experiment = exercise, experiment

    def __repr__(self):
        """What is asked."""
        return f"{self.exercise['asks']} Answer with check.{self.exercise['name']}(...)"

    def __call__(self, answer=...):
        """Return what is right or wrong about an answer."""
        hint = self.exercise["hint"]
        if answer is ... or answer is None:
            return Outcome(False, f"No answer yet. {self.exercise['asks']}", hint)
        problem = JUDGES[self.exercise["kind"]](answer, self.exercise, self.experiment)
        if problem:
            return Outcome(False, f"Not yet. {problem}", hint)
        return Outcome(True, f"Right. {self.exercise['because']}")


def read_exercises(paper):
    """Return the exercises of a paper as a list of dicts, keys and kinds checked; [] where there are none."""
    path = kit_root() / "notebooks" / "exercises" / f"{paper}.toml"
    if not path.is_file():
        return []
    exercises = tomllib.loads(path.read_text(encoding="utf-8"))["exercise"]
    for exercise in exercises:
        where = f"{path.name}, exercise {exercise.get('name')}"
        if exercise.get("kind") not in KINDS:
            raise UsageError(f"{where}: kind must be one of {', '.join(KINDS)}")
        for key in COMMON_KEYS - set(exercise):
            raise UsageError(f"{where} lacks {key!r}")
        tables = [(exercise, COMMON_KEYS | KINDS[exercise["kind"]])]
        tables += [(mistake, MISTAKE_KEYS) for mistake in exercise.get("mistake", [])]
        tables += [(arm, ARM_KEYS) for arm in exercise.get("arm", [])]
        for table, known in tables:
            for key in set(table) - known:
                raise UsageError(f"{where}: {unknown_name('key', key, sorted(known))}")
    return exercises


def judge_names(answer, exercise, experiment):
    """Return what is wrong with a name or a set of names, "" where nothing is."""
    answer = {answer} if isinstance(answer, str) else answer
    if not isinstance(answer, set | frozenset | list | tuple) or not all(isinstance(item, str) for item in answer):
        return 'Give a name, or a set of names such as {"one", "another"}.'
    right = set(exercise["right"])
    for name in sorted(set(answer) - right):
        return exercise.get("wrong", {}).get(name, f"{name!r} does not belong here.")
    if set(answer) != right:
        return exercise.get("missing", f"{len(right) - len(set(answer))} more belong here.")
    return ""


def judge_number(answer, exercise, experiment):
    """Return what is wrong with a number, "" where nothing is."""
    if isinstance(answer, bool) or not (isinstance(answer, numbers.Real) or getattr(answer, "ndim", None) == 0):
        return f"Give one number, not {type(answer).__name__}."
    answer, tolerance = float(answer), exercise.get("tolerance", 0.001)
    if is_near(answer, value_of(exercise, experiment), tolerance):
        return ""
    for mistake in exercise.get("mistake", []):
        if is_near(answer, value_of(mistake, experiment), tolerance):
            return mistake["says"]
    return f"{answer:g} is not it."


def is_near(answer, value, tolerance):
    """Say whether two numbers are the same, as far as they were asked for; two NaN are."""
    return abs(answer - value) <= tolerance or (math.isnan(answer) and math.isnan(value))


def value_of(source, experiment):
    """Return a number of the exercise file: `value`, or a cell `of` a table of this run, `minus` another."""
    value = source["value"] if "value" in source else cell_of(source["of"], experiment)
    value -= cell_of(source["minus"], experiment) if "minus" in source else 0
    return float(value * source.get("factor", 1))


def cell_of(place, experiment):
    """Return a cell {table, arm, metric, column} of this run's tables; the column is ours_mean by default."""
    table = experiment.table(place["table"])
    rows = table[(table["arm"] == place["arm"]) & (table["metric"] == place["metric"])]
    if rows.empty:
        raise UsageError(f"this run's {place['table']} has no row for {place['arm']}, {place['metric']}")
    return rows[place.get("column", "ours_mean")].iloc[0]


def judge_arms(answer, exercise, experiment):
    """Return what is wrong with designed arms, "" where nothing is.

    An arm is {"name": ..., "like": an arm of the experiment, "recipe.steps": 50, ...}: what it is like, and
    every setting that it changes. The exercise's `change` maps each of these settings to what it may become; there
    "previous" stands for the arm designed before, "sum" for that setting summed over the arms `sum_of`.
    """
    answer = [answer] if isinstance(answer, dict) else answer
    wanted = exercise["arm"]
    if not isinstance(answer, list | tuple) or not all(isinstance(arm, dict) for arm in answer):
        return 'Give a list of arms, each such as {"name": "mine", "like": "an_arm", "recipe.steps": 50}.'
    if len(answer) != len(wanted):
        return f"The question needs {len(wanted)} new arms, not {len(answer)}: who trains whom?"
    previous = None
    for arm, rules in zip(answer, wanted, strict=True):
        problem = problem_of_arm(arm, rules, previous, experiment)
        if problem:
            return problem
        previous = arm["name"]
    return ""


def problem_of_arm(arm, rules, previous, experiment):
    """Return what is wrong with one designed arm, beside the rules of the exercise."""
    changes = {key: value for key, value in arm.items() if key not in ("name", "like")}
    if not isinstance(arm.get("name"), str) or arm["name"] in {known.name for known in experiment.arms}:
        return f"An arm needs a name that no other arm has, not {arm.get('name')!r}."
    try:
        designed_arm(arm, experiment)
    except KitError as error:
        return f"{arm['name']}: {error}"
    if arm["like"] != rules["like"]:
        return f"{arm['name']} is like {arm['like']!r}. {rules['says']}"
    extra = [key for key in changes if key not in rules["change"]]
    if extra:
        return f"{arm['name']} also changes {extra[0]!r}: then two things differ, and nobody knows which one did it."
    for key, values in rules["change"].items():
        standing_for = {"previous": previous}
        if "sum" in values:
            standing_for["sum"] = sum(setting_of(experiment.arm(name), key) for name in rules["sum_of"])
        allowed = [standing_for.get(value, value) if isinstance(value, str) else value for value in values]
        if changes.get(key) not in allowed:
            return f"{arm['name']}, {key}: {changes.get(key, 'unchanged')!r}. {rules['says']}"
    return ""


def setting_of(arm, key):
    """Return a setting of a resolved arm, named as in "recipe.steps"."""
    for part in key.split("."):
        arm = getattr(arm, part)
    return arm


def designed_arm(arm, experiment):
    """Return the resolved arm that {"name", "like", "section.setting": value, ...} describes.

    Raises UsageError where the arm or the setting does not exist.
    """
    made = to_json(experiment.arm(arm.get("like"))) | {"name": arm["name"], "label": arm["name"]}
    for key, value in arm.items():
        if key in ("name", "like"):
            continue
        *sections, last = str(key).split(".")
        table = made
        for section in sections:
            table = table.setdefault(section, {})
        table[last] = value
    return parse(Arm, made, arm["name"])


JUDGES = {"names": judge_names, "number": judge_number, "arms": judge_arms}
