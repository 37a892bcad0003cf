"""The evidence of some arms: their scores, and how much these change with other patients or other seeds."""

import math
from dataclasses import dataclass

import numpy as np
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
    """A number with its 95 % interval and the p-value of its being zero."""

    value: float
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan

    def __str__(self):
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True)
class Evidence:
    """The scores of some arms: their means, and their replicates (patients drawn anew, or seeds)."""

    means: dict  # arm -> score over all patients, averaged over seeds
    replicates: dict  # arm -> scores of the resamples, or of the seeds
    by: str  # "patients", "seeds" or "" where there is nothing to compare with
    paired: bool
    num_patients: int
    num_seeds: int

    def combine(self, weights, constant=0.0):
        """Return the Estimate of a weighted sum of arms, such as {"tuned": 1, "scratch": -1}."""
        value = sum(weight * self.means[arm] for arm, weight in weights.items()) - constant
        if not self.by:
            return Estimate(value)
        drawn = sum(weight * self.replicates[arm] for arm, weight in weights.items()) - constant
        if self.by == "patients":
            return Estimate(value, *interval_of(drawn), bootstrap_p_value(drawn))
        if np.ptp(drawn) < 1e-12:
            return Estimate(value, value, value, math.nan)
        test = stats.ttest_1samp(drawn, 0.0)
        return Estimate(value, *map(float, test.confidence_interval()), float(test.pvalue))

    def __str__(self):
        if self.by == "patients":
            how = "patients drawn anew, seeds averaged" + ("" if self.paired else ", arms drawn apart")
            few = "; one seed: the noise between runs is not in the interval" if self.num_seeds == 1 else ""
            return how + few
        if self.by == "seeds":
            return f"seeds as replicates, because there are {self.num_patients} patients only"
        return f"no interval: {self.num_patients} patients and {self.num_seeds} seed"


def gather_evidence(scores, arms, metric, pooled):
    """Return the Evidence of some arms; those tested on the same images share their draws."""
    parts = {arm: patient_sums(scores[scores["arm"] == arm], metric, pooled=pooled) for arm in arms}
    by_seed = {arm: part.by_seed() for arm, part in parts.items()}
    num_patients = min(len(part.patients) for part in parts.values())
    num_seeds = min(part.num_seeds for part in parts.values())
    groups = {}
    for arm in parts:
        groups.setdefault(frozenset(scores.loc[scores["arm"] == arm, "id"]), []).append(arm)
    replicates, by = {}, ""
    if num_patients >= MIN_PATIENTS:
        by = "patients"
        for number, names in enumerate(groups.values()):
            drawn = resample_patients([parts[name] for name in names], NUM_RESAMPLES, seed=number)
            replicates |= dict(zip(names, drawn, strict=True))
    elif num_seeds > 1:
        by = "seeds"
        replicates = {arm: values[:num_seeds] for arm, values in by_seed.items()}
    means = {arm: seed_spread(values).mean for arm, values in by_seed.items()}
    return Evidence(means, replicates, by, len(groups) == 1, num_patients, num_seeds)
