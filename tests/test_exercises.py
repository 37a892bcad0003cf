"""Exercises: right answers pass, each typical mistake is explained, and no answer whatever raises an error."""

import copy
import json
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from small_arm import small_arm

from retina_kit.errors import UsageError
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import list_papers
from retina_kit.files import kit_root
from retina_kit.reporting.notebook import built_text
from retina_kit.teaching import exercises
from retina_kit.teaching.course import sources
from retina_kit.teaching.questions import designed_arm

EXERCISES = tomllib.loads(
    """
[[exercise]]
name = "colors"
kind = "names"
asks = "Which?"
hint = "Look."
because = "Both are."
right = ["red", "blue"]
missing = "There is one more."
wrong = { green = "Green is a mix." }

[[exercise]]
name = "gain"
kind = "number"
asks = "How much?"
hint = "Subtract."
because = "So it is."
of = { table = "t", arm = "a", metric = "dice" }
minus = { table = "t", arm = "b", metric = "dice" }
[[exercise.mistake]]
of = { table = "t", arm = "b", metric = "dice" }
says = "That is b alone."

[[exercise]]
name = "design"
kind = "arms"
asks = "Design."
hint = "Change the mask."
because = "One thing differs."
[[exercise.arm]]
like = "source"
change = { "data.mask" = ["disc"] }
says = "Another mask, please."
[[exercise.arm]]
like = "tuned"
change = { "start.parent" = ["previous"], "recipe.steps" = ["sum"] }
sum_of = ["source", "tuned"]
says = "Start from the first one."
"""
)["exercise"]


class SmallExperiment:
    """Two arms of two steps each, and one table."""

    paper, profile, data, seeds = "small", "smoke", "synthetic", [0]
    exercises_file = Path("small.toml")
    arms = (
        small_arm("source", data={"mask": "vessels"}, recipe={"steps": 2}),
        small_arm("tuned", start={"parent": "source"}, recipe={"steps": 2}),
    )

    def arm(self, name):
        """Return an arm, or raise as an experiment does."""
        found = [arm for arm in self.arms if arm.name == name]
        if not found:
            raise UsageError(f"no arm is called {name!r}")
        return found[0]

    def table(self, table_id):
        """Return one tidy table."""
        return pd.DataFrame({"arm": ["a", "b"], "metric": "dice", "ours_mean": [0.75, 0.5]})


@pytest.fixture
def check(monkeypatch):
    """The checks of the exercises above."""
    parsed = [exercises.parse_exercise(entry, "here") for entry in EXERCISES]
    monkeypatch.setattr(exercises, "read_exercises", lambda paper: parsed)
    return exercises.Checks(SmallExperiment())


@pytest.mark.parametrize(
    "answer, passed, message",
    [
        ({"red", "blue"}, True, "Right. Both are."),
        (["blue", "red"], True, "Right."),
        ("red", False, "Not yet. There is one more."),
        ({"red", "green"}, False, "Not yet. Green is a mix."),
        ({"pink"}, False, "'pink' does not belong here"),
        (17, False, "set of names"),
        (..., False, "No answer yet. Which?"),
    ],
)
def test_names(check, answer, passed, message):
    outcome = check.colors(answer)
    assert (outcome.passed, message in str(outcome)) == (passed, True), str(outcome)
    assert passed or "Hint: Look." in str(outcome)


@pytest.mark.parametrize(
    "answer, passed, message",
    [
        (0.25, True, "So it is."),
        (np.float32(0.2503), True, "So it is."),
        (0.5, False, "That is b alone."),
        (0.7, False, "0.7 is not the answer."),
        ("0.25", False, "Give one number, not str"),
        (True, False, "Give one number"),
        (float("nan"), False, "nan is not the answer"),
        (np.array("0.25 or so"), False, "Give one number, not ndarray"),
        (pd.Series([0.25]), False, "Give one number, not Series"),
    ],
)
def test_numbers(check, answer, passed, message):
    outcome = check.gain(answer)
    assert (outcome.passed, message in str(outcome)) == (passed, True), str(outcome)


FIRST = {"name": "mine", "like": "source", "data.mask": "disc"}
SECOND = {"name": "then", "like": "tuned", "start.parent": "mine", "recipe.steps": 4}


@pytest.mark.parametrize(
    "answer, message",
    [
        ([FIRST, SECOND], "Right. One thing differs."),
        ([FIRST], "needs 2 new arms, not 1"),
        ([FIRST | {"recipe.steps": 9}, SECOND], "also changes 'recipe.steps'"),
        ([FIRST | {"recipe": {"steps": 9}}, SECOND], "also changes 'recipe.steps'"),
        ([FIRST | {"recipe": {"steps": 2}}, SECOND], "Right. One thing differs."),  # as it was
        ([FIRST | {"recipe.stepz": 9}, SECOND], "recipe has no setting 'stepz'; did you mean 'steps'"),
        ([FIRST | {"reciep.steps": 9}, SECOND], "no setting 'reciep'; did you mean 'recipe'"),
        ([FIRST | {"recipe.steps": "many"}, SECOND], "recipe.steps is 'many'"),
        ([FIRST | {"data.mask": "vessels"}, SECOND], "Another mask, please."),
        ([FIRST, SECOND | {"start.parent": "source"}], "Start from the first one."),
        ([FIRST, SECOND | {"recipe.steps": 2}], "then, recipe.steps: 2. Start from the first one."),
        ([FIRST | {"like": "nothing"}, SECOND], "no arm is called 'nothing'"),
        ([FIRST | {"like": ["source"]}, SECOND], "`like` is the name of an arm, not ['source']"),
        ([FIRST | {"recipe.steps.x": 1}, SECOND], "'steps' has no settings below it"),
        ([FIRST | {"recipe.steps": {"x": 1}}, SECOND], "recipe.steps is {'x': 1}"),
        ([FIRST | {"name": "tuned"}, SECOND], "a name that no other arm has"),
        ([SECOND, FIRST], "'tuned'. Another mask, please."),
        ([{"name": "nobody"}, SECOND], "no arm is called ''"),
        ("an arm", "Give a list of arms"),
    ],
)
def test_designed_arms(check, answer, message):
    outcome = check.design(answer)
    assert message in str(outcome)
    assert outcome.passed == message.startswith("Right")


def test_a_checked_answer_leaves_its_record_in_the_notebook(check):
    record = check.gain(np.float32(0.5))._repr_mimebundle_()["application/vnd.retina-kit.answer+json"]
    assert (record["exercise"], record["answer"]) == ("gain", 0.5)
    assert [(cell["arm"], cell["value"]) for cell in record["numbers"]] == [("a", 0.75), ("b", 0.5)]
    assert check.gain(...)._repr_mimebundle_() == {}
    shown, _ = DisplayFormatter().format(check.gain(0.5))
    assert {"application/vnd.retina-kit.answer+json", "text/html", "text/plain"} == set(shown)
    assert check.colors({"red", "blue"}).record["answer"] == ["blue", "red"]
    json.dumps(check.design([FIRST, SECOND]).record, allow_nan=False)


def test_a_number_in_percent_has_a_tolerance_in_percent():
    entry = EXERCISES[1] | {"mistake": [{"value": 0.62, "factor": 100, "says": "In percent."}]}
    problem = exercises.parse_exercise(entry, "here").problem
    assert problem(62.05, SmallExperiment()) == "In percent."  # 0.6205 is 0.62 to within 0.001
    assert problem(62.2, SmallExperiment()) == "62.2 is not the answer."
    tiny = EXERCISES[1] | {"mistake": [{"value": 0.0008, "factor": 100, "says": "In percent."}]}
    answer = exercises.parse_exercise(tiny, "here").problem(0.1, SmallExperiment())
    assert answer == "0.1 is not the answer."  # within a tenth of a percent of 0.08 %, as is whatever is near 0


def test_the_html_folds_the_hint_away_and_escapes(check):
    page = check.colors("<b>")._repr_html_()
    assert "<details><summary>hint</summary>Look." in page
    assert "<b>" not in page
    assert "hint" not in check.colors({"red", "blue"})._repr_html_()


def test_an_unknown_exercise_says_which_there_are(check):
    with pytest.raises(UsageError, match="did you mean 'colors'"):
        check.color(1)
    assert dir(check) == ["colors", "design", "gain"]
    assert "Answer with check.gain" in repr(check.gain)


NAMES = '[[exercise]]\nname = "a"\nkind = "names"\nasks = "?"\nhint = "h"\nbecause = "b"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NAMES + 'rigth = ["x"]\n', "small.toml, exercise a: .*'rigth'; did you mean 'right'"),
        (NAMES, "small.toml, exercise a: right is missing"),
        (NAMES.replace("names", "nams") + 'right = ["x"]\n', "'nams'; did you mean 'names'"),
        (NAMES.replace("[[exercise]]", "[[exercises]]"), "small.toml: .*'exercises'; did you mean 'exercise'"),
        (NAMES.replace("names", "number"), "a number needs either `value`, or `of`"),
        (2 * (NAMES + 'right = "x"\n'), "2 exercises are called 'a'"),
        ("[[exercise]", "small.toml: "),
    ],
)
def test_a_wrong_exercise_file_names_the_exercise_and_the_field(tmp_path, monkeypatch, text, message):
    (tmp_path / "notebooks" / "exercises").mkdir(parents=True)
    (tmp_path / "notebooks" / "exercises" / "small.toml").write_text(text)
    monkeypatch.setattr(exercises, "kit_root", lambda: tmp_path)
    with pytest.raises(UsageError, match=message):
        exercises.read_exercises("small")


WITH_EXERCISES = sorted(path.stem for path in (kit_root() / "notebooks" / "exercises").glob("*.toml"))


@pytest.mark.parametrize("paper", WITH_EXERCISES)
def test_a_notebook_has_five_exercises_with_hints(paper):
    assert paper in list_papers()
    found = exercises.read_exercises(paper)
    assert len(found) == 5
    assert len({exercise.name for exercise in found}) == 5
    assert found[-1].kind == "arms", "the last one designs the control arm"
    for exercise in found:
        assert len(exercise.hint) > 20
        assert exercise.kind != "number" or len(exercise.mistake) >= 2
        assert exercise.kind != "names" or exercise.wrong


FREE = ("wrong", "change")  # tables whose keys are names of arms and of settings


def misspelled(table, free=False):
    """Yield (key, a copy of the table with that key misspelled), for every key at every depth."""
    for key, value in table.items():
        if not free:
            yield key, {name + "x" if name == key else name: item for name, item in table.items()}
        for place, inner in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(inner, dict):
                for name, wrong in misspelled(inner, free=key in FREE):
                    changed = copy.deepcopy(table)
                    if place is None:
                        changed[key] = wrong
                    else:
                        changed[key][place] = wrong
                    yield name, changed


@pytest.mark.parametrize("paper", WITH_EXERCISES)
def test_every_misspelled_key_of_an_exercise_is_rejected_by_its_name(paper):
    path = kit_root() / "notebooks" / "exercises" / f"{paper}.toml"
    tried = 0
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["exercise"]:
        exercises.parse_exercise(entry, "here")
        for key, wrong in misspelled(entry):
            with pytest.raises(UsageError, match=f"{key}x|{key} is missing|kind of exercise"):
                exercises.parse_exercise(wrong, "here")
            tried += 1
    assert tried > 40


@pytest.mark.parametrize("paper", WITH_EXERCISES)
def test_exercises_name_arms_tables_and_settings_that_exist(paper):
    """What a student would be told to look at is there, on every profile."""
    for profile in ("smoke", "lesson", "paper"):
        experiment = Experiment(paper, profile)
        tables = {table.id: table for table in experiment.definition.tables}
        for exercise in exercises.read_exercises(paper):
            if exercise.kind == "names":
                for name in (*exercise.right, *exercise.wrong):
                    experiment.arm(name)
            elif exercise.kind == "number":
                for source in (exercise, *exercise.mistake):
                    for cell in filter(None, (source.of, source.minus)):
                        assert cell.arm in tables[cell.table].rows, (exercise.name, cell)
                        assert cell.metric in tables[cell.table].metrics
            else:
                previous = experiment.arms[0].name
                for rules in exercise.arm:
                    changes = {key: rules.allowed(key, previous, experiment)[-1] for key in rules.change}
                    designed_arm({"name": "new", "like": rules.like} | changes, experiment)


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_an_exercise_can_be_answered_without_the_one_before_it(source):
    """A name that one exercise defines and another needs would be a NameError for whoever begins with the second."""
    cells = nbformat.reads(built_text(source), as_version=4).cells
    asked = [cell.source for cell in cells if "exercise" in cell.metadata.get("tags", [])]
    assert len(asked) == 5
    assert all(code.startswith("experiment.check.") and "\n" not in code for code in asked)
