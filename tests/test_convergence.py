"""Updates to a share of the final score, on curves that can be read with a finger."""

import math

import pandas as pd
import pytest

from retina_kit.errors import UsageError
from retina_kit.evaluation.convergence import convergence_of


def history(arm, scores):
    """Return the history of an arm that was validated every ten updates."""
    steps = [10 * (k + 1) for k in range(len(scores))]
    return pd.DataFrame({"arm": arm, "seed": 0, "step": steps, "dice": scores})


def test_the_first_validation_from_which_the_curve_stays_up_counts():
    curve = history("a", [0.1, 0.8, 0.2, 0.78, 0.8, 0.8, 0.8])  # one lucky validation at 20
    found = convergence_of(curve, "dice", {"a": 0.5}).iloc[0]
    assert found["final"] == pytest.approx(0.8)
    assert found["first steps"] == 20
    assert found["steps"] == 40
    assert found["epochs"] == 20
    assert found["of steps"] == 70


def test_an_arm_that_learns_nothing_reaches_nothing():
    found = convergence_of(history("a", [0.0, 0.0, 0.0]), "dice", {"a": 1})
    assert math.isnan(found["steps"].iloc[0])


def test_a_score_of_exactly_the_share_has_reached_it():
    found = convergence_of(history("a", [0.25, 0.5, 0.5, 0.5]), "dice", {"a": 1}, share=1.0).iloc[0]
    assert (found["first steps"], found["steps"]) == (20, 20)


def test_arms_and_updates_without_validation_are_kept_apart():
    both = pd.concat([history("a", [0.5, 0.5, 0.5]), history("b", [0.1, 0.4, 0.4, 0.4]).assign(seed=1)])
    both.loc[len(both)] = ["a", 0, 35, float("nan")]
    found = convergence_of(both, "dice", {"a": 1, "b": 1})
    assert found["arm"].tolist() == ["a", "b"]
    assert found["steps"].tolist() == [10, 20]


def test_the_folds_of_a_cross_validation_are_not_taken_for_one_curve():
    folds = [history("a", [0.5, 0.5, 0.5]).assign(fold=fold) for fold in range(2)]
    with pytest.raises(UsageError, match="arm a, seed 0 has several validations of one step"):
        convergence_of(pd.concat(folds), "dice", {"a": 1})
