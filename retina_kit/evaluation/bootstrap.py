"""How sure a score is: bootstrap over patients, paired tests, and the spread over seeds.

Images of one patient resemble one another, so patients are resampled, not images; seeds are averaged
first. `scores` is a DataFrame with a row an image: arm, seed, id, patient, and counts or scores.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from retina_kit.errors import UsageError
from retina_kit.evaluation.patients import CURVES, mean_of_known, patient_sums, values_per_image

MIN_PATIENTS = 3  # fewer clusters than this say nothing about other patients
NUM_RESAMPLES = 2000


def resample_patients(parts, num_resamples=NUM_RESAMPLES, seed=0):
    """Return the bootstrap distribution (part, resample) of several PatientSums with the same patients.

    Every resample draws patients with replacement, the same ones for each part, so differences are paired.
    """
    num_patients = len(parts[0].patients)

    def statistic(index, axis=-1):
        index = np.atleast_2d(index)
        offset = num_patients * np.arange(len(index))[:, None]
        drawn = np.bincount((index + offset).ravel(), minlength=num_patients * len(index))
        weights = drawn.reshape(len(index), num_patients).astype(float)
        return np.stack([part.resampled(weights) for part in parts])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample without any fluid has no score; interval_of leaves it out
        drawn = stats.bootstrap(
            (np.arange(num_patients),), statistic, n_resamples=num_resamples, vectorized=True,
            method="percentile", random_state=np.random.default_rng(seed),
        )  # fmt: skip
    return drawn.bootstrap_distribution


def interval_of(distribution, confidence=0.95):
    """Return (low, high), the central percentiles of a bootstrap distribution; NaN where it is all NaN."""
    known = distribution[~np.isnan(distribution)]
    if not len(known):
        return math.nan, math.nan
    tail = 50 * (1 - confidence)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def bootstrap_interval(part, *, num_resamples=NUM_RESAMPLES, confidence=0.95, seed=0):
    """Return (low, high, reason) of a PatientSums; with too few patients NaN, NaN and why."""
    reason = why_no_interval(len(part.patients))
    if reason:
        return math.nan, math.nan, reason
    return *interval_of(resample_patients([part], num_resamples, seed)[0], confidence), ""


def why_no_interval(num_patients):
    """Return why so few patients give no interval, or an empty text."""
    if num_patients >= MIN_PATIENTS:
        return ""
    return f"no interval: {num_patients} patient{'s' * (num_patients != 1)}, {MIN_PATIENTS} are the least"


def bootstrap_p_value(distribution):
    """Return the two-sided p-value of zero in a bootstrap distribution of differences."""
    known = distribution[~np.isnan(distribution)]
    if not len(known):
        return math.nan
    tail = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(known) + 1)))


@dataclass(frozen=True)
class PairedDifference:
    """Arm minus baseline: bootstrap over patients, and the two paired tests over images."""

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


def paired_difference(scores, arm, baseline, metric="dice", *, pooled=False, num_resamples=NUM_RESAMPLES,
                      seed=0):  # fmt: skip
    """Return the PairedDifference of two arms tested on the same images; seeds are averaged first.

    The t-test and Wilcoxon's test pair images as the papers do (Hu 2018, Figure 2b) and take them for
    independent, which images of one patient are not; the bootstrap resamples patients.
    """
    first, second = (scores[scores["arm"] == name] for name in (arm, baseline))
    if set(first["id"]) != set(second["id"]) or first.empty:
        raise UsageError(f"arms {arm} and {baseline} were not tested on the same images: there are no pairs")
    one = patient_sums(first, metric, pooled=pooled)
    two = patient_sums(second, metric, pooled=pooled, patients=one.patients)
    low, high, p_bootstrap = math.nan, math.nan, math.nan
    reason = why_no_interval(len(one.patients))
    if not reason:
        of_arm, of_baseline = resample_patients([one, two], num_resamples, seed)
        (low, high), p_bootstrap = interval_of(of_arm - of_baseline), bootstrap_p_value(of_arm - of_baseline)
    a, b = (_mean_per_image(part, metric) for part in (first, second))
    estimate = mean_of_known(one.by_seed(), 0) - mean_of_known(two.by_seed(), 0)
    return PairedDifference(
        float(estimate), low, high, p_bootstrap, paired_t(a, b), wilcoxon(a, b),
        first["id"].nunique(), len(one.patients), min(one.num_seeds, two.num_seeds), reason,
    )  # fmt: skip


def _mean_per_image(scores, metric):
    """Return the metric of each image, averaged over seeds, in the order of the ids."""
    if metric in CURVES and metric not in scores:
        return np.full(scores["id"].nunique(), math.nan)
    values = pd.Series(values_per_image(scores, metric), index=scores.index)
    return values.groupby(scores["id"]).mean().sort_index().to_numpy()


def paired_t(a, b):
    """Return the two-sided p-value of the paired t-test; NaN where all differences are equal, or one."""
    difference = np.asarray(a) - np.asarray(b)
    difference = difference[~np.isnan(difference)]
    if len(difference) < 2 or np.ptp(difference) < 1e-12:
        return math.nan
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def wilcoxon(a, b):
    """Return the two-sided p-value of Wilcoxon's signed-rank test; NaN where no pair differs."""
    difference = np.asarray(a) - np.asarray(b)
    difference = difference[~np.isnan(difference)]
    if not np.any(difference):
        return math.nan
    return float(stats.wilcoxon(difference).pvalue)


@dataclass(frozen=True)
class SeedSpread:
    """Mean, standard deviation (ddof 1) and number of the seeds' scores."""

    mean: float
    sd: float
    n: int


def seed_spread(values):
    """Return the SeedSpread of one score a seed; the SD of a single seed is NaN."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    mean = float(values.mean()) if len(values) else math.nan
    return SeedSpread(mean, float(values.std(ddof=1)) if len(values) > 1 else math.nan, len(values))


def standard_error(sd, n):
    """Return the standard error of a mean over n values whose standard deviation is sd."""
    return sd / math.sqrt(n)
