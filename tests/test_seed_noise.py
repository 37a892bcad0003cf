"""The difference between two runs, with patients and seeds resampled, by hand and by a loop."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from retina_kit.errors import UsageError
from retina_kit.evaluation.patients import patient_sums
from retina_kit.evaluation.seed_noise import difference_of_runs, differences_per_image, resample_patients_and_seeds

ROWS = pd.DataFrame({"id": list("wxyz") * 2, "patient": list("pqrr") * 2, "seed": [0] * 4 + [1] * 4})
FIRST = ROWS.assign(dice=[0.2, 0.4, 0.6, 0.8, 0.3, 0.5, 0.7, 0.9])


def test_each_resample_takes_the_same_patients_and_seeds_for_both_runs():
    second = FIRST.assign(dice=FIRST["dice"] ** 2)
    parts = [patient_sums(rows, "dice", pooled=False) for rows in (FIRST, second)]
    found = resample_patients_and_seeds(parts, num_resamples=20, seed=3)
    assert found.shape == (2, 20)
    rng = np.random.default_rng(3)
    patients, seeds = rng.integers(0, 3, (20, 3)), rng.integers(0, 2, (20, 2))
    for resample in range(20):
        for part, rows in enumerate((FIRST, second)):
            names = ["pqr"[k] for k in patients[resample]]
            of_seed = [
                np.concatenate([rows[(rows["patient"] == p) & (rows["seed"] == s)]["dice"] for p in names]).mean()
                for s in seeds[resample]
            ]
            assert found[part, resample] == pytest.approx(np.mean(of_seed))
    again = resample_patients_and_seeds(parts, num_resamples=20)
    assert np.array_equal(again, resample_patients_and_seeds(parts, num_resamples=20, seed=0))
    assert not np.array_equal(again, found)


def test_a_difference_is_b_minus_a_and_says_of_what():
    found = difference_of_runs(FIRST, FIRST.assign(dice=FIRST["dice"] + 0.1))
    assert (found.a, found.b, found.estimate) == pytest.approx((0.55, 0.65, 0.1))
    assert (found.ci_low, found.ci_high) == pytest.approx((0.1, 0.1))
    assert found.p_value == pytest.approx(2 / 2001)  # no resample of 2,000 has another sign
    assert (found.num_images, found.num_patients, found.num_seeds, found.note) == (4, 3, 2, "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.note = "other"


def test_the_interval_is_that_of_the_resampled_differences():
    second = FIRST.assign(dice=FIRST["dice"] ** 2)
    found = difference_of_runs(FIRST, second, num_resamples=200, seed=1)
    parts = [patient_sums(rows, "dice", pooled=False) for rows in (FIRST, second)]
    one, two = resample_patients_and_seeds(parts, 200, 1)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(np.percentile(two - one, [2.5, 97.5])))


def test_the_p_value_counts_the_resamples_of_either_sign():
    second = FIRST.assign(dice=[0.9, 0.7, 0.3, 0.1, 0.8, 0.6, 0.4, 0.2])
    found = difference_of_runs(FIRST, second, num_resamples=200, seed=1)
    parts = [patient_sums(rows, "dice", pooled=False) for rows in (FIRST, second)]
    one, two = resample_patients_and_seeds(parts, 200, 1)
    rarer = min((two <= one).sum(), (two >= one).sum())
    assert rarer > 10 and found.p_value == pytest.approx(min(1, 2 * (rarer + 1) / 201))


def test_counts_are_pooled_only_if_that_is_asked_for():
    counts = ROWS[["id", "patient"]].iloc[:4].assign(seed=0, tp=[1, 1, 1, 3], fp=0, fn=[1, 1, 1, 0], tn=0)
    found = [difference_of_runs(counts, counts, pooled=pooled).a for pooled in (True, False)]
    assert found == pytest.approx([12 / 15, (3 * 2 / 3 + 1) / 4])
    assert difference_of_runs(counts, counts).a == pytest.approx(found[1])


def test_two_patients_have_a_difference_but_no_interval():
    rows = FIRST[FIRST["patient"] != "p"]
    found = difference_of_runs(rows, rows.assign(dice=0.0))
    assert found.estimate == pytest.approx(-0.65)
    assert all(math.isnan(value) for value in (found.ci_low, found.ci_high, found.p_value))
    assert found.note == "no interval: 2 patients (at least 3 needed)"


def test_only_seeds_of_both_runs_count_and_one_seed_is_pointed_out():
    other = FIRST.assign(seed=FIRST["seed"] + 1, dice=1.0)  # seeds 1 and 2
    found = difference_of_runs(FIRST, other)
    assert (found.a, found.b, found.num_seeds) == (pytest.approx(0.6), 1.0, 1)
    assert found.note == "one seed: the interval does not include seed noise"
    with pytest.raises(UsageError, match="no seed in common"):
        difference_of_runs(FIRST, FIRST.assign(seed=7))
    with pytest.raises(UsageError, match="not tested on the same images"):
        difference_of_runs(FIRST, FIRST[FIRST["id"] != "w"])


def test_images_are_paired_over_their_common_seeds():
    second = FIRST.assign(dice=[0.3, 0.4, 0.6, 0.8, 0.5, 0.5, 0.7, 1.0])
    found = differences_per_image(FIRST, pd.concat([second, second.assign(seed=9, dice=0.0)]))
    assert list(found) == ["id", "patient", "a", "b", "difference"]
    assert found["id"].tolist() == list("wxyz") and found["patient"].tolist() == list("pqrr")
    assert found["a"].tolist() == pytest.approx([0.25, 0.45, 0.65, 0.85])
    assert found["difference"].tolist() == pytest.approx([0.15, 0, 0, 0.05])
