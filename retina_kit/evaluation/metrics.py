"""Scores of one mask, one confusion matrix or one ranking: Dice, IoU, their relatives, curves, distances.

Functions take torch tensors or numpy arrays and give back the same kind. Counts (tp, fp, fn, tn) are pixels,
or images for a classifier. A score whose denominator is zero is NaN, never silently 0 or 1.
"""

import numpy as np

SMOOTHING = 1.0  # in the published half-thresholded Dice (Melinscak 2020, code)


def counts_per_image(predicted, target):
    """Return (tp, fp, fn, tn) of each mask in a batch, in pixels; both are bool, shape (N, H, W)."""
    predicted, target = predicted.reshape(len(predicted), -1), target.reshape(len(target), -1)
    tp = _count(predicted & target)
    num_predicted, num_target = _count(predicted), _count(target)
    fp, fn = num_predicted - tp, num_target - tp
    return tp, fp, fn, predicted.shape[1] - tp - fp - fn


def _count(mask):
    """Return the number of true pixels in each row; numpy counts bools faster than it sums them."""
    return np.count_nonzero(mask, axis=1) if isinstance(mask, np.ndarray) else mask.sum(dim=1)


def _ratio(part, whole):
    """Return part / whole, NaN where both are zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return part / whole


def dice_of_counts(tp, fp, fn, tn=None):
    """Return Dice, 2 tp / (2 tp + fp + fn), also called F1."""
    return _ratio(2 * tp, 2 * tp + fp + fn)


def iou_of_counts(tp, fp, fn, tn=None):
    """Return the intersection over union, tp / (tp + fp + fn); Dice = 2 IoU / (1 + IoU)."""
    return _ratio(tp, tp + fp + fn)


def recall_of_counts(tp, fp, fn, tn=None):
    """Return the share of the target that was found, also called sensitivity (mmsegmentation: "Acc")."""
    return _ratio(tp, tp + fn)


def precision_of_counts(tp, fp, fn=None, tn=None):
    """Return the share of the prediction that is right."""
    return _ratio(tp, tp + fp)


def specificity_of_counts(tp, fp, fn, tn):
    """Return the share of the background that was left alone."""
    return _ratio(tn, tn + fp)


def accuracy_of_counts(tp, fp, fn, tn):
    """Return the share of all pixels that are right; it always lies between sensitivity and specificity."""
    return _ratio(tp + tn, tp + fp + fn + tn)


def miou_of_counts(tp, fp, fn, tn):
    """Return the mean IoU of background and foreground; predicting nothing already earns about one half."""
    return (_ratio(tp, tp + fp + fn) + _ratio(tn, tn + fp + fn)) / 2


COUNT_METRICS = {
    "dice": dice_of_counts,
    "f1": dice_of_counts,
    "iou": iou_of_counts,
    "miou": miou_of_counts,
    "recall": recall_of_counts,
    "sensitivity": recall_of_counts,
    "precision": precision_of_counts,
    "specificity": specificity_of_counts,
    "accuracy": accuracy_of_counts,
}


def dice_per_image(predicted, target):
    """Return the Dice of each mask in a batch; both are bool, shape (N, H, W).

    Two empty masks have no Dice, so the answer is NaN; say so in the table.
    """
    return dice_of_counts(*counts_per_image(predicted, target))


def iou_per_image(predicted, target):
    """Return the IoU of each mask in a batch; both are bool, shape (N, H, W); NaN for two empty masks."""
    return iou_of_counts(*counts_per_image(predicted, target))


def dice_half_thresholded(probability, target):
    """Return the published Dice of each image: values above 0.5 become 1, the others stay soft.

    `probability` is a float (N, H, W) in 0..1, `target` a bool one. Smoothing 1 in numerator and denominator,
    so two empty masks earn up to 1. The soft rest of the background lowers the score (Melinscak 2020, code).
    """
    flat = probability.reshape(len(probability), -1)
    truth = target.reshape(len(target), -1)
    half = flat * (flat <= 0.5) + (flat > 0.5)
    overlap = (half * truth).sum(axis=1)
    return (2 * overlap + SMOOTHING) / (half.sum(axis=1) + truth.sum(axis=1) + SMOOTHING)


def distance(predicted, target):
    """Return the Euclidean distance of each pair of points (N, 2), in the unit of the points."""
    return ((predicted - target) ** 2).sum(axis=1) ** 0.5


def squared_error(predicted, target):
    """Return the squared error of each pair of points (N, 2), averaged over x and y, as an MSE loss does."""
    return ((predicted - target) ** 2).sum(axis=1) / 2


def score_histogram(scores, target, num_bins=None):
    """Return (positives, negatives): how many of each class have a score in each bin, low to high.

    `scores` and `target` are flat arrays. Without `num_bins` every distinct score has its own bin, which
    is exact and sorts; with it, bins of equal width over 0..1 are filled in one pass, for millions of pixels.
    """
    scores, target = np.asarray(scores).ravel(), np.asarray(target).ravel().astype(bool)
    if num_bins is None:
        bins, place = np.unique(scores, return_inverse=True)
        num_bins = len(bins)
    else:
        place = np.minimum((scores * num_bins).astype(np.int32), num_bins - 1)
    both = np.bincount(place + num_bins * target, minlength=2 * num_bins)
    return both[num_bins:], both[:num_bins]


def average_precision_of_histogram(positives, negatives):
    """Return the area under precision against recall, step by step; bins on the last axis, low to high."""
    tp = np.cumsum(np.flip(positives, -1), axis=-1)
    fp = np.cumsum(np.flip(negatives, -1), axis=-1)
    precision = np.where(tp > 0, _ratio(tp, tp + fp), 0.0)
    return _ratio((np.flip(positives, -1) * precision).sum(-1), tp[..., -1])


def roc_auc_of_histogram(positives, negatives):
    """Return how often a positive outranks a negative, ties counting half; bins on the last axis."""
    below = np.cumsum(negatives, axis=-1) - 0.5 * negatives
    return _ratio((positives * below).sum(-1), 1.0 * positives.sum(-1) * negatives.sum(-1))


def average_precision(scores, target, num_bins=None):
    """Return the area under the precision-recall curve of flat scores; NaN where nothing is positive."""
    return float(average_precision_of_histogram(*score_histogram(scores, target, num_bins)))


def roc_auc(scores, target, num_bins=None):
    """Return the area under the ROC curve of flat scores; NaN where only one class is there."""
    return float(roc_auc_of_histogram(*score_histogram(scores, target, num_bins)))
