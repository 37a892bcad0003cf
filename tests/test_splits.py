"""Splits that can be counted on paper: four patients with two images each."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from retina_kit.data import splits
from retina_kit.data.splits import Split
from retina_kit.errors import UsageError
from retina_kit.schema import parse


@pytest.fixture
def rows():
    """Eight images: patients a, a, b, b, c, c, d, d; a and b train, c and d test."""
    patients = list("aabbccdd")
    return pd.DataFrame(
        {
            "id": [f"{p}{k}" for k, p in enumerate(patients)],
            "patient": patients,
            "split": ["train"] * 4 + ["test"] * 4,
        }
    )


def test_the_published_split_is_the_column(rows):
    train, test = splits.published(rows)
    assert train.tolist() == [0, 1, 2, 3]
    assert test.tolist() == [4, 5, 6, 7]


def test_a_data_set_without_a_published_split_says_so(rows):
    with pytest.raises(UsageError, match="no published split"):
        splits.published(rows.assign(split=""))
    with pytest.raises(UsageError, match="no published split"):
        splits.published(rows.assign(split="train"))


@pytest.mark.parametrize("seed", range(5))
def test_a_split_by_patients_shares_none(rows, seed):
    train, test = splits.by_patients(rows, 0.25, seed)
    assert splits.shared_patients(rows, train, test) == []
    assert len(train) == 6
    assert len(test) == 2
    assert sorted([*train, *test]) == list(range(8))


@pytest.mark.parametrize(("fraction", "num_patients"), [(0.1, 1), (0.5, 2), (0.9, 3)])
def test_a_share_of_four_patients_is_rounded_but_leaves_one_on_each_side(rows, fraction, num_patients):
    train, test = splits.by_patients(
        rows, fraction, seed=0
    )  # round(0.4) = 0 and round(3.6) = 4 would leave a side empty
    assert (len(train), len(test)) == (8 - 2 * num_patients, 2 * num_patients)


def test_at_least_one_of_eight_images_is_tested(rows):
    assert [len(splits.by_images(rows, fraction, seed=0)[1]) for fraction in (0.01, 0.1, 0.25)] == [1, 1, 2]


def test_the_same_seed_gives_the_same_split(rows):
    first, again, other = (splits.by_patients(rows, 0.25, seed)[1].tolist() for seed in (3, 3, 4))
    assert first == again
    assert any(splits.by_patients(rows, 0.25, seed)[1].tolist() != first for seed in range(10))
    assert len(other) == 2


def test_a_split_by_images_leaks(rows):
    leaks = [splits.shared_patients(rows, *splits.by_images(rows, 0.25, seed)) for seed in range(20)]
    assert any(leaks)


def test_leaving_two_patients_out_takes_them_as_listed(rows):
    folds = [splits.leave_patients_out(rows, 2, fold) for fold in (0, 1)]
    assert [test.tolist() for _, test in folds] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [train.tolist() for train, _ in folds] == [[4, 5, 6, 7], [0, 1, 2, 3]]


def test_every_patient_is_tested_once_over_the_folds(rows):
    tested = np.concatenate([splits.leave_patients_out(rows, 4, fold, seed=7)[1] for fold in range(4)])
    assert sorted(tested) == list(range(8))


def test_more_folds_than_patients_are_refused(rows):
    with pytest.raises(UsageError, match="5 folds"):
        splits.leave_patients_out(rows, 5, 0)


def test_a_smaller_training_set_lies_within_the_larger_one():
    train = np.array([3, 5, 8, 9, 11, 20])
    sizes = [set(splits.nested_subset(train, count, seed=1)) for count in range(7)]
    assert all(small <= large for small, large in itertools.pairwise(sizes))
    assert sizes[6] == set(train)
    with pytest.raises(UsageError, match="7 training images"):
        splits.nested_subset(train, 7, seed=1)


def test_a_split_is_chosen_by_its_settings(rows):
    train, test = splits.choose_split(rows, Split(kind="leave_patients_out", num_folds=4), fold=1)
    assert test.tolist() == [2, 3]
    train, test = splits.choose_split(rows, Split(kind="published", num_train=3), seed=0)
    assert len(train) == 3
    assert set(train) < {0, 1, 2, 3}
    assert test.tolist() == [4, 5, 6, 7]
    two = Split(kind="published", num_train=2)
    by_default, seed_0, seed_1 = (
        splits.choose_split(rows, two, **seed)[0].tolist() for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert by_default == seed_0 != seed_1


def test_the_kinds_patients_and_images_are_chosen_by_name(rows):
    for kind, split in (("patients", splits.by_patients), ("images", splits.by_images)):
        for seed in range(5):
            chosen = splits.choose_split(rows, Split(kind=kind, test_fraction=0.5, seed=seed))
            assert [side.tolist() for side in chosen] == [side.tolist() for side in split(rows, 0.5, seed)]


def test_at_most_takes_all_images_where_there_are_fewer(rows):
    train, _ = splits.choose_split(rows, Split(kind="published", num_train=9, at_most=True))
    assert train.tolist() == [0, 1, 2, 3]
    assert len(splits.choose_split(rows, Split(kind="published", num_train=3, at_most=True))[0]) == 3
    with pytest.raises(UsageError, match="9 training images were asked for; there are 4"):
        splits.choose_split(rows, Split(kind="published", num_train=9))


@pytest.mark.parametrize(
    ("num_test", "tested"),
    [(0, [4, 5, 6, 7]), (1, [4]), (2, [4, 7]), (3, [4, 6, 7]), (4, [4, 5, 6, 7]), (9, [4, 5, 6, 7])],
)
def test_images_at_even_distances_are_tested(rows, num_test, tested):
    assert splits.choose_split(rows, Split(kind="published", num_test=num_test))[1].tolist() == tested


def test_a_split_takes_all_images_by_default_and_cannot_be_changed():
    split = Split(kind="published")
    assert (split.num_train, split.num_test, split.train_percent, split.evaluate_on) == (0, 0, 0.0, "test")
    assert not split.exclude_test_patients and not split.at_most
    with pytest.raises(dataclasses.FrozenInstanceError):
        split.num_test = 1
    assert [Split(kind="published", train_percent=percent).train_percent for percent in (0.5, 100)] == [0.5, 100]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "patients", "test_fraction": 0.0, "seed": 0}, "test_fraction is 0.0"),
        ({"kind": "leave_patients_out", "num_folds": 1}, "num_folds is 1"),
        ({"kind": "published", "train_percent": -0.5}, "train_percent is -0.5"),
        ({"kind": "published", "at_most": True}, "at_most bounds num_train, which is not set"),
        ({"kind": "random"}, "split: kind is 'random'.*'published', 'patients'"),
        ({}, "kind is missing"),
        ({"kind": "published", "seed": 1}, "kind 'published' has no seed"),
        ({"kind": "published", "num_fold": 1}, "no setting 'num_fold'; did you mean 'num_folds'"),
        ({"kind": "patients", "test_fraction": 0.2}, "kind 'patients' needs seed"),
        ({"kind": "images", "seed": 1}, "kind 'images' needs test_fraction"),
        ({"kind": "images", "seed": 1, "test_fraction": 0.2, "num_folds": 3}, "kind 'images' has no num_folds"),
        ({"kind": "leave_patients_out"}, "needs num_folds"),
        ({"kind": "leave_patients_out", "num_folds": 2, "test_fraction": 0.5}, "has no test_fraction"),
        ({"kind": "patients", "test_fraction": 1.0, "seed": 0}, "test_fraction is 1.0: input should be less than 1"),
        ({"kind": "published", "train_percent": 101}, "train_percent is 101"),
        ({"kind": "published", "evaluate_on": "both"}, "evaluate_on is 'both': input should be 'test' or 'train'"),
    ],
)
def test_what_a_split_cannot_be_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        parse(Split, settings, "split")


def test_what_is_held_out_is_the_end():
    train, validation = splits.hold_out(pd.DataFrame(), np.arange(256), 0.1)
    assert len(train) == 230 and validation.tolist() == list(range(230, 256))  # 230 of 256, as Keras does


def test_what_is_held_out_is_spread_over_all_patients():
    ten_of_eleven = pd.DataFrame({"patient": np.repeat(list("abcdefghij"), 11)})
    train, validation = splits.hold_out(ten_of_eleven, np.arange(110), 0.1, "spread")
    assert len(train) == 99 and ten_of_eleven["patient"].iloc[validation].nunique() == 10
    assert set(ten_of_eleven["patient"].iloc[train]) == set("abcdefghij")
    assert splits.hold_out(ten_of_eleven, np.arange(4), 0.25, "spread")[1].tolist() == [2]  # the middle of 0..3


def test_what_is_held_out_is_whole_patients_on_purpose():
    rows = pd.DataFrame({"patient": list("aaabbbccdd")})
    some = np.array([0, 1, 3, 4, 6, 7, 8, 9])  # a, b, c and d, two each
    train, validation = splits.hold_out(rows, some, 0.3, "patient")  # 3 of 8 are c and d
    assert (train.tolist(), validation.tolist()) == ([0, 1, 3, 4], [6, 7, 8, 9])
    with pytest.raises(UsageError, match="none is trained on"):
        splits.hold_out(rows, np.arange(3), 0.3, "patient")


def test_a_network_can_be_evaluated_on_its_training_images(rows):
    train, test = splits.choose_split(rows, Split(kind="published", num_train=2, evaluate_on="train"), seed=3)
    assert train.tolist() == test.tolist()


def test_smaller_shares_lie_within_larger_ones():
    train = np.arange(100, 140)
    shares = [set(splits.nested_share(train, percent, 3)) for percent in (10, 40, 100)]
    assert [len(share) for share in shares] == [4, 16, 40]
    assert shares[0] < shares[1] < shares[2]
    assert len(splits.nested_share(train[:5], 1, 3)) == 2
    assert len(splits.nested_share(np.arange(200), 50, 3)) == 100
    for percent in (0, 100.5):
        with pytest.raises(UsageError, match="percent"):
            splits.nested_share(train, percent, 3)


def test_shares_are_nested_in_every_fold(rows):
    for fold in range(2):
        folds = {"kind": "leave_patients_out", "num_folds": 2, "seed": 5}
        whole, test = splits.choose_split(rows, Split(**folds), fold=fold)
        half, same_test = splits.choose_split(rows, Split(**folds, train_percent=50), fold=fold)
        assert len(half) == len(whole) / 2
        assert set(half) < set(whole)
        assert test.tolist() == same_test.tolist()


def test_rows_that_must_not_be_trained_on_are_left_out(rows):
    rows = rows.assign(x=[1.0, np.nan, 3, 4, 5, 6, 7, np.nan], also_in=["", "", "there", "", "there", "", "", ""])
    split = Split(kind="published", require_columns=("x",), exclude_if=("also_in",))
    train, test = splits.choose_split(rows, split)
    assert train.tolist() == [0]  # 1 has no x, 2 is also there, and 3 is of the same patient
    assert test.tolist() == [4, 5, 6]  # 4 is also there, but may be tested
    with pytest.raises(UsageError, match="no column 'y'"):
        splits.choose_split(rows, Split(kind="published", require_columns=("y",)))
    for nothing_left in (rows.assign(x=np.nan), rows.assign(also_in="there")):  # of both sides, of the training side
        with pytest.raises(UsageError, match="nothing is left"):
            splits.choose_split(nothing_left, split)


def test_copies_of_one_image_stand_on_one_side_only(rows):
    rows.loc[0, "patient"] = "d"
    train, test = splits.choose_split(rows, Split(kind="published", exclude_test_patients=True))
    assert train.tolist() == [1, 2, 3]
    assert test.tolist() == [4, 5, 6, 7]
    assert splits.shared_patients(rows, train, test) == []


def test_folds_of_images_test_every_image_once_whoever_it_is_of():
    rows = pd.DataFrame({"patient": np.repeat(list("abcde"), 4)})
    split = Split(kind="leave_images_out", num_folds=5, seed=0)
    folds = [splits.choose_split(rows, split, fold=fold) for fold in range(5)]
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(20))
    assert all(len(train) == 16 and not set(train) & set(test) for train, test in folds)
    assert all(splits.shared_patients(rows, *fold) for fold in folds)
    with pytest.raises(UsageError, match="21 folds need as many images; there are 20"):
        splits.leave_images_out(rows, 21, 0, seed=0)
    assert [len(side) for side in splits.leave_images_out(rows, 20, 19, seed=0)] == [19, 1]
