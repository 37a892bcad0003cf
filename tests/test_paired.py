"""Differences of arms and of runs, whose answer is known by hand or by a t-test."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from retina_kit.errors import UsageError
from retina_kit.evaluation.evidence import gather_evidence
from retina_kit.evaluation.paired import differences_per_image, paired_difference, paired_t, wilcoxon
from retina_kit.evaluation.scoring import score_classes

IDS = list("uvwxyz")
ROWS = pd.DataFrame({"id": IDS * 2, "patient": IDS * 2, "seed": [0] * 6 + [1] * 6})
FIRST = ROWS.assign(dice=[0.2, 0.4, 0.6, 0.8, 0.5, 0.5, 0.3, 0.5, 0.7, 0.9, 0.6, 0.6])


def scores_of(values, seed=0):
    """Return scored rows with a Dice each, every image of another patient."""
    place = np.arange(len(values))
    return pd.DataFrame({"seed": seed, "id": place, "patient": place, "dice": values})


def test_a_difference_is_b_minus_a_and_says_of_what():
    found = paired_difference(FIRST, FIRST.assign(dice=FIRST["dice"] + 0.1))
    assert (found.a, found.b, found.estimate) == pytest.approx((0.55, 0.65, 0.1))
    assert (found.ci_low, found.ci_high, found.p_value) == pytest.approx((0.1, 0.1, 0.0))
    assert (found.num_images, found.num_patients, found.num_seeds, found.note) == (
        6,
        6,
        2,
        "2 seeds: the interval does not include seed noise",
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.note = "other"


def test_with_one_seed_interval_and_p_value_are_those_of_a_t_test_over_patients():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0.5, 1, 30), rng.uniform(0.4, 1, 30)
    found = paired_difference(scores_of(a), scores_of(b))
    test = stats.ttest_rel(b, a)
    assert (found.estimate, found.p_value) == pytest.approx(((b - a).mean(), test.pvalue))
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(test.confidence_interval()))
    assert found.note == "one seed: the interval does not include seed noise"


def test_seeds_that_differ_widen_the_interval():
    a = pd.concat([FIRST.iloc[:6].assign(seed=seed) for seed in range(3)])
    gains = {0: 0.0, 1: 0.1, 2: 0.2}
    narrow = paired_difference(a, a.assign(dice=a["dice"] + 0.1))
    wide = paired_difference(a, a.assign(dice=a["dice"] + a["seed"].map(gains)))
    assert narrow.estimate == pytest.approx(wide.estimate) == pytest.approx(0.1)
    assert narrow.ci_high - narrow.ci_low == pytest.approx(0, abs=1e-12)
    half = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)  # three seeds, SD 0.1
    assert (wide.ci_low, wide.ci_high) == pytest.approx((0.1 - half, 0.1 + half))


def test_few_patients_are_taken_as_they_are_and_need_three_seeds():
    a = pd.concat([scores_of([0.5, 0.7], seed) for seed in range(3)])
    b = a.assign(dice=a["dice"] + a["seed"].map({0: 0.0, 1: 0.1, 2: 0.2}))
    found, half = paired_difference(a, b), stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.1 - half, 0.1 + half))
    assert found.note == "these patients only: the interval is over seeds (2 patients, 3 seeds)"
    found = paired_difference(a[a["seed"] < 2], b)
    assert found.estimate == pytest.approx(0.05)
    assert all(math.isnan(value) for value in (found.ci_low, found.ci_high, found.p_value))
    assert found.note == "no interval: 2 patients, 2 seeds (at least 6 patients or 3 seeds needed)"


def test_counts_are_pooled_only_if_that_is_asked_for():
    counts = ROWS[["id", "patient"]].iloc[:4].assign(seed=0, tp=[1, 1, 1, 3], fp=0, fn=[1, 1, 1, 0], tn=0)
    found = [paired_difference(counts, counts, pooled=pooled).a for pooled in (True, False)]
    assert found == pytest.approx([12 / 15, (3 * 2 / 3 + 1) / 4])
    assert paired_difference(counts, counts).a == pytest.approx(found[1])


def test_only_seeds_of_both_count_and_others_cannot_be_paired():
    other = FIRST.assign(seed=FIRST["seed"] + 1, dice=1.0)  # seeds 1 and 2
    found = paired_difference(FIRST, other)
    assert (found.a, found.b, found.num_seeds) == (pytest.approx(0.6), 1.0, 1)
    with pytest.raises(UsageError, match="no seed in common"):
        paired_difference(FIRST, FIRST.assign(seed=7))
    with pytest.raises(UsageError, match="not tested on the same images"):
        paired_difference(FIRST, FIRST[FIRST["id"] != "w"])


def test_images_of_other_data_sets_are_others_whatever_their_names():
    one, two = (FIRST.assign(source=f"synthetic_oct {seed}") for seed in (1, 2))
    with pytest.raises(UsageError, match="not tested on the same images"):
        paired_difference(one, two)
    assert differences_per_image(one, two).empty


def test_images_are_paired_over_their_common_seeds():
    second = FIRST.assign(dice=[0.3, 0.4, 0.6, 0.8, 0.5, 0.5, 0.5, 0.5, 0.7, 1.0, 0.6, 0.6])
    found = differences_per_image(FIRST, pd.concat([second, second.assign(seed=9, dice=0.0)]))
    assert list(found) == ["id", "patient", "a", "b", "difference"]
    assert found["id"].tolist() == found["patient"].tolist() == IDS
    assert found["a"].tolist() == pytest.approx([0.25, 0.45, 0.65, 0.85, 0.55, 0.55])
    assert found["difference"].tolist() == pytest.approx([0.15, 0, 0, 0.05, 0, 0])


def test_an_image_has_a_dice_of_its_counts_but_no_area_under_a_curve():
    counts = pd.DataFrame({"id": range(4), "patient": range(4), "seed": 0, "fp": 0, "fn": [1, 2, 3, 4], "tn": 9})
    found = differences_per_image(counts.assign(tp=1), counts.assign(tp=4))
    new, old = (np.array([2 * tp / (2 * tp + fn) for fn in (1, 2, 3, 4)]) for tp in (4, 1))
    assert found["difference"].tolist() == pytest.approx((new - old).tolist())
    assert differences_per_image(counts, counts, "auc").empty


def test_an_image_with_a_score_in_one_of_the_two_only_is_left_out_of_both():
    a, b = scores_of([0.5] * 7), scores_of([0.75] * 6 + [math.nan])
    found = paired_difference(a, b)
    assert (found.estimate, found.num_images, found.num_patients) == (0.25, 6, 6)
    assert found.note.endswith("; 1 image without a score in one of the two left out")
    twice = [pd.concat([rows, rows.assign(seed=1, dice=0.5)]) for rows in (a, b)]
    images = differences_per_image(*twice).set_index("id")
    assert images.loc[0, ["a", "b"]].tolist() == [0.5, 0.625]  # two seeds
    assert images.loc[6, ["a", "b"]].tolist() == [0.5, 0.5]  # only seed 1, where both have a score


def test_a_classifiers_counts_are_taken_together():
    rng = np.random.default_rng(0)
    target = rng.random(60) < 0.5
    rows = pd.DataFrame({"id": range(60), "patient": range(60)})
    a, b = (score_classes(np.where(rng.random(60) < right, target, ~target), target, rows).assign(seed=0)
            for right in (0.55, 0.95))  # fmt: skip
    for metric in ("precision", "recall"):
        found = paired_difference(a, b, metric, pooled=True)
        assert found.b - found.a == pytest.approx(found.estimate) and found.ci_low > 0


def test_arms_are_of_one_group_if_a_third_one_joins_their_images():
    first, second = (
        scores_of([0.5] * 6),
        scores_of([0.5] * 6).assign(id=lambda rows: rows["id"] + 6, patient=range(6, 12)),
    )
    arms = {"one": first, "two": second, "all": pd.concat([first, second])}
    for order in (["one", "two", "all"], ["all", "one", "two"]):
        scores = pd.concat([arms[name].assign(arm=name) for name in order])
        assert len(gather_evidence(scores, order, "dice", pooled=False).contributions["all"]) == 12
    apart = pd.concat([first.assign(arm="one"), second.assign(arm="two", patient=first["patient"])])
    assert len(gather_evidence(apart, ["one", "two"], "dice", pooled=False).contributions["one"]) == 12


def test_paired_tests_are_scipys():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0.5, 1, 30), rng.uniform(0.4, 1, 30)
    assert paired_t(a, b) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert wilcoxon(a, b) == pytest.approx(stats.wilcoxon(a, b).pvalue)
    assert paired_t(np.full(8, 0.5) + np.array([0.1, -0.1] * 4), np.full(8, 0.5)) == pytest.approx(1)


def test_tests_without_differences_say_nothing():
    assert math.isnan(paired_t([0.5, 0.6], [0.5, 0.6]))
    assert math.isnan(wilcoxon([0.5, 0.6], [0.5, 0.6]))
    assert math.isnan(paired_t([0.5, np.nan], [0.4, 0.1]))
    assert math.isnan(paired_t([0.75, 0.5], [0.5, 0.25]))  # all differ by the same
    assert paired_t([0.75, 0.5], [0.5, 0.375]) == pytest.approx(stats.ttest_rel([0.75, 0.5], [0.5, 0.375]).pvalue)
