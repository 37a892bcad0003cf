"""Patients as clusters: what a metric needs of each patient, so that patients can be drawn again and again.

`scores` is a DataFrame with a row an image: seed, id, patient, and counts (tp, fp, fn, tn) or scores. Sums a
patient are enough for every metric here, so a resample is a matrix product and never touches images.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation import metrics

COUNTS = ("tp", "fp", "fn", "tn")
CURVES = {
    "average_precision": metrics.average_precision_of_histogram,
    "auc": metrics.roc_auc_of_histogram,
}


@dataclass(frozen=True)
class PatientSums:
    """What a metric needs of every patient: sums (seed, patient, column), and how totals become a score."""

    sums: np.ndarray
    patients: tuple
    num_images: int
    num_empty: int  # images left out because the metric is NaN there
    score: object  # maps totals (..., column) to scores (...)

    @property
    def num_seeds(self):
        """The number of seeds that were scored."""
        return len(self.sums)

    def by_seed(self):
        """Return the score over all patients, a value a seed."""
        return self.score(self.sums.sum(axis=1))

    def resampled(self, weights):
        """Return the seed-averaged score for each row of patient weights (resamples, patients)."""
        totals = np.tensordot(weights, self.sums, axes=(1, 1))
        return mean_of_known(self.score(totals), axis=-1)


def mean_of_known(values, axis):
    """Return the mean without NaN; NaN where nothing is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def patient_sums(scores, metric, *, pooled=True, patients=None):
    """Return the PatientSums of one arm's scores.

    `pooled` adds the counts of all images before the metric is taken (one confusion matrix, Huang 2023);
    otherwise the metric is taken of each image and averaged (Melinscak 2020, Hu 2018). `patients` fixes the
    order of the patients, so that several arms can share one resampling.
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


def values_per_image(scores, metric):
    """Return a metric of every row: its column, or computed from the row's counts; NaN where it has none."""
    if metric in scores:
        return scores[metric].to_numpy(float)
    if metric in metrics.COUNT_METRICS and set(COUNTS) <= set(scores):
        return np.asarray(metrics.COUNT_METRICS[metric](*(scores[name].to_numpy(float) for name in COUNTS)))
    raise UsageError(f"no metric {metric!r} in these scores; their columns are {', '.join(map(str, scores))}")


def _score_of_counts(metric):
    return lambda totals: metrics.COUNT_METRICS[metric](*np.moveaxis(totals, -1, 0))


def _score_of_histogram(metric):
    return lambda totals: CURVES[metric](*np.split(totals, 2, axis=-1))


def _score_of_sums(totals):
    with np.errstate(invalid="ignore", divide="ignore"):
        return totals[..., 0] / totals[..., 1]


def _histogram_columns(scores, metric):
    """Return a histogram a row (positives low to high, then negatives): its stored bins, or its one score."""
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
