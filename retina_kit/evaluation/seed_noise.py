"""The difference between two runs of one arm, with an interval over patients and seeds.

Both runs are tested on the same images and trained with the same seeds, so each resample takes the same patients and
the same seeds for both. Resampling patients alone would ignore that another seed gives another network.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retina_kit.errors import UsageError
from retina_kit.evaluation.bootstrap import NUM_RESAMPLES, bootstrap_p_value, interval_of, why_no_interval
from retina_kit.evaluation.patients import PatientSums, mean_of_known, patient_sums, values_per_image


@dataclass(frozen=True)
class RunDifference:
    """The scores of two runs, b minus a, and the bootstrap interval of that difference."""

    a: float
    b: float
    estimate: float
    ci_low: float
    ci_high: float
    p_value: float
    num_images: int
    num_patients: int
    num_seeds: int
    note: str = ""


def resample_patients_and_seeds(
    parts: Sequence[PatientSums], num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Return the bootstrap distribution (part, resample) of PatientSums with the same patients and seeds.

    Each resample takes as many patients and as many seeds with replacement as there are, the same for each part. The
    patients of all resamples are sampled first, (resample, patient), then the seeds, (resample, seed).
    """
    rng = np.random.default_rng(seed)
    num_patients, num_seeds = len(parts[0].patients), parts[0].num_seeds
    patients = rng.integers(0, num_patients, (num_resamples, num_patients))
    seeds = rng.integers(0, num_seeds, (num_resamples, num_seeds))
    weights = np.stack([np.bincount(row, minlength=num_patients) for row in patients]).astype(float)
    sampled = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample without any lesion has no score; interval_of leaves it out
        for part in parts:
            by_seed = part.score(np.tensordot(weights, part.sums, axes=(1, 1)))  # (resample, seed)
            sampled.append(mean_of_known(np.take_along_axis(by_seed, seeds, axis=1), axis=1))
    return np.stack(sampled)


def difference_of_runs(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metric: str = "dice",
    *,
    pooled: bool = False,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> RunDifference:
    """Return the RunDifference of two tables of scored images (seed, id, patient, scores) of one arm.

    Only seeds that both have are compared. Raises UsageError if they share no seed or were tested on other images.

    >>> rows = pd.DataFrame({"id": range(4), "patient": range(4), "seed": 0})
    >>> found = difference_of_runs(rows.assign(dice=0.5), rows.assign(dice=0.75))
    >>> found.estimate, found.ci_low, found.note
    (0.25, 0.25, 'one seed: the interval does not include seed noise')
    """
    seeds = sorted(set(a["seed"]) & set(b["seed"]))
    if not seeds:
        raise UsageError("the two runs have no seed in common, so their scores cannot be paired")
    a, b = a[a["seed"].isin(seeds)], b[b["seed"].isin(seeds)]
    if set(a["id"]) != set(b["id"]):
        raise UsageError("the two runs were not tested on the same images, so their scores cannot be paired")
    one = patient_sums(a, metric, pooled=pooled)
    two = patient_sums(b, metric, pooled=pooled, patients=one.patients)
    means = [float(mean_of_known(part.by_seed(), 0)) for part in (one, two)]
    low, high, p_value = math.nan, math.nan, math.nan
    note = why_no_interval(len(one.patients))
    if not note:
        of_a, of_b = resample_patients_and_seeds([one, two], num_resamples, seed)
        (low, high), p_value = interval_of(of_b - of_a), bootstrap_p_value(of_b - of_a)
        note = "one seed: the interval does not include seed noise" if len(seeds) == 1 else ""
    return RunDifference(
        a=means[0],
        b=means[1],
        estimate=means[1] - means[0],
        ci_low=low,
        ci_high=high,
        p_value=p_value,
        num_images=a["id"].nunique(),
        num_patients=len(one.patients),
        num_seeds=len(seeds),
        note=note,
    )


def differences_per_image(a: pd.DataFrame, b: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Return one row per image that both runs tested: id, patient, a, b, difference; seeds are averaged.

    >>> rows = pd.DataFrame({"id": ["x", "y"], "patient": ["p", "q"], "seed": 0})
    >>> found = differences_per_image(rows.assign(dice=[0.5, 0.75]), rows.assign(dice=[0.75, 0.75]))
    >>> found["difference"].tolist()
    [0.25, 0.0]
    """
    seeds = set(a["seed"]) & set(b["seed"])
    columns = {}
    for name, scores in (("a", a), ("b", b)):
        rows = scores[scores["seed"].isin(seeds)]
        values = pd.Series(values_per_image(rows, metric), index=rows.index)
        columns[name] = values.groupby([rows["id"], rows["patient"]]).mean()
    found = pd.DataFrame(columns).reset_index()
    return found.assign(difference=found["b"] - found["a"])
