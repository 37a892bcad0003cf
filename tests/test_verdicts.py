"""Verdicts by the position of an interval: every test of a claim on estimates that are written down, edges included."""

import math

import pytest

from retina_kit.evaluation.claims import Claim
from retina_kit.evaluation.evidence import Estimate
from retina_kit.evaluation.verdicts import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, TESTS, verdict_of

SURE, UNSURE = 0.001, 0.4  # p-values on both sides of 0.05 whatever Holm's method makes of a few of them


class Written:
    """Evidence that returns estimates as they are written: (value, low, high, p), one for each call of `combine`."""

    def __init__(self, *estimates, scores=None):
        self.estimates, self.scores, self.asked = list(estimates), scores or {}, []

    def combine(self, weights, constant=0.0):
        self.asked.append((dict(weights), constant))
        value, low, high, p_value = self.estimates[min(len(self.asked), len(self.estimates)) - 1]
        return Estimate(value, low, high, p_value)

    def score(self, arm):
        return self.scores.get(arm, 0.5)


def outcome(test, *estimates, arms=("a", "b"), scores=None, **settings):
    """Return what a test finds, and the evidence that it asked."""
    evidence = Written(*estimates, scores=scores)
    return TESTS[test](Claim("c", "c", "control", test, arms=arms, **settings), evidence), evidence


@pytest.mark.parametrize(
    ("low", "high", "margin", "verdict"),
    [
        (0.1, 0.3, 0.0, SUPPORTED),
        (0.0, 0.3, 0.0, INCONCLUSIVE),  # an interval that ends at zero contains it
        (-0.3, 0.0, 0.0, INCONCLUSIVE),
        (-0.3, -0.1, 0.0, NOT_SUPPORTED),
        (-0.04, 0.04, 0.05, NOT_SUPPORTED),  # so small that it does not matter
        (-0.05, 0.04, 0.05, INCONCLUSIVE),
        (-0.04, 0.05, 0.05, INCONCLUSIVE),
        (0.01, 0.04, 0.05, SUPPORTED),  # above zero counts first
        (math.nan, math.nan, 0.0, INCONCLUSIVE),
    ],
)
def test_the_position_of_an_interval_decides(low, high, margin, verdict):
    assert verdict_of(Estimate(0.0, low, high), margin) == verdict
    if not math.isnan(low):
        found, evidence = outcome("greater", (0.0, low, high, SURE), margin=margin)
        assert (found.verdict, evidence.asked) == (verdict, [({"a": 1, "b": -1}, 0.0)])


PAIRS = (("a", "b"), ("c", "d"))
UP, DOWN, FLAT = (0.2, 0.1, 0.3, SURE), (-0.2, -0.3, -0.1, SURE), (0.01, -0.2, 0.2, UNSURE)
NOTHING = (0.0, -0.01, 0.01, UNSURE)


@pytest.mark.parametrize(
    ("first", "second", "margin", "verdict"),
    [
        (UP, UP, 0.0, SUPPORTED),
        (UP, DOWN, 0.0, NOT_SUPPORTED),
        (UP, FLAT, 0.0, INCONCLUSIVE),
        (UP, NOTHING, 0.05, NOT_SUPPORTED),
        (UP, NOTHING, 0.0, INCONCLUSIVE),
        ((0.2, 0.1, 0.3, 0.03), (0.2, 0.1, 0.3, 0.03), 0.0, INCONCLUSIVE),  # Holm: 0.06 each
    ],
)
def test_all_pairs_must_be_greater(first, second, margin, verdict):
    found, _ = outcome("all_greater", first, second, arms=PAIRS, margin=margin)
    assert found.verdict == verdict
    assert found.estimate.value == min(first[0], second[0])
    assert "of 2, " in found.statistic


def test_pairs_are_averaged_with_equal_weights():
    found, evidence = outcome("greater_on_average", UP, arms=(("a", "b"), ("c", "b")))
    assert evidence.asked == [({"a": 0.5, "b": -1.0, "c": 0.5}, 0.0)]
    assert (found.verdict, found.statistic) == (SUPPORTED, "mean dice difference of 2 pairs such as a minus b")


@pytest.mark.parametrize(
    ("estimate", "verdict"),
    [
        ((-0.01, -0.04, 0.02, UNSURE), SUPPORTED),
        ((-0.02, -0.05, 0.02, UNSURE), INCONCLUSIVE),  # it reaches the margin
        ((-0.2, -0.3, -0.1, SURE), NOT_SUPPORTED),
        ((-0.04, -0.07, -0.01, SURE), INCONCLUSIVE),  # below zero, but by less than the margin
        ((-0.2, -0.5, 0.1, UNSURE), INCONCLUSIVE),
    ],
)
def test_at_most_the_margin_below(estimate, verdict):
    worse, evidence = outcome("not_worse", estimate, margin=0.05)
    assert (worse.verdict, worse.reason) == (verdict, "")
    assert evidence.asked == [({"a": 1, "b": -1}, 0.0)]
    assert "is above -0.05, " in worse.rule
    reached, evidence = outcome("reaches_value", estimate, arms=("a",), margin=0.05, value=0.8)
    assert (reached.verdict, evidence.asked) == (verdict, [({"a": 1}, 0.8)])
    assert "above 0.75, not supported if it is below 0.8 and the score below 0.75" in reached.rule


def test_a_value_is_exceeded_or_not():
    for estimate, verdict in ((UP, SUPPORTED), (DOWN, NOT_SUPPORTED), (FLAT, INCONCLUSIVE)):
        found, evidence = outcome("above_value", estimate, arms=("a",), value=0.0)
        assert (found.verdict, evidence.asked) == (verdict, [({"a": 1}, 0.0)])


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        ((0.01, -0.02, 0.04, UNSURE), SUPPORTED),
        ((0.01, -0.02, 0.05, UNSURE), INCONCLUSIVE),
        ((0.01, -0.05, 0.04, UNSURE), INCONCLUSIVE),
        ((0.05, 0.01, 0.09, SURE), INCONCLUSIVE),  # not beyond the margin
        ((-0.2, -0.3, -0.1, SURE), NOT_SUPPORTED),
        ((0.2, -0.1, 0.5, UNSURE), INCONCLUSIVE),
    ],
)
def test_no_difference_is_beyond_the_margin(last, verdict):
    near = (0.0, -0.01, 0.01, UNSURE)
    found, evidence = outcome("equivalent", near, near, last, arms=("a", "b", "c"), margin=0.05)
    assert found.verdict == verdict
    assert [sorted(weights) for weights, _ in evidence.asked] == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert found.statistic == "largest dice difference, b minus c"


def test_networks_that_learned_nothing_are_not_equivalent():
    found, _ = outcome("equivalent", NOTHING, margin=0.05, scores={"a": 0.049, "b": 0.05})
    assert found.reason == "no verdict: a (0.049) learned too little, below 0.05"


def test_the_score_rises_along_the_arms():
    arms = ("a", "b", "c")
    for slope, step, verdict in ((UP, UP, SUPPORTED), (UP, DOWN, NOT_SUPPORTED), (FLAT, UP, INCONCLUSIVE)):
        found, evidence = outcome("rises_with", slope, UP, step, arms=arms)
        assert found.verdict == verdict
        assert evidence.asked[0] == ({"a": -0.5, "b": 0.0, "c": 0.5}, 0.0)
        assert evidence.asked[1:] == [({"b": 1, "a": -1}, 0.0), ({"c": 1, "b": -1}, 0.0)]
    assert outcome("rises_with", DOWN, UP, UP, arms=arms)[0].verdict == NOT_SUPPORTED


def test_the_score_is_a_line_over_the_covariate():
    """Over 2, 4, 8: the mean is 14/3, so the slope's weights are -8/3, -2/3, 10/3 over 56/3."""
    near, bent = (0.0, -0.01, 0.01, UNSURE), (0.1, 0.08, 0.12, SURE)
    settings = {"arms": ("a", "b", "c"), "covariate": (2, 4, 8), "margin": 0.03}
    found, evidence = outcome("linear_with", UP, near, **settings)
    assert found.verdict == SUPPORTED
    assert evidence.asked[0][0] == pytest.approx({"a": -8 / 56, "b": -2 / 56, "c": 10 / 56})
    assert outcome("linear_with", UP, bent, near, near, **settings)[0].verdict == NOT_SUPPORTED
    assert outcome("linear_with", DOWN, near, **settings)[0].verdict == NOT_SUPPORTED
    assert outcome("linear_with", UP, near, (0.0, -0.03, 0.01, UNSURE), near, **settings)[0].verdict == INCONCLUSIVE
    assert outcome("linear_with", FLAT, near, **settings)[0].verdict == INCONCLUSIVE


def test_the_gain_grows_along_the_pairs():
    found, evidence = outcome("gain_grows", UP, arms=(("a", "b"), ("c", "d"), ("e", "f")))
    weights, _ = evidence.asked[0]
    assert weights == pytest.approx({"a": -0.5, "b": 0.5, "c": 0.0, "d": 0.0, "e": 0.5, "f": -0.5})
    assert (found.verdict, found.statistic) == (
        SUPPORTED,
        "growth of the dice difference per step, from a minus b to that of e",
    )
