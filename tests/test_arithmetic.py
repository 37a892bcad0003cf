"""The arithmetic of published scores, on one confusion matrix: tp 60, fp 20, fn 40, tn 880."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from small_published import PAPER, table_of

from retina_kit.papers import arithmetic
from retina_kit.papers.arithmetic import Intervals
from retina_kit.papers.published import published_of

MATRIX = {"accuracy": 0.94, "recall": 0.6, "specificity": 880 / 900, "precision": 0.75, "dice": 2 / 3, "iou": 0.5}
ONE = np.array([False])  # one row, which is no average


def box(half=0.0, **values):
    """Return the Intervals of one row: each value, give or take `half`."""
    low, high = (pd.DataFrame({name: [value + sign * half] for name, value in values.items()}) for sign in (-1, 1))
    return Intervals(low, high)


def of_matrix(*metrics, half=0.0, **other):
    """Return the Intervals of some metrics of the matrix, others set by hand."""
    return box(half, **{name: MATRIX[name] for name in metrics} | other)


@pytest.mark.parametrize(
    ("accuracy", "recall", "specificity"),
    [(0.8, (0.8, 0.805), (0.79, 0.81)), (0.815, (0.78, 0.82), (0.79, 0.81)), (0.8, (0.79, 0.81), (0.8, 0.805))],
)
def test_sensitivity_and_specificity_that_may_be_equal_imply_no_prevalence(accuracy, recall, specificity):
    values = {"accuracy": (accuracy, accuracy), "recall": recall, "specificity": specificity}
    low, high = (pd.DataFrame({name: [ends[side]] for name, ends in values.items()}) for side in (0, 1))
    interval = arithmetic.prevalence_interval(arithmetic.Intervals(low, high))
    assert [end.tolist() for end in interval] == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("recall", "swaps"), [(0.66, []), (0.663, [("dice", "recall")]), (0.671, [("dice", "recall")]), (0.6725, [])]
)
def test_a_swap_fits_within_what_rounding_leaves_open(recall, swaps):
    # IoU 0.495 to 0.505 gives Dice 0.6622 to 0.6711.
    row, half_widths = {"iou": 0.5, "dice": 0.9, "recall": recall}, {"iou": 0.005, "dice": 1e-4, "recall": 1e-4}
    assert arithmetic.swaps_that_fit(row, half_widths) == swaps


def test_the_spread_of_zeros_and_ones_is_the_largest():
    scores = np.array([0, 1, 1, 1])
    largest = arithmetic.largest_spread(np.array([0.75]), np.array([0.0]), np.array([4.0]), ["SD"])
    assert largest[0] == pytest.approx(scores.std(ddof=1))


def test_intervals_are_what_rounding_leaves_open_within_0_and_1():
    published = table_of({"dice": "66.67", "iou": "50.0"}, {"f1": "99.99", "recall": "0.0"})
    found = arithmetic.intervals_of(published)
    (low, high), (recall_low, recall_high) = found["dice"], found["recall"]
    assert low.tolist() == pytest.approx([0.66665, 0.99985]) and high.tolist() == pytest.approx([0.66675, 0.99995])
    assert math.isnan(recall_low[0]) and recall_low[1] == 0.0 and recall_high[1] == pytest.approx(0.0005, abs=1e-8)
    loose = arithmetic.intervals_of(published, slack=2.0)
    assert loose["dice"][0].tolist() == pytest.approx([0.6666, 0.9998], abs=1e-6)
    assert loose["dice"][1].tolist() == pytest.approx([0.6668, 1.0], abs=1e-6)
    assert loose["recall"][1][1] == pytest.approx(0.001)
    assert [end[0] for end in arithmetic.intervals_of(table_of({"dice": "100.0"}))["dice"]] == pytest.approx(
        [0.9995, 1]
    )
    assert arithmetic.intervals_of(table_of({"dice": "100.0"}))["dice"][1][0] == 1
    for end in found["precision"]:
        assert np.isnan(end).tolist() == [True, True]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.low = None


def test_rows_keep_their_order_and_numbers_without_a_matrix_are_none():
    single = {"item": "text", "row": "a", "metric": "dice", "value": "0.5", "unit": "fraction", "where": "text"}
    confusion = [
        {"item": f"table{k}", "row": "r", "values": {"dice": f"{k}0"}, "unit": "percent", "where": f"Table {k}",
         "averaged": k == 1}
        for k in (2, 1)
    ]  # fmt: skip
    published = published_of({"paper": PAPER, "confusion": confusion, "number": [single]})
    rows = arithmetic.rows_of(published)
    assert rows["where"].tolist() == ["Table 2", "Table 1"] and rows["averaged"].tolist() == [False, True]
    assert list(rows) == ["item", "row", "where", "averaged", "evaluation"]
    assert arithmetic.intervals_of(published)["dice"][0].tolist() == pytest.approx([0.195, 0.095])


def test_corners_are_the_extremes_over_a_box_and_everything_if_one_is_undefined():
    low, high = arithmetic.corners(
        lambda a, b: a - b, (np.array([0.5]), np.array([0.6])), (np.array([0.1]), np.array([0.3]))
    )
    assert (low[0], high[0]) == pytest.approx((0.2, 0.5))
    low, high = arithmetic.corners(lambda a: 4 * a - 1, (np.array([0.1]), np.array([0.9])))
    assert (low[0], high[0]) == pytest.approx((-0.6, 2.6))  # outside of 0 and 1: impossible
    low, high = arithmetic.corners(lambda a: a / a, (np.array([0.0, 0.5]), np.array([0.5, 0.5])))
    assert (low.tolist(), high.tolist()) == ([0, 1], [1, 1])


@pytest.mark.parametrize(
    ("iou", "dice", "averaged", "wrong"),
    [
        (0.5, 2 / 3, False, False), (0.5, 0.70, False, True), (0.5, 0.60, False, True),
        (0.5, 0.60, True, False), (0.5, 0.48, True, True), (0.5, 0.70, True, True), (0.5, 0.675, False, False),
    ],
)  # fmt: skip
def test_dice_follows_from_iou(iou, dice, averaged, wrong):
    found = arithmetic.dice_disagrees(box(0.005, iou=iou, dice=dice), np.array([averaged]))
    assert found.tolist() == [wrong]


@pytest.mark.parametrize(
    ("precision", "recall", "dice", "wrong"),
    [(0.75, 0.6, 2 / 3, False), (0.75, 0.6, 0.68, True), (0.75, 0.6, 0.65, True), (0.75, math.nan, 0.1, False),
     (math.nan, 0.6, 0.1, False), (0.75, 0.6, math.nan, False)],
)  # fmt: skip
def test_dice_is_the_harmonic_mean_of_precision_and_recall(precision, recall, dice, wrong):
    values = box(0.001, precision=precision, recall=recall, dice=dice)
    assert arithmetic.harmonic_mean_disagrees(values, ONE).tolist() == [wrong]
    assert arithmetic.harmonic_mean_disagrees(values, ~ONE).tolist() == [False]  # means need not agree


def test_an_overlap_is_never_above_recall_or_precision():
    for overlap in ({"iou": 0.5}, {"dice": 2 / 3}, {"iou": math.nan, "dice": 2 / 3}, {"iou": 0.5, "dice": math.nan}):
        found = [
            arithmetic.overlap_exceeds(box(0.001, recall=recall, **overlap), ONE, "recall")[0]
            for recall in (0.49, 0.4999, 0.51, math.nan)
        ]
        assert found == [True, False, False, False]
    assert not arithmetic.overlap_exceeds(box(iou=0.5, recall=0.4), ~ONE, "recall")[0]
    assert not arithmetic.overlap_exceeds(box(iou=0.5, recall=0.4), ONE, "precision")[0]


@pytest.mark.parametrize(
    ("accuracy", "recall", "specificity", "outside"),
    [(0.94, 0.6, 0.98, False), (0.99, 0.6, 0.98, True), (0.59, 0.6, 0.98, True), (0.7, 0.98, 0.6, False),
     (0.99, 0.98, 0.6, True), (0.59, 0.98, 0.6, True), (0.981, 0.6, 0.98, False), (0.599, 0.6, 0.98, False)],
)  # fmt: skip
def test_accuracy_is_between_sensitivity_and_specificity(accuracy, recall, specificity, outside):
    values = box(0.001, accuracy=accuracy, recall=recall, specificity=specificity)
    assert arithmetic.accuracy_outside(values, ONE).tolist() == [outside]
    assert arithmetic.accuracy_outside(values, ~ONE).tolist() == [False]


THREE = [
    ("accuracy", "recall", "specificity"),
    ("accuracy", "recall", "precision"),
    ("accuracy", "recall", "dice"),
    ("recall", "specificity", "precision"),
]


@pytest.mark.parametrize("metrics", THREE)
def test_three_metrics_imply_the_prevalence(metrics):
    low, high = arithmetic.prevalence_interval(of_matrix(*metrics))
    assert (low[0], high[0]) == pytest.approx((0.1, 0.1))
    low, high = arithmetic.prevalence_interval(of_matrix(*metrics, half=0.002))
    assert 0.08 < low[0] < 0.099 and 0.101 < high[0] < 0.13
    low, high = arithmetic.prevalence_interval(of_matrix(*metrics[:2]))
    assert (low[0], high[0]) == (0, 1)


def test_all_metrics_of_a_matrix_fit_and_one_other_does_not():
    assert arithmetic.no_prevalence(of_matrix(*MATRIX), ONE).tolist() == [False]
    wrong = of_matrix(*MATRIX, precision=0.9)
    assert arithmetic.no_prevalence(wrong, ONE).tolist() == [True]
    assert arithmetic.no_prevalence(wrong, ~ONE).tolist() == [False]


def rows_with(*accuracies, evaluation=None, averaged=None):
    """Return what prevalences_differ says of rows with sensitivity 0.8 and specificity 0.9."""
    low, high = (
        pd.DataFrame({"accuracy": accuracies, "recall": 0.8, "specificity": 0.9}, dtype=float) + sign * 1e-4
        for sign in (-1, 1)
    )
    number = len(accuracies)
    averaged = np.zeros(number, bool) if averaged is None else np.array(averaged)
    names = np.array(evaluation or ["test"] * number)
    return arithmetic.prevalences_differ(Intervals(low, high), averaged, names)


def test_rows_of_one_set_of_images_have_one_prevalence():
    assert rows_with(0.85, 0.85) == {}
    places, lows, highs = rows_with(0.85, 0.875)["test"]  # 0.5 and 0.25
    assert places == [0, 1]
    assert lows == pytest.approx([0.499, 0.249], abs=2e-3) and highs == pytest.approx([0.501, 0.251], abs=2e-3)
    assert rows_with(0.85, 0.875, evaluation=["one", "other"]) == {}
    assert rows_with(0.85, 0.875, evaluation=["", ""]) == {}
    assert rows_with(0.85, 0.875, averaged=[False, True]) == {}
    assert rows_with(0.85, 0.95) == {}  # outside, which is an anomaly of its own
    assert list(rows_with(0.85, 0.95, 0.875)) == ["test"] and rows_with(0.85, 0.95, 0.875)["test"][0] == [0, 2]


def test_rows_that_imply_nothing_are_not_compared():
    assert rows_with(0.85, math.nan) == {}
    assert rows_with(0.85, math.nan, 0.875)["test"][0] == [0, 2]


def test_swaps_concern_dice_or_iou_and_keep_iou_the_smallest():
    exact = dict.fromkeys(("iou", "dice", "recall", "precision"), 1e-4)
    row = {"iou": 0.5, "dice": 0.9, "recall": 2 / 3, "precision": 2 / 3}
    assert arithmetic.swaps_that_fit(row, exact) == [("dice", "recall"), ("dice", "precision")]
    assert arithmetic.swaps_that_fit(row | {"precision": 0.4}, exact) == []  # IoU would be above precision
    assert arithmetic.swaps_that_fit({"iou": 2 / 3, "dice": 0.5}, exact) == [("iou", "dice")]
    assert arithmetic.swaps_that_fit({"iou": 0.5, "dice": 0.6, "recall": 0.7}, exact) == []
    assert arithmetic.swaps_that_fit({"iou": 0.9, "dice": 2 / 3, "recall": 0.5}, exact) == [("iou", "recall")]


@pytest.mark.parametrize(
    ("mean", "half", "n", "kind", "largest"),
    [
        (0.5, 0.0, 2.0, "SD", 0.5**0.5), (0.5, 0.0, 2.0, "SEM", 0.5), (0.2, 0.0, 5.0, "SD", 0.2**0.5),
        (0.2, 0.0, 5.0, "SEM", 0.2), (0.4, 0.1, 2.0, "SEM", 0.5), (0.6, 0.2, 2.0, "SEM", 0.5),
        (0.2, 0.1, 5.0, "SEM", (0.3 * 0.7 / 4) ** 0.5), (0.8, 0.1, 5.0, "SEM", (0.3 * 0.7 / 4) ** 0.5),
        (0.5, 0.0, math.nan, "SEM", 0.5), (0.5, 0.0, 1.0, "SEM", 0.5),
    ],
)  # fmt: skip
def test_the_largest_spread_is_that_of_zeros_and_ones(mean, half, n, kind, largest):
    found = arithmetic.largest_spread(np.array([mean]), np.array([half]), np.array([n]), [kind])
    assert found.tolist() == pytest.approx([largest])


def test_a_gain_in_units_of_its_noise_and_the_correlation_that_makes_it_significant():
    assert arithmetic.unpaired_z(0.1, 0.3, 9, 0.4, 16) == pytest.approx(0.1 / math.sqrt(0.01 + 0.01))
    # the difference of paired scores has variance 0.09 + 0.16 - 2 r 0.12; significant from n gain^2 / 1.96^2 down
    assert arithmetic.correlation_needed(0.1, 0.3, 0.4, 16) == pytest.approx((0.25 - 0.16 / 3.841459) / 0.24)
    assert arithmetic.correlation_needed(0.0, 0.3, 0.3, 16) == pytest.approx(1)
