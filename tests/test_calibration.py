"""Calibration: by hand, against scikit-learn, and the diagram."""

import importlib.util
import math

import numpy as np
import pytest

from retina_kit.errors import UsageError
from retina_kit.evaluation.calibration import expected_calibration_error, reliability
from retina_kit.evaluation.thresholds import ThresholdCounts
from retina_kit.reporting import figures

HAS_SKLEARN = importlib.util.find_spec("sklearn") is not None


def test_a_network_that_is_right_as_often_as_it_says_has_no_error():
    probability = np.array([0.25] * 4 + [0.75] * 4)
    target = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert expected_calibration_error(probability, target, num_bins=2) == 0


def test_overconfidence_is_counted():
    # 8 of 10 pixels in the upper bin: says 0.9, is right in half; 2 in the lower: says 0.1, never right
    probability, target = np.array([0.9] * 8 + [0.1] * 2), np.array([1, 0] * 4 + [0, 0], bool)
    assert expected_calibration_error(probability, target, num_bins=2) == pytest.approx(0.8 * 0.4 + 0.2 * 0.1)


def test_masks_of_many_images_count_together():
    probability = np.random.default_rng(0).random((3, 8, 9)).astype(np.float32)
    table = reliability(probability, probability > 0.4)
    assert table["count"].sum() == 3 * 8 * 9
    assert (table["low"] <= table["confidence"]).all()
    assert (table["confidence"] <= table["high"]).all()


def test_what_does_not_match_is_refused_and_nothing_is_not_zero():
    with pytest.raises(UsageError, match="do not match"):
        reliability([0.5, 0.5], [True])
    assert math.isnan(expected_calibration_error([], []))


@pytest.mark.skipif(not HAS_SKLEARN, reason="needs scikit-learn")
def test_bins_are_those_of_scikit_learn():
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(1)
    for _ in range(100):
        probability = np.concatenate([rng.random(500), np.linspace(0, 1, 11)])
        target = rng.random(511) < probability**2
        table = reliability(probability, target, num_bins=10)
        frequency, confidence = calibration_curve(target, probability, n_bins=10)
        np.testing.assert_allclose(table["frequency"], frequency)
        np.testing.assert_allclose(table["confidence"], confidence)


def test_the_threshold_with_the_best_dice_is_found():
    probability, target = np.array([[[0.1, 0.35, 0.6, 0.9]]]), np.array([[[0, 1, 1, 1]]], bool)
    counts = ThresholdCounts(probability, target)
    assert 0.1 <= counts.best() < 0.35
    assert counts.pooled_dice(counts.best()) == 1
    # among equally good thresholds, the one closest to 0.5
    assert counts.best() == 0.34


def test_the_diagram_shows_every_bin():
    table = reliability([0.1, 0.3, 0.9, 0.9], [False, False, True, False], num_bins=2)
    figure = figures.plot_reliability({"a network": table})
    lines = figure.axes[0].get_lines()
    assert [len(line.get_xdata()) for line in lines] == [2, 2]  # the diagonal, and the network
    assert "0.3" in figure.legends[0].get_texts()[1].get_text()
