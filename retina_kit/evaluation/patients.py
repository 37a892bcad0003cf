"""Patients as clusters: what a metric needs of each patient, so that each can be left out in turn.

`scores` is a DataFrame with one row per image: seed, id, patient, and counts (tp, fp, fn, tn) or scores. Sums per
patient are enough for every metric here, so a score without one patient never touches images.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation import metrics
from retina_kit.evaluation.metrics import COUNTS

CURVES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {  # from bins, from one bin for every score
    "average_precision": (metrics.average_precision_of_bins, metrics.average_precision_of_histogram),
    "auc": (metrics.roc_auc_of_histogram, metrics.roc_auc_of_histogram),
}
Score = Callable[[np.ndarray], np.ndarray]  # maps totals (..., column) to scores (...)


@dataclass(frozen=True)
class PatientSums:
    """What a metric needs of every patient: sums (seed, patient, column), and how totals become a score."""

    sums: np.ndarray
    patients: tuple[str, ...]
    num_scored: int  # patients that have a score by themselves, or take part in a curve
    score: Score

    @property
    def num_seeds(self) -> int:
        """The number of seeds that were scored."""
        return len(self.sums)

    def by_seed(self) -> np.ndarray:
        """Return the score over all patients, one value per seed."""
        return self.score(self.sums.sum(axis=1))

    def contributions(self, num_patients: int | None = None) -> np.ndarray:
        """Return each patient's share in each seed's deviation from its expectation, (patient, seed), by the jackknife.

        Leaving patient p out of n changes the score of seed s from theta_s to theta_(p)s; its share is
        (n - 1) / n (theta_s - theta_(p)s). `num_patients` is n if some of the patients have no image.
        """
        n = max(1, num_patients or len(self.patients))
        without = self.score(self.sums.sum(axis=1, keepdims=True) - self.sums)
        return (n - 1) / n * (self.by_seed()[:, None] - without).T


def mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean without NaN; NaN if nothing is known.

    >>> float(mean_of_known(np.array([0.25, np.nan, 0.75]), axis=0))
    0.5
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def patient_sums(
    scores: pd.DataFrame,
    metric: str,
    *,
    pooled: bool = True,
    patients: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None,
) -> PatientSums:
    """Return the PatientSums of one arm's scores.

    `pooled` adds the counts of all images before the metric is taken (one confusion matrix, Huang 2023); otherwise the
    metric is taken of each image and averaged (Melinscak 2020, Hu 2018). `patients` and `seeds` fix which there are and
    their order, so that several arms can be paired. Raises UsageError if the scores do not have the metric, or have
    other patients or seeds.

    >>> rows = pd.DataFrame({"id": [1, 2], "patient": ["p", "q"], "tp": [1, 3], "fp": [0, 1], "fn": [1, 0], "tn": 4})
    >>> [round(float(patient_sums(rows, "dice", pooled=pooled).by_seed()[0]), 4) for pooled in (True, False)]
    [0.8, 0.7619]
    """
    names = scores["patient"].astype(str)
    patients = tuple(sorted(names.unique())) if patients is None else tuple(patients)
    of_row = scores["seed"] if "seed" in scores else pd.Series(0, index=scores.index)
    seed_names = sorted(of_row.unique()) if seeds is None else list(seeds)
    of_seeds, of_patients = pd.Categorical(of_row, categories=seed_names), pd.Categorical(names, categories=patients)
    if of_seeds.isna().any() or of_patients.isna().any():
        raise UsageError("the scores have patients or seeds that are not among those asked for")
    place = of_seeds.codes.astype(np.intp) * len(patients) + of_patients.codes  # of a row among seeds x patients
    num_places, score_is_curve = len(seed_names) * len(patients), is_pooled(scores, metric, pooled) and metric in CURVES
    if score_is_curve and not (stored := _histogram_names(scores)):
        table, score = _histograms_of_rows(scores, metric, place, num_places), _score_of_histogram(CURVES[metric][1])
    else:
        if score_is_curve:
            columns, score = scores[stored].to_numpy(float), _score_of_histogram(CURVES[metric][0])
        elif is_pooled(scores, metric, pooled):
            columns, score = scores[list(COUNTS)].to_numpy(float), _score_of_counts(metric)
        else:
            values = values_per_image(scores, metric)
            known = ~np.isnan(values)
            columns, score = np.stack([np.where(known, values, 0.0), known], axis=1), _score_of_sums
        table = _sums_of_rows(columns, place, num_places)
    sums = table.reshape(len(seed_names), len(patients), table.shape[1])
    scored = sums.any(axis=2) if score_is_curve else ~np.isnan(score(sums))
    return PatientSums(sums, patients, int(scored.any(axis=0).sum()), score)


def is_pooled(scores: pd.DataFrame, metric: str, pooled: bool) -> bool:
    """Tell whether a metric is taken of all images' counts or histograms together, not of each image."""
    if metric in CURVES:
        return metric not in scores
    return pooled and metric in metrics.COUNT_METRICS and set(COUNTS) <= set(scores)


def scored_in_all_arms(scores: pd.DataFrame, metric: str, pooled: bool) -> pd.DataFrame:
    """Return the rows of the images that have a score in every arm that tested them with the same seed.

    Each arm leaves out the images in which it has no score, such as empty masks that it leaves empty. Arms compared
    with one another must leave out the same ones.

    >>> rows = pd.DataFrame({"arm": ["a", "a", "b", "b"], "seed": 0, "id": [1, 2, 1, 2], "dice": [0.5, np.nan, 0.5, 0]})
    >>> scored_in_all_arms(rows, "dice", pooled=False)["id"].tolist()
    [1, 1]
    """
    if is_pooled(scores, metric, pooled):
        return scores
    unknown = pd.Series(np.isnan(values_per_image(scores, metric)), index=scores.index)
    return scores[~unknown.groupby([scores["seed"], scores["id"]]).transform("any")]


def values_per_image(scores: pd.DataFrame, metric: str) -> np.ndarray:
    """Return a metric of every row: its column, or computed from the row's counts; NaN if the row has none."""
    if metric in scores:
        return scores[metric].to_numpy(float)
    of_counts = metrics.COUNT_METRICS | metrics.IMAGE_METRICS
    if metric in of_counts and set(COUNTS) <= set(scores):
        return np.asarray(of_counts[metric](*(scores[name].to_numpy(float) for name in COUNTS)))
    raise UsageError(f"no metric {metric!r} in these scores; their columns are {', '.join(map(str, scores))}")


def _score_of_counts(metric: str) -> Score:
    """Return the function that turns total counts into a metric."""
    return lambda totals: metrics.COUNT_METRICS[metric](*np.moveaxis(totals, -1, 0))


def _score_of_histogram(curve: Callable[..., Any]) -> Score:
    """Return the function that turns a total histogram into the area under a curve."""
    return lambda totals: curve(*np.split(totals, 2, axis=-1))


def _score_of_sums(totals: np.ndarray) -> np.ndarray:
    """Turn (sum of values, number of values) into their mean."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return totals[..., 0] / totals[..., 1]


def _histogram_names(scores: pd.DataFrame) -> list[str]:
    """Return the columns of the stored histograms, positives low to high, then negatives; none if they are empty."""
    names = [name for name in scores if name.startswith(("positives_", "negatives_"))]
    known = scores[names].notna().any()
    return sorted(known.index[known], key=lambda name: (name.startswith("negatives_"), name))


def _sums_of_rows(columns: np.ndarray, place: np.ndarray, num_places: int) -> np.ndarray:
    """Add up the rows (row, column) that belong to the same place: (place, column).

    >>> _sums_of_rows(np.array([[1.0], [2.0], [4.0]]), np.array([2, 0, 2]), 3).tolist()
    [[2.0], [0.0], [5.0]]
    """
    sums = np.zeros((num_places, columns.shape[1]))
    order = np.argsort(place, kind="stable")
    first = np.flatnonzero(np.diff(place[order], prepend=-1))  # of each place's rows, side by side
    if len(first):
        sums[place[order][first]] = np.add.reduceat(columns[order], first, axis=0)
    return sums


def _histograms_of_rows(scores: pd.DataFrame, metric: str, place: np.ndarray, num_places: int) -> np.ndarray:
    """Return a histogram per place with a bin for each distinct score; positives low to high, then negatives."""
    if not {"probability", "target"} <= set(scores):
        raise UsageError(f"{metric} needs the columns probability and target, or the histograms of score_masks")
    bins, column = np.unique(scores["probability"], return_inverse=True)
    column = column + len(bins) * ~scores["target"].to_numpy().astype(bool)
    num_columns = 2 * len(bins)
    counted = np.bincount(place * num_columns + column, minlength=num_places * num_columns)
    return counted.reshape(num_places, num_columns).astype(float)
