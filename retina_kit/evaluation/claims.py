"""Whether scored rows bear a claim out: supported, not supported or inconclusive, with the rule in words.

A claim is a table of an experiment file: id, statement, kind (replication or control), test, arms, and where
the test needs them metric, pooled, variant, margin, x, value. Seeds are averaged and patients drawn anew;
with fewer than three patients the seeds are the replicates instead, and the row says so.
"""

import difflib
import itertools
import math
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic.dataclasses import dataclass

from retina_kit.errors import UsageError
from retina_kit.evaluation.evidence import Estimate, gather_evidence
from retina_kit.schema import STRICT

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"
COLUMNS = (
    "claim", "statement", "kind", "statistic", "estimate", "ci_low", "ci_high", "p_value", "verdict", "rule",
    "n_patients", "n_seeds", "scope",
)  # fmt: skip
KEYS = {
    "id", "statement", "kind", "test", "arms", "metric", "pooled", "variant", "margin", "x", "value",
    "where",
}  # fmt: skip


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Claim:
    """placeholder"""

    id: str
    statement: str
    kind: Literal["replication", "control"]
    test: Literal["greater", "rises_with", "gain_grows", "equivalent", "above_value"]
    arms: tuple[Any, ...]
    metric: str = "dice"
    pooled: bool = True
    variant: str = "last"
    margin: float = 0.0
    value: float | None = None
    where: str = ""


def verdict_of(estimate, margin=0.0):
    """Return the verdict on "above zero": by where the interval lies; within +-margin counts against it."""
    if math.isnan(estimate.low):
        return INCONCLUSIVE
    if estimate.low > 0:
        return SUPPORTED
    if estimate.high < 0 or (-margin < estimate.low and estimate.high < margin):
        return NOT_SUPPORTED
    return INCONCLUSIVE


def greater(claim, evidence):
    """The first arm scores above the second."""
    better, baseline = claim["arms"]
    found = evidence.combine({better: 1, baseline: -1})
    margin = claim.get("margin", 0.0)
    bound = f" or within +-{margin:g}" if margin else ""
    rule = f"interval of {better} minus {baseline} above 0: supported; below 0{bound}: not supported"
    return found, f"{claim['metric']} difference", verdict_of(found, margin), rule


def rises_with(claim, evidence):
    """The score rises along the arms, in their order."""
    arms = claim["arms"]
    found = evidence.combine(_slope(arms, range(len(arms))))
    steps = [evidence.combine({after: 1, before: -1}) for before, after in itertools.pairwise(arms)]
    verdict = NOT_SUPPORTED if any(step.high < 0 for step in steps) else verdict_of(found)
    rule = "interval of the slope over the arms above 0 and no step surely down: supported"
    return (
        found,
        f"{claim['metric']} rise a step",
        verdict,
        f"{rule}; slope below 0 or a step down: not supported",
    )


def gain_grows(claim, evidence):
    """The difference within each pair of arms grows along the pairs, in their order."""
    slope = _slope(range(len(claim["arms"])), range(len(claim["arms"])))
    weights = {}
    for k, (better, baseline) in enumerate(claim["arms"]):
        weights[better] = weights.get(better, 0.0) + slope[k]
        weights[baseline] = weights.get(baseline, 0.0) - slope[k]
    found = evidence.combine(weights)
    rule = "interval of the gain's slope over the pairs above 0: supported; below 0: not supported"
    return found, f"{claim['metric']} growth of the gain a step", verdict_of(found), rule


def linear_with(claim, evidence):
    """The score rises with x along a straight line, to within the margin."""
    arms, x, margin = claim["arms"], np.asarray(claim["x"], float), claim["margin"]
    found = evidence.combine(_slope(arms, x))
    centered = x - x.mean()
    away = np.eye(len(x)) - 1 / len(x) - np.outer(centered, centered) / (centered @ centered)
    departures = [evidence.combine(dict(zip(arms, row, strict=True))) for row in away]
    worst = max(departures, key=lambda departure: abs(departure.value))
    verdict = verdict_of(found)
    if any(d.low > margin or d.high < -margin for d in departures):
        verdict = NOT_SUPPORTED
    elif verdict == SUPPORTED and any(d.low < -margin or d.high > margin for d in departures):
        verdict = INCONCLUSIVE
    rule = f"slope above 0 and every arm within +-{margin:g} of the line: supported"
    rule += "; slope below 0 or an arm surely off the line: not supported"
    return found, f"{claim['metric']} slope; farthest from the line {worst}", verdict, rule


def equivalent(claim, evidence):
    """No two arms differ by more than the margin."""
    margin = claim["margin"]
    found = {pair: evidence.combine({pair[0]: 1, pair[1]: -1}) for pair in itertools.combinations(claim["arms"], 2)}
    pair, worst = max(found.items(), key=lambda item: abs(item[1].value))
    if all(-margin < e.low and e.high < margin for e in found.values()):
        verdict = SUPPORTED
    elif any((e.low > 0 or e.high < 0) and abs(e.value) > margin for e in found.values()):
        verdict = NOT_SUPPORTED
    else:
        verdict = INCONCLUSIVE
    rule = f"interval of every difference within +-{margin:g}: supported"
    rule += "; a difference beyond it whose interval leaves out 0: not supported"
    return worst, f"{claim['metric']} difference of {pair[0]} and {pair[1]}, the largest", verdict, rule


def above_value(claim, evidence):
    """The arm scores above a value that the paper prints."""
    return _beside_value(claim, evidence, 1)


def below_value(claim, evidence):
    """The arm scores below a value that the paper prints."""
    return _beside_value(claim, evidence, -1)


def _beside_value(claim, evidence, sign):
    (arm,), value = claim["arms"], claim["value"]
    found = evidence.combine({arm: 1}, constant=value)
    turned = Estimate(sign * found.value, *sorted((sign * found.low, sign * found.high)))
    side, other = ("above", "below") if sign > 0 else ("below", "above")
    rule = f"interval of {arm} {side} {value:g}: supported; {other} it: not supported"
    return found, f"{claim['metric']} minus {value:g}", verdict_of(turned), rule


def _slope(arms, x):
    """Return the weights whose sum is the least-squares slope of the arms' scores over x."""
    centered = np.asarray(x, float) - np.mean(x)
    return dict(zip(arms, centered / (centered @ centered), strict=True))


TESTS = {  # name -> (test, how many arms or pairs, further keys that it needs)
    "greater": (greater, (2, 2), ()),
    "rises_with": (rises_with, (2, 99), ()),
    "gain_grows": (gain_grows, (2, 99), ()),
    "linear_with": (linear_with, (3, 99), ("x", "margin")),
    "equivalent": (equivalent, (2, 99), ("margin",)),
    "above_value": (above_value, (1, 1), ("value",)),
    "below_value": (below_value, (1, 1), ("value",)),
}
ABOUT_NUMBERS = ("above_value", "below_value")


def evaluate_claims(claims, scores, synthetic, known_arms=None):
    """Return one row a claim (COLUMNS): the statistic with its interval, the verdict, and the rule behind it.

    `synthetic` data never decide a number of the paper, only directions. Claims whose arms were not run are
    inconclusive; with `known_arms` an arm that is not among them is an error.
    """
    records = []
    for written in claims:
        claim = {"metric": "dice", "pooled": True, "variant": "last", "statement": "", **written}
        check_claim(claim, known_arms)
        chosen = scores[scores["variant"] == claim["variant"]] if "variant" in scores else scores
        records.append(_evaluate(claim, chosen, synthetic))
    return pd.DataFrame(records, columns=COLUMNS)


def _evaluate(claim, scores, synthetic):
    """Return one row of evaluate_claims as a dict."""
    row = {"claim": claim["id"], "statement": claim["statement"], "kind": claim["kind"]}
    row |= {"scope": "direction only (synthetic data)" if synthetic else "number", "verdict": INCONCLUSIVE}
    row |= {"n_patients": 0, "n_seeds": 0, "statistic": ""}
    row |= dict.fromkeys(("estimate", "ci_low", "ci_high", "p_value"), math.nan)
    missing = sorted(set(arms_of(claim)) - set(scores["arm"]))
    if missing:
        return row | {"rule": f"not decided: {', '.join(missing)} was not run"}
    evidence = gather_evidence(scores, arms_of(claim), claim["metric"], claim["pooled"])
    found, statistic, verdict, rule = TESTS[claim["test"]][0](claim, evidence)
    if synthetic and claim["test"] in ABOUT_NUMBERS:
        verdict, rule = INCONCLUSIVE, f"synthetic data decide no number of the paper; on real data: {rule}"
    row |= {"n_patients": evidence.num_patients, "n_seeds": evidence.num_seeds, "statistic": statistic}
    row |= {"estimate": found.value, "ci_low": found.low, "ci_high": found.high, "p_value": found.p_value}
    return row | {"verdict": verdict, "rule": f"{rule} ({evidence})"}


def arms_of(claim):
    """Return every arm that a claim names, once."""
    flat = itertools.chain(*claim["arms"]) if claim["test"] == "gain_grows" else claim["arms"]
    return list(dict.fromkeys(flat))


def check_claim(claim, known_arms=None):
    """Raise UsageError where a claim has an unknown key, test or arm, or lacks what its test needs."""
    name = f"claim {claim.get('id', '?')!r}"
    for key in claim:
        if key not in KEYS:
            raise UsageError(f"{name}: {_unknown('key', key, KEYS)}")
    if claim.get("test") not in TESTS:
        raise UsageError(f"{name}: {_unknown('test', claim.get('test'), TESTS)}")
    _, (fewest, most), needed = TESTS[claim["test"]]
    for key in ("id", "kind", "arms", *needed):
        if key not in claim:
            raise UsageError(f"{name}: test {claim['test']} needs {key!r}")
    if claim["kind"] not in ("replication", "control"):
        raise UsageError(f"{name}: kind must be replication or control, not {claim['kind']!r}")
    pairs = claim["test"] == "gain_grows"
    if pairs and not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in claim["arms"]):
        raise UsageError(f"{name}: test gain_grows needs arms as pairs, [[better, baseline], ...]")
    if not fewest <= len(claim["arms"]) <= most or ("x" in needed and len(claim["x"]) != len(claim["arms"])):
        raise UsageError(f"{name}: test {claim['test']} does not fit {len(claim['arms'])} arms")
    for arm in arms_of(claim) if known_arms is not None else []:
        if arm not in known_arms:
            raise UsageError(f"{name}: {_unknown('arm', arm, known_arms)}")


def _unknown(kind, given, known):
    """Return what to say of a name that is not known."""
    close = difflib.get_close_matches(str(given), list(known), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"no {kind} is called {given!r}{hint} There are: {', '.join(sorted(known))}"
