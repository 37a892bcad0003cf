"""From scored rows to one number per arm, with its spread over seeds and its interval.

The interval holds what other patients and other seeds would change, by the rules of a verdict (docs/verdicts.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation.evidence import Evidence, gather_evidence
from retina_kit.evaluation.metrics import WITHOUT_MAXIMUM
from retina_kit.evaluation.patients import patient_sums

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
SIZES = ("n_patients", "n_seeds")


def summarize(scores: pd.DataFrame, metrics: Sequence[str], *, pooled: bool = True) -> pd.DataFrame:
    """Return one row per arm and metric: mean and SD over seeds, 95 % interval over patients and seeds, counts, note.

    Folds of one seed are taken together. Without `pooled`, and for what is not a count metric, the mean over images is
    taken. The note names what the interval leaves out, or why there is none. Raises UsageError if the scores hold
    several variants, or lack the metric.

    >>> rows = pd.DataFrame({"id": [1, 2], "patient": [1, 2], "tp": [1, 3], "fp": [0, 1], "fn": [1, 0], "tn": 4})
    >>> summary = summarize(rows.assign(arm="scratch", seed=0), ["dice"])
    >>> summary[["arm", "ours_mean", "n_images", "note"]].to_numpy().tolist()
    [['scratch', 0.8, 2, 'no interval: 2 patients, 1 seed (at least 6 patients or 3 seeds needed)']]
    """
    if "variant" in scores and scores["variant"].nunique() > 1:
        variants = ", ".join(scores["variant"].unique())
        raise UsageError(f"scores hold several variants ({variants}); choose one before summarizing them")
    records = [
        _summary(arm, rows, metric, pooled) for arm, rows in scores.groupby("arm", sort=False) for metric in metrics
    ]
    return pd.DataFrame(records, columns=SUMMARY_COLUMNS)


def _summary(arm: str, rows: pd.DataFrame, metric: str, pooled: bool) -> tuple:
    """Return one row of a summary, in the order of SUMMARY_COLUMNS."""
    sums, evidence = patient_sums(rows, metric, pooled=pooled), gather_evidence(rows, [arm], metric, pooled)
    spread = seed_spread(sums.by_seed())
    notes = [evidence.note_on_interval]
    if sums.num_empty:
        plural = "s" * (sums.num_empty != 1)
        notes.append(f"{sums.num_empty} image{plural} without a score (both masks empty) left out")
    sizes = (sums.num_images, len(sums.patients), sums.num_seeds)
    low, high = interval_of_score(evidence, arm, metric)
    return (arm, metric, spread.mean, spread.sd, low, high, *sizes, "; ".join(filter(None, notes)))


def interval_of_score(evidence: Evidence, arm: str, metric: str) -> tuple[float, float]:
    """Return the 95 % interval of an arm's score, within the values that the metric can take; NaN if there is none."""
    value, noise = evidence.score(arm), evidence.noise({arm: 1.0})
    width = math.nan if noise is None else noise.half_width()
    highest = math.inf if metric in WITHOUT_MAXIMUM else 1.0
    low, high = np.clip([value - width, value + width], 0.0, highest)
    return float(low), float(high)


def spreads(scores: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Return one row per arm: the mean over its test images with every spread that a "+-" may stand for.

    sd_of_images is the population SD over images (numpy's std, which Melinscak 2020 reports as SEM), sem the standard
    error that follows from it, sd / sqrt(n), and ci_low and ci_high the interval over patients and seeds. Seeds are
    averaged.
    """
    summary = summarize(scores, [metric], pooled=False).set_index("arm")
    records = []
    for arm, rows in scores.groupby("arm", sort=False):
        of_seeds = rows.dropna(subset=[metric]).groupby("seed")[metric]
        sd, number = of_seeds.std(ddof=0).mean(), of_seeds.count().mean()
        mean, low, high, *sizes = summary.loc[arm, ["ours_mean", "ours_ci_low", "ours_ci_high", *SIZES]]
        records.append((arm, mean, sd, standard_error(sd, number), low, high, number, *sizes))
    columns = ["arm", "mean", "sd_of_images", "sem", "ci_low", "ci_high", "n_images", *SIZES]
    return pd.DataFrame(records, columns=columns)


@dataclass(frozen=True)
class SeedSpread:
    """Mean, standard deviation (ddof 1) and number of the seeds' scores."""

    mean: float
    sd: float
    n: int


def seed_spread(values: npt.ArrayLike) -> SeedSpread:
    """Return the SeedSpread of one score per seed; the SD of a single seed is NaN.

    >>> seed_spread([0.25, 0.75]).mean, round(seed_spread([0.25, 0.75]).sd, 4)
    (0.5, 0.3536)
    """
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    mean = float(known.mean()) if len(known) else math.nan
    return SeedSpread(mean, float(known.std(ddof=1)) if len(known) > 1 else math.nan, len(known))


def standard_error(sd: float, n: float) -> float:
    """Return the standard error of a mean over n values whose standard deviation is sd, sd / sqrt(n).

    >>> standard_error(0.5, 25)
    0.1
    """
    return sd / math.sqrt(n)
