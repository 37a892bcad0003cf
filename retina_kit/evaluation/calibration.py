"""Calibration: among all pixels with a probability of 0.8, do 80 % belong to the structure?

Pixels are sorted into bins of equal width by the probability p of the foreground. With n_b pixels in bin b, their mean
probability conf_b and the share f_b of them that are foreground, the expected calibration error is

    ECE = sum_b n_b / n |f_b - conf_b|

(Naeini 2015, for the foreground's probability rather than the larger of both). Background far from any structure is
easy and dominates n: an ECE over all pixels of a rare lesion is small whatever the network does near the lesion, so
look at the diagram as well.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

from retina_kit.errors import UsageError

NUM_BINS = 15


def reliability(probability: npt.ArrayLike, target: npt.ArrayLike, num_bins: int = NUM_BINS) -> pd.DataFrame:
    """Tabulate each bin that has pixels: low, high, count, confidence (mean probability) and frequency.

    `probability` (0 to 1) and `target` (bool) have the same shape. A probability on the border of two bins counts in
    the lower one, as in scikit-learn.

    >>> reliability([0.1, 0.3, 0.9, 0.9], [False, False, True, False], num_bins=2).round(2).to_numpy().tolist()
    [[0.0, 0.5, 2.0, 0.2, 0.0], [0.5, 1.0, 2.0, 0.9, 0.5]]
    """
    flat, positive = np.asarray(probability, np.float64).ravel(), np.asarray(target).ravel().astype(bool)
    if flat.shape != positive.shape:
        raise UsageError(f"{flat.size} probabilities and {positive.size} targets do not match")
    edges = np.linspace(0, 1, num_bins + 1)
    place = np.searchsorted(edges[1:-1], flat)
    count = np.bincount(place, minlength=num_bins)
    total = np.bincount(place, flat, num_bins)
    hits = np.bincount(place, positive, num_bins)
    used = count > 0
    columns = {"low": edges[:-1], "high": edges[1:], "count": count}
    table = pd.DataFrame(columns)[used].reset_index(drop=True)
    return table.assign(confidence=total[used] / count[used], frequency=hits[used] / count[used])


def expected_calibration_error(probability: npt.ArrayLike, target: npt.ArrayLike, num_bins: int = NUM_BINS) -> float:
    """Return the ECE of the foreground's probability, 0 to 1; NaN without a pixel.

    >>> round(expected_calibration_error([0.1, 0.3, 0.9, 0.9], [False, False, True, False], num_bins=2), 4)
    0.3
    """
    return error_of(reliability(probability, target, num_bins))


def pooled_reliability(
    probability: Iterable[np.ndarray], target: Iterable[np.ndarray], num_bins: int = NUM_BINS
) -> pd.DataFrame:
    """Tabulate the bins of many images (H, W) as `reliability` does, one image in memory at a time.

    >>> probability, target = np.array([[[0.1, 0.9]], [[0.3, 0.9]]]), np.array([[[0, 1]], [[0, 0]]], bool)
    >>> pooled_reliability(probability, target, num_bins=2).round(2).to_numpy().tolist()
    [[0.0, 0.5, 2.0, 0.2, 0.0], [0.5, 1.0, 2.0, 0.9, 0.5]]
    """
    parts = pd.concat([reliability(p, t, num_bins) for p, t in zip(probability, target, strict=True)])
    for mean in ("confidence", "frequency"):
        parts[mean] *= parts["count"]
    sums = parts.groupby(["low", "high"], as_index=False)[["count", "confidence", "frequency"]].sum()
    return sums.assign(
        confidence=sums["confidence"] / sums["count"],
        frequency=sums["frequency"] / sums["count"],
    )


def error_of(table: pd.DataFrame) -> float:
    """Return the ECE that follows from a table of `reliability`; NaN without a pixel.

    >>> round(error_of(reliability([0.1, 0.3, 0.9, 0.9], [False, False, True, False], num_bins=2)), 4)
    0.3
    """
    if table.empty:
        return float("nan")
    gap = (table["frequency"] - table["confidence"]).abs()
    return float((gap * table["count"]).sum() / table["count"].sum())
