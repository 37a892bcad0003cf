"""Arms that are said to have equal updates have them: counted from the plan, not from a sentence."""

import math

import pytest

from retina_kit.experiment_file import find_paper

PAPER = find_paper("melinscak2020")


def num_updates(arm):
    """Return the updates of an arm: its steps, or its epochs over what is left after the held-out tenth."""
    num_train = int(arm.split.num_train * (1 - arm.evaluation.validation_fraction))
    return arm.recipe.num_steps(num_train)


@pytest.mark.parametrize("data", ["synthetic", "public"])
@pytest.mark.parametrize("profile", ["smoke", "lesson", "paper"])
def test_a_random_start_gets_the_updates_of_source_and_tuning(profile, data):
    arms = {a.name: a for a in PAPER.resolve_arms(profile, PAPER.resolve_settings(profile, data))}
    for size in ("tiny", "small", "medium", "large"):
        in_all = num_updates(arms["source"]) + num_updates(arms[f"transfer_{size}"])
        assert num_updates(arms[f"scratch_{size}_equal_updates"]) == in_all, size


def test_the_published_numbers_of_updates_are_met():
    arms = {a.name: a for a in PAPER.resolve_arms("paper", PAPER.resolve_settings("paper", "paper"))}
    sizes = ("small", "medium", "large")
    assert [num_updates(arms[f"scratch_{n}"]) for n in sizes] == [4060, 8050, 15750]
    assert [num_updates(arms[f"transfer_{n}"]) for n in sizes] == [2900, 5750, 11250]
    assert math.ceil(900 / 4) == 225  # 1000 less the tenth held out, in batches of 4
    assert num_updates(arms["source"]) == 20 * 225
