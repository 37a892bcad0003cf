"""From scored rows to one number per arm, with its spread over seeds and its interval.

The interval covers how much patients, folds and seeds vary, as that of a verdict, but with the seeds' own variance: it
borrows none from the paper's other arms (docs/verdicts.md).
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation.evidence import Evidence, gather_evidence
from retina_kit.evaluation.metrics import WITHOUT_MAXIMUM

SUMMARY_COLUMNS = (
    "arm",
    "metric",
    "ours_mean",
    "ours_sd",
    "ours_ci_low",
    "ours_ci_high",
    "n_images",
    "n_patients",
    "n_seeds",
    "note",
)


def summarize(scores: pd.DataFrame, metrics: Sequence[str], *, pooled: bool = True) -> pd.DataFrame:
    """Return one row per arm and metric: mean and SD over seeds, 95 % interval, counts, note.

    Folds of one seed are taken together. Without `pooled`, and for what is not a count metric, the mean over images is
    taken. Images, patients and seeds are those that have a score. The note names what the interval leaves out, or why
    there is none. Raises UsageError if the scores hold several variants, or lack the metric.

    >>> rows = pd.DataFrame({"id": [1, 2], "patient": [1, 2], "tp": [1, 3], "fp": [0, 1], "fn": [1, 0], "tn": 4})
    >>> summary = summarize(rows.assign(arm="scratch", seed=0), ["dice"])
    >>> summary[["arm", "ours_mean", "n_images", "note"]].to_numpy().tolist()
    [['scratch', 0.8, 2, 'no interval: 2 patients, 1 seed (at least 6 patients or 3 seeds needed)']]
    """
    if "variant" in scores and scores["variant"].nunique() > 1:
        variants = ", ".join(scores["variant"].unique())
        raise UsageError(f"scores hold several variants ({variants}); choose one before summarizing them")
    records = [
        (arm, metric, *_summary(gather_evidence(rows, [arm], metric, pooled), arm, metric))
        for arm, rows in scores.groupby("arm", sort=False)
        for metric in metrics
    ]
    return pd.DataFrame(records, columns=SUMMARY_COLUMNS)


def _summary(evidence: Evidence, arm: str, metric: str) -> tuple:
    """Return one row of a summary, in the order of SUMMARY_COLUMNS, without arm and metric."""
    by_seed = evidence.by_seed[arm]
    sd = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else math.nan
    sizes = (evidence.num_images, evidence.num_patients, evidence.num_seeds)
    interval = interval_of_score(evidence, arm, metric)
    return (evidence.score(arm), sd, *interval, *sizes, evidence.note)


def interval_of_score(evidence: Evidence, arm: str, metric: str) -> tuple[float, float]:
    """Return the 95 % interval of an arm's score, cut to the values that the metric can take; NaN if there is none."""
    value, noise = evidence.score(arm), evidence.noise({arm: 1.0})
    width = math.nan if noise is None else noise.half_width()
    lowest = 0.0 if value >= 0 else -math.inf
    highest = 1.0 if value <= 1 and metric not in WITHOUT_MAXIMUM else math.inf
    low, high = np.clip([value - width, value + width], lowest, highest)
    return float(low), float(high)


def spreads(scores: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Return one row per arm: the mean over its test images with every spread that a "+-" may stand for.

    sd_of_images is the population SD over images (numpy's std, which Melinscak 2020 reports as SEM), sem the standard
    error that follows from it, sd / sqrt(n), and ci_low and ci_high the interval of `summarize`, with its note. Seeds
    are averaged.
    """
    names = {"ours_mean": "mean", "ours_ci_low": "ci_low", "ours_ci_high": "ci_high"}
    found = summarize(scores, [metric], pooled=False).rename(columns=names).set_index("arm")
    of_seeds = scores.dropna(subset=[metric]).groupby(["arm", "seed"])[metric]
    found["sd_of_images"] = of_seeds.std(ddof=0).groupby("arm").mean()
    found["n_images"] = of_seeds.count().groupby("arm").mean()
    found["sem"] = [standard_error(*pair) for pair in zip(found["sd_of_images"], found["n_images"], strict=True)]
    columns = ["mean", "sd_of_images", "sem", "ci_low", "ci_high", "n_images", "n_patients", "n_seeds", "note"]
    return found[columns].reset_index()


def standard_error(sd: float, n: float) -> float:
    """Return the standard error of a mean over n values whose standard deviation is sd, sd / sqrt(n).

    >>> standard_error(0.5, 25)
    0.1
    """
    return sd / math.sqrt(n)
