"""The tests that decide claims: each returns an estimate, the verdict by the position of its interval, and the rule.

All intervals are 95 % and contain the noise of patients, folds and seeds (noise). Where one claim takes several tests,
their p-values are corrected by Holm's method (docs/verdicts.md).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from retina_kit.evaluation.evidence import Estimate, Evidence
from retina_kit.evaluation.noise import holm

if TYPE_CHECKING:
    from retina_kit.evaluation.claims import Claim

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"
NOT_TESTED = "not tested"  # an arm of the claim has no run
ALPHA = 0.05
SLOPE = ("slope",)  # among the names of differences, which are those of their arms


@dataclass(frozen=True)
class Outcome:
    """What a test found: the estimate, what it estimates, the verdict, its rule, and why there is none, if so.

    `decided_by` names another estimate that decided a test of several, with its interval.
    """

    estimate: Estimate
    statistic: str
    verdict: str
    rule: str
    reason: str = ""
    decided_by: str = ""


def verdict_of(estimate: Estimate, margin: float = 0.0) -> str:
    """Return the verdict on "above zero" by the position of the interval; if not above, within +-margin is against it.

    >>> [verdict_of(Estimate(0.0, low, high)) for low, high in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1))]
    ['supported', 'not supported', 'inconclusive']
    """
    if math.isnan(estimate.low):
        return INCONCLUSIVE
    if estimate.low > 0:
        return SUPPORTED
    if estimate.high < 0 or (-margin < estimate.low and estimate.high < margin):
        return NOT_SUPPORTED
    return INCONCLUSIVE


def greater(claim: Claim, evidence: Evidence) -> Outcome:
    """The first arm scores above the second."""
    better, baseline = claim.arms
    found = evidence.combine({better: 1, baseline: -1})
    rule = (
        f"supported if the interval of {better} minus {baseline} is above 0, not supported if below 0{_within(claim)}"
    )
    return Outcome(found, f"{claim.metric}, {better} minus {baseline}", verdict_of(found, claim.margin), rule)


def all_greater(claim: Claim, evidence: Evidence) -> Outcome:
    """The first arm of every pair scores above the second; the estimate is the smallest difference."""
    found = {pair: evidence.combine({pair[0]: 1, pair[1]: -1}) for pair in claim.arms}
    p_values = _corrected(found)
    pair, smallest = min(found.items(), key=lambda item: item[1].value)
    within = {name for name, e in found.items() if -claim.margin < e.low <= 0 and e.high < claim.margin}
    against = [name for name, e in found.items() if name in within or (e.value < 0 and p_values[name] < ALPHA)]
    above = all(found[name].value > 0 and p_values[name] < ALPHA for name in found)
    verdict = NOT_SUPPORTED if against else SUPPORTED if above else INCONCLUSIVE
    rule = "supported if every pair's difference is above 0 after Holm's correction, "
    rule += f"not supported if one is below 0{_within(claim)}"
    smallest = dataclasses.replace(smallest, p_value=max(p_values.values()))
    statistic = f"smallest {claim.metric} difference of {len(found)}, {pair[0]} minus {pair[1]}"
    return Outcome(smallest, statistic, verdict, rule, decided_by=_decided_by(found, against, p_values, pair))


def greater_on_average(claim: Claim, evidence: Evidence) -> Outcome:
    """The first arms of all pairs score above the second ones, averaged over the pairs."""
    weights: dict[str, float] = {}
    for pair in claim.arms:
        for arm, sign in zip(pair, (1, -1), strict=True):
            weights[arm] = weights.get(arm, 0.0) + sign / len(claim.arms)
    found = evidence.combine(weights)
    rule = f"supported if the interval of the mean difference is above 0, not supported if below 0{_within(claim)}"
    first = " minus ".join(claim.arms[0])
    statistic = f"mean {claim.metric} difference of {len(claim.arms)} pairs such as {first}"
    return Outcome(found, statistic, verdict_of(found, claim.margin), rule)


def not_worse(claim: Claim, evidence: Evidence) -> Outcome:
    """The first arm scores at most the margin below the second (non-inferiority)."""
    arm, reference = claim.arms
    found = evidence.combine({arm: 1, reference: -1})
    rule = f"supported if the interval of {arm} minus {reference} is above {-claim.margin:g}, "
    rule += f"not supported if it is below 0 and the difference below {-claim.margin:g}"
    statistic = f"{claim.metric}, {arm} minus {reference}"
    return Outcome(found, statistic, _not_below(found, claim.margin), rule, _nothing_learned(claim, evidence))


def equivalent(claim: Claim, evidence: Evidence) -> Outcome:
    """No two arms differ by more than the margin (two one-sided tests)."""
    margin = claim.margin
    found = {pair: evidence.combine({pair[0]: 1, pair[1]: -1}) for pair in itertools.combinations(claim.arms, 2)}
    p_values = _corrected(found)
    pair, worst = max(found.items(), key=lambda item: abs(item[1].value))
    against = [name for name, e in found.items() if p_values[name] < ALPHA and abs(e.value) > margin]
    within = all(-margin < e.low and e.high < margin for e in found.values())
    verdict = SUPPORTED if within else NOT_SUPPORTED if against else INCONCLUSIVE
    rule = f"supported if the interval of every difference is within +-{margin:g}, "
    rule += "not supported if a difference is beyond it and not 0 after Holm's correction"
    statistic = f"largest {claim.metric} difference, {pair[0]} minus {pair[1]}"
    decided_by = _decided_by(found, against, p_values, pair)
    return Outcome(worst, statistic, verdict, rule, _nothing_learned(claim, evidence), decided_by)


def rises_with(claim: Claim, evidence: Evidence) -> Outcome:
    """The score rises along the arms, in their order."""
    arms = claim.arms
    found = evidence.combine(_slope(arms))
    pairs = itertools.pairwise(arms) if len(arms) > 2 else ()  # the slope of two arms is their step
    tested = {SLOPE: found} | {(b, a): evidence.combine({b: 1, a: -1}) for a, b in pairs}
    p_values = _corrected(tested)
    down = [name for name, e in tested.items() if p_values[name] < ALPHA and e.value < 0]
    verdict = NOT_SUPPORTED if down else SUPPORTED if found.low > 0 else INCONCLUSIVE
    rule = "supported if the interval of the slope over the arms is above 0 and no step surely down, "
    rule += "not supported if the slope or a step is below 0, after Holm's correction"
    statistic = f"{claim.metric} per step from {arms[0]} to {arms[-1]}"
    return Outcome(found, statistic, verdict, rule, decided_by=_decided_by(tested, down, p_values, SLOPE))


def linear_with(claim: Claim, evidence: Evidence) -> Outcome:
    """The score rises with the covariate on a straight line: no arm is further from it than the margin."""
    arms, margin = claim.arms, claim.margin
    found = evidence.combine(_slope(arms, claim.covariate))
    design = np.stack([np.ones(len(arms)), claim.covariate], axis=1)
    beside = np.eye(len(arms)) - design @ np.linalg.pinv(design)  # a row of weights per arm: its distance to the line
    distances = {
        arm: evidence.combine(dict(zip(arms, row, strict=True))) for arm, row in zip(arms, beside, strict=True)
    }
    tested = {SLOPE: found} | {(f"distance of {arm} to the line",): e for arm, e in distances.items()}
    p_values = _corrected(tested)
    down = [SLOPE] if found.value < 0 and p_values[SLOPE] < ALPHA else []
    against = down or [n for n, e in tested.items() if n != SLOPE and p_values[n] < ALPHA and abs(e.value) > margin]
    straight = found.low > 0 and all(-margin < e.low and e.high < margin for e in distances.values())
    verdict = NOT_SUPPORTED if against else SUPPORTED if straight else INCONCLUSIVE
    rule = (
        f"supported if the interval of the slope is above 0 and every arm's distance to the line within +-{margin:g}, "
    )
    rule += "not supported if the slope is below 0, or a distance beyond the margin and not 0, after Holm's correction"
    decided_by = _decided_by(tested, against, p_values, SLOPE)
    return Outcome(found, f"{claim.metric} per unit of the covariate", verdict, rule, decided_by=decided_by)


def gain_grows(claim: Claim, evidence: Evidence) -> Outcome:
    """The difference within each pair of arms grows along the pairs, in their order."""
    weights: dict[str, float] = {}
    for (better, baseline), slope in _slope(claim.arms).items():
        weights[better] = weights.get(better, 0.0) + slope
        weights[baseline] = weights.get(baseline, 0.0) - slope
    found = evidence.combine(weights)
    (first, baseline), (last, _) = claim.arms[0], claim.arms[-1]
    rule = "supported if the interval of the gain's slope over the pairs is above 0, not supported if below 0"
    statistic = f"growth of the {claim.metric} difference per step, from {first} minus {baseline} to that of {last}"
    return Outcome(found, statistic, verdict_of(found), rule)


def above_value(claim: Claim, evidence: Evidence) -> Outcome:
    """The arm scores above a published value."""
    (arm,), value = claim.arms, claim.value or 0.0
    found = evidence.combine({arm: 1}, constant=value)
    rule = f"supported if the interval of {arm} is above {value:g}, not supported if below it"
    return Outcome(found, f"{claim.metric} of {arm} minus {value:g}", verdict_of(found), rule)


def reaches_value(claim: Claim, evidence: Evidence) -> Outcome:
    """The arm scores at most the margin below a published value (non-inferiority)."""
    (arm,), value = claim.arms, claim.value or 0.0
    found = evidence.combine({arm: 1}, constant=value)
    rule = f"supported if the interval of {arm} is above {value - claim.margin:g}, "
    rule += f"not supported if it is below {value:g} and the score below {value - claim.margin:g}"
    return Outcome(found, f"{claim.metric} of {arm} minus {value:g}", _not_below(found, claim.margin), rule)


def _not_below(found: Estimate, margin: float) -> str:
    """Return the verdict on "at most the margin below zero"."""
    if found.low > -margin:
        return SUPPORTED
    return NOT_SUPPORTED if found.high < 0 and found.value < -margin else INCONCLUSIVE


def _within(claim: Claim) -> str:
    """Return the part of a rule on differences that do not matter."""
    return f" or, if not above 0, within +-{claim.margin:g}" if claim.margin else ""


def _nothing_learned(claim: Claim, evidence: Evidence) -> str:
    """Return which arms score so low that they are alike in having learned nothing; an empty text if none does."""
    low = [arm for arm in claim.arms if evidence.score(arm) < claim.min_score]
    scores = ", ".join(f"{arm} ({evidence.score(arm):.3f})" for arm in low)
    return f"no verdict: {scores} learned too little, below {claim.min_score:g}" if low else ""


def _decided_by(found: Mapping[Any, Estimate], against: list[Any], p_values: Mapping[Any, float], shown: Any) -> str:
    """Name the estimate that surely speaks against a claim, with its interval; empty if it is the one that is shown."""
    if not against or shown in against:
        return ""
    name = min(against, key=lambda name: p_values[name])
    return f"decided by {' minus '.join(name)}: {found[name]}"


def _corrected(found: Mapping[Any, Estimate]) -> dict[Any, float]:
    """Return the p-value of each Estimate, corrected for their number."""
    return dict(zip(found, holm([e.p_value for e in found.values()]).tolist(), strict=True))


def _slope(arms: Iterable[Hashable], covariate: Iterable[float] = ()) -> dict[Any, float]:
    """Return the weights whose sum is the least-squares slope of the arms' scores; without covariate over 0, 1, ..."""
    arms = list(arms)
    places = np.array(list(covariate) or range(len(arms)), float)
    centered = places - places.mean()
    return dict(zip(arms, (centered / (centered @ centered)).tolist(), strict=True))


TESTS: dict[str, Callable[[Claim, Evidence], Outcome]] = {
    "greater": greater,
    "all_greater": all_greater,
    "greater_on_average": greater_on_average,
    "not_worse": not_worse,
    "equivalent": equivalent,
    "rises_with": rises_with,
    "linear_with": linear_with,
    "gain_grows": gain_grows,
    "above_value": above_value,
    "reaches_value": reaches_value,
}
