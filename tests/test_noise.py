"""Variances, half widths and p-values of a mean, by hand and against the t distribution of scipy."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from retina_kit.evaluation.noise import Noise, holm, noise_of, usual_variance

T1, T2, T15 = 12.706205, 4.302653, 2.131450  # 97.5 % quantiles of Student's t with 1, 2 and 15 degrees of freedom


def test_without_any_noise_an_interval_has_no_width():
    assert Noise().half_width() == 0
    assert Noise(num_patients=16, folds=((0.0, 4),), num_seeds=3).half_width() == 0
    assert (Noise().p_value(0.0), Noise().p_value(0.1), Noise().p_value(-0.1)) == (1.0, 0.0, 0.0)


def test_patients_alone_have_the_interval_of_a_t_test():
    noise = Noise(patients=0.01, num_patients=16)
    assert noise.half_width() == pytest.approx(T15 * 0.1)
    assert noise.half_width(0.5) == pytest.approx(stats.t.ppf(0.75, 15) * 0.1)
    assert Noise(patients=0.01, num_patients=2).half_width() == pytest.approx(T1 * 0.1)
    assert Noise(patients=0.01, num_patients=1).half_width() == 0  # one tells nothing


def test_folds_add_what_they_vary_more_than_patients():
    noise = Noise(patients=0.01, num_patients=16, folds=((0.04, 3),))
    assert noise.half_width() ** 2 == pytest.approx(T15**2 * 0.01 + T2**2 * 0.04)
    two_ways = dataclasses.replace(noise, folds=((0.04, 3), (0.01, 2)))
    assert two_ways.half_width() ** 2 == pytest.approx(T15**2 * 0.01 + T2**2 * 0.04 + T1**2 * 0.01)
    calm = dataclasses.replace(noise, folds=((-0.005, 3),))
    assert calm.half_width() == pytest.approx(T15 * 0.1)


def test_seeds_add_what_patients_do_not_account_for():
    noise = Noise(patients=0.01, num_patients=16, seeds=0.04, shared=0.01, num_seeds=3)
    assert noise.half_width() ** 2 == pytest.approx(T15**2 * 0.01 + T2**2 * 0.04 - T2 * T15 * 0.01)
    assert dataclasses.replace(noise, shared=1.0).half_width() == pytest.approx(T15 * 0.1)
    assert Noise(seeds=0.04, num_seeds=2).half_width() == pytest.approx(T1 * 0.2)


def test_arms_lend_the_more_degrees_of_freedom_the_more_alike_they_are():
    rng = np.random.default_rng(0)
    chance = rng.chisquare(2, 2000) / 2
    alike, unlike = (
        usual_variance(factor * chance, np.full(2000, 2))[1] for factor in (1, np.exp(rng.normal(size=2000)))
    )
    assert alike == 4 and 1 < unlike < 4
    # if the true variances are scaled inverse chi squared of 3 degrees of freedom, 3 are found
    true = 3 / rng.chisquare(3, 20000)
    assert usual_variance(true * rng.chisquare(2, 20000) / 2, np.full(20000, 2))[1] == pytest.approx(3, rel=0.1)


def test_borrowed_degrees_of_freedom_are_averaged_in_and_shorten_the_quantile():
    own = Noise(patients=0.01, num_patients=16, seeds=0.04, shared=0.01, num_seeds=3)
    shared = own.borrow(0.1, 4)
    assert shared.seeds == pytest.approx((2 * 0.04 + 4 * 0.1) / 6)
    t6 = stats.t.ppf(0.975, 6)
    assert shared.half_width() ** 2 == pytest.approx(T15**2 * 0.01 + t6**2 * 0.08 - t6 * T15 * 0.01)
    assert Noise(patients=0.01, num_patients=16).borrow(0.1, 4) == Noise(patients=0.01, num_patients=16)  # one seed


@pytest.mark.parametrize("value", [0.05, -0.2, 0.2131, 1.0])
def test_the_p_value_is_that_of_a_t_test(value):
    found = Noise(patients=0.01, num_patients=16).p_value(value)
    assert found == pytest.approx(2 * stats.t.sf(abs(value) / 0.1, 15), abs=1e-11)


def test_the_p_value_of_nothing_is_1_and_that_of_anything_is_not_quite_0():
    noise = Noise(patients=0.01, num_patients=16)
    assert noise.p_value(0.0) == pytest.approx(1.0)
    assert noise.p_value(100.0) == 1e-15
    assert math.isnan(Noise(patients=math.nan, num_patients=16).p_value(0.1))


CONTRIBUTIONS = np.array([[0.1, 0.3, 0.2], [-0.2, 0.0, -0.1], [0.1, -0.3, -0.1]])  # of three patients, with three seeds
BY_SEED = np.array([0.5, 0.7, 0.6])
# Means 0.2, -0.1 and -0.1, whose squares add to 0.06. What is left: 0.1 four times and 0.2 twice, squares 0.12.


def test_the_variances_of_three_patients_and_three_seeds():
    found = noise_of(CONTRIBUTIONS, BY_SEED)
    assert found.patients == pytest.approx(3 / 2 * 0.06)
    assert found.shared == pytest.approx(3 / 2 * 0.12 / (3 * 2))
    assert found.seeds == pytest.approx(0.01 / 3)
    assert (found.num_patients, found.num_seeds, found.folds) == (3, 3, ())


def test_one_seed_has_no_variance():
    found = noise_of(CONTRIBUTIONS[:, 2:], BY_SEED[2:])
    assert found.patients == pytest.approx(3 / 2 * 0.06)
    assert (found.seeds, found.shared, found.num_seeds) == (0.0, 0.0, 1)


FOLDS = [((0, 0, 1), 2 * 0.02), ((0, 1, 2), 3 / 2 * 0.06), ((7, 3, 7), 2 * 0.02)]


@pytest.mark.parametrize(("folds", "variance"), FOLDS)
def test_the_patients_of_a_fold_share_its_network(folds, variance):
    ((excess, number),) = noise_of(CONTRIBUTIONS, BY_SEED, folds=[folds]).folds
    assert excess == pytest.approx(variance - 3 / 2 * 0.06)
    assert number == len(set(folds))


def test_patients_of_no_fold_take_no_part_in_the_variance_of_folds():
    ((excess, number),) = noise_of(CONTRIBUTIONS, BY_SEED, folds=[(0, 1, -1)]).folds
    assert (excess, number) == (pytest.approx(2 * 0.05 - 3 / 2 * 0.05), 2)


def test_one_fold_is_none():
    assert noise_of(CONTRIBUTIONS, BY_SEED, folds=[(1, 1, 1)]).folds == ()


def test_fewer_patients_than_rows_may_decide_the_degrees_of_freedom():
    found = noise_of(CONTRIBUTIONS, BY_SEED, num_patients=2)
    assert found.patients == pytest.approx(2 * 0.06) and found.num_patients == 2
    assert found.shared == pytest.approx(2 * 0.12 / 6)


def test_noise_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Noise().patients = 1.0


def test_corrected_p_values_rise_with_their_rank_and_end_at_1():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.001, 0.02]).tolist() == pytest.approx([0.002, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert holm([0.03]).tolist() == [0.03]
    missing, known = holm([math.nan, 0.01])
    assert math.isnan(missing) and known == pytest.approx(0.02)
