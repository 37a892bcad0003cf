"""Exercises: right answers pass, each known mistake is explained, and no answer whatever raises."""

import tomllib

import numpy as np
import pandas as pd
import pytest

from retina_kit.errors import UsageError
from retina_kit.experiment_file import list_papers
from retina_kit.files import kit_root
from retina_kit.teaching import exercises

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
change = { "start.from" = ["previous"], "recipe.steps" = ["sum"] }
sum_of = ["source", "tuned"]
says = "Start from the first one."
"""
)["exercise"]


class SmallExperiment:
    """Two arms and one table."""

    paper = "small"
    arms = (
        {"name": "source", "label": "s", "data": {"mask": "vessels"}, "start": {}, "recipe": {"steps": 2}},
        {"name": "tuned", "label": "t", "data": {"mask": "fluid"}, "start": {"from": "source"}, "recipe": {"steps": 2}},
    )

    def arm(self, name):
        """Return an arm, or raise as an experiment does."""
        found = [arm for arm in self.arms if arm["name"] == name]
        if not found:
            raise UsageError(f"no arm is called {name!r}")
        return found[0]

    def table(self, table_id):
        """Return one tidy table."""
        return pd.DataFrame({"arm": ["a", "b"], "metric": "dice", "ours_mean": [0.75, 0.5]})


@pytest.fixture
def check(monkeypatch):
    """The checks of the exercises above."""
    monkeypatch.setattr(exercises, "read_exercises", lambda paper: EXERCISES)
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
        (0.7, False, "0.7 is not it."),
        ("0.25", False, "Give one number, not str"),
        (True, False, "Give one number"),
        (float("nan"), False, "nan is not it"),
    ],
)
def test_numbers(check, answer, passed, message):
    outcome = check.gain(answer)
    assert (outcome.passed, message in str(outcome)) == (passed, True), str(outcome)


FIRST = {"name": "mine", "like": "source", "data.mask": "disc"}
SECOND = {"name": "then", "like": "tuned", "start.from": "mine", "recipe.steps": 4}


@pytest.mark.parametrize(
    "answer, message",
    [
        ([FIRST, SECOND], "Right. One thing differs."),
        ([FIRST], "needs 2 new arms, not 1"),
        ([FIRST | {"recipe.steps": 9}, SECOND], "also changes 'recipe.steps'"),
        ([FIRST | {"recipe.stepz": 9}, SECOND], "did you mean 'recipe.steps'"),
        ([FIRST | {"reciep.steps": 9}, SECOND], "no section is called 'reciep'"),
        ([FIRST | {"data.mask": "vessels"}, SECOND], "Another mask, please."),
        ([FIRST, SECOND | {"start.from": "source"}], "Start from the first one."),
        ([FIRST, SECOND | {"recipe.steps": 2}], "then, recipe.steps: 2. Start from the first one."),
        ([FIRST | {"like": "nothing"}, SECOND], "no arm is called 'nothing'"),
        ([FIRST | {"name": "tuned"}, SECOND], "a name that no other arm has"),
        ([SECOND, FIRST], "'tuned'. Another mask, please."),
        ("an arm", "Give a list of arms"),
    ],
)
def test_designed_arms(check, answer, message):
    outcome = check.design(answer)
    assert message in str(outcome)
    assert outcome.passed == message.startswith("Right")


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


def test_a_strange_key_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "notebooks" / "exercises").mkdir(parents=True)
    text = '[[exercise]]\nname = "a"\nkind = "names"\nasks = "?"\nhint = "h"\nbecause = "b"\nrigth = ["x"]\n'
    (tmp_path / "notebooks" / "exercises" / "small.toml").write_text(text)
    monkeypatch.setattr(exercises, "kit_root", lambda: tmp_path)
    with pytest.raises(UsageError, match="did you mean 'right'"):
        exercises.read_exercises("small")


WITH_EXERCISES = sorted(path.stem for path in (kit_root() / "notebooks" / "exercises").glob("*.toml"))


@pytest.mark.parametrize("paper", WITH_EXERCISES)
def test_a_notebook_has_five_exercises_with_hints(paper):
    assert paper in list_papers()
    found = exercises.read_exercises(paper)
    assert len(found) == 5
    assert len({exercise["name"] for exercise in found}) == 5
    assert found[-1]["kind"] == "arms", "the last one designs the control arm"
    for exercise in found:
        assert len(exercise["hint"]) > 20
        assert exercise["kind"] != "number" or len(exercise["mistake"]) >= 2
        assert exercise["kind"] != "names" or exercise["wrong"]
