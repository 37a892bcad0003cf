"""Claims of a paper and what our scores make of them: supported, not supported or inconclusive, with the rule in words.

Seeds are averaged and patients resampled; with fewer than three patients the seeds are the replicates instead, and the
rule mentions it.
"""

import itertools
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import pandas as pd
import pydantic.dataclasses
from pydantic import BeforeValidator, Field, model_validator

from retina_kit.errors import UsageError, did_you_mean, unknown_name
from retina_kit.evaluation.evidence import Estimate, Evidence, gather_evidence
from retina_kit.schema import STRICT, as_tuple

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"
ESTIMATE = ("estimate", "ci_low", "ci_high", "p_value")
COLUMNS = ("claim", "statement", "kind", "statistic", *ESTIMATE, "verdict", "rule", "n_patients", "n_seeds", "scope")
Kind = Literal["replication", "control"]
Test = Literal["greater", "rises_with", "gain_grows", "equivalent", "above_value"]
NUM_ARMS = {"greater": (2, 2), "rises_with": (2, math.inf), "gain_grows": (2, math.inf), "equivalent": (2, math.inf)}
NUM_ARMS["above_value"] = (1, 1)
TAKES_MARGIN = ("greater", "equivalent")


def _one_of(what: str, names: Collection[str]) -> BeforeValidator:
    """Return a validator that raises ValueError with the closest known name."""

    def check(given: Any) -> Any:
        if given not in names:
            raise ValueError(f"no {what} is called {given!r}{did_you_mean(given, names)}")
        return given

    return BeforeValidator(check)


def _arms(value: Any) -> Any:
    """Return lists of names, or of pairs of names, as tuples; raise ValueError for anything else."""
    if not isinstance(value, str | list | tuple):
        raise ValueError(f"{value!r} is not a list of arms")
    arms = tuple(tuple(arm) if isinstance(arm, list) else arm for arm in as_tuple(value))
    for arm in arms:
        names = arm if isinstance(arm, tuple) else (arm,)
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{arm!r} is neither the name of an arm nor a pair of names")
    return arms


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Claim:
    """One claim about the scores of some arms, and the test that decides it.

    `kind`: "replication" for what the paper claims, "control" for a claim about a confound. `test`: the function of
    that name in this module. `arms` are names, for gain_grows pairs (better, baseline). `pooled` adds the counts of all
    images before the metric is taken; otherwise it is the mean over images. `variant` is the checkpoint and inference
    mode that was scored. `margin` is the largest difference that does not matter (greater, equivalent), `value` the
    published value (above_value), `where` the place in the paper.

    >>> Claim("transfer", "Pretraining helps.", "replication", "greater", arms=["tuned", "scratch"]).arms
    ('tuned', 'scratch')
    """

    id: Annotated[str, Field(min_length=1)]
    statement: str
    kind: Annotated[Kind, _one_of("kind of claim", get_args(Kind))]
    test: Annotated[Test, _one_of("test", get_args(Test))]
    arms: Annotated[tuple[Any, ...], BeforeValidator(_arms)]
    metric: str = "dice"
    pooled: bool = True
    variant: str = "last"
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    where: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Raise ValueError if the arms, the margin or the value do not fit the test."""
        fewest, most = NUM_ARMS[self.test]
        if not fewest <= len(self.arms) <= most:
            number = f"{fewest}" if fewest == most else f"at least {fewest}"
            kind = "pairs of arms" if self.test == "gain_grows" else "arms"
            raise ValueError(f"test {self.test} needs {number} {kind}, not {len(self.arms)}")
        if self.test == "gain_grows":
            if not all(isinstance(pair, tuple) and len(set(pair)) == len(pair) == 2 for pair in self.arms):
                raise ValueError("test gain_grows needs arms as pairs, [[better, baseline], ...]")
        elif not all(isinstance(arm, str) for arm in self.arms):
            raise ValueError(f"test {self.test} needs arms as names, not as pairs")
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("arms names an arm twice")
        if (self.test == "equivalent" and not self.margin) or (self.margin and self.test not in TAKES_MARGIN):
            raise ValueError(f"test {self.test} {'needs' if not self.margin else 'has no'} 'margin'")
        if (self.test == "above_value") != (self.value is not None):
            raise ValueError(f"test {self.test} {'needs' if self.value is None else 'has no'} 'value'")
        return self

    def arm_names(self) -> list[str]:
        """Return every arm that the claim names, once.

        >>> Claim("c", "", "control", "gain_grows", arms=[["t1", "s"], ["t2", "s"]]).arm_names()
        ['t1', 's', 't2']
        """
        flat = itertools.chain(*self.arms) if self.test == "gain_grows" else self.arms
        return list(dict.fromkeys(flat))


@dataclass(frozen=True)
class Outcome:
    """What a test found: the estimate, what it estimates, the verdict, and the rule behind it in words."""

    estimate: Estimate
    statistic: str
    verdict: str
    rule: str


def verdict_of(estimate: Estimate, margin: float = 0.0) -> str:
    """Return the verdict on "above zero" by the position of the interval; within +-margin counts against it.

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
    bound = f" or within +-{claim.margin:g}" if claim.margin else ""
    rule = f"supported if the interval of {better} minus {baseline} is above 0, not supported if below 0{bound}"
    return Outcome(found, f"{claim.metric} difference", verdict_of(found, claim.margin), rule)


def rises_with(claim: Claim, evidence: Evidence) -> Outcome:
    """The score rises along the arms, in their order."""
    arms = claim.arms
    found = evidence.combine(_slope(arms))
    steps = [evidence.combine({after: 1, before: -1}) for before, after in itertools.pairwise(arms)]
    verdict = NOT_SUPPORTED if any(step.high < 0 for step in steps) else verdict_of(found)
    rule = "supported if the interval of the slope over the arms is above 0 and no step is significantly down, "
    rule += "not supported if the slope is below 0 or a step is down"
    return Outcome(found, f"{claim.metric} rise per step", verdict, rule)


def gain_grows(claim: Claim, evidence: Evidence) -> Outcome:
    """The difference within each pair of arms grows along the pairs, in their order."""
    weights: dict[str, float] = {}
    for (better, baseline), slope in _slope(claim.arms).items():
        weights[better] = weights.get(better, 0.0) + slope
        weights[baseline] = weights.get(baseline, 0.0) - slope
    found = evidence.combine(weights)
    rule = "supported if the interval of the gain's slope over the pairs is above 0, not supported if below 0"
    return Outcome(found, f"{claim.metric} growth of the gain per step", verdict_of(found), rule)


def equivalent(claim: Claim, evidence: Evidence) -> Outcome:
    """No two arms differ by more than the margin."""
    margin = claim.margin
    found = {pair: evidence.combine({pair[0]: 1, pair[1]: -1}) for pair in itertools.combinations(claim.arms, 2)}
    pair, worst = max(found.items(), key=lambda item: abs(item[1].value))
    if all(-margin < e.low and e.high < margin for e in found.values()):
        verdict = SUPPORTED
    elif any((e.low > 0 or e.high < 0) and abs(e.value) > margin for e in found.values()):
        verdict = NOT_SUPPORTED
    else:
        verdict = INCONCLUSIVE
    rule = f"supported if the interval of every difference is within +-{margin:g}, "
    rule += "not supported if a difference is beyond it and its interval excludes 0"
    return Outcome(worst, f"largest {claim.metric} difference, {pair[0]} minus {pair[1]}", verdict, rule)


def above_value(claim: Claim, evidence: Evidence) -> Outcome:
    """The arm scores above a published value."""
    (arm,), value = claim.arms, claim.value or 0.0
    found = evidence.combine({arm: 1}, constant=value)
    rule = f"supported if the interval of {arm} is above {value:g}, not supported if below it"
    return Outcome(found, f"{claim.metric} minus {value:g}", verdict_of(found), rule)


def _slope(arms: Iterable[Hashable]) -> dict[Any, float]:
    """Return the weights whose sum is the least-squares slope of the arms' scores over 0, 1, 2, ..."""
    arms = list(arms)
    centered = np.arange(len(arms)) - np.mean(range(len(arms)))
    return dict(zip(arms, centered / (centered @ centered), strict=True))


TESTS: dict[str, Callable[[Claim, Evidence], Outcome]] = {
    "greater": greater,
    "rises_with": rises_with,
    "gain_grows": gain_grows,
    "equivalent": equivalent,
    "above_value": above_value,
}


def evaluate_claims(
    claims: Sequence[Claim], scores: pd.DataFrame, synthetic: bool, known_arms: Collection[str] | None = None
) -> pd.DataFrame:
    """Return one row per claim (COLUMNS): the statistic with its interval, the verdict, and the rule behind it.

    `synthetic` data can support the direction of an effect, never a published value. Claims whose arms were not run are
    inconclusive; with `known_arms` an arm that is not among them is a UsageError.

    >>> rows = pd.DataFrame({"id": range(5), "patient": range(5), "seed": 0, "variant": "last"})
    >>> scores = pd.concat([rows.assign(arm="tuned", dice=0.75), rows.assign(arm="scratch", dice=0.5)])
    >>> claim = Claim("c", "Pretraining helps.", "replication", "greater", ["tuned", "scratch"], pooled=False)
    >>> evaluate_claims([claim], scores, synthetic=True)[["estimate", "verdict"]].to_numpy().tolist()
    [[0.25, 'supported']]
    """
    records = []
    for claim in claims:
        for arm in claim.arm_names() if known_arms is not None else []:
            if arm not in (known_arms or ()):
                raise UsageError(f"claim {claim.id!r}: {unknown_name('arm', arm, known_arms or ())}")
        chosen = scores[scores["variant"] == claim.variant] if "variant" in scores else scores
        records.append(_evaluate(claim, chosen, synthetic))
    return pd.DataFrame(records, columns=COLUMNS)


def _evaluate(claim: Claim, scores: pd.DataFrame, synthetic: bool) -> dict[str, Any]:
    """Return one row of evaluate_claims as a dict."""
    row: dict[str, Any] = {"claim": claim.id, "statement": claim.statement, "kind": claim.kind}
    row |= {"scope": "direction only (synthetic data)" if synthetic else "number", "verdict": INCONCLUSIVE}
    row |= {"n_patients": 0, "n_seeds": 0, "statistic": ""}
    row |= dict.fromkeys(ESTIMATE, math.nan)
    missing = sorted(set(claim.arm_names()) - set(scores["arm"]))
    if missing:
        return row | {"rule": f"not tested: no run of {', '.join(missing)}"}
    evidence = gather_evidence(scores, claim.arm_names(), claim.metric, claim.pooled)
    outcome = TESTS[claim.test](claim, evidence)
    found, verdict, rule = outcome.estimate, outcome.verdict, outcome.rule
    if synthetic and claim.test == "above_value":
        verdict, rule = INCONCLUSIVE, f"synthetic data cannot test a published value; on real data: {rule}"
    row |= {"n_patients": evidence.num_patients, "n_seeds": evidence.num_seeds, "statistic": outcome.statistic}
    row |= {"estimate": found.value, "ci_low": found.low, "ci_high": found.high, "p_value": found.p_value}
    return row | {"verdict": verdict, "rule": f"{rule} ({evidence})"}
