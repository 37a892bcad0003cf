"""Who is trained on and who is tested: splits by patient, and the leaky ones that papers made.

Every function takes rows (a DataFrame with the columns id, patient, split) and returns (train, test), two arrays
of positions.
"""

from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from retina_kit.errors import UsageError
from retina_kit.schema import STRICT, Names


def published(rows):
    """Return the split that the data set's card gives."""
    train, test = (np.flatnonzero(rows["split"] == name) for name in ("train", "test"))
    if not len(train) or not len(test):
        raise UsageError("this data set has no published split; split it by patients")
    return train, test


def by_patients(rows, test_fraction, seed):
    """Return a split in which no patient stands on both sides."""
    patients = np.random.default_rng(seed).permutation(rows["patient"].unique())
    num_test = min(len(patients) - 1, max(1, round(test_fraction * len(patients))))
    in_test = rows["patient"].isin(patients[:num_test]).to_numpy()
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def by_images(rows, test_fraction, seed):
    """Return a split image by image: neighbors of one eye fall on both sides, so test scores flatter."""
    order = np.random.default_rng(seed).permutation(len(rows))
    num_test = max(1, round(test_fraction * len(rows)))
    return np.sort(order[num_test:]), np.sort(order[:num_test])


def leave_patients_out(rows, num_folds, fold, seed=None):
    """Return fold `fold` of `num_folds`: its patients are the test set, all others train.

    Without a seed the patients are taken in the order in which they are listed, with one they are shuffled first.
    """
    patients = rows["patient"].unique()
    if num_folds > len(patients):
        raise UsageError(f"{num_folds} folds need as many patients; there are {len(patients)}")
    if seed is not None:
        patients = np.random.default_rng(seed).permutation(patients)
    in_test = rows["patient"].isin(np.array_split(patients, num_folds)[fold]).to_numpy()
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def nested_subset(train, num_train, seed):
    """Return `num_train` of the training positions; a smaller subset lies within every larger one of that seed."""
    if num_train > len(train):
        raise UsageError(f"{num_train} training images were asked for; there are {len(train)}")
    return np.sort(np.random.default_rng(seed).permutation(train)[:num_train])


def hold_out(train, fraction):
    """Return (train, validation): the last `fraction` of the positions is held out, as Keras' validation_split does."""
    num_train = int(len(train) * (1 - fraction))
    return train[:num_train], train[num_train:]


def nested_share(train, percent, seed):
    """Return `percent` of the training positions, at least 2; a smaller share lies within every larger one."""
    if not 0 < percent <= 100:
        raise UsageError(f"a share of the training images is above 0 and at most 100 per cent, not {percent}")
    return nested_subset(train, min(len(train), max(2, round(len(train) * percent / 100))), seed)


def has_entry(rows, column):
    """Return which rows (N,) have something in a column: neither empty text nor NaN."""
    if column not in rows:
        raise UsageError(f"the rows have no column {column!r}; they have {', '.join(map(str, rows))}")
    return (rows[column].notna() & (rows[column] != "")).to_numpy()


def leave_out(rows, train, test, *, known=(), train_without=(), one_side=False):
    """Return (train, test) without the rows that must not be there.

    Rows without an entry in a column of `known` leave both sides. Patients with an entry in a column of
    `train_without`, such as "is also in another data set", are not trained on, with all their images: a copy
    of an image has its patient, but not always its entry. With `one_side` no image is trained on whose patient
    is tested: byte-identical images stand on one side only.
    """
    for column in known:
        complete = has_entry(rows, column)
        train, test = train[complete[train]], test[complete[test]]
    for column in train_without:
        train = train[~rows["patient"].isin(set(rows["patient"][has_entry(rows, column)])).to_numpy()[train]]
    if one_side:
        train = train[~rows["patient"].iloc[train].isin(set(rows["patient"].iloc[test])).to_numpy()]
    if not len(train) or not len(test):
        raise UsageError("nothing is left to train on or to test after rows were left out of the split")
    return train, test


def shared_patients(rows, train, test):
    """Return the patients who stand on both sides of a split: what leaks."""
    return sorted(set(rows["patient"].iloc[train]) & set(rows["patient"].iloc[test]))


@dataclass(frozen=True, config=STRICT)
class Split:
    """placeholder"""

    kind: Literal["published", "patients", "images", "leave_patients_out"]
    test_fraction: float | None = None
    num_folds: int | None = None
    seed: int | None = None
    require_columns: Names = ()
    exclude_if: Names = ()
    exclude_test_patients: bool = False
    num_train: int = 0
    train_percent: float = 0
    evaluate_on: Literal["test", "train"] = "test"


def choose_split(rows, split, *, fold=None, seed=0):
    """placeholder"""
    if split.kind == "published":
        train, test = published(rows)
    elif split.kind == "patients":
        train, test = by_patients(rows, split.test_fraction, split.seed)
    elif split.kind == "images":
        train, test = by_images(rows, split.test_fraction, split.seed)
    else:
        train, test = leave_patients_out(rows, split.num_folds, fold or 0, split.seed)
    train, test = leave_out(
        rows,
        train,
        test,
        known=split.require_columns,
        train_without=split.exclude_if,
        one_side=split.exclude_test_patients,
    )
    if split.train_percent:
        train = nested_share(train, split.train_percent, seed)
    if split.num_train:
        train = nested_subset(train, split.num_train, seed)
    return train, train if split.evaluate_on == "train" else test
