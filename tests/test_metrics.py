"""The metrics, on masks and rankings that can be counted by hand."""

import math

import numpy as np
import pytest
import torch

from retina_kit.evaluation import metrics

# Two images of 2x3 pixels. First: 2 pixels hit, 1 too many, 1 missed, 2 left alone. Second: nothing at all.
PREDICTED = np.array([[[1, 1, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], bool)
TARGET = np.array([[[1, 1, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]]], bool)


def test_counts_are_those_of_the_drawing():
    tp, fp, fn, tn = metrics.counts_per_image(PREDICTED, TARGET)
    assert [tp[0], fp[0], fn[0], tn[0]] == [2, 1, 1, 2]
    assert [tp[1], fp[1], fn[1], tn[1]] == [0, 0, 0, 6]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("dice", 4 / 6), ("f1", 4 / 6), ("iou", 2 / 4), ("recall", 2 / 3), ("sensitivity", 2 / 3),
     ("precision", 2 / 3), ("specificity", 2 / 3), ("accuracy", 4 / 6), ("miou", (2 / 4 + 2 / 4) / 2)],
)  # fmt: skip
def test_metrics_of_two_one_one_two(name, expected):
    assert metrics.COUNT_METRICS[name](2, 1, 1, 2) == pytest.approx(expected)


def test_torch_and_numpy_agree():
    for name, metric in metrics.COUNT_METRICS.items():
        from_numpy = metric(*metrics.counts_per_image(PREDICTED, TARGET))
        from_torch = metric(*metrics.counts_per_image(torch.from_numpy(PREDICTED), torch.from_numpy(TARGET)))
        assert isinstance(from_torch, torch.Tensor)
        np.testing.assert_allclose(from_torch.numpy(), from_numpy, rtol=1e-6, err_msg=name)


def test_two_empty_masks_have_no_dice():
    empty = torch.zeros(1, 4, 4, dtype=torch.bool)
    assert metrics.dice(empty, empty).isnan().all()
    assert np.isnan(metrics.iou(PREDICTED, TARGET)[1])


def test_pooled_scores_are_those_of_one_confusion_matrix():
    # Both images together: 2 hit, 1 too many, 1 missed, 8 left alone.
    expected = {"iou": 2 / 4, "dice": 2 * 0.5 / 1.5, "miou": (2 / 4 + 8 / 10) / 2}
    assert metrics.pooled_scores(PREDICTED, TARGET) == expected
    assert metrics.pooled_scores(torch.from_numpy(PREDICTED), torch.from_numpy(TARGET)) == expected
    nothing = metrics.pooled_scores(PREDICTED[1:], TARGET[1:])
    assert math.isnan(nothing["iou"]) and math.isnan(nothing["dice"]) and math.isnan(nothing["miou"])


def test_predicting_nothing_earns_half_a_mean_iou():
    # 79,169 of 22 x 496 x 768 pixels are fluid (Huang 2023, union of both graders): 49.53 per cent.
    fluid, pixels = 79_169, 22 * 496 * 768
    assert round(100 * metrics.miou_of_counts(0, 0, fluid, pixels - fluid), 2) == 49.53


def test_half_thresholded_dice_keeps_the_soft_rest():
    probability = np.array([[[0.9, 0.5, 0.1, 0.0]]])
    target = np.array([[[1, 1, 0, 0]]], bool)
    # 0.9 -> 1; 0.5 and 0.1 stay. (2 x 1.5 + 1) / (1.6 + 2 + 1)
    assert metrics.dice_half_thresholded(probability, target)[0] == pytest.approx(4 / 4.6)
    on_torch = metrics.dice_half_thresholded(torch.from_numpy(probability), torch.from_numpy(target))
    assert on_torch.item() == pytest.approx(4 / 4.6)


def test_half_thresholding_costs_what_the_background_keeps():
    # Strict Dice 0.80 at a fluid fraction of 1.8 %: the background's mean probability decides the rest.
    pixels, fluid = 1_000_000, 18_000
    target, found = np.zeros((1, 1, pixels), bool), np.zeros((1, 1, pixels), bool)
    target[0, 0, :fluid] = True
    found[0, 0, fluid // 5 : fluid + fluid // 5] = True
    assert metrics.dice(found, target)[0] == pytest.approx(0.8)
    for residue, printed in ((1e-4, 0.798), (1e-3, 0.779), (1e-2, 0.629)):
        probability = np.where(found, 1.0, np.where(target, 0.0, residue))
        assert metrics.dice_half_thresholded(probability, target)[0] == pytest.approx(printed, abs=2e-3)


def test_distance_and_squared_error_of_a_3_4_5_triangle():
    predicted, target = torch.tensor([[3.0, 4.0], [4.0, 6.0]]), torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert metrics.distance(predicted, target).tolist() == [5.0, 5.0]
    assert metrics.squared_error(predicted, target).tolist() == [12.5, 12.5]


def test_images_with_one_pixel_of_ground_truth_are_not_empty():
    tp, fp, fn = np.array([1, 0, 0, 0]), np.array([0, 1, 0, 1]), np.array([0, 1, 0, 0])  # the last two are empty
    np.testing.assert_array_equal(metrics.dice_nonempty_of_counts(tp, fp, fn), [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(metrics.false_alarm_of_counts(tp, fp, fn), [np.nan, np.nan, 0, 1])


def test_average_precision_of_four_ranked_scores():
    # Ranked: +, -, +, -. Precision at the two positives: 1/1 and 2/3; each brings half of the recall.
    scores, target = [0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]
    assert metrics.average_precision(scores, target) == pytest.approx((1 + 2 / 3) / 2)
    # Of the four pairs (positive, negative) three are in the right order.
    assert metrics.roc_auc(scores, target) == pytest.approx(3 / 4)


def test_ties_count_half_and_one_class_has_no_curve():
    assert metrics.roc_auc([0.5, 0.5], [1, 0]) == 0.5
    assert metrics.average_precision([0.5, 0.5], [1, 0]) == 0.5
    assert math.isnan(metrics.roc_auc([0.1, 0.2], [0, 0]))
    assert math.isnan(metrics.average_precision([0.1, 0.2], [0, 0]))
    assert metrics.average_precision([0.1, 0.2], [1, 1]) == 1.0


def test_histogram_and_sorting_agree_on_saturated_probabilities():
    rng = np.random.default_rng(0)
    target = rng.random(1_000_000) < 0.005
    logit = np.where(target, rng.normal(-1, 4, len(target)), rng.normal(-9, 2, len(target)))
    scores = (1 / (1 + np.exp(-logit))).astype(np.float32)
    assert (scores < 0.005).mean() > 0.9
    exact = metrics.average_precision(scores, target)
    assert metrics.average_precision(scores, target, 300) == pytest.approx(exact, rel=0.005)
    assert metrics.roc_auc(scores, target, 300) == pytest.approx(metrics.roc_auc(scores, target), abs=1e-3)


def test_a_score_of_one_falls_into_the_last_bin():
    positives, negatives = metrics.score_histogram([0.0, 0.49, 0.5, 1.0], [0, 1, 0, 1], num_bins=2)
    assert positives.tolist() == [1, 1] and negatives.tolist() == [1, 1]


def test_a_bin_of_probabilities_is_one_unit_of_their_logit():
    logit = np.array([-13.5, -11.5, -10.5, -0.5, 0.5, 10.5, 11.5, 13.5])
    target = np.array([0, 0, 1, 0, 1, 0, 1, 1])
    positives, negatives = metrics.score_histogram(1 / (1 + np.exp(-logit)), target, num_bins=24)  # from -12 to 12
    assert [int(place) for place in np.flatnonzero(positives)] == [1, 12, 23]
    assert [int(place) for place in np.flatnonzero(negatives)] == [0, 11, 22]
    assert positives[23] == negatives[0] == 2  # what is beyond 12 is in the outer bins


def test_average_precision_in_a_bin_is_that_of_a_random_order():
    # Sum of (tp + i) / (tp + fp + c i), c = 1 + n / (p + 1). Upper bin, p = 2, n = 3, c = 2: 1/2 + 2/4.
    # Lower bin, p = 1, n = 4, c = 3, with tp = 2 and fp = 3 above: (2 + 1) / (5 + 3).
    assert metrics.average_precision_of_bins(np.array([1, 2]), np.array([4, 3])) == pytest.approx((1 + 3 / 8) / 3)
    assert metrics.average_precision([0.5, 0.5], [1, 0], num_bins=1) == pytest.approx(1 / 1.5)


def test_histograms_of_several_images_are_scored_one_by_one():
    positives = np.array([[1, 0, 2], [0, 3, 0], [0, 0, 0]])  # low to high
    negatives = np.array([[0, 4, 1], [2, 0, 0], [1, 1, 1]])
    # Ties of the first: (2/3) x (2/3) + (1/3) x (3/8); pairs in the right order: 1 x 0 + 2 x (4 + 1/2) of 3 x 5.
    expected = {
        metrics.average_precision_of_histogram: [(2 * 2 / 3 + 3 / 8) / 3, 1, np.nan],
        # Bins: p = 2, n = 1, c = 4/3: 1 / (4/3) + 2 / (8/3); then p = 1, n = 0, c = 1: (2 + 1) / (7 + 1).
        metrics.average_precision_of_bins: [(3 / 4 + 3 / 4 + 3 / 8) / 3, 1, np.nan],
        metrics.roc_auc_of_histogram: [9 / 15, 1, np.nan],
    }
    for score, values in expected.items():
        np.testing.assert_allclose(score(positives, negatives), values, err_msg=score.__name__)


def test_plain_counts_of_nothing_have_no_score():
    for score in (metrics.dice_of_counts, metrics.iou_of_counts, metrics.recall_of_counts):
        assert math.isnan(score(0, 0, 0))


def test_curves_of_no_pixels_have_no_area():
    assert math.isnan(metrics.average_precision([], [])) and math.isnan(metrics.roc_auc([], []))
