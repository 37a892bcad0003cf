"""The metrics against MONAI and scikit-learn on 1,000 pairs of masks, empty, full and one-pixel ones included."""

import importlib.util
import math

import numpy as np
import pytest
from test_boundary import pairs

from retina_kit.evaluation import metrics
from retina_kit.evaluation.calibration import reliability
from retina_kit.evaluation.thresholds import ThresholdCounts

NUM_PAIRS = 1000
PAIRS = list(pairs(NUM_PAIRS))
needs_sklearn = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn")
needs_monai = pytest.mark.skipif(importlib.util.find_spec("monai") is None, reason="needs monai (the bench extra)")


def ours(name):
    """Return a metric of every pair."""
    predicted, target = (np.stack(masks) for masks in zip(*PAIRS, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return metrics.COUNT_METRICS[name](*metrics.counts_per_image(predicted, target))


def largest_difference(first, second):
    """Return the largest difference of two lists of scores; scores that do not exist (NaN) must be the same ones."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    assert (np.isnan(first) == np.isnan(second)).all()
    return np.nanmax(np.abs(first - second))


@needs_sklearn
@pytest.mark.parametrize(
    ("name", "function", "settings"),
    [
        ("dice", "f1_score", {"zero_division": math.nan}),
        ("iou", "jaccard_score", {}),
        ("recall", "recall_score", {"zero_division": math.nan}),
        ("precision", "precision_score", {"zero_division": math.nan}),
        ("specificity", "recall_score", {"zero_division": math.nan, "pos_label": 0}),
        ("accuracy", "accuracy_score", {}),
    ],
)
def test_counts_give_the_scores_of_scikit_learn(name, function, settings, record_property):
    """jaccard_score knows no NaN for two empty masks: that pair is left out of the IoU."""
    import sklearn.metrics

    score, found = getattr(sklearn.metrics, function), ours(name)
    theirs = []
    for predicted, target in PAIRS:
        if name == "iou" and not (predicted.any() or target.any()):
            theirs.append(math.nan)
        else:
            theirs.append(score(target.ravel(), predicted.ravel(), **settings))
    difference = largest_difference(found, theirs)
    record_property("largest difference", difference)
    assert difference < 1e-12


@needs_sklearn
def test_rankings_give_the_areas_of_scikit_learn(record_property):
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng, differences = np.random.default_rng(0), []
    for predicted, target in PAIRS:
        if not target.any() or target.all():
            assert math.isnan(metrics.roc_auc(predicted.ravel(), target.ravel()))
            continue
        scores = np.round(0.5 * predicted + 0.5 * rng.random(predicted.shape), 2).ravel()  # with ties
        truth = target.ravel()
        differences.append(abs(metrics.average_precision(scores, truth) - average_precision_score(truth, scores)))
        differences.append(abs(metrics.roc_auc(scores, truth) - roc_auc_score(truth, scores)))
    record_property("largest difference", max(differences))
    assert len(differences) > 1900
    assert max(differences) < 1e-12


@needs_sklearn
def test_bins_and_thresholds_give_the_scores_of_scikit_learn(record_property):
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import f1_score

    rng, differences = np.random.default_rng(1), []
    for predicted, target in PAIRS[:: NUM_PAIRS // 100]:
        probability = 0.5 * predicted + 0.5 * rng.random(predicted.shape)
        table = reliability(probability, target)
        frequency, confidence = calibration_curve(target.ravel(), probability.ravel(), n_bins=15)
        differences += [np.abs(table["frequency"] - frequency).max(), np.abs(table["confidence"] - confidence).max()]
        counts = ThresholdCounts(probability[None], target[None])
        for threshold in (0.25, 0.5, 0.75):
            theirs = f1_score(target.ravel(), (probability > threshold).ravel(), zero_division=math.nan)
            mine = counts.pooled_dice(threshold)
            assert math.isnan(mine) == math.isnan(theirs)
            differences += [] if math.isnan(mine) else [abs(mine - theirs)]
    record_property("largest difference", max(differences))
    assert max(differences) < 1e-12


@needs_monai
def test_overlap_is_that_of_monai(record_property):
    """MONAI computes in float32; its IoU and Dice of two empty masks are NaN, too, with ignore_empty."""
    import torch
    from monai.metrics import compute_dice, compute_iou

    predicted, target = (torch.from_numpy(np.stack(masks))[:, None].float() for masks in zip(*PAIRS, strict=True))
    settings = {"include_background": True, "ignore_empty": False}
    empty = np.array([not (p.any() or t.any()) for p, t in PAIRS])
    for name, compute in (("dice", compute_dice), ("iou", compute_iou)):
        theirs = compute(predicted, target, **settings)[:, 0].numpy().astype(float)
        assert (theirs[empty] == 1).all()  # their rule for two empty masks without ignore_empty; ours is NaN
        difference = largest_difference(np.where(empty, math.nan, ours(name)), np.where(empty, math.nan, theirs))
        record_property(f"largest difference, {name}", difference)
        assert difference < 1e-6
