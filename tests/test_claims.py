"""Verdicts on claims, on scores where the answer is plain."""

import dataclasses
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from retina_kit.errors import UsageError
from retina_kit.evaluation.claims import COLUMNS, Claim, Test, evaluate_claims
from retina_kit.evaluation.evidence import Estimate, gather_evidence, usual_seed_noise
from retina_kit.evaluation.verdicts import TESTS, verdict_of
from retina_kit.schema import parse


def scores_of(levels, *, num_patients=12, seeds=(0, 1, 2), noise=0.05, seed_noise=0.0, first_id=0):
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


def one(scores, synthetic=True, reduced=False, **claim):
    """Return the row of a single claim."""
    return evaluate_claims([parsed(claim)], scores, synthetic=synthetic, reduced=reduced).iloc[0]


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
    assert row["verdict"] == "supported" and row["estimate"] == pytest.approx(0.2, abs=0.05)
    assert row["ci_low"] < row["estimate"] < row["ci_high"] and row["p_value"] < 0.01
    assert (row["n_patients"], row["n_seeds"]) == (12, 3)
    assert row["sentence"].startswith("dice, tuned minus scratch: +0.")
    assert row["sentence"].endswith("12 patients, 3 seeds") and row["p_holm"] == row["p_value"]
    assert one(scores, test="greater", arms=["scratch", "tuned"])["verdict"] == "not supported"


def test_no_difference_is_inconclusive_until_a_margin_is_stated():
    scores = scores_of({"a": 0.7, "b": 0.7}, noise=0.02)
    assert one(scores, test="greater", arms=["a", "b"])["verdict"] == "inconclusive"
    row = one(scores, test="greater", arms=["a", "b"], margin=0.05)
    assert row["verdict"] == "not supported" and "+-0.05" in row["rule"]


def test_pairing_finds_a_small_shift_in_patients_who_differ_much():
    place = np.arange(12)
    level = np.linspace(0.1, 0.9, 12)
    rows = pd.concat([pd.DataFrame({"seed": seed, "id": place, "patient": place, "level": level}) for seed in range(3)])
    scores = pd.concat([rows.assign(arm="a", dice=rows["level"] + 0.02), rows.assign(arm="b", dice=rows["level"])])
    row = one(scores, test="greater", arms=["a", "b"])
    assert row["verdict"] == "supported" and row["ci_low"] == pytest.approx(0.02)
    assert row["p_value"] == 0


def test_one_or_two_seeds_give_no_verdict():
    levels = {"tuned": 0.8, "scratch": 0.4}
    row = one(scores_of(levels, seeds=(0,)), test="greater", arms=list(levels))
    assert row["verdict"] == "inconclusive" and row["sentence"].endswith("1 seed; one seed: seed noise unknown")
    assert row["ci_low"] > 0
    row = one(scores_of(levels, seeds=(0, 1)), test="greater", arms=list(levels))
    assert row["verdict"] == "inconclusive" and row["sentence"].endswith("2 seeds: at least 3 needed")


def test_only_seeds_that_all_arms_have_are_compared():
    more = scores_of({"a": 0.8}, seeds=range(5))
    scores = pd.concat([more, more[more["seed"] >= 2].assign(arm="b", dice=0.5)])
    row = one(scores, test="greater", arms=["a", "b"])
    assert row["n_seeds"] == 3
    assert row["estimate"] == pytest.approx(more.loc[more["seed"] >= 2, "dice"].mean() - 0.5)
    apart = pd.concat([more[more["seed"] < 2], more[more["seed"] >= 2].assign(arm="b")])
    row = one(apart, test="greater", arms=["a", "b"])
    assert row["verdict"] == "inconclusive" and row["sentence"].endswith("the arms have no seed in common")


def test_paired_arms_average_the_same_images():
    # On image 6, empty, b stays silent (NaN) and a raises a false alarm (0): it counts for neither.
    rows = pd.concat([pd.DataFrame({"id": range(7), "patient": range(7), "seed": seed}) for seed in range(3)])
    a, b = rows.assign(arm="a", dice=0.5), rows.assign(arm="b", dice=0.5)
    a.loc[a["id"] == 6, "dice"], b.loc[b["id"] == 6, "dice"] = 0.0, np.nan
    row = one(pd.concat([a, b]), test="greater", arms=["a", "b"])
    assert row["estimate"] == 0 and row["n_patients"] == 6


def test_an_arm_without_any_score_gives_no_verdict():
    scores = scores_of({"a": 0.5, "b": np.nan})
    row = one(scores, test="greater", arms=["a", "b"])
    assert row["verdict"] == "inconclusive" and np.isnan(row["estimate"])


def test_arms_on_other_images_have_patients_of_their_own():
    scores = pd.concat([scores_of({"source": 0.8}), scores_of({"target": 0.4}, first_id=100)])
    row = one(scores, test="greater", arms=["source", "target"])
    assert row["verdict"] == "supported" and row["sentence"].endswith("not the same images")
    assert gather_evidence(scores, ["source", "target"], "dice", False).paired is False


def test_with_two_patients_the_seeds_are_the_replicates():
    levels = {"tuned": 0.8, "scratch": 0.6}
    row = one(scores_of(levels, num_patients=2, seeds=range(5)), test="greater", arms=list(levels))
    assert row["verdict"] == "supported" and row["scope"].endswith("; these patients only")
    means = scores_of(levels, num_patients=2, seeds=range(5)).groupby(["seed", "arm"])["dice"].mean().unstack()
    test = stats.ttest_rel(means["tuned"], means["scratch"])
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(test.confidence_interval()))
    assert row["p_value"] == pytest.approx(test.pvalue)
    assert one(scores_of(levels, num_patients=1), test="greater", arms=list(levels))["verdict"] == "supported"
    alone = one(scores_of(levels, num_patients=2, seeds=(0,)), test="greater", arms=list(levels))
    assert alone["verdict"] == "inconclusive" and "no interval" in alone["sentence"]
    assert alone["estimate"] == pytest.approx(0.2, abs=0.1)


def test_without_seed_noise_the_interval_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    place, a, b = np.arange(8), rng.uniform(0.4, 0.9, 8), rng.uniform(0.4, 0.9, 8)
    rows = {"id": place, "patient": place, "arm": "a", "dice": a, "other": b}
    rows = pd.concat([pd.DataFrame(rows).assign(seed=seed) for seed in range(3)])
    row = one(pd.concat([rows, rows.assign(arm="b", dice=rows["other"])]), test="greater", arms=["a", "b"])
    test = stats.ttest_rel(a, b)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(test.confidence_interval()))
    assert row["p_value"] == pytest.approx(test.pvalue, abs=1e-6)
    assert row["effect_size"] == pytest.approx((a - b).mean() / (a - b).std(ddof=1))


def test_seed_noise_and_folds_widen_the_interval():
    levels = {"a": 0.75, "b": 0.7}
    calm = one(scores_of(levels), test="greater", arms=["a", "b"])
    noisy = one(scores_of(levels, seed_noise=0.2), test="greater", arms=["a", "b"])
    assert noisy["ci_high"] - noisy["ci_low"] > 2 * (calm["ci_high"] - calm["ci_low"])
    scores = scores_of(levels, noise=0.001)
    scores["fold"] = scores["patient"] % 4
    scores["dice"] += 0.1 * (scores["fold"] == 0) * (scores["arm"] == "a")  # one of a's networks was lucky
    folds = one(scores, test="greater", arms=["a", "b"])
    alone = one(scores.drop(columns="fold"), test="greater", arms=["a", "b"])
    assert "4 folds" in folds["sentence"]
    assert folds["ci_high"] - folds["ci_low"] > 1.5 * (alone["ci_high"] - alone["ci_low"])


def test_claims_of_four_arms_or_more_tell_each_other_how_much_seeds_vary():
    scores = scores_of({"tuned": 0.8, "scratch": 0.7, "a": 0.6, "b": 0.5, "other": 0.4}, seed_noise=0.03)
    claims = [parsed({"id": pair[0], "test": "greater", "arms": pair}) for pair in (["tuned", "scratch"], ["a", "b"])]
    alone, together = (evaluate_claims(some, scores, synthetic=True).iloc[0] for some in (claims[:1], claims))
    own = gather_evidence(scores, ["tuned", "scratch"], "dice", pooled=False).noise({"tuned": 1, "scratch": -1})
    named = scores[scores["arm"] != "other"]
    usual, degrees = usual_seed_noise(named, "dice", pooled=False)
    assert usual == pytest.approx(named.groupby(["arm", "seed"])["dice"].mean().groupby("arm").var().mean())
    assert 0 < degrees <= 4
    seeds = (2 * own.seeds + degrees * 2 * usual / 3) / (2 + degrees)
    borrowed = dataclasses.replace(own, seeds=seeds, borrowed=degrees)
    assert (alone["ci_high"] - alone["ci_low"]) / 2 == pytest.approx(own.half_width())
    assert (together["ci_high"] - together["ci_low"]) / 2 == pytest.approx(borrowed.half_width())


def test_too_few_arms_or_seeds_tell_nothing_about_the_noise_of_others():
    scores = scores_of({"tuned": 0.8, "scratch": 0.7, "a": 0.6, "b": 0.5}, seed_noise=0.03)
    few = (
        scores[scores["arm"] != "b"],
        scores[scores["seed"] < 2],
        scores.drop(columns="seed"),
        scores.assign(dice=0.5),
    )
    assert [usual_seed_noise(some, "dice", pooled=False) for some in few] == [(0.0, 0.0)] * 4


def test_every_pair_of_a_conjunction_counts_after_holms_correction():
    levels = {"t1": 0.7, "s1": 0.6, "t2": 0.75, "s2": 0.65, "t3": 0.7, "s3": 0.7}
    pairs = [["t1", "s1"], ["t2", "s2"]]
    row = one(scores_of(levels, noise=0.02), test="all_greater", arms=pairs)
    assert row["verdict"] == "supported" and "of 2" in row["statistic"]
    scores = scores_of(levels, noise=0.02)
    assert one(scores, test="all_greater", arms=[*pairs, ["t3", "s3"]])["verdict"] == "inconclusive"
    row = one(scores, test="all_greater", arms=[*pairs, ["t3", "s3"]], margin=0.05)
    assert row["verdict"] == "not supported" and "t3 minus s3" in row["statistic"]
    assert one(scores, test="all_greater", arms=[["t1", "s1"], ["s2", "t2"]])["verdict"] == "not supported"


def test_comparable_means_not_worse_by_more_than_the_margin():
    scores = scores_of({"few": 0.69, "many": 0.7, "none": 0.5}, noise=0.01)
    claim = {"test": "not_worse", "margin": 0.05}
    assert one(scores, arms=["few", "many"], **claim)["verdict"] == "supported"
    assert one(scores, arms=["many", "none"], **claim)["verdict"] == "supported"
    assert one(scores, arms=["none", "many"], **claim)["verdict"] == "not supported"
    noisy = scores_of({"few": 0.7, "many": 0.7}, noise=0.3)
    assert one(noisy, arms=["few", "many"], **claim)["verdict"] == "inconclusive"


def test_arms_that_learned_nothing_are_not_equivalent():
    scores = scores_of({"ce": 0.01, "dice": 0.02, "good": 0.7}, noise=0.001)
    for test in ("equivalent", "not_worse"):
        row = one(scores, test=test, arms=["ce", "dice"], margin=0.05)
        assert row["verdict"] == "inconclusive" and "ce (0.010), dice (0.020) learned too little" in row["sentence"]
    assert one(scores, test="equivalent", arms=["ce", "dice"], margin=0.05, min_score=0)["verdict"] == "supported"


def test_a_line_over_the_batch_size():
    claim = {"test": "linear_with", "covariate": [2, 4, 8], "margin": 0.03}
    line = {"b2": 0.5, "b4": 0.55, "b8": 0.65}
    row = one(scores_of(line, noise=0.01), arms=list(line), **claim)
    assert row["verdict"] == "supported" and row["estimate"] == pytest.approx(0.025, abs=0.005)
    bent = {"b2": 0.4, "b4": 0.65, "b8": 0.66}
    assert one(scores_of(bent, noise=0.01), arms=list(bent), **claim)["verdict"] == "not supported"
    assert one(scores_of(line, noise=0.01), arms=list(line)[::-1], **claim)["verdict"] == "not supported"
    assert one(scores_of(line, noise=0.2), arms=list(line), **claim)["verdict"] == "inconclusive"


def test_reaching_a_value_allows_the_margin():
    claim = {"test": "reaches_value", "arms": ["best"], "value": 0.62, "margin": 0.05}
    assert one(scores_of({"best": 0.61}, noise=0.02), synthetic=False, **claim)["verdict"] == "supported"
    assert one(scores_of({"best": 0.5}, noise=0.02), synthetic=False, **claim)["verdict"] == "not supported"
    noisy = scores_of({"best": 0.58})
    noisy["dice"] = 0.58 + 0.2 * (-1.0) ** noisy["patient"]
    assert one(noisy, synthetic=False, **claim)["verdict"] == "inconclusive"
    assert one(scores_of({"best": 0.61}, noise=0.02), **claim)["verdict"] == "inconclusive"


def test_holm_corrects_claims_of_one_kind():
    scores = scores_of({"a": 0.72, "b": 0.7, "c": 0.66})
    arms = [("a", "b"), ("a", "c"), ("b", "c")]
    claims = [parsed({"id": f"c{k}", "test": "greater", "arms": pair}) for k, pair in enumerate(arms)]
    control = parsed({"id": "d", "kind": "control", "test": "greater", "arms": ["a", "b"]})
    found = evaluate_claims([*claims, control], scores, synthetic=True)
    p_values = found["p_value"].to_numpy()
    assert found["p_holm"].min() == pytest.approx(3 * p_values[:3].min())
    assert found["p_holm"].iloc[3] == p_values[3]


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


def test_a_mean_difference_may_share_its_baseline():
    scores = scores_of({"a": 0.8, "b": 0.7, "base": 0.6}, noise=0.0)
    row = one(scores, test="greater_on_average", arms=[["a", "base"], ["b", "base"]])
    assert row["estimate"] == pytest.approx((0.2 + 0.1) / 2)


def test_equivalence_needs_every_difference_within_the_margin():
    claim = {"test": "equivalent", "arms": ["ce", "dice", "hybrid"], "margin": 0.05}
    assert one(scores_of({"ce": 0.7, "dice": 0.7, "hybrid": 0.7}, noise=0.02), **claim)["verdict"] == "supported"
    apart = one(scores_of({"ce": 0.7, "dice": 0.7, "hybrid": 0.5}, noise=0.02), **claim)
    assert apart["verdict"] == "not supported"
    assert "largest dice difference, " in apart["statistic"] and apart["statistic"].endswith(" minus hybrid")
    assert "hybrid minus" not in apart["statistic"]
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


def test_a_reduced_network_may_reach_a_published_value_but_cannot_refute_it():
    claim = {"synthetic": False, "test": "above_value", "arms": ["best"]}
    assert one(scores_of({"best": 0.8}), reduced=True, value=0.6, **claim)["verdict"] == "supported"
    below = one(scores_of({"best": 0.8}), reduced=True, value=0.9, **claim)
    assert below["verdict"] == "inconclusive"
    assert below["sentence"].endswith("reduced settings cannot refute a published value")
    assert one(scores_of({"best": 0.8}), reduced=False, value=0.9, **claim)["verdict"] == "not supported"


def test_pooled_counts_and_variants_are_respected():
    rows = pd.concat([pd.DataFrame({"id": range(6), "patient": range(6), "seed": seed}) for seed in range(3)])
    rows = rows.assign(tp=80, fp=20, fn=20, tn=99)
    good, bad = rows.assign(arm="a", variant="last"), rows.assign(arm="b", variant="last", tp=40, fn=60)
    best = rows.assign(arm="b", variant="best", tp=95, fn=5)
    scores = pd.concat([good, bad, best])
    claim = {"test": "greater", "arms": ["a", "b"], "pooled": True, "metric": "dice"}
    assert one(scores, **claim)["estimate"] == pytest.approx(0.8 - 2 * 40 / (2 * 40 + 20 + 60))
    assert one(pd.concat([scores, good.assign(variant="best")]), variant="best", **claim)["estimate"] < 0


def test_a_claim_whose_arm_was_not_run_is_not_tested():
    row = one(scores_of({"a": 0.5}), test="greater", arms=["a", "hrf"])
    assert row["verdict"] == "not tested" and row["sentence"] == "no run of hrf"
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
        ({"test": "above_value", "arms": ["a", "b"], "value": 0.5}, "needs 1 arms?, not 2"),
        ({"test": "greater", "arms": ["a", "b"], "min_score": -0.5}, "min_score is -0.5"),
        ({"test": "reaches_value", "arms": ["a"], "value": 0.5}, "needs 'margin'"),
        ({"test": "not_worse", "arms": ["a", "b"]}, "needs 'margin'"),
        ({"test": "all_greater", "arms": ["a", "b"]}, "needs arms as pairs"),
        ({"test": "linear_with", "arms": ["a", "b"]}, "needs at least 3 arms, not 2"),
        ({"test": "linear_with", "arms": ["a", "b", "c"], "margin": 0.1}, "needs 'covariate'"),
        ({"test": "linear_with", "arms": ["a", "b", "c"], "margin": 0.1, "covariate": [1, 2]}, "a number for each arm"),
        ({"test": "greater", "arms": ["a", "b"], "covariate": [1, 2]}, "has no 'covariate'"),
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
    assert set(TESTS) == set(get_args(Test))
    assert Claim("c", "", "replication", "greater", ["a", "b"]).pooled


def test_an_arm_that_nobody_knows_is_a_mistake():
    claims = [Claim("c", "", "control", "greater", ("tuned", "scrach"))]
    with pytest.raises(UsageError, match="did you mean 'scratch'"):
        evaluate_claims(claims, scores_of({"tuned": 0.5}), synthetic=True, known_arms=["tuned", "scratch"])
