"""Claims of a paper and what our scores make of them: supported or not, inconclusive, not tested (docs/verdicts.md)."""

import dataclasses
import itertools
import math
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, Self, get_args

import pandas as pd
import pydantic.dataclasses
from pydantic import BeforeValidator, Field, model_validator

from retina_kit.errors import UsageError, did_you_mean, unknown_name
from retina_kit.evaluation.evidence import Evidence, gather_evidence, usual_seed_noise
from retina_kit.evaluation.noise import holm
from retina_kit.evaluation.verdicts import INCONCLUSIVE, NOT_SUPPORTED, NOT_TESTED, TESTS, Outcome
from retina_kit.schema import STRICT, as_tuple

ESTIMATE = ("estimate", "ci_low", "ci_high", "p_value", "effect_size")
SIZES = ("n_patients", "n_seeds")
COLUMNS = (
    "claim",
    "statement",
    "kind",
    "statistic",
    *ESTIMATE,
    "p_holm",
    "verdict",
    "sentence",
    "rule",
    *SIZES,
    "scope",
)
Kind = Literal["replication", "control"]
Test = Literal[
    "greater", "all_greater", "greater_on_average", "not_worse", "equivalent", "rises_with", "linear_with",
    "gain_grows", "above_value", "reaches_value",
]  # fmt: skip
ANY, TWO, ONE = (2, math.inf), (2, 2), (1, 1)
NUM_ARMS = {"greater": TWO, "not_worse": TWO, "above_value": ONE, "reaches_value": ONE, "linear_with": (3, math.inf)}
NUM_ARMS |= dict.fromkeys(("all_greater", "greater_on_average", "equivalent", "rises_with", "gain_grows"), ANY)
Reading = tuple[str, str, bool]  # variant, metric, pooled
PAIRS = ("all_greater", "greater_on_average", "gain_grows")
MAY_HAVE_MARGIN = ("greater", "all_greater", "greater_on_average")
NEEDS_MARGIN = ("equivalent", "not_worse", "reaches_value", "linear_with")
OF_A_VALUE = ("above_value", "reaches_value")


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
    that name in verdicts. `arms` are names ("arm:class" if an arm has several classes); for all_greater,
    greater_on_average, gain_grows: pairs (better, baseline). `pooled` adds the counts of all images before the metric
    is taken; otherwise it is the mean over images. `variant` is the checkpoint and inference mode that was scored.
    `margin` is the largest difference that does not matter (greater, all_greater, greater_on_average, equivalent,
    not_worse, reaches_value, linear_with), `value` the published value (above_value, reaches_value), `covariate` a
    number for each arm (linear_with), `where` the place in the paper. Arms that score below `min_score` have learned
    nothing and are neither equivalent nor not worse. `transfer` names what is transferred, and to how many images, if
    the claim compares a pretrained network with one from a random start that is trained the same way.

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
    covariate: Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], BeforeValidator(as_tuple)] = ()
    min_score: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    where: str = ""
    transfer: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Raise ValueError if the arms, the margin, the value or the covariate do not fit the test."""
        fewest, most = NUM_ARMS[self.test]
        if not fewest <= len(self.arms) <= most:
            number = f"{fewest}" if fewest == most else f"at least {fewest}"
            kind = "pairs of arms" if self.test in PAIRS else "arms"
            raise ValueError(f"test {self.test} needs {number} {kind}, not {len(self.arms)}")
        if self.test in PAIRS:
            if not all(isinstance(pair, tuple) and len(set(pair)) == len(pair) == 2 for pair in self.arms):
                raise ValueError(f"test {self.test} needs arms as pairs, [[better, baseline], ...]")
        elif not all(isinstance(arm, str) for arm in self.arms):
            raise ValueError(f"test {self.test} needs arms as names, not as pairs")
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("arms names an arm twice")
        may_have_margin = self.test in MAY_HAVE_MARGIN and bool(self.margin)
        for name, needed, is_there in (
            ("margin", self.test in NEEDS_MARGIN or may_have_margin, bool(self.margin)),
            ("value", self.test in OF_A_VALUE, self.value is not None),
            ("covariate", self.test == "linear_with", bool(self.covariate)),
        ):
            if needed != is_there:
                raise ValueError(f"test {self.test} {'needs' if needed else 'has no'} {name!r}")
        if self.covariate and (len(self.covariate) != len(self.arms) or len(set(self.covariate)) < 2):
            raise ValueError("covariate needs a number for each arm, and not the same for all")
        return self

    def arm_names(self) -> list[str]:
        """Return every arm that the claim names, once.

        >>> Claim("c", "", "control", "gain_grows", arms=[["t1", "s"], ["t2", "s"]]).arm_names()
        ['t1', 's', 't2']
        """
        flat = itertools.chain(*self.arms) if self.test in PAIRS else self.arms
        return list(dict.fromkeys(flat))


def evaluate_claims(
    claims: Sequence[Claim],
    scores: pd.DataFrame,
    synthetic: bool,
    known_arms: Collection[str] | None = None,
    reduced: bool = False,
) -> pd.DataFrame:
    """Return one row per claim (COLUMNS): the statistic with its interval, the verdict, and the rule behind it.

    `synthetic` data can support the direction of an effect, never a published value. `reduced` settings (fewer steps,
    smaller networks than the paper's) may reach a published value but cannot refute it. Claims whose arms were not run
    are not tested; with `known_arms` an arm that is not among them is a UsageError. `p_holm` is the p-value corrected
    for the number of claims of its kind that have one; verdicts do not use it.

    >>> rows = pd.concat([pd.DataFrame({"id": range(6), "patient": range(6), "seed": seed}) for seed in range(3)])
    >>> scores = pd.concat([rows.assign(arm="tuned", dice=0.75), rows.assign(arm="scratch", dice=0.5)])
    >>> claim = Claim("c", "Pretraining helps.", "replication", "greater", ["tuned", "scratch"], pooled=False)
    >>> found = evaluate_claims([claim], scores, synthetic=True).iloc[0]
    >>> found["verdict"], found["sentence"]
    ('supported', 'dice, tuned minus scratch: +0.250 (95 % interval +0.250 to +0.250), 6 patients, 3 seeds')
    """
    records, usual = [], _usual_seed_noise(claims, scores)
    for claim in claims:
        for arm in claim.arm_names() if known_arms is not None else []:
            if arm not in (known_arms or ()):
                raise UsageError(f"claim {claim.id!r}: {unknown_name('arm', arm, known_arms or ())}")
        records.append(_evaluate(claim, scores, synthetic, reduced, usual[_reading(claim)]))
    table = pd.DataFrame(records, columns=COLUMNS)
    for kind in get_args(Kind):
        tested = (table["kind"] == kind) & table["p_value"].notna()
        table.loc[tested, "p_holm"] = holm(table.loc[tested, "p_value"])
    return table


def _reading(claim: Claim) -> Reading:
    """Return what a claim reads of its arms: claims of one reading tell each other how much seeds vary it."""
    return claim.variant, claim.metric, claim.pooled


def _of_variant(scores: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Return the scores of one checkpoint and inference mode; all of them if they are not told apart."""
    return scores[scores["variant"] == variant] if "variant" in scores else scores


def _usual_seed_noise(claims: Sequence[Claim], scores: pd.DataFrame) -> dict[Reading, tuple[float, float]]:
    """Return the seed noise that is usual, and its degrees of freedom, for each reading of the arms concerned."""
    arms: dict[Reading, set[str]] = {}
    for claim in claims:
        arms.setdefault(_reading(claim), set()).update(claim.arm_names())
    found = {}
    for (variant, metric, pooled), names in arms.items():
        chosen = _of_variant(scores, variant)
        found[variant, metric, pooled] = usual_seed_noise(chosen[chosen["arm"].isin(names)], metric, pooled)
    return found


def _evaluate(
    claim: Claim, scores: pd.DataFrame, synthetic: bool, reduced: bool, usual: tuple[float, float]
) -> dict[str, Any]:
    """Return one row of evaluate_claims as a dict; `usual` is the seed noise that is usual for the score of an arm."""
    row: dict[str, Any] = {"claim": claim.id, "statement": claim.statement, "kind": claim.kind}
    row |= {"scope": "direction only (synthetic data)" if synthetic else "number", "verdict": INCONCLUSIVE}
    row |= {"n_patients": 0, "n_seeds": 0, "statistic": "", "rule": ""}
    row |= dict.fromkeys((*ESTIMATE, "p_holm"), math.nan)
    missing = sorted(set(claim.arm_names()) - set(scores["arm"]))
    if missing:
        return row | {"verdict": NOT_TESTED, "sentence": f"no run of {', '.join(missing)}"}
    scores = _of_variant(scores, claim.variant)
    missing = sorted(set(claim.arm_names()) - set(scores["arm"]))
    if missing:
        return row | {"verdict": NOT_TESTED, "sentence": f"no {claim.variant!r} score of {', '.join(missing)}"}
    evidence = gather_evidence(scores, claim.arm_names(), claim.metric, claim.pooled)
    evidence = dataclasses.replace(evidence, usual=usual)
    outcome = TESTS[claim.test](claim, evidence)
    found, reason = outcome.estimate, _why_inconclusive(claim, evidence, outcome, synthetic, reduced)
    row |= {"n_patients": evidence.num_patients, "n_seeds": evidence.num_seeds, "statistic": outcome.statistic}
    row |= dict(zip(ESTIMATE, (found.value, found.low, found.high, found.p_value, found.effect_size), strict=True))
    if evidence.fixed_patients:
        row["scope"] += "; these patients only"
    sentence = "; ".join(filter(None, [f"{outcome.statistic}: {found}, {evidence}", outcome.decided_by, reason]))
    return row | {"verdict": INCONCLUSIVE if reason else outcome.verdict, "rule": outcome.rule, "sentence": sentence}


def _why_inconclusive(claim: Claim, evidence: Evidence, outcome: Outcome, synthetic: bool, reduced: bool) -> str:
    """Return why there is no verdict although the interval would give one; an empty text if there is one."""
    of_a_value = claim.test in OF_A_VALUE
    if synthetic and of_a_value:
        return "synthetic data cannot test a published value"
    if reduced and of_a_value and outcome.verdict == NOT_SUPPORTED:
        return "reduced settings cannot refute a published value"
    return evidence.why_no_verdict or outcome.reason


def headline(claims: Sequence[Claim]) -> tuple[Claim, Claim | None]:
    """Choose a paper's first control about a transfer, or its first one, and the replication with the same beginning.

    A control's id begins with that of the claim it corrects; where none does, the first replication is chosen.
    Raises UsageError if there is no replication.
    """
    replications = [claim for claim in claims if claim.kind == "replication"]
    controls = [claim for claim in claims if claim.kind == "control"]
    control = next((claim for claim in controls if claim.transfer), controls[0] if controls else None)
    same = [claim for claim in replications if control and control.id.startswith(claim.id)]
    if not replications:
        raise UsageError("none of the claims is a replication")
    return (same or replications)[0], control
