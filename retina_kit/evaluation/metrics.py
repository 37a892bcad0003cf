"""Scores of one mask, one confusion matrix or one ranking: Dice, IoU and their relatives, curves, distances.

Functions take torch tensors or numpy arrays and give back the same kind; the metrics of single images
(`IMAGE_METRICS`) give numpy arrays whatever they take. Counts (tp, fp, fn, tn) are pixels, or images for a classifier.
A score whose denominator is zero is NaN, never silently 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # numpy arrays are scored without loading torch
    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")
Counts = Any  # a number, a numpy array or a torch tensor of counts; scores come back as the same kind

SMOOTHING = 1.0  # in the published half-thresholded Dice (Melinscak 2020, code)
COUNTS = ("tp", "fp", "fn", "tn")
WITHOUT_MAXIMUM = {"mse", "distance", "distance_diameters", "compactness", "hd95", "assd"}  # the others end at 1
MAX_LOGIT = 12.0  # of the histograms: probabilities from 6e-6 to 1 - 6e-6 are told apart


def dice(predicted: Array, target: Array) -> Array:
    """Dice per image, 2 |A & B| / (|A| + |B|), of two bool masks of shape (N, H, W).

    Two empty masks have no Dice: NaN.

    >>> import torch
    >>> dice(torch.tensor([[[True, False]]]), torch.tensor([[[True, True]]]))
    tensor([0.6667])
    """
    return dice_of_counts(*counts_per_image(predicted, target))


def iou(predicted: Array, target: Array) -> Array:
    """Intersection over union per image, |A & B| / |A or B|, of two bool masks of shape (N, H, W).

    Two empty masks have no IoU: NaN.

    >>> iou(np.array([[[True, False]]]), np.array([[[True, True]]])).tolist()
    [0.5]
    """
    return iou_of_counts(*counts_per_image(predicted, target))


def counts_per_image(predicted: Array, target: Array) -> tuple[Array, Array, Array, Array]:
    """Count (tp, fp, fn, tn) of each mask in a batch, in pixels; both are bool, shape (N, H, W).

    >>> counts = counts_per_image(np.array([[[1, 1, 0, 0]]], bool), np.array([[[1, 0, 1, 0]]], bool))
    >>> [int(count[0]) for count in counts]
    [1, 1, 1, 1]
    """
    predicted, target = _flat(predicted), _flat(target)
    tp = _count(predicted & target)
    num_predicted, num_target = _count(predicted), _count(target)
    fp, fn = num_predicted - tp, num_target - tp
    return tp, fp, fn, predicted.shape[1] - tp - fp - fn


def _flat(images: Array) -> Array:
    """Return the pixels of each image as a row; there may be no images."""
    return images.reshape(len(images), math.prod(images.shape[1:]))


def _count(mask: Array) -> Array:
    """Return the number of true pixels in each row; numpy counts bools faster than it sums them."""
    return np.count_nonzero(mask, axis=1) if isinstance(mask, np.ndarray) else mask.sum(dim=1)


def _ratio(part: Counts, whole: Counts) -> Counts:
    """Return part / whole, NaN if both are zero."""
    if isinstance(whole, int | float) and not whole:
        return math.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        return part / whole


def dice_of_counts(tp: Counts, fp: Counts, fn: Counts, tn: Counts = None) -> Counts:
    """Return Dice, 2 tp / (2 tp + fp + fn), also called F1.

    >>> dice_of_counts(60, 20, 40), dice_of_counts(0, 0, 0)
    (0.6666666666666666, nan)
    """
    return _ratio(2 * tp, 2 * tp + fp + fn)


def iou_of_counts(tp: Counts, fp: Counts, fn: Counts, tn: Counts = None) -> Counts:
    """Return the intersection over union, tp / (tp + fp + fn).

    >>> iou_of_counts(60, 20, 40)
    0.5
    """
    return _ratio(tp, tp + fp + fn)


def dice_of_iou(iou: Counts) -> Counts:
    """Return the Dice that goes with an IoU of the same confusion matrix, 2 IoU / (1 + IoU).

    >>> dice_of_iou(0.5)
    0.6666666666666666
    """
    return 2 * iou / (1 + iou)


def recall_of_counts(tp: Counts, fp: Counts, fn: Counts, tn: Counts = None) -> Counts:
    """Return tp / (tp + fn), the share of the target that was found: sensitivity, "Acc" in mmsegmentation."""
    return _ratio(tp, tp + fn)


def precision_of_counts(tp: Counts, fp: Counts, fn: Counts = None, tn: Counts = None) -> Counts:
    """Return tp / (tp + fp), the share of the prediction that is right."""
    return _ratio(tp, tp + fp)


def specificity_of_counts(tp: Counts, fp: Counts, fn: Counts, tn: Counts) -> Counts:
    """Return tn / (tn + fp), the share of the background that was predicted as background."""
    return _ratio(tn, tn + fp)


def accuracy_of_counts(tp: Counts, fp: Counts, fn: Counts, tn: Counts) -> Counts:
    """Return (tp + tn) / (tp + fp + fn + tn), the share of all pixels that are right.

    It always lies between sensitivity and specificity, whose weighted mean it is.

    >>> accuracy_of_counts(60, 20, 40, 180)
    0.8
    """
    return _ratio(tp + tn, tp + fp + fn + tn)


def miou_of_counts(tp: Counts, fp: Counts, fn: Counts, tn: Counts) -> Counts:
    """Return the mean IoU of foreground and background; predicting nothing already scores about one half.

    >>> miou_of_counts(0, 0, 10, 990)
    0.495
    """
    return (_ratio(tp, tp + fp + fn) + _ratio(tn, tn + fp + fn)) / 2


COUNT_METRICS: dict[str, Callable[..., Counts]] = {
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


def dice_nonempty_of_counts(tp: Counts, fp: Counts, fn: Counts, tn: Counts = None) -> Counts:
    """Return the Dice of images whose ground truth is not empty, NaN of the others.

    An empty prediction scores 0 there, so that networks are averaged over the same images whatever they predict. Data
    sets without empty images, as papers on fluid often use, have no other reading.

    >>> dice_nonempty_of_counts(np.array([3, 0, 0]), np.array([1, 0, 5]), np.array([1, 4, 0])).tolist()
    [0.75, 0.0, nan]
    """
    return np.where(np.asarray(tp + fn) > 0, _ratio(2.0 * tp, np.maximum(2 * tp + fp + fn, 1)), np.nan)


def false_alarm_of_counts(tp: Counts, fp: Counts, fn: Counts, tn: Counts = None) -> Counts:
    """Return 1 for images with an empty ground truth and at least one predicted pixel, 0 if none, NaN of the others.

    Its mean is the share of empty images with a false alarm.

    >>> false_alarm_of_counts(np.array([3, 0, 0]), np.array([1, 0, 5]), np.array([1, 0, 0])).tolist()
    [nan, 0.0, 1.0]
    """
    return np.where(np.asarray(tp + fn) > 0, np.nan, np.asarray(fp) > 0)


IMAGE_METRICS: dict[str, Callable[..., Counts]] = {  # of one image's counts, never of pooled ones
    "dice_nonempty": dice_nonempty_of_counts,
    "false_alarms": false_alarm_of_counts,
}


def pooled_scores(predicted: Array, target: Array) -> dict[str, float]:
    """Return iou, dice and miou from one confusion matrix over all pixels of bool masks (N, H, W).

    >>> pooled_scores(np.array([[[1, 1, 0, 0]]], bool), np.array([[[1, 0, 0, 0]]], bool))["iou"]
    0.5
    """
    counts = [np.float64(int(count[0])) for count in counts_per_image(predicted.reshape(1, -1), target.reshape(1, -1))]
    overlap = float(iou_of_counts(*counts))
    return {"iou": overlap, "dice": dice_of_iou(overlap), "miou": float(miou_of_counts(*counts))}


def dice_half_thresholded(probability: Array, target: Array) -> Array:
    """Return the published Dice of each image: probabilities above 0.5 become 1, the others stay soft.

    (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) with smoothing 1 in numerator and denominator, so two empty masks score up
    to 1. Residual background probability lowers the score (Melinscak 2020, code). `probability` is a float (N, H, W) in
    0..1, `target` a bool one.

    >>> probability, target = np.array([[[0.9, 0.5, 0.1, 0.0]]]), np.array([[[1, 1, 0, 0]]], bool)
    >>> round(float(dice_half_thresholded(probability, target)[0]), 4)  # (2 x 1.5 + 1) / (1.6 + 2 + 1)
    0.8696
    """
    flat, flat_target = _flat(probability), _flat(target)
    half = flat * (flat <= 0.5) + (flat > 0.5)
    overlap = (half * flat_target).sum(1)
    return (2 * overlap + SMOOTHING) / (half.sum(1) + flat_target.sum(1) + SMOOTHING)


def distance(predicted: Array, target: Array) -> Array:
    """Return the Euclidean distance of each pair of points (N, 2), in the unit of the points.

    >>> distance(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]])).tolist()
    [5.0]
    """
    return ((predicted - target) ** 2).sum(1) ** 0.5


def squared_error(predicted: Array, target: Array) -> Array:
    """Return the squared error of each pair of points (N, 2), averaged over x and y as an MSE loss does.

    >>> squared_error(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]])).tolist()
    [12.5]
    """
    return ((predicted - target) ** 2).sum(1) / 2


def score_histogram(
    scores: npt.ArrayLike, target: npt.ArrayLike, num_bins: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (positives, negatives): how many of each class have a score in each bin, low to high.

    `scores` and `target` are flat arrays. Without `num_bins` every distinct score has its own bin, which is exact and
    sorts. With it, the scores are probabilities, and bins of equal width on the logit scale, log(p / (1 - p)) from -12
    to 12, are filled in one pass, for millions of pixels: most have p < 0.005, where equal bins of p rank nothing.

    >>> positives, negatives = score_histogram([0.0, 0.49, 0.5, 1.0], [0, 1, 0, 1], num_bins=2)
    >>> positives.tolist(), negatives.tolist()
    ([1, 1], [1, 1])
    """
    scores, target = np.asarray(scores).ravel(), np.asarray(target).ravel().astype(bool)
    if num_bins is None:
        bins, place = np.unique(scores, return_inverse=True)
        num_bins = len(bins)
    else:
        place = _logit_bins(scores, num_bins)
    both = np.bincount(place + num_bins * target, minlength=2 * num_bins)
    return both[num_bins:], both[:num_bins]


def _logit_bins(probability: np.ndarray, num_bins: int) -> np.ndarray:
    """Return the bin of each probability: equal widths of the logit, what is beyond +-MAX_LOGIT in the outer bins."""
    with np.errstate(divide="ignore"):
        logit = np.log(probability) - np.log1p(-probability)
    share = (logit.clip(-MAX_LOGIT, MAX_LOGIT) / MAX_LOGIT + 1) / 2
    return np.minimum((share * num_bins).astype(np.int32), num_bins - 1)


def average_precision_of_histogram(positives: np.ndarray, negatives: np.ndarray) -> Any:
    """Return AP, the sum over thresholds of (recall step) x precision; one score per bin, low to high, bins last."""
    tp = np.cumsum(np.flip(positives, -1), axis=-1)
    fp = np.cumsum(np.flip(negatives, -1), axis=-1)
    precision = np.where(tp > 0, _ratio(tp, tp + fp), 0.0)
    return _ratio((np.flip(positives, -1) * precision).sum(-1), np.sum(positives, -1))


def average_precision_of_bins(positives: np.ndarray, negatives: np.ndarray) -> Any:
    """Return AP from bins that hold different scores, low to high on the last axis, as if each were in random order.

    Taken as ties, the scores of a bin would have the precision at its end, which is always too low. In random order the
    i-th of a bin's p positives has, on average, i n / (p + 1) of its n negatives before it. With tp and fp above the
    bin, their precisions add up to the sum over i of (tp + i) / (tp + fp + c i), c = 1 + n / (p + 1): in closed form
    p / c + (tp - (tp + fp) / c) / c (digamma((tp + fp) / c + p + 1) - digamma((tp + fp) / c + 1)).

    >>> average_precision_of_bins(np.array([1, 0, 1]), np.array([0, 1, 0])).round(4).item()  # + - +: (1 + 2/3) / 2
    0.8333
    """
    from scipy import special  # slow to load, and only the classifier's curves need it

    p, n = np.flip(positives, -1).astype(float), np.flip(negatives, -1).astype(float)
    tp, fp = np.cumsum(p, -1) - p, np.cumsum(n, -1) - n
    c = 1 + n / (p + 1)
    start = (tp + fp) / c
    precisions = p / c + (tp - start) / c * (special.digamma(start + p + 1) - special.digamma(start + 1))
    return _ratio(precisions.sum(-1), p.sum(-1))


def roc_auc_of_histogram(positives: np.ndarray, negatives: np.ndarray) -> Any:
    """Return AUC, the share of (positive, negative) pairs ranked correctly, ties counting half; bins last."""
    below = np.cumsum(negatives, axis=-1) - 0.5 * negatives
    return _ratio((positives * below).sum(-1), 1.0 * positives.sum(-1) * negatives.sum(-1))


def average_precision(scores: npt.ArrayLike, target: npt.ArrayLike, num_bins: int | None = None) -> float:
    """Return the average precision AP = sum_k (R_k - R_(k-1)) P_k of flat scores; NaN if nothing is positive.

    P_k and R_k are precision and recall at the k-th threshold, from the highest score down.

    >>> average_precision([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    score = average_precision_of_histogram if num_bins is None else average_precision_of_bins
    return float(score(*score_histogram(scores, target, num_bins)))


def roc_auc(scores: npt.ArrayLike, target: npt.ArrayLike, num_bins: int | None = None) -> float:
    """Return the area under the ROC curve of flat scores, P(positive > negative) + P(tie) / 2.

    NaN if only one class occurs.

    >>> roc_auc([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])  # three of the four pairs are in the right order
    0.75
    """
    return float(roc_auc_of_histogram(*score_histogram(scores, target, num_bins)))
