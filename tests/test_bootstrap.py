"""Intervals and tests, on scores whose answer is known."""

import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from retina_kit.errors import UsageError
from retina_kit.evaluation import bootstrap as statistics
from retina_kit.evaluation.patients import BLOCK, patient_sums


def scores_of(values, *, arm="x", seed=0, images_per_patient=1):
    """Return scored rows with a Dice each, a patient for every `images_per_patient` rows."""
    place = np.arange(len(values))
    rows = {"arm": arm, "seed": seed, "id": place, "patient": place // images_per_patient, "dice": values}
    return pd.DataFrame(rows)


def random_counts(num_patients, images_per_patient, seed=0):
    """Return scored rows with counts, patients differing from one another."""
    rng = np.random.default_rng(seed)
    n = num_patients * images_per_patient
    patient = np.arange(n) // images_per_patient
    skill = rng.uniform(0.3, 0.9, num_patients)[patient]
    fluid = rng.integers(50, 500, n)
    tp = rng.binomial(fluid, skill)
    fp = rng.poisson(40, n)
    rows = {
        "arm": "x",
        "seed": 0,
        "id": np.arange(n),
        "patient": patient,
        "tp": tp,
        "fp": fp,
        "fn": fluid - tp,
    }
    return pd.DataFrame(rows).assign(tn=10_000)


def test_a_constant_score_has_an_interval_of_no_width():
    part = patient_sums(scores_of([0.5] * 5), "dice", pooled=False)
    assert statistics.bootstrap_interval(part) == (0.5, 0.5, "")


def test_two_patients_have_no_interval_and_it_says_why():
    part = patient_sums(scores_of([0.1, 0.2, 0.3, 0.4], images_per_patient=2), "dice", pooled=False)
    low, high, reason = statistics.bootstrap_interval(part)
    assert math.isnan(low) and math.isnan(high) and "2 patients" in reason


def test_every_resample_of_three_patients_is_a_mean_of_three_of_them():
    values = [0.0, 0.3, 0.9]
    part = patient_sums(scores_of(values), "dice", pooled=False)
    drawn = statistics.resample_patients([part], num_resamples=500)[0]
    possible = {round((a + b + c) / 3, 6) for a in values for b in values for c in values}
    assert set(np.round(drawn, 6)) == possible


def test_the_interval_of_many_patients_is_the_textbook_one():
    values = np.random.default_rng(0).normal(0.7, 0.1, 400)
    part = patient_sums(scores_of(values), "dice", pooled=False)
    low, high, _ = statistics.bootstrap_interval(part)
    half = 1.96 * statistics.standard_error(values.std(ddof=1), 400)
    assert low == pytest.approx(values.mean() - half, abs=0.002)
    assert high == pytest.approx(values.mean() + half, abs=0.002)


def test_images_of_one_patient_do_not_narrow_the_interval():
    once = np.random.default_rng(1).uniform(0.4, 0.9, 12)
    widths = []
    for copies in (1, 20):
        part = patient_sums(scores_of(np.repeat(once, copies), images_per_patient=copies), "dice", pooled=False)
        low, high, _ = statistics.bootstrap_interval(part)
        widths.append(high - low)
    assert widths[0] == pytest.approx(widths[1], rel=0.02)


def test_pooled_resampling_is_that_of_a_loop_over_patients():
    scores = random_counts(6, 3)
    part = patient_sums(scores, "dice", pooled=True)
    weights = np.array([[2, 0, 1, 1, 0, 2], [1, 1, 1, 1, 1, 1]], float)
    for row, value in zip(weights, part.resampled(weights), strict=True):
        drawn = pd.concat([scores[scores["patient"] == p] for p in range(6) for _ in range(int(row[p]))])
        tp, fp, fn = (drawn[name].sum() for name in ("tp", "fp", "fn"))
        assert value == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_seeds_are_averaged_before_patients_are_drawn():
    both = pd.concat([scores_of([0.2, 0.4, 0.6]), scores_of([0.4, 0.6, 0.8], seed=1)])
    part = patient_sums(both, "dice", pooled=False)
    assert part.by_seed().tolist() == pytest.approx([0.4, 0.6])
    assert part.resampled(np.array([[3.0, 0, 0]])) == pytest.approx(0.3)


def test_a_thousand_images_take_well_below_a_second():
    scores = random_counts(1000, 1)
    part = patient_sums(scores, "dice", pooled=True)
    began = time.process_time()
    low, high, _ = statistics.bootstrap_interval(part, num_resamples=2000)
    assert time.process_time() - began < 1.0
    assert low < part.by_seed()[0] < high


def test_paired_tests_are_scipys():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0.5, 1, 30), rng.uniform(0.4, 1, 30)
    scores = pd.concat([scores_of(a, arm="new"), scores_of(b, arm="old")])
    found = statistics.paired_difference(scores, "new", "old")
    assert found.estimate == pytest.approx((a - b).mean())
    assert found.p_t == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert found.p_wilcoxon == pytest.approx(stats.wilcoxon(a, b).pvalue)
    assert found.ci_low < found.estimate < found.ci_high
    assert (found.num_images, found.num_patients, found.num_seeds) == (30, 30, 1)


def test_a_shift_of_every_patient_has_a_difference_of_no_width():
    values = np.linspace(0.1, 0.8, 8)
    scores = pd.concat([scores_of(values + 0.1, arm="new"), scores_of(values, arm="old")])
    found = statistics.paired_difference(scores, "new", "old")
    assert (found.ci_low, found.ci_high) == pytest.approx((0.1, 0.1))
    assert found.p_bootstrap < 0.01


def test_differences_to_both_sides_are_not_significant():
    values, step = np.full(8, 0.5), np.array([0.1, -0.1] * 4)
    scores = pd.concat([scores_of(values + step, arm="new"), scores_of(values, arm="old")])
    found = statistics.paired_difference(scores, "new", "old")
    assert found.estimate == pytest.approx(0) and found.p_bootstrap > 0.5 and found.p_t == pytest.approx(1)


def test_scores_are_paired_by_image_where_there_are_only_counts():
    counts = pd.DataFrame({"id": range(4), "patient": range(4), "seed": 0, "fp": 0, "fn": [1, 2, 3, 4], "tn": 9})
    scores = pd.concat([counts.assign(arm="new", tp=4), counts.assign(arm="old", tp=1)])
    found = statistics.paired_difference(scores, "new", "old")
    new, old = (np.array([2 * tp / (2 * tp + fn) for fn in (1, 2, 3, 4)]) for tp in (4, 1))
    assert found.estimate == pytest.approx((new - old).mean())
    assert found.p_t == pytest.approx(stats.ttest_rel(new, old).pvalue)


def test_arms_with_other_images_cannot_be_paired():
    scores = pd.concat([scores_of([0.1, 0.2, 0.3], arm="new"), scores_of([0.1, 0.2], arm="old")])
    with pytest.raises(UsageError, match="the same images"):
        statistics.paired_difference(scores, "new", "old")


def test_tests_without_differences_say_nothing():
    assert math.isnan(statistics.paired_t([0.5, 0.6], [0.5, 0.6]))
    assert math.isnan(statistics.wilcoxon([0.5, 0.6], [0.5, 0.6]))
    assert math.isnan(statistics.paired_t([0.5, np.nan], [0.4, 0.1]))


def test_seed_spread_divides_by_n_minus_1():
    spread = statistics.seed_spread([0.6, 0.7, 0.8])
    assert (spread.mean, spread.sd, spread.n) == pytest.approx((0.7, 0.1, 3))
    assert math.isnan(statistics.seed_spread([0.6]).sd)


def test_standard_error_of_the_printed_spread():
    # Melinscak 2020 prints 0.272 over 224 images as if it were the standard error, which is 0.0182.
    assert round(statistics.standard_error(0.272, 224), 4) == 0.0182


def test_resamples_taken_in_blocks_are_those_taken_one_by_one():
    counts = pd.DataFrame(
        {"id": range(6), "patient": list("abcabc"), "tp": [1, 2, 3, 4, 5, 6], "fp": 1, "fn": 2, "tn": 0}
    )
    sums = patient_sums(counts.assign(seed=0), "dice")
    weights = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, size=2 * BLOCK + 1)
    one_by_one = [sums.resampled(row[None])[0] for row in weights]
    assert sums.resampled(weights).tolist() == one_by_one
