"""How certain a score is: bootstrap over patients, paired tests, and the spread over seeds.

Images of one patient resemble one another, so patients are resampled, not images; seeds are averaged first. `scores` is
a DataFrame with one row per image: arm, seed, id, patient, and counts or scores.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation.patients import CURVES, PatientSums, mean_of_known, patient_sums, values_per_image

MIN_PATIENTS = 3  # fewer patients than this tell nothing about other patients
NUM_RESAMPLES = 2000


def resample_patients(parts: Sequence[PatientSums], num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> np.ndarray:
    """Return the bootstrap distribution (part, resample) of several PatientSums with the same patients.

    Each resample takes as many patients with replacement as there are, the same ones for each part, so differences
    are paired.
    """
    num_patients = len(parts[0].patients)
    chosen = np.random.default_rng(seed).integers(0, num_patients, (num_resamples, num_patients))
    offset = num_patients * np.arange(num_resamples)[:, None]
    times = np.bincount((chosen + offset).ravel(), minlength=num_patients * num_resamples)
    weights = times.reshape(num_resamples, num_patients).astype(float)  # how often each patient was chosen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample without any lesion has no score; interval_of leaves it out
        return np.stack([part.resampled(weights) for part in parts])


def interval_of(distribution: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Return (low, high), the central percentiles of a bootstrap distribution; NaN if it is all NaN.

    >>> interval_of(np.arange(101.0), confidence=0.5)
    (25.0, 75.0)
    """
    known = distribution[~np.isnan(distribution)]
    if not len(known):
        return math.nan, math.nan
    tail = 50 * (1 - confidence)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def bootstrap_interval(
    part: PatientSums, *, num_resamples: int = NUM_RESAMPLES, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float, str]:
    """Return (low, high, reason) of a PatientSums; with too few patients NaN, NaN and the reason.

    >>> rows = pd.DataFrame({"id": [1, 2, 3], "patient": [1, 2, 3], "dice": [0.5, 0.5, 0.5]})
    >>> bootstrap_interval(patient_sums(rows, "dice"))
    (0.5, 0.5, '')
    """
    reason = why_no_interval(len(part.patients))
    if reason:
        return math.nan, math.nan, reason
    return *interval_of(resample_patients([part], num_resamples, seed)[0], confidence), ""


def why_no_interval(num_patients: int) -> str:
    """Return why so few patients give no interval, an empty text if they do.

    >>> why_no_interval(2)
    'no interval: 2 patients (at least 3 needed)'
    """
    if num_patients >= MIN_PATIENTS:
        return ""
    return f"no interval: {num_patients} patient{'s' * (num_patients != 1)} (at least {MIN_PATIENTS} needed)"


def bootstrap_p_value(distribution: np.ndarray) -> float:
    """Return the two-sided p-value of zero in a bootstrap distribution of differences, 2 (tail + 1) / (n + 1).

    >>> bootstrap_p_value(np.full(99, 0.1))
    0.02
    """
    known = distribution[~np.isnan(distribution)]
    if not len(known):
        return math.nan
    tail = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(known) + 1)))


@dataclass(frozen=True)
class PairedDifference:
    """Arm minus baseline: a bootstrap over patients, and two paired tests over images."""

    estimate: float
    ci_low: float
    ci_high: float
    p_bootstrap: float
    p_t: float
    p_wilcoxon: float
    num_images: int
    num_patients: int
    num_seeds: int
    reason: str = ""  # why there is no interval


def paired_difference(
    scores: pd.DataFrame,
    arm: str,
    baseline: str,
    metric: str = "dice",
    *,
    pooled: bool = False,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Return the PairedDifference of two arms tested on the same images; seeds are averaged first.

    The t-test and Wilcoxon's test pair images as the papers do (Hu 2018, Figure 2b) and treat them as independent,
    which images of one patient are not; the bootstrap resamples patients. Raises UsageError if the images differ.

    >>> rows = pd.DataFrame({"id": range(4), "patient": range(4), "seed": 0})
    >>> better, worse = rows.assign(arm="new", dice=0.75), rows.assign(arm="old", dice=0.5)
    >>> found = paired_difference(pd.concat([better, worse]), "new", "old")
    >>> found.estimate, found.ci_low, found.ci_high
    (0.25, 0.25, 0.25)
    """
    first, second = (scores[scores["arm"] == name] for name in (arm, baseline))
    if set(first["id"]) != set(second["id"]) or first.empty:
        raise UsageError(f"arms {arm} and {baseline} were not tested on the same images, so they cannot be paired")
    one = patient_sums(first, metric, pooled=pooled)
    two = patient_sums(second, metric, pooled=pooled, patients=one.patients)
    low, high, p_bootstrap = math.nan, math.nan, math.nan
    reason = why_no_interval(len(one.patients))
    if not reason:
        of_arm, of_baseline = resample_patients([one, two], num_resamples, seed)
        (low, high), p_bootstrap = interval_of(of_arm - of_baseline), bootstrap_p_value(of_arm - of_baseline)
    a, b = (_mean_per_image(part, metric) for part in (first, second))
    return PairedDifference(
        estimate=float(mean_of_known(one.by_seed(), 0) - mean_of_known(two.by_seed(), 0)),
        ci_low=low,
        ci_high=high,
        p_bootstrap=p_bootstrap,
        p_t=paired_t(a, b),
        p_wilcoxon=wilcoxon(a, b),
        num_images=first["id"].nunique(),
        num_patients=len(one.patients),
        num_seeds=min(one.num_seeds, two.num_seeds),
        reason=reason,
    )


def _mean_per_image(scores: pd.DataFrame, metric: str) -> np.ndarray:
    """Return the metric of each image, averaged over seeds, in the order of the ids."""
    if metric in CURVES and metric not in scores:
        return np.full(scores["id"].nunique(), math.nan)
    values = pd.Series(values_per_image(scores, metric), index=scores.index)
    return values.groupby(scores["id"]).mean().sort_index().to_numpy()


def paired_t(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return the two-sided p-value of the paired t-test; NaN if all differences are equal, or there is only one.

    >>> round(paired_t([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]), 4)
    0.0742
    """
    difference = np.asarray(a) - np.asarray(b)
    difference = difference[~np.isnan(difference)]
    if len(difference) < 2 or np.ptp(difference) < 1e-12:
        return math.nan
    from scipy import stats  # half a second, which only a test needs

    return float(stats.ttest_1samp(difference, 0.0).pvalue)


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
