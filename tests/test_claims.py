"""Verdicts on claims, on scores where the answer is plain."""

import numpy as np
import pandas as pd
import pytest

from retina_kit.errors import UsageError
from retina_kit.evaluation.claims import COLUMNS, TESTS, Claim, evaluate_claims, verdict_of
from retina_kit.evaluation.evidence import Estimate, gather_evidence
from retina_kit.schema import parse


def scores_of(levels, *, num_patients=12, seeds=(0, 1), noise=0.05, seed_noise=0.0, first_id=0):
    """Return scored rows of some arms, an image a patient, their Dice around the given level."""
    parts = []
    for number, (arm, level) in enumerate(levels.items()):
        for seed in seeds:
            rng = np.random.default_rng([number, seed])
            place = np.arange(num_patients)
            shift = seed_noise * rng.normal()
            rows = {"arm": arm, "seed": seed, "variant": "last", "id": first_id + place, "patient": place}
            parts.append(pd.DataFrame(rows).assign(dice=level + shift + noise * rng.normal(size=num_patients)))
    return pd.concat(parts, ignore_index=True)


def one(scores, synthetic=True, **claim):
    """Return the row of a single claim."""
    return evaluate_claims([parsed(claim)], scores, synthetic=synthetic).iloc[0]


def parsed(claim):
    """Return a claim as an experiment file gives it."""
    return parse(Claim, {"id": "c", "statement": "", "kind": "replication", "pooled": False, **claim}, "claim 'c'")


@pytest.mark.parametrize(
    ("low", "high", "margin", "verdict"),
    [(0.1, 0.2, 0, "supported"), (-0.2, -0.1, 0, "not supported"), (-0.1, 0.1, 0, "inconclusive"),
     (-0.01, 0.01, 0.02, "not supported"), (np.nan, np.nan, 0, "inconclusive")],
)  # fmt: skip
def test_the_verdict_is_where_the_interval_lies(low, high, margin, verdict):
    assert verdict_of(Estimate(0.0, low, high), margin) == verdict


def test_a_clear_difference_is_supported_and_its_reverse_is_not():
    scores = scores_of({"tuned": 0.8, "scratch": 0.6})
    row = one(scores, test="greater", arms=["tuned", "scratch"])
    assert row["verdict"] == "supported" and row["estimate"] == pytest.approx(0.2, abs=0.03)
    assert row["ci_low"] < row["estimate"] < row["ci_high"] and row["p_value"] < 0.01
    assert (row["n_patients"], row["n_seeds"]) == (12, 2)
    assert one(scores, test="greater", arms=["scratch", "tuned"])["verdict"] == "not supported"


def test_no_difference_is_inconclusive_until_a_margin_is_stated():
    scores = scores_of({"a": 0.7, "b": 0.7}, noise=0.02)
    assert one(scores, test="greater", arms=["a", "b"])["verdict"] == "inconclusive"
    row = one(scores, test="greater", arms=["a", "b"], margin=0.05)
    assert row["verdict"] == "not supported" and "+-0.05" in row["rule"]


def test_pairing_finds_a_small_shift_in_patients_who_differ_much():
    place = np.arange(12)
    level = np.linspace(0.1, 0.9, 12)
    rows = {"seed": 0, "id": place, "patient": place}
    scores = pd.concat([pd.DataFrame(rows).assign(arm="a", dice=level + 0.02),
                        pd.DataFrame(rows).assign(arm="b", dice=level)])  # fmt: skip
    row = one(scores, test="greater", arms=["a", "b"])
    assert row["verdict"] == "supported" and row["ci_low"] == pytest.approx(0.02)
    assert "one seed" in row["rule"]


def test_arms_on_other_images_are_resampled_independently():
    scores = pd.concat([scores_of({"source": 0.8}), scores_of({"target": 0.4}, first_id=100)])
    row = one(scores, test="greater", arms=["source", "target"])
    assert row["verdict"] == "supported" and "arms resampled independently" in row["rule"]
    assert gather_evidence(scores, ["source", "target"], "dice", False).paired is False


def test_with_two_patients_the_seeds_are_the_replicates():
    levels = {"tuned": 0.8, "scratch": 0.6}
    row = one(scores_of(levels, num_patients=2, seeds=range(5)), test="greater", arms=list(levels))
    assert row["verdict"] == "supported" and "seeds as replicates" in row["rule"]
    alone = one(scores_of(levels, num_patients=2, seeds=(0,)), test="greater", arms=list(levels))
    assert alone["verdict"] == "inconclusive" and "no interval" in alone["rule"]
    assert alone["estimate"] == pytest.approx(0.2, abs=0.1)


def test_rising_means_no_sure_step_down():
    up = {"n8": 0.5, "n16": 0.6, "n32": 0.7}
    assert one(scores_of(up), test="rises_with", arms=list(up))["verdict"] == "supported"
    row = one(scores_of(up), test="rises_with", arms=list(up))
    assert row["estimate"] == pytest.approx(0.1, abs=0.03)
    bent = {"n8": 0.3, "n16": 0.8, "n32": 0.7}
    assert one(scores_of(bent, noise=0.01), test="rises_with", arms=list(bent))["verdict"] == "not supported"
    assert one(scores_of(up), test="rises_with", arms=list(up)[::-1])["verdict"] == "not supported"


def test_a_gain_may_grow_or_shrink():
    levels = {"s1": 0.5, "t1": 0.52, "s2": 0.6, "t2": 0.7, "s3": 0.65, "t3": 0.85}
    pairs = [["t1", "s1"], ["t2", "s2"], ["t3", "s3"]]
    row = one(scores_of(levels), test="gain_grows", arms=pairs)
    assert row["verdict"] == "supported" and row["estimate"] == pytest.approx(0.09, abs=0.04)
    assert one(scores_of(levels), test="gain_grows", arms=pairs[::-1])["verdict"] == "not supported"


def test_equivalence_needs_every_difference_within_the_margin():
    claim = {"test": "equivalent", "arms": ["ce", "dice", "hybrid"], "margin": 0.05}
    assert one(scores_of({"ce": 0.7, "dice": 0.7, "hybrid": 0.7}, noise=0.02), **claim)["verdict"] == "supported"
    apart = one(scores_of({"ce": 0.7, "dice": 0.7, "hybrid": 0.5}, noise=0.02), **claim)
    assert apart["verdict"] == "not supported" and "hybrid" in apart["statistic"]
    noisy = one(scores_of({"ce": 0.7, "dice": 0.7, "hybrid": 0.7}, noise=0.3), **claim)
    assert noisy["verdict"] == "inconclusive"


def test_synthetic_data_cannot_test_a_published_value():
    scores = scores_of({"best": 0.8})
    claim = {"test": "above_value", "arms": ["best"], "value": 0.6234}
    assert one(scores, synthetic=True, **claim)["verdict"] == "inconclusive"
    assert one(scores, synthetic=True, **claim)["scope"] == "direction only (synthetic data)"
    real = one(scores, synthetic=False, **claim)
    assert real["verdict"] == "supported" and real["scope"] == "number"
    assert real["estimate"] == pytest.approx(0.8 - 0.6234, abs=0.02)
    below = one(scores, synthetic=False, test="above_value", arms=["best"], value=0.9)
    assert below["verdict"] == "not supported" and below["ci_high"] < 0


def test_pooled_counts_and_variants_are_respected():
    rows = pd.DataFrame({"id": range(6), "patient": range(6), "seed": 0, "tp": 80, "fp": 20, "fn": 20, "tn": 99})
    good, bad = rows.assign(arm="a", variant="last"), rows.assign(arm="b", variant="last", tp=40, fn=60)
    best = rows.assign(arm="b", variant="best", tp=95, fn=5)
    scores = pd.concat([good, bad, best])
    claim = {"test": "greater", "arms": ["a", "b"], "pooled": True, "metric": "dice"}
    assert one(scores, **claim)["estimate"] == pytest.approx(0.8 - 2 * 40 / (2 * 40 + 20 + 60))
    assert one(pd.concat([scores, good.assign(variant="best")]), variant="best", **claim)["estimate"] < 0


def test_a_claim_whose_arm_was_not_run_is_inconclusive():
    row = one(scores_of({"a": 0.5}), test="greater", arms=["a", "hrf"])
    assert row["verdict"] == "inconclusive" and row["rule"] == "not tested: no run of hrf"
    assert list(evaluate_claims([], scores_of({"a": 0.5}), synthetic=True)) == list(COLUMNS)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"test": "greater", "arms": ["a", "b"], "amrs": []}, "did you mean 'arms'"),
        ({"test": "graeter", "arms": ["a", "b"]}, "did you mean 'greater'"),
        (
            {"test": "greater", "arms": ["a", "b"], "kind": "contrl"},
            "did you mean 'control'. Known: replication, control",
        ),
        ({"test": "greater", "arms": ["a"]}, "test greater needs 2 arms, not 1"),
        ({"test": "rises_with", "arms": ["a"]}, "test rises_with needs at least 2 arms, not 1"),
        ({"test": "greater"}, "arms is missing"),
        ({"test": "greater", "arms": 5}, "5 is not a list of arms"),
        ({"test": "greater", "arms": ["a", 5]}, "5 is neither the name of an arm"),
        ({"test": "greater", "arms": ["a", ["b", "c"]]}, "needs arms as names"),
        ({"test": "greater", "arms": ["a", "a"]}, "names an arm twice"),
        ({"test": "equivalent", "arms": ["a", "b"]}, "needs 'margin'"),
        ({"test": "rises_with", "arms": ["a", "b"], "margin": 0.1}, "has no 'margin'"),
        ({"test": "greater", "arms": ["a", "b"], "margin": -0.1}, "margin is -0.1"),
        ({"test": "above_value", "arms": ["a"]}, "needs 'value'"),
        ({"test": "greater", "arms": ["a", "b"], "value": 0.5}, "has no 'value'"),
        ({"test": "gain_grows", "arms": ["a", "b"]}, "pairs"),
        ({"test": "gain_grows", "arms": [["a", "b"], ["c"]]}, "pairs"),
    ],
)
def test_a_claim_that_is_written_wrong_is_refused(claim, message):
    with pytest.raises(UsageError, match=f"^claim 'c': .*{message}"):
        parsed(claim)


def test_a_claim_in_python_is_checked_as_one_in_a_file():
    assert Claim("c", "", "replication", "greater", ["a", "b"], pooled=False) == parsed(
        {"test": "greater", "arms": ["a", "b"]}
    )
    with pytest.raises(ValueError, match="needs 2 arms, not 1"):
        Claim("c", "", "replication", "greater", ["a"])
    assert set(TESTS) == {"greater", "rises_with", "gain_grows", "equivalent", "above_value"}


def test_an_arm_that_nobody_knows_is_a_mistake():
    claims = [Claim("c", "", "control", "greater", ("tuned", "scrach"))]
    with pytest.raises(UsageError, match="did you mean 'scratch'"):
        evaluate_claims(claims, scores_of({"tuned": 0.5}), synthetic=True, known_arms=["tuned", "scratch"])
