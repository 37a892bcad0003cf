"""Differences of scores that belong together: two arms, or two runs of one arm, tested on the same images.

`a` and `b` are DataFrames of scored images (seed, id, patient, counts or scores); a difference is b minus a. Only seeds
that both have are compared.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation.evidence import gather_evidence
from retina_kit.evaluation.patients import CURVES, values_per_image


@dataclass(frozen=True)
class PairedDifference:
    """Two scores, b minus a, and the 95 % interval of that difference over patients, folds and seeds."""

    a: float
    b: float
    estimate: float
    ci_low: float
    ci_high: float
    p_value: float
    num_images: int
    num_patients: int
    num_seeds: int
    note: str = ""  # what the interval leaves out, or why there is none


def paired_difference(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metric: str = "dice",
    *,
    pooled: bool = False,
    usual: tuple[float, float] = (0.0, 0.0),
) -> PairedDifference:
    """Return the PairedDifference of two tables, by the rules of a verdict (docs/verdicts.md).

    `pooled` adds the counts of all images before the metric is taken. `usual` is what several arms show of seed noise
    (`usual_seed_noise`); without it the interval is of the two alone. Raises UsageError if they share no seed or were
    tested on other images.

    >>> rows = pd.DataFrame({"id": range(6), "patient": range(6), "seed": 0})
    >>> found = paired_difference(rows.assign(dice=0.5), rows.assign(dice=0.75))
    >>> found.estimate, found.ci_low, found.note
    (0.25, 0.25, 'one seed: the interval does not include seed noise')
    """
    a, b = _of_common_seeds(a, b)
    image = _columns_of_an_image(a, b)
    if set(a[image].itertuples(index=False, name=None)) != set(b[image].itertuples(index=False, name=None)):
        raise UsageError("not tested on the same images, so the scores cannot be paired")
    evidence = gather_evidence(pd.concat([a.assign(arm="a"), b.assign(arm="b")]), ["a", "b"], metric, pooled)
    evidence = dataclasses.replace(evidence, usual=usual)
    found = evidence.combine({"b": 1.0, "a": -1.0})
    return PairedDifference(
        a=evidence.score("a"),
        b=evidence.score("b"),
        estimate=found.value,
        ci_low=found.low,
        ci_high=found.high,
        p_value=found.p_value,
        num_images=evidence.num_images,
        num_patients=evidence.num_patients,
        num_seeds=evidence.num_seeds,
        note=evidence.note,
    )


def _columns_of_an_image(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """Name the columns that tell images apart: the id, and the data set it is of if the tables have it."""
    return [name for name in ("source", "id") if name in a and name in b]


def _of_common_seeds(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the seeds that both tables have; UsageError if they share none."""
    seeds = set(a["seed"]) & set(b["seed"])
    if not seeds:
        raise UsageError("no seed in common, so the scores cannot be paired")
    return a[a["seed"].isin(seeds)], b[b["seed"].isin(seeds)]


def differences_per_image(a: pd.DataFrame, b: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Return one row per image with a score in both tables: id, patient, a, b, difference; seeds are averaged.

    Images of one id but another `source` are different ones. A seed in which only one of the two has a score for an
    image is left out of that image.

    >>> rows = pd.DataFrame({"id": ["x", "y"], "patient": ["p", "q"], "seed": 0})
    >>> found = differences_per_image(rows.assign(dice=[0.5, 0.75]), rows.assign(dice=[0.75, 0.75]))
    >>> found["difference"].tolist()
    [0.25, 0.0]
    """
    key = ["seed", *_columns_of_an_image(a, b), "patient"]
    one, two = (
        rows[key].assign(**{name: _values_or_nan(rows, metric)})
        for name, rows in zip("ab", _of_common_seeds(a, b), strict=True)
    )
    pairs = one.merge(two, on=key).dropna()
    found = pairs.groupby(key[1:])[["a", "b"]].mean().reset_index()[["id", "patient", "a", "b"]]
    return found.assign(difference=found["b"] - found["a"])


def _values_or_nan(rows: pd.DataFrame, metric: str) -> np.ndarray:
    """Return a metric of every row; a curve belongs to all images together, so one image has none."""
    if metric in CURVES and metric not in rows:
        return np.full(len(rows), math.nan)
    return values_per_image(rows, metric)


def paired_t(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return the two-sided p-value of the paired t-test; NaN if all differences are equal, or there is only one.

    >>> round(paired_t([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]), 4)
    0.0742
    """
    difference = np.asarray(a) - np.asarray(b)
    difference = difference[~np.isnan(difference)]
    if len(difference) < 2 or np.ptp(difference) < 1e-12:
        return math.nan
    from scipy import special  # slow to load, and only a test needs it

    t = difference.mean() / (difference.std(ddof=1) / math.sqrt(len(difference)))
    return float(2 * special.stdtr(len(difference) - 1, -abs(t)))


def wilcoxon(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; NaN if no pair differs.

    >>> wilcoxon([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])  # all three differences are positive: 2 / 2**3
    0.25
    """
    difference = np.asarray(a) - np.asarray(b)
    difference = difference[~np.isnan(difference)]
    if not np.any(difference):
        return math.nan
    from scipy import stats

    return float(stats.wilcoxon(difference).pvalue)
