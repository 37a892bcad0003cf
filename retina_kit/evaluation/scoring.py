"""From predictions to scored rows, one per test image.

A scored row is one test image: id, patient, and its counts (tp, fp, fn, tn in pixels) or scores; of a network with
several classes, one test image and class. "Pooled" adds the
counts of all images before the metric is taken (Huang 2023); "mean per image" takes the metric of each image and
averages (Melinscak 2020, Hu 2018). The two differ: pooling weighs an image by the size of its masks. Images whose masks
are both empty have no Dice, so a false alarm on an empty image lowers the mean and silence does not; dice_nonempty
(images with something to find) and false_alarms (of the others) separate the two (see metrics.IMAGE_METRICS).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation.metrics import (
    COUNTS,
    counts_per_image,
    dice_half_thresholded,
    dice_of_counts,
    distance,
    score_histogram,
    squared_error,
)
from retina_kit.evaluation.shape import shape_of_mask

if TYPE_CHECKING:  # numpy arrays are scored without loading torch
    import torch

CLASS = "class"  # the column of a scored row that names its class, where a network has several
CLASS_MARK = ":"  # between the name of an arm and that of one of its classes
IMAGES_AT_ONCE = 64  # images that are scored together, so that large test sets need little memory


def score_masks(
    probability: np.ndarray | torch.Tensor,
    target: np.ndarray | torch.Tensor,
    rows: pd.DataFrame,
    threshold: float = 0.5,
    num_bins: int = 0,
) -> pd.DataFrame:
    """Return one scored row per image: id, patient, tp, fp, fn, tn, dice (NaN if both masks are empty).

    `probability` is float or bool, `target` bool, both (N, H, W), torch or numpy; `rows` has N rows with id and
    patient. The outline of the predicted mask gives compactness and solidity (see shape). Probabilities also give
    dice_half_thresholded, and with `num_bins` the histograms (positives_000..., negatives_000...) that average
    precision and AUC over all pixels are computed from.

    >>> predicted, target = np.array([[[1, 1, 0, 0]]], bool), np.array([[[1, 0, 1, 0]]], bool)
    >>> scored = score_masks(predicted, target, pd.DataFrame({"id": ["a"], "patient": ["p"]}))
    >>> scored[["tp", "fp", "fn", "tn", "dice"]].to_numpy().tolist()
    [[1.0, 1.0, 1.0, 1.0, 0.5]]
    """
    probability, target = np.asarray(probability), np.asarray(target)
    _check_lengths(probability, target, rows)
    parts = [slice(k, k + IMAGES_AT_ONCE) for k in range(0, max(1, len(rows)), IMAGES_AT_ONCE)]
    scored = [_score_some(probability[k], target[k], rows.iloc[k], threshold, num_bins) for k in parts]
    return pd.concat(scored, ignore_index=True)


def score_masks_of_classes(
    probability: np.ndarray | torch.Tensor,
    target: np.ndarray | torch.Tensor,
    rows: pd.DataFrame,
    classes: Sequence[str],
    **settings: Any,
) -> pd.DataFrame:
    """Return one scored row per class and image, class by class, with the column `class` after id and patient.

    `probability` and `target` are (N, K, H, W), K the number of `classes`; each class is scored by itself, as
    `score_masks` does with its `settings`.

    >>> predicted, target = np.array([[[[1, 1]], [[0, 1]]]], bool), np.array([[[[1, 0]], [[0, 1]]]], bool)
    >>> scored = score_masks_of_classes(predicted, target, pd.DataFrame({"id": ["a"], "patient": ["p"]}), ["ma", "he"])
    >>> scored[["class", "tp", "fp", "fn", "tn"]].to_numpy().tolist()
    [['ma', 1, 1, 0, 0], ['he', 1, 0, 0, 1]]
    """
    probability, target = np.asarray(probability), np.asarray(target)
    if probability.ndim != 4 or probability.shape[1] != len(classes):
        raise UsageError(f"predictions {probability.shape} have not one channel for each of {', '.join(classes)}")
    parts = []
    for k, name in enumerate(classes):
        scored = score_masks(probability[:, k], target[:, k], rows, **settings)
        scored.insert(2, CLASS, name)
        parts.append(scored)
    return pd.concat(parts, ignore_index=True)


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average the scores of several classes; a class without a score (NaN) is left out.

    >>> mean_scores([{"dice": 0.5}, {"dice": 0.75}, {"dice": float("nan")}])
    {'dice': 0.625}
    """
    known = {name: [score[name] for score in scores if not math.isnan(score[name])] for name in scores[0]}
    return {name: sum(values) / len(values) if values else math.nan for name, values in known.items()}


def _score_some(
    probability: np.ndarray, target: np.ndarray, rows: pd.DataFrame, threshold: float, num_bins: int
) -> pd.DataFrame:
    """Return the scored rows of a few images."""
    target, is_soft = target.astype(bool), probability.dtype != bool
    predicted = probability > threshold if is_soft else probability
    counts = counts_per_image(predicted, target)
    scored = _identity(rows).assign(**dict(zip(COUNTS, counts, strict=True)))
    scored["dice"] = dice_of_counts(*counts)
    scored[["compactness", "solidity"]] = np.array([shape_of_mask(mask) for mask in predicted]).reshape(-1, 2)
    if is_soft:
        scored["dice_half_thresholded"] = dice_half_thresholded(probability, target)
    if num_bins:
        pairs = np.array([score_histogram(p, t, num_bins) for p, t in zip(probability, target, strict=True)], np.int64)
        pairs = pairs.reshape(-1, 2, num_bins)
        for kind, bins in zip(("positives", "negatives"), np.swapaxes(pairs, 0, 1), strict=True):
            names = [f"{kind}_{k:03d}" for k in range(num_bins)]
            scored = scored.join(pd.DataFrame(bins, columns=names, index=scored.index))
    return scored


def with_class_names(scores: pd.DataFrame) -> pd.DataFrame:
    """Name the rows of each class after arm and class, so that a class is compared as an arm is.

    >>> rows = pd.DataFrame({"arm": ["lesions", "ma"], "class": ["ma", np.nan]})
    >>> with_class_names(rows)["arm"].tolist()
    ['lesions:ma', 'ma']
    """
    if CLASS not in scores:
        return scores
    known = scores[CLASS].notna()
    return scores.assign(arm=scores["arm"].where(~known, scores["arm"] + CLASS_MARK + scores[CLASS].astype(str)))


def score_classes(
    probability: npt.ArrayLike, target: npt.ArrayLike, rows: pd.DataFrame, threshold: float = 0.5
) -> pd.DataFrame:
    """Return one scored row per image of a yes/no classifier: probability, target, and its 0/1 counts.

    `probability` and `target` are (N,). Counts are images here, so accuracy, recall and precision come from pooled
    counts, and AUC from the ranking.

    >>> rows = pd.DataFrame({"id": ["a", "b"], "patient": ["p", "q"]})
    >>> score_classes([0.9, 0.2], [1, 1], rows)[["tp", "fp", "fn", "tn"]].to_numpy().tolist()
    [[1, 0, 0, 0], [0, 0, 1, 0]]
    """
    probability, target = np.asarray(probability, float), np.asarray(target).astype(bool)
    _check_lengths(probability, target, rows)
    counts = counts_per_image((probability > threshold)[:, None], target[:, None])
    scored = _identity(rows).assign(probability=probability, target=target.astype(int))
    return scored.assign(**dict(zip(COUNTS, counts, strict=True)))


def score_points(predicted: npt.ArrayLike, target: npt.ArrayLike, rows: pd.DataFrame) -> pd.DataFrame:
    """Return one scored row per image of a localizer: distance (pixels) and mse (pixels2, mean of x and y).

    `predicted` and `target` are (N, 2) in pixels of the same image size (Hu 2018, section 2.2).

    >>> scored = score_points([[3, 4]], [[0, 0]], pd.DataFrame({"id": ["a"], "patient": ["p"]}))
    >>> scored[["distance", "mse"]].to_numpy().tolist()
    [[5.0, 12.5]]
    """
    predicted, target = np.asarray(predicted, float), np.asarray(target, float)
    _check_lengths(predicted, target, rows)
    return _identity(rows).assign(
        predicted_x=predicted[:, 0],
        predicted_y=predicted[:, 1],
        distance=distance(predicted, target),
        mse=squared_error(predicted, target),
    )


def _check_lengths(predicted: np.ndarray, target: np.ndarray, rows: pd.DataFrame) -> None:
    """Raise UsageError if predictions, targets and rows do not belong together."""
    if predicted.shape != target.shape or len(predicted) != len(rows):
        raise UsageError(f"predictions {predicted.shape}, targets {target.shape} and {len(rows)} rows do not match")


def _identity(rows: pd.DataFrame) -> pd.DataFrame:
    """Return id and patient of each row, numbered from 0."""
    missing = [name for name in ("id", "patient") if name not in rows]
    if missing:
        raise UsageError(f"rows lack the column {missing[0]!r}, which scored rows need")
    return rows[["id", "patient"]].reset_index(drop=True)
