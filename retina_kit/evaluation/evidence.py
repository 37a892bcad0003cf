"""The evidence about some arms: their scores, and how much these vary over patients or over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from retina_kit.evaluation.bootstrap import (
    MIN_PATIENTS,
    NUM_RESAMPLES,
    bootstrap_p_value,
    interval_of,
    resample_patients,
    seed_spread,
)
from retina_kit.evaluation.patients import patient_sums


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and the p-value of its being zero.

    >>> str(Estimate(0.2, 0.1, 0.3))
    '+0.200 (+0.100 to +0.300)'
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan

    def __str__(self) -> str:
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True)
class Evidence:
    """The scores of some arms: their means, and their replicates (resamples of the patients, or seeds)."""

    means: dict[str, float]  # arm -> score over all patients, averaged over seeds
    replicates: dict[str, np.ndarray]  # arm -> scores of the resamples, or of the seeds
    by: Literal["patients", "seeds", ""]  # what the replicates are; "" if there are none
    paired: bool
    num_patients: int
    num_seeds: int

    def combine(self, weights: Mapping[str, float], constant: float = 0.0) -> Estimate:
        """Return the Estimate of a weighted sum of arms minus a constant.

        >>> evidence = Evidence({"tuned": 0.75, "scratch": 0.5}, {}, "", True, 2, 1)
        >>> evidence.combine({"tuned": 1, "scratch": -1}).value
        0.25
        """
        value = sum(weight * self.means[arm] for arm, weight in weights.items()) - constant
        if not self.by:
            return Estimate(value)
        sampled = np.asarray(sum(weight * self.replicates[arm] for arm, weight in weights.items()) - constant)
        if self.by == "patients":
            return Estimate(value, *interval_of(sampled), bootstrap_p_value(sampled))
        if np.ptp(sampled) < 1e-12:
            return Estimate(value, value, value, math.nan)
        test = stats.ttest_1samp(sampled, 0.0)
        low, high = test.confidence_interval()
        return Estimate(value, float(low), float(high), float(test.pvalue))

    def __str__(self) -> str:
        seeds = f"{self.num_seeds} seed{'s' * (self.num_seeds != 1)}"
        if self.by == "patients":
            how = "patients resampled, seeds averaged" + ("" if self.paired else ", arms resampled independently")
            return how + ("; one seed: the interval does not include seed noise" if self.num_seeds == 1 else "")
        few = f"{self.num_patients} patient{'s' * (self.num_patients != 1)} (at least {MIN_PATIENTS} needed"
        if self.by == "seeds":
            return f"seeds as replicates: only {few} to resample patients)"
        return f"no interval: {few}) and {seeds}"


def gather_evidence(scores: pd.DataFrame, arms: Sequence[str], metric: str, pooled: bool) -> Evidence:
    """Return the Evidence about some arms; those tested on the same images share their resamples.

    With fewer than MIN_PATIENTS patients the seeds are the replicates instead; with one seed as well there are none.
    """
    parts = {arm: patient_sums(scores[scores["arm"] == arm], metric, pooled=pooled) for arm in arms}
    by_seed = {arm: part.by_seed() for arm, part in parts.items()}
    num_patients = min(len(part.patients) for part in parts.values())
    num_seeds = min(part.num_seeds for part in parts.values())
    groups: dict[frozenset, list[str]] = {}
    for arm in parts:
        groups.setdefault(frozenset(scores.loc[scores["arm"] == arm, "id"]), []).append(arm)
    replicates: dict[str, np.ndarray] = {}
    by: Literal["patients", "seeds", ""] = ""
    if num_patients >= MIN_PATIENTS:
        by = "patients"
        for number, names in enumerate(groups.values()):
            sampled = resample_patients([parts[name] for name in names], NUM_RESAMPLES, seed=number)
            replicates |= dict(zip(names, sampled, strict=True))
    elif num_seeds > 1:
        by = "seeds"
        replicates = {arm: values[:num_seeds] for arm, values in by_seed.items()}
    means = {arm: seed_spread(values).mean for arm, values in by_seed.items()}
    return Evidence(means, replicates, by, len(groups) == 1, num_patients, num_seeds)
