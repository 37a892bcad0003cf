"""The arithmetic of published scores: which values cannot come from one confusion matrix, one mean, or one split.

Each published value stands for an interval: half a unit of its last digit either way, if it was rounded. A row is
reported only if the whole interval is impossible. `slack` 2 allows for a digit that was cut off instead of rounded;
what is impossible even then is certain. Functions take all rows of a paper at once.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retina_kit.evaluation.metrics import dice_of_iou
from retina_kit.papers.entries import SAME_METRIC
from retina_kit.papers.published import Published

EPSILON = 1e-9  # of floating point, not of rounding
Z_95 = 1.959964
Interval = tuple[np.ndarray, np.ndarray]  # low, high: one value per row


@dataclass(frozen=True)
class Intervals:
    """The interval of each metric of each published row: two tables (row, metric), NaN if it is not published."""

    low: pd.DataFrame
    high: pd.DataFrame

    def __getitem__(self, metric: str) -> Interval:
        """Return (low, high) of a metric, one value per row."""
        if metric not in self.low:
            return np.full(len(self.low), math.nan), np.full(len(self.low), math.nan)
        return self.low[metric].to_numpy(), self.high[metric].to_numpy()


def rows_of(published: Published) -> pd.DataFrame:
    """Return one row per confusion matrix: item, row, where, averaged, evaluation."""
    numbers = published.numbers[published.numbers["confusion"] != ""]
    columns = ["item", "row", "where", "averaged", "evaluation"]
    return numbers.groupby("confusion", sort=False)[columns].first()


def intervals_of(published: Published, slack: float = 1.0) -> Intervals:
    """Return the Intervals of all rows, in the order of rows_of."""
    numbers = published.numbers[published.numbers["confusion"] != ""]
    metric = numbers["metric"].replace(SAME_METRIC)
    numbers = numbers.assign(metric=metric).drop_duplicates(["confusion", "metric"])
    wide = numbers.set_index(["confusion", "metric"])[["value", "half_width"]].unstack("metric")
    wide = wide.reindex(rows_of(published).index)
    half = slack * wide["half_width"] + EPSILON
    return Intervals((wide["value"] - half).clip(lower=0.0), (wide["value"] + half).clip(upper=1.0))


def corners(function: Callable[..., np.ndarray], *intervals: Interval) -> Interval:
    """Return (low, high) of a function over boxes; exact if it is monotone in each argument.

    If a corner is undefined (0/0) nothing is known: 0 and 1. What lies outside of 0 and 1 is impossible.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.stack([function(*corner) for corner in itertools.product(*intervals)])
    unknown = np.isnan(values).any(axis=0)
    return np.where(unknown, 0.0, values.min(axis=0)), np.where(unknown, 1.0, values.max(axis=0))


def dice_disagrees(box: Intervals, averaged: np.ndarray) -> np.ndarray:
    """Mark the rows in which Dice is not 2 IoU / (1 + IoU).

    For means over images Dice may be lower than that (the curve is concave), but never higher, nor below IoU.
    """
    (dice_low, dice_high), (iou_low, iou_high) = box["dice"], box["iou"]
    lowest = np.where(averaged, iou_low, dice_of_iou(iou_low))
    return (dice_low > dice_of_iou(iou_high)) | (dice_high < lowest)


def harmonic_mean_disagrees(box: Intervals, averaged: np.ndarray) -> np.ndarray:
    """Mark the rows in which Dice (F1) is not the harmonic mean of precision and recall, 2 P R / (P + R)."""
    low, high = corners(lambda p, r: 2 * p * r / (p + r), box["precision"], box["recall"])
    dice_low, dice_high = box["dice"]
    known = ~np.isnan(box["precision"][0]) & ~np.isnan(box["recall"][0])
    return known & ~averaged & ((dice_low > high) | (dice_high < low))


def overlap_exceeds(box: Intervals, averaged: np.ndarray, metric: str) -> np.ndarray:
    """Mark the rows in which IoU is above recall or precision (`metric`), an impossibility; Dice is turned into IoU."""
    from_dice = box["dice"][0] / (2 - box["dice"][0])
    iou_low = np.fmax(box["iou"][0], from_dice)
    return ~averaged & (iou_low > box[metric][1])


def accuracy_outside(box: Intervals, averaged: np.ndarray) -> np.ndarray:
    """Mark the rows in which accuracy is not between sensitivity and specificity, whose weighted mean it is."""
    (recall_low, recall_high), (spec_low, spec_high) = box["recall"], box["specificity"]
    low, high = box["accuracy"]
    return ~averaged & ((high < np.minimum(recall_low, spec_low)) | (low > np.maximum(recall_high, spec_high)))


def prevalence_interval(box: Intervals) -> Interval:
    """Return (low, high) of the share of positives that each row implies; 0 and 1 if it implies nothing."""
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
    return low.max(axis=0, initial=0.0), high.min(axis=0, initial=1.0)


def no_prevalence(box: Intervals, averaged: np.ndarray) -> np.ndarray:
    """Mark the rows whose values no share of positives can reconcile."""
    low, high = prevalence_interval(box)
    return ~averaged & (low > high + EPSILON)


def prevalences_differ(
    box: Intervals, averaged: np.ndarray, evaluation: np.ndarray
) -> dict[str, tuple[list[int], list[float], list[float]]]:
    """Return {evaluation: (rows, low, high)} of the sets on which no single prevalence fits all rows."""
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


def swaps_that_fit(values: Mapping[str, float], half_widths: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the pairs of columns of one row whose swap makes Dice fit IoU and keeps IoU below the others.

    `values` and `half_widths` map a metric to its published value and to what rounding leaves open.

    >>> row = {"iou": 0.31, "dice": 0.378, "recall": 0.4733}  # 2 x 0.31 / 1.31 = 0.4733
    >>> swaps_that_fit(row, dict.fromkeys(row, 0.00005))
    [('dice', 'recall')]
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


def widest_mean(mean: np.ndarray, half_width: np.ndarray) -> np.ndarray:
    """Return, of the means that round to the printed one, the mean whose scores can spread most: that nearest to 0.5.

    >>> widest_mean(np.array([0.75]), np.array([0.005])).tolist()
    [0.745]
    """
    return np.clip(0.5, mean - half_width, mean + half_width)


def largest_spread(mean: np.ndarray, half_width: np.ndarray, n: np.ndarray, kind: pd.Series | list[str]) -> np.ndarray:
    """Return the largest SD (ddof 1) or SEM that n scores in 0..1 with this mean, before it was rounded, can have.

    Scores of 0 and 1 only spread most: SD^2 = mean (1 - mean) n / (n - 1). An unknown n counts as 2, which
    allows most.

    >>> largest_spread(np.array([0.5]), np.array([0.0]), np.array([2.0]), ["SEM"]).tolist()  # of the scores 0 and 1
    [0.5]
    """
    nearest = widest_mean(mean, half_width)
    n = np.where(np.isnan(n), 2.0, np.maximum(n, 2.0))
    variance = nearest * (1 - nearest) / (n - 1)
    return np.sqrt(np.where(np.asarray(kind) == "SEM", variance, variance * n))


def unpaired_z(gain: float, sd_better: float, n_better: float, sd_baseline: float, n_baseline: float) -> float:
    """Return z = gain / sqrt(sd1^2 / n1 + sd2^2 / n2), as if the two means were over different images.

    >>> unpaired_z(0.1, 0.3, 18, 0.3, 18)
    1.0
    """
    return gain / math.sqrt(sd_better**2 / n_better + sd_baseline**2 / n_baseline)


def correlation_needed(gain: float, sd_better: float, sd_baseline: float, n: float) -> float:
    """Return how correlated the paired scores must be for the gain to be significant at the 5 % level."""
    return (sd_better**2 + sd_baseline**2 - n * (gain / Z_95) ** 2) / (2 * sd_better * sd_baseline)
