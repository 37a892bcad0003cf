"""Counts at every threshold against counts by hand, image by image."""

import numpy as np
import pytest

from retina_kit.evaluation.thresholds import ThresholdCounts

PROBABILITY = np.array([[[0.95, 0.5], [0.3, 0.0]], [[1.0, 0.2], [0.2, 0.7]]])
TARGET = np.array([[[True, True], [False, False]], [[False, False], [True, True]]])


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.29, 0.3, 0.49, 0.5, 0.94, 0.95, 0.99, 1.0])
def test_counts_are_those_of_a_comparison(threshold):
    above = threshold + 1e-12 < PROBABILITY
    wanted = [(above & TARGET), (above & ~TARGET), (~above & TARGET)]
    counts = ThresholdCounts(PROBABILITY, TARGET)
    for found, each in zip(counts.at(threshold), wanted, strict=True):
        assert found.tolist() == each.sum(axis=(1, 2)).tolist()
    tp, fp, fn = (each.sum() for each in wanted)
    assert counts.pooled_dice(threshold) == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert counts.tp.shape == counts.fp.shape == counts.fn.shape == (2, 101)


def test_the_best_threshold_pools_images_and_is_close_to_one_half():
    """From 0.20 to 0.49 pooled: tp 3, fp 2 or 1, fn 1; 0.30 to 0.49 is the best, and 0.49 the closest to 0.5."""
    counts = ThresholdCounts(PROBABILITY, TARGET)
    scores = [counts.pooled_dice(k / 100) for k in range(101)]
    best = [k for k in range(101) if scores[k] == max(scores)]
    assert counts.best() == min(best, key=lambda k: abs(k - 50)) / 100
    assert ThresholdCounts(np.zeros((1, 2, 2)), np.zeros((1, 2, 2), bool)).best() == 0.5
