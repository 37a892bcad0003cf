"""What printed numbers cannot be: one function a check, each over all rows of a paper at once.

Every printed value stands for an interval: half a unit of its last digit either way, if it was rounded. A
row is a finding only where the whole interval is impossible. `slack` 2 allows for a digit that was cut off
instead of rounded; what is impossible even then is certain.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retina_kit.papers.published import SAME_METRIC

EPSILON = 1e-9  # of floating point, not of rounding
Z_95 = 1.959964


@dataclass(frozen=True)
class Box:
    """The interval of every metric of every printed row: two tables (row, metric), NaN where unprinted."""

    low: pd.DataFrame
    high: pd.DataFrame

    def __contains__(self, metric):
        return metric in self.low

    def __getitem__(self, metric):
        """Return (low, high) of a metric, a value a row."""
        if metric not in self.low:
            return np.full(len(self.low), math.nan), np.full(len(self.low), math.nan)
        return self.low[metric].to_numpy(), self.high[metric].to_numpy()


def rows_of(published):
    """Return what the numbers of one confusion matrix share: item, row, where, averaged, evaluation."""
    numbers = published.numbers[published.numbers["confusion"] != ""]
    columns = ["item", "row", "where", "averaged", "evaluation"]
    return numbers.groupby("confusion", sort=False)[columns].first()


def box_of(published, slack=1.0):
    """Return the Box of all rows, in the order of rows_of."""
    numbers = published.numbers[published.numbers["confusion"] != ""]
    metric = numbers["metric"].replace(SAME_METRIC)
    numbers = numbers.assign(metric=metric).drop_duplicates(["confusion", "metric"])
    wide = numbers.set_index(["confusion", "metric"])[["value", "half_width"]].unstack("metric")
    wide = wide.reindex(rows_of(published).index)
    half = slack * wide["half_width"] + EPSILON
    return Box((wide["value"] - half).clip(lower=0.0), (wide["value"] + half).clip(upper=1.0))


def dice_of_iou(iou):
    """Return the Dice that goes with an IoU of the same confusion matrix."""
    return 2 * iou / (1 + iou)


def corners(function, *intervals):
    """Return (low, high) of a function over boxes; exact where it is monotone in each argument.

    Where a corner is undefined (0/0) nothing is known: 0 and 1.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.stack([function(*corner) for corner in itertools.product(*intervals)])
    unknown = np.isnan(values).any(axis=0)
    low, high = np.clip(values.min(axis=0), 0, 1), np.clip(values.max(axis=0), 0, 1)
    return np.where(unknown, 0.0, low), np.where(unknown, 1.0, high)


def dice_disagrees(box, averaged):
    """Say where Dice is not 2 IoU / (1 + IoU).

    For means over images Dice may be lower than that (the curve is bent), but never above it or below IoU.
    """
    (dice_low, dice_high), (iou_low, iou_high) = box["dice"], box["iou"]
    lowest = np.where(averaged, iou_low, dice_of_iou(iou_low))
    return (dice_low > dice_of_iou(iou_high)) | (dice_high < lowest)


def harmonic_mean_disagrees(box, averaged):
    """Say where Dice (F1) is not the harmonic mean of precision and recall."""
    low, high = corners(lambda p, r: 2 * p * r / (p + r), box["precision"], box["recall"])
    dice_low, dice_high = box["dice"]
    printed = ~np.isnan(box["precision"][0]) & ~np.isnan(box["recall"][0])
    return printed & ~averaged & ((dice_low > high) | (dice_high < low))


def overlap_exceeds(box, averaged, metric):
    """Say where IoU is above recall or precision, which it never is; a printed Dice counts as its IoU."""
    from_dice = box["dice"][0] / (2 - box["dice"][0])
    iou_low = np.fmax(box["iou"][0], from_dice)
    return ~averaged & (iou_low > box[metric][1])


def accuracy_outside(box, averaged):
    """Say where accuracy is not between sensitivity and specificity, whose weighted mean it is."""
    (recall_low, recall_high), (spec_low, spec_high) = box["recall"], box["specificity"]
    low, high = box["accuracy"]
    return ~averaged & ((high < np.minimum(recall_low, spec_low)) | (low > np.maximum(recall_high, spec_high)))


def prevalence_interval(box):
    """Return (low, high), the share of positives that each row implies; 0 and 1 where it implies nothing."""
    accuracy, recall, dice = box["accuracy"], box["recall"], box["dice"]
    precision, specificity = box["precision"], box["specificity"]
    crossing = (recall[0] <= specificity[1]) & (specificity[0] <= recall[1])
    by_specificity = corners(lambda a, r, s: (a - s) / (r - s), accuracy, recall, specificity)
    implied = [
        (np.where(crossing, 0.0, by_specificity[0]), np.where(crossing, 1.0, by_specificity[1])),
        corners(lambda a, r, q: (1 - a) / (1 - 2 * r + r / q), accuracy, recall, precision),
        corners(lambda a, r, d: (1 - a) * d / (2 * r * (1 - d)), accuracy, recall, dice),
        corners(lambda r, s, q: q * (1 - s) / (r * (1 - q) + q * (1 - s)), recall, specificity, precision),
    ]
    low, high = (np.stack(ends) for ends in zip(*implied, strict=True))
    return low.max(axis=0), high.min(axis=0)


def prevalences_differ(box, averaged, evaluation):
    """Return {evaluation: (rows, low, high)} of sets on which no single prevalence fits all rows."""
    low, high = prevalence_interval(box)
    usable = ~averaged & ~accuracy_outside(box, averaged) & (low <= high) & ((low > 0) | (high < 1))
    table = pd.DataFrame({"evaluation": evaluation, "low": low, "high": high})
    table = table[usable & (evaluation != "")].reset_index(names="position")
    ends = table.groupby("evaluation", sort=False).agg(low=("low", "max"), high=("high", "min"))
    found = {}
    for name in ends.index[(ends["low"] > ends["high"]).to_numpy()]:
        rows = table[table["evaluation"] == name]
        found[name] = (rows["position"].tolist(), rows["low"].tolist(), rows["high"].tolist())
    return found


def mending_swaps(values, half_widths):
    """Return the pairs of columns of one row whose swap makes Dice fit IoU, and IoU stay below the others.

    `values` and `half_widths` map a metric to the printed value and what its rounding leaves open.
    """
    found = []
    for one, other in itertools.combinations(values, 2):
        if not {one, other} & {"dice", "iou"}:
            continue
        renamed = {one: other, other: one}
        swapped = {m: values[renamed.get(m, m)] for m in values}
        half = {m: half_widths[renamed.get(m, m)] + EPSILON for m in values}
        low, high = (dice_of_iou(swapped["iou"] + sign * half["iou"]) for sign in (-1, 1))
        fits = swapped["dice"] - half["dice"] <= high and swapped["dice"] + half["dice"] >= low
        others = [m for m in ("recall", "precision") if m in swapped]
        if fits and all(swapped["iou"] - half["iou"] <= swapped[m] + half[m] for m in others):
            found.append((one, other))
    return found


def largest_spread(mean, half_width, n, kind):
    """Return the largest SD (ddof 1) or SEM that n scores in 0..1 with this mean can have.

    Scores of 0 and 1 only spread most: SD^2 = mean (1 - mean) n / (n - 1). An unknown n counts as 2, which
    allows most.
    """
    nearest = np.clip(0.5, mean - half_width, mean + half_width)  # the mean whose spread may be largest
    n = np.where(np.isnan(n), 2.0, np.maximum(n, 2.0))
    variance = nearest * (1 - nearest) / (n - 1)
    return np.sqrt(np.where(np.asarray(kind) == "SEM", variance, variance * n))


def unpaired_z(gain, sd_better, n_better, sd_baseline, n_baseline):
    """Return the z of a difference of two means as if their images were different ones."""
    return gain / math.sqrt(sd_better**2 / n_better + sd_baseline**2 / n_baseline)


def correlation_needed(gain, sd_better, sd_baseline, n):
    """Return how correlated the paired scores must be for the gain to be significant at 5 per cent."""
    return (sd_better**2 + sd_baseline**2 - n * (gain / Z_95) ** 2) / (2 * sd_better * sd_baseline)
