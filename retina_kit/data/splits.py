"""Train/test splits: by patient, and the leaky ones that papers use.

Every function takes rows (a DataFrame with the columns id, patient, split) and gives (train, test), two arrays of
row positions.
"""

from typing import Annotated, Literal, Self, TypeAlias

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from retina_kit.errors import UsageError, did_you_mean
from retina_kit.schema import STRICT, Count, Names

HoldOut = Literal["last", "spread", "patient"]
TrainTest: TypeAlias = tuple[np.ndarray, np.ndarray]
SETTINGS_OF_KINDS = {  # what a kind needs, and what it may have
    "published": ((), ()),
    "patients": (("test_fraction", "seed"), ()),
    "images": (("test_fraction", "seed"), ()),
    "leave_patients_out": (("num_folds",), ("seed",)),
    "leave_images_out": (("num_folds", "seed"), ()),
}


@dataclass(frozen=True, config=STRICT)
class Split:
    """Who is trained on and who is tested, as an experiment writes it.

    `kind` is "published" (the data set's own split), "patients" or "images" (random: `test_fraction` of them are
    tested), "leave_patients_out" (`num_folds` folds; without a `seed` patients are taken in the order of the rows) or
    "leave_images_out" (`num_folds` folds of images at random, which leak; over all folds they test the same images).
    The split's own `seed` makes it the same for all runs.

    Rows without an entry in one of the columns `require_columns` leave both sides. Patients with an entry in one of
    `exclude_if`, such as a column "is also in another data set", are not trained on; `exclude_test_patients` trains on
    no patient who is tested, so that byte-identical images are on one side only. `train_percent` of the training
    images, or `num_train` of them, are trained on (0: all); with `at_most` an arm that asks for more images than there
    are takes all of them, without it that is an error. `num_test` of the test images, at even distances, are tested
    (0: all). `evaluate_on` "train" tests the training images: how well
    does a network know what it saw?

    >>> Split(kind="patients", test_fraction=0.2, seed=0).train_percent
    0.0
    """

    kind: Literal["published", "patients", "images", "leave_patients_out", "leave_images_out"]
    test_fraction: Annotated[float | None, Field(gt=0, lt=1)] = None
    num_folds: Annotated[int | None, Field(ge=2)] = None
    seed: Count | None = None
    require_columns: Names = ()
    exclude_if: Names = ()
    exclude_test_patients: bool = False
    num_train: Count = 0
    at_most: bool = False
    num_test: Count = 0
    train_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    evaluate_on: Literal["test", "train"] = "test"

    @model_validator(mode="after")
    def check_kind(self) -> Self:
        """Raise ValueError if the kind lacks a setting, or has one that it would ignore."""
        needed, optional = SETTINGS_OF_KINDS[self.kind]
        for setting in ("test_fraction", "num_folds", "seed"):
            given = getattr(self, setting) is not None
            if setting in needed and not given:
                raise ValueError(f"kind {self.kind!r} needs {setting}")
            if given and setting not in (*needed, *optional):
                raise ValueError(f"kind {self.kind!r} has no {setting}")
        if self.num_train and self.train_percent:
            raise ValueError("give num_train or train_percent, not both")
        if self.at_most and not self.num_train:
            raise ValueError("at_most bounds num_train, which is not set")
        return self


def published(rows: pd.DataFrame) -> TrainTest:
    """Take the split that the data set's manifest gives."""
    train, test = (np.flatnonzero(rows["split"] == name) for name in ("train", "test"))
    if not len(train) or not len(test):
        raise UsageError("this data set has no published split; split it by patients")
    return train, test


def by_patients(rows: pd.DataFrame, test_fraction: float, seed: int) -> TrainTest:
    """Split at random so that no patient is on both sides.

    >>> rows = pd.DataFrame({"patient": list("aabbccdd")})
    >>> train, test = by_patients(rows, test_fraction=0.25, seed=0)
    >>> len(train), len(test), shared_patients(rows, train, test)
    (6, 2, [])
    """
    patients = np.random.default_rng(seed).permutation(rows["patient"].unique())
    num_test = min(len(patients) - 1, max(1, round(test_fraction * len(patients))))
    in_test = rows["patient"].isin(patients[:num_test]).to_numpy()
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def by_images(rows: pd.DataFrame, test_fraction: float, seed: int) -> TrainTest:
    """Split image by image: images of one eye are on both sides, so test scores are too high (data leakage).

    >>> rows = pd.DataFrame({"patient": list("aabbccdd")})
    >>> shared_patients(rows, *by_images(rows, test_fraction=0.25, seed=0))
    ['b', 'c']
    """
    order = np.random.default_rng(seed).permutation(len(rows))
    num_test = max(1, round(test_fraction * len(rows)))
    return np.sort(order[num_test:]), np.sort(order[:num_test])


def leave_patients_out(rows: pd.DataFrame, num_folds: int, fold: int, seed: int | None = None) -> TrainTest:
    """Take fold `fold` of `num_folds`, counted from 0: its patients are the test set, all others train.

    Without a seed the patients are taken in the order in which they are listed, with one they are shuffled first.

    >>> leave_patients_out(pd.DataFrame({"patient": list("aabbcc")}), num_folds=3, fold=1)
    (array([0, 1, 4, 5]), array([2, 3]))
    """
    patients = rows["patient"].unique()
    if num_folds > len(patients):
        raise UsageError(f"{num_folds} folds need as many patients; there are {len(patients)}")
    if seed is not None:
        patients = np.random.default_rng(seed).permutation(patients)
    in_test = rows["patient"].isin(np.array_split(patients, num_folds)[fold]).to_numpy()
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def leave_images_out(rows: pd.DataFrame, num_folds: int, fold: int, seed: int) -> TrainTest:
    """Take fold `fold` of `num_folds` folds of images at random: images of one eye are on both sides, which leaks.

    Over all folds each image is tested once, as with `leave_patients_out`, so that the two can be compared image by
    image.

    >>> rows = pd.DataFrame({"patient": list("aabbcc")})
    >>> [leave_images_out(rows, 3, fold, seed=1)[1].tolist() for fold in range(3)]
    [[0, 4], [1, 2], [3, 5]]
    """
    if num_folds > len(rows):
        raise UsageError(f"{num_folds} folds need as many images; there are {len(rows)}")
    test = np.sort(np.array_split(np.random.default_rng(seed).permutation(len(rows)), num_folds)[fold])
    return np.setdiff1d(np.arange(len(rows)), test), test


def nested_subset(train: np.ndarray, num_train: int, seed: int) -> np.ndarray:
    """Sample `num_train` of the training positions; a smaller subset is part of every larger one of that seed.

    >>> [nested_subset(np.arange(6), num_train, seed=0).tolist() for num_train in (2, 4)]
    [[2, 3], [2, 3, 4, 5]]
    """
    if num_train > len(train):
        raise UsageError(f"{num_train} training images were asked for; there are {len(train)}")
    return np.sort(np.random.default_rng(seed).permutation(train)[:num_train])


def nested_share(train: np.ndarray, percent: float, seed: int) -> np.ndarray:
    """Sample `percent` of the training positions, at least 2; a smaller share is part of every larger one.

    >>> [len(nested_share(np.arange(40), percent, seed=0)) for percent in (10, 50, 100)]
    [4, 20, 40]
    """
    if not 0 < percent <= 100:
        raise UsageError(f"a share of the training images is above 0 and at most 100 percent, not {percent}")
    return nested_subset(train, min(len(train), max(2, round(len(train) * percent / 100))), seed)


def hold_out(rows: pd.DataFrame, train: np.ndarray, fraction: float, by: HoldOut = "last") -> TrainTest:
    """Separate (train, validation): `fraction` of the training positions is held out.

    `by` "last" holds out the last positions, as Keras' validation_split does: where rows are sorted by patient, all
    images of the last ones. "spread" takes positions at even distances, so that every patient is trained on;
    "patient" takes whole patients on purpose, from the last one on, until the fraction is reached. Raises UsageError
    if nothing is left to train on or to validate on.

    >>> rows = pd.DataFrame({"patient": list("aaaabbbbcc")})
    >>> [hold_out(rows, np.arange(10), 0.2, by)[1].tolist() for by in ("last", "spread", "patient")]
    [[8, 9], [2, 7], [8, 9]]
    """
    num_train = int(len(train) * (1 - fraction))
    held = np.zeros(len(train), bool)
    if by == "last":
        held[num_train:] = True
    elif by == "spread":
        num_held = len(train) - num_train
        held[((np.arange(num_held) + 0.5) * len(train) / max(1, num_held)).astype(int)] = True
    else:
        patients = rows["patient"].iloc[train].to_numpy()
        for patient in reversed(pd.unique(patients)):
            if held.sum() < len(train) - num_train:
                held |= patients == patient
    if held.all() or not held.any():
        side = "trained on" if held.all() else "held out"
        raise UsageError(f"of {len(train)} training images none is {side} if a share of {fraction} is held out by {by}")
    return train[~held], train[held]


def has_entry(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Tell for each row (N,) whether it has something in a column: neither empty text nor NaN."""
    if column not in rows:
        raise UsageError(f"the rows have no column {column!r}{did_you_mean(column, rows)}")
    return (rows[column].notna() & (rows[column] != "")).to_numpy()


def leave_out(rows: pd.DataFrame, train: np.ndarray, test: np.ndarray, split: Split) -> TrainTest:
    """Remove the rows that a `Split` excludes from (train, test).

    A patient who is excluded from training is so with all images: a copy of an image has its patient, but not always
    its entry.
    """
    for column in split.require_columns:
        complete = has_entry(rows, column)
        train, test = train[complete[train]], test[complete[test]]
    for column in split.exclude_if:
        train = train[~rows["patient"].isin(set(rows["patient"][has_entry(rows, column)])).to_numpy()[train]]
    if split.exclude_test_patients:
        train = train[~rows["patient"].iloc[train].isin(set(rows["patient"].iloc[test])).to_numpy()]
    if not len(train) or not len(test):
        raise UsageError("nothing is left to train on or to test after rows were left out of the split")
    return train, test


def shared_patients(rows: pd.DataFrame, train: np.ndarray, test: np.ndarray) -> list:
    """List the patients who are on both sides of a split: what leaks."""
    return sorted(set(rows["patient"].iloc[train]) & set(rows["patient"].iloc[test]))


def choose_split(rows: pd.DataFrame, split: Split, *, fold: int | None = None, seed: int = 0) -> TrainTest:
    """Split rows as a `Split` describes; `fold` (counted from 0) is that of the kinds that leave out folds.

    `seed` is the run's: it samples the subset that is trained on, if that is smaller than the training set.

    >>> rows = pd.DataFrame({"patient": list("aabbccdd"), "split": ["train"] * 6 + ["test"] * 2})
    >>> choose_split(rows, Split(kind="published", train_percent=50.0), seed=1)
    (array([0, 2, 4]), array([6, 7]))
    """
    train, test = leave_out(rows, *_whole_split(rows, split, fold or 0), split)
    if split.train_percent:
        train = nested_share(train, split.train_percent, seed)
    if split.num_train:
        train = nested_subset(train, min(split.num_train, len(train)) if split.at_most else split.num_train, seed)
    tested = train if split.evaluate_on == "train" else test
    if 0 < split.num_test < len(tested):
        tested = tested[np.linspace(0, len(tested) - 1, split.num_test).round().astype(int)]
    return train, tested


def _whole_split(rows: pd.DataFrame, split: Split, fold: int) -> TrainTest:
    """Split rows by the kind of a split, nothing left out."""
    if split.kind == "published":
        return published(rows)
    if split.kind == "leave_patients_out":
        assert split.num_folds is not None  # Split.check_kind
        return leave_patients_out(rows, split.num_folds, fold, split.seed)
    if split.kind == "leave_images_out":
        assert split.num_folds is not None and split.seed is not None  # Split.check_kind
        return leave_images_out(rows, split.num_folds, fold, split.seed)
    assert split.test_fraction is not None and split.seed is not None  # Split.check_kind
    by = by_patients if split.kind == "patients" else by_images
    return by(rows, split.test_fraction, split.seed)
