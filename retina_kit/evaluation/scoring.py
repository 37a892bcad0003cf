"""From predictions to scored rows, and from scored rows to one number an arm.

A scored row is one test image: id, patient, and its counts (tp, fp, fn, tn in pixels) or scores. "Pooled"
adds the counts of all images before the metric is taken (Huang 2023); "mean per image" takes the metric of
each image and averages (Melinscak 2020, Hu 2018). The two differ: pooling weighs an image by its fluid.
"""

import numpy as np
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation.bootstrap import NUM_RESAMPLES, bootstrap_interval, seed_spread, standard_error
from retina_kit.evaluation.metrics import (
    counts_per_image,
    dice_half_thresholded,
    dice_of_counts,
    distance,
    score_histogram,
    squared_error,
)
from retina_kit.evaluation.patients import COUNTS, patient_sums

AT_ONCE = 64  # images that are scored together, so that large test sets need little memory
SUMMARY_COLUMNS = (
    "arm", "metric", "ours_mean", "ours_sd", "ours_ci_low", "ours_ci_high", "n_images", "n_patients",
    "n_seeds", "note",
)  # fmt: skip


def score_masks(probability, target, rows, threshold=0.5, num_bins=0):
    """Return one scored row an image: id, patient, tp, fp, fn, tn, dice (NaN where both masks are empty).

    `probability` is float or bool, `target` bool, both (N, H, W), torch or numpy; `rows` has N rows with id
    and patient. Probabilities also give dice_half_thresholded, and with `num_bins` the histograms
    (positives_000..., negatives_000...) that average precision and AUC over all pixels are computed from.
    """
    probability, target = np.asarray(probability), np.asarray(target)
    _check_lengths(probability, target, rows)
    parts = [slice(k, k + AT_ONCE) for k in range(0, max(1, len(rows)), AT_ONCE)]
    scored = [_score_some(probability[k], target[k], rows.iloc[k], threshold, num_bins) for k in parts]
    return pd.concat(scored, ignore_index=True)


def _score_some(probability, target, rows, threshold, num_bins):
    """Return the scored rows of a few images."""
    target, is_soft = target.astype(bool), probability.dtype != bool
    counts = counts_per_image(probability > threshold if is_soft else probability, target)
    scored = _identity(rows).assign(**dict(zip(COUNTS, counts, strict=True)))
    scored["dice"] = dice_of_counts(*counts)
    if is_soft:
        scored["dice_half_thresholded"] = dice_half_thresholded(probability, target)
    if num_bins:
        pairs = [score_histogram(p, t, num_bins) for p, t in zip(probability, target, strict=True)]
        for kind, bins in zip(("positives", "negatives"), np.swapaxes(pairs, 0, 1), strict=True):
            names = [f"{kind}_{k:03d}" for k in range(num_bins)]
            scored = scored.join(pd.DataFrame(bins, columns=names, index=scored.index))
    return scored


def score_classes(probability, target, rows, threshold=0.5):
    """Return one scored row an image of a yes/no classifier: probability, target, and its 0/1 counts.

    Counts are images here, so accuracy, recall and precision come from `pooled`, and AUC from the ranking.
    """
    probability, target = np.asarray(probability, float), np.asarray(target).astype(bool)
    _check_lengths(probability, target, rows)
    counts = counts_per_image((probability > threshold)[:, None], target[:, None])
    scored = _identity(rows).assign(probability=probability, target=target.astype(int))
    return scored.assign(**dict(zip(COUNTS, counts, strict=True)))


def score_points(predicted, target, rows):
    """Return one scored row an image of a localizer: distance (pixels) and mse (pixels2, mean of x and y).

    `predicted` and `target` are (N, 2) in pixels of the same image size (Hu 2018, section 2.2).
    """
    predicted, target = np.asarray(predicted, float), np.asarray(target, float)
    _check_lengths(predicted, target, rows)
    return _identity(rows).assign(
        predicted_x=predicted[:, 0],
        predicted_y=predicted[:, 1],
        distance=distance(predicted, target),
        mse=squared_error(predicted, target),
    )


def _check_lengths(predicted, target, rows):
    """Raise where predictions, targets and rows do not belong together."""
    if predicted.shape != target.shape or len(predicted) != len(rows):
        raise UsageError(f"predictions {predicted.shape}, targets {target.shape}, {len(rows)} rows differ")


def _identity(rows):
    """Return who each row is: id and patient, numbered from 0."""
    missing = [name for name in ("id", "patient") if name not in rows]
    if missing:
        raise UsageError(f"rows lack the column {missing[0]!r}; scored rows say whose images they are")
    return rows[["id", "patient"]].reset_index(drop=True)


def pooled(scores, by=("arm", "seed"), metrics=("iou", "dice", "recall")):
    """Return the metrics of each group's summed counts: the columns of `by`, metric, value."""
    return _grouped(scores, by, metrics, is_pooled=True)[[*by, "metric", "value"]]


def mean_per_image(scores, by=("arm", "seed"), metrics=("dice",)):
    """Return the mean over each group's images: the columns of `by`, metric, value, n, num_empty.

    Images without a score, such as the Dice of two empty masks, are left out of n and counted apart.
    """
    return _grouped(scores, by, metrics, is_pooled=False)


def _grouped(scores, by, metrics, is_pooled):
    """Return one tidy row a group and metric, groups in the order in which they first appear."""
    records = []
    for key, rows in scores.groupby(list(by), sort=False):
        for metric in metrics:
            sums = patient_sums(rows.assign(seed=0), metric, pooled=is_pooled)
            records.append((*key, metric, float(sums.by_seed()[0]), sums.num_images, sums.num_empty))
    return pd.DataFrame(records, columns=[*by, "metric", "value", "n", "num_empty"])


def summarize(scores, metrics, *, pooled=True, ci=True, num_resamples=NUM_RESAMPLES):
    """Return one row an arm and metric: mean and SD over seeds, interval over patients, counts, note.

    The interval is that of the seed-averaged metric when patients are drawn anew (2.5 to 97.5 per cent).
    Folds of one seed are taken together. What is not a count metric is averaged over images in any case.
    """
    if "variant" in scores and scores["variant"].nunique() > 1:
        variants = ", ".join(scores["variant"].unique())
        raise UsageError(f"scores hold several variants ({variants}); choose one before summing them up")
    records = [
        _summary(arm, metric, patient_sums(rows, metric, pooled=pooled), ci, num_resamples)
        for arm, rows in scores.groupby("arm", sort=False)
        for metric in metrics
    ]
    return pd.DataFrame(records, columns=SUMMARY_COLUMNS)


def _summary(arm, metric, sums, ci, num_resamples):
    """Return one row of a summary as a tuple, in the order of SUMMARY_COLUMNS."""
    spread = seed_spread(sums.by_seed())
    low, high, reason = bootstrap_interval(sums, num_resamples=num_resamples) if ci else (np.nan, np.nan, "")
    notes = [reason] if reason else []
    if sums.num_empty:
        plural = "s" * (sums.num_empty != 1)
        notes.append(f"{sums.num_empty} image{plural} without a score (both masks empty) left out")
    sizes = (sums.num_images, len(sums.patients), sums.num_seeds)
    return (arm, metric, spread.mean, spread.sd, low, high, *sizes, "; ".join(notes))


def spreads(scores, metric="dice", *, num_resamples=NUM_RESAMPLES):
    """Return one row an arm: the mean over its test images with every spread that a "+-" may stand for.

    sd_of_images is the population SD over images (numpy's std, what Melinscak 2020 prints as SEM), sem the
    standard error that follows from it, ci_low and ci_high the interval over patients. Seeds are averaged.
    """
    records = []
    for arm, rows in scores.groupby("arm", sort=False):
        known = rows.dropna(subset=[metric])
        of_seeds = known.groupby("seed")[metric]
        sd, number = of_seeds.std(ddof=0).mean(), of_seeds.count().mean()
        sums = patient_sums(rows, metric, pooled=False)
        low, high, _ = bootstrap_interval(sums, num_resamples=num_resamples)
        sizes = (number, len(sums.patients), sums.num_seeds)
        records.append(
            (arm, float(seed_spread(sums.by_seed()).mean), sd, standard_error(sd, number), low, high, *sizes)
        )
    columns = ["arm", "mean", "sd_of_images", "sem", "ci_low", "ci_high", "n_images", "n_patients", "n_seeds"]
    return pd.DataFrame(records, columns=columns)
