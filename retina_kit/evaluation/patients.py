"""Patients as clusters: what a metric needs of each patient, so that patients can be resampled again and again.

`scores` is a DataFrame with one row per image: seed, id, patient, and counts (tp, fp, fn, tn) or scores. Sums per
patient are enough for every metric here, so a resample is a matrix product and never touches images.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation import metrics

COUNTS = ("tp", "fp", "fn", "tn")
CURVES: dict[str, Callable[..., Any]] = {
    "average_precision": metrics.average_precision_of_histogram,
    "auc": metrics.roc_auc_of_histogram,
}
Score = Callable[[np.ndarray], np.ndarray]  # maps totals (..., column) to scores (...)


@dataclass(frozen=True)
class PatientSums:
    """What a metric needs of every patient: sums (seed, patient, column), and how totals become a score."""

    sums: np.ndarray
    patients: tuple[str, ...]
    num_images: int
    num_empty: int  # images left out because the metric is NaN there
    score: Score

    @property
    def num_seeds(self) -> int:
        """The number of seeds that were scored."""
        return len(self.sums)

    def by_seed(self) -> np.ndarray:
        """Return the score over all patients, one value per seed."""
        return self.score(self.sums.sum(axis=1))

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """Return the seed-averaged score for each row of patient weights (resamples, patients)."""
        totals = np.tensordot(weights, self.sums, axes=(1, 1))
        return mean_of_known(self.score(totals), axis=-1)


def mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean without NaN; NaN if nothing is known.

    >>> float(mean_of_known(np.array([0.25, np.nan, 0.75]), axis=0))
    0.5
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def patient_sums(
    scores: pd.DataFrame, metric: str, *, pooled: bool = True, patients: Iterable[str] | None = None
) -> PatientSums:
    """Return the PatientSums of one arm's scores.

    `pooled` adds the counts of all images before the metric is taken (one confusion matrix, Huang 2023); otherwise the
    metric is taken of each image and averaged (Melinscak 2020, Hu 2018). `patients` fixes the order of the patients, so
    that several arms can share one resampling. Raises UsageError if the scores do not have the metric.

    >>> rows = pd.DataFrame({"id": [1, 2], "patient": ["p", "q"], "tp": [1, 3], "fp": [0, 1], "fn": [1, 0], "tn": 4})
    >>> [round(float(patient_sums(rows, "dice", pooled=pooled).by_seed()[0]), 4) for pooled in (True, False)]
    [0.8, 0.7619]
    """
    if pooled and metric in metrics.COUNT_METRICS and set(COUNTS) <= set(scores):
        columns, score = scores[list(COUNTS)].to_numpy(float), _score_of_counts(metric)
        known = np.ones(len(scores), bool)
    elif metric in CURVES and metric not in scores:
        columns, score = _histogram_columns(scores, metric), _score_of_histogram(metric)
        known = np.ones(len(scores), bool)
    else:
        values = values_per_image(scores, metric)
        known = ~np.isnan(values)
        columns, score = np.stack([np.where(known, values, 0.0), known], axis=1), _score_of_sums
    names = scores["patient"].astype(str)
    patients = tuple(sorted(names.unique())) if patients is None else tuple(patients)
    seeds = scores["seed"] if "seed" in scores else pd.Series(0, index=scores.index)
    place = pd.Categorical(names, categories=patients).codes
    seed_place, seed_names = pd.factorize(seeds, sort=True)
    sums = np.zeros((len(seed_names), len(patients), columns.shape[1]))
    np.add.at(sums, (seed_place, place), columns)
    ids = scores["id"]
    return PatientSums(sums, patients, ids[known].nunique(), ids.nunique() - ids[known].nunique(), score)


def values_per_image(scores: pd.DataFrame, metric: str) -> np.ndarray:
    """Return a metric of every row: its column, or computed from the row's counts; NaN if the row has none."""
    if metric in scores:
        return scores[metric].to_numpy(float)
    if metric in metrics.COUNT_METRICS and set(COUNTS) <= set(scores):
        return np.asarray(metrics.COUNT_METRICS[metric](*(scores[name].to_numpy(float) for name in COUNTS)))
    raise UsageError(f"no metric {metric!r} in these scores; their columns are {', '.join(map(str, scores))}")


def _score_of_counts(metric: str) -> Score:
    """Return the function that turns total counts into a metric."""
    return lambda totals: metrics.COUNT_METRICS[metric](*np.moveaxis(totals, -1, 0))


def _score_of_histogram(metric: str) -> Score:
    """Return the function that turns a total histogram into the area under a curve."""
    return lambda totals: CURVES[metric](*np.split(totals, 2, axis=-1))


def _score_of_sums(totals: np.ndarray) -> np.ndarray:
    """Turn (sum of values, number of values) into their mean."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return totals[..., 0] / totals[..., 1]


def _histogram_columns(scores: pd.DataFrame, metric: str) -> np.ndarray:
    """Return one histogram per row (positives low to high, then negatives): its stored bins, or its one score."""
    known = [name for name in scores if name.startswith(("positives_", "negatives_")) and scores[name].notna().any()]
    stored = [sorted(name for name in known if name.startswith(kind)) for kind in ("positives_", "negatives_")]
    if stored[0]:
        return scores[stored[0] + stored[1]].to_numpy(float)
    if not {"probability", "target"} <= set(scores):
        raise UsageError(f"{metric} needs the columns probability and target, or the histograms of score_masks")
    bins, place = np.unique(scores["probability"], return_inverse=True)
    columns = np.zeros((len(scores), 2 * len(bins)))
    negative = ~scores["target"].to_numpy().astype(bool)
    columns[np.arange(len(scores)), place + len(bins) * negative] = 1
    return columns
