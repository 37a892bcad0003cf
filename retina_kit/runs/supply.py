"""Whether every arm can be trained as it is set, and has the images it asks for: found before anything is trained."""

import dataclasses
import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retina_kit.data.dataset import SYNTHETIC, list_rows, load_images
from retina_kit.data.splits import choose_split, hold_out
from retina_kit.errors import UsageError, did_you_mean
from retina_kit.training.arm import SEGMENTS, Arm
from retina_kit.training.prepare import masks_of

MOST_NAMED = 3  # arms in one message
SEEDS_BELOW = 2**31
YES_OR_NO = {"synthetic_fundus": "has_lesion"}  # the column of synthetic images that is 0 or 1 in each


def check_supply(arms: Iterable[Arm], data_root: str | Path) -> None:
    """Raise one UsageError that names every arm whose data do not have what it asks for; nothing is loaded.

    An arm asks for training images, for folds, and for images to validate on and to test. Manifests of real data
    sets are read below `data_root`.
    """
    known: dict[str, str] = {}  # what an arm asks for -> what is wrong with it
    problems: dict[str, list[str]] = {}  # what is wrong -> the arms that it is wrong with
    for arm in arms:
        asked = repr((arm.data, arm.task, arm.split, arm.folds, arm.evaluation, arm.seeds))
        if asked not in known:
            known[asked] = problem_of(arm, data_root)
        if known[asked]:
            problems.setdefault(known[asked], []).append(arm.name)
    if problems:
        raise UsageError("\n".join(f"{in_words(names)}: {problem}" for problem, names in problems.items()))


def in_words(names: Sequence[str]) -> str:
    """Name the arms that share a problem, the first three of many.

    >>> in_words(["a"]), in_words(["a", "b", "c", "d", "e"])
    ('arm a', 'arms a, b, c and 2 more')
    """
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"arm{'s' * (len(names) > 1)} {', '.join(names[:MOST_NAMED])}{more}"


def problem_of_settings(arm: Arm) -> str:
    """Tell what is wrong with an arm whatever its data have, and what to do about it; an empty text if nothing is."""
    split, evaluation = arm.split, arm.evaluation
    if arm.folds and not split.num_folds:
        remedy = "set folds to 0, or take a split that leaves patients out"
        return f"it asks for {arm.folds} folds, but its split of kind {split.kind!r} makes none; {remedy}"
    if split.num_folds and not arm.folds:
        return f"its split makes {split.num_folds} folds, but it asks for none; set its folds to {split.num_folds}"
    if arm.task in SEGMENTS and 0 < evaluation.window < evaluation.stride:
        sizes = f"its test windows of {evaluation.window} pixels are {evaluation.stride} pixels apart"
        return f"{sizes}, so nothing is predicted between them; make the stride at most {evaluation.window}"
    if problem := problem_of_task(arm):
        return problem
    if "last" not in evaluation.variants:
        given = ", ".join(evaluation.variants) or "none"
        return f"its variants ({given}) lack 'last', which tables and figures show; add it"
    wrong = [seed for seed in arm.seeds or () if not 0 <= seed < SEEDS_BELOW]
    return f"its seed {wrong[0]} is not one; seeds are at least 0 and below {SEEDS_BELOW}" if wrong else ""


def problem_of_task(arm: Arm) -> str:
    """Tell what the data of an arm lack for its task, or have that its task cannot use; an empty text if nothing."""
    data = arm.data
    if arm.task in SEGMENTS and not any(data.classes):
        return "it names no mask to learn; set data.mask, or data.masks for several classes"
    if arm.task == "segment_patches" and not data.patch:
        return "it learns from patches of 0 pixels; set data.patch to their side"
    if arm.task != "localize":
        return ""
    if len(data.center) != 2:
        return f"it names {len(data.center)} columns of a center; set data.center to those of x and y"
    moving = ("crop", "copies") if data.dataset in SYNTHETIC else ("crop", "copies", "size")
    moved = [name for name in moving if data.options.get(name)]
    return f"its data option {moved[0]!r} moves the images, but not their centers; leave it out" if moved else ""


def problem_of(arm: Arm, data_root: str | Path) -> str:
    """Tell what an arm asks for, what its data have, and what to do about it; an empty text if they have enough."""
    data = arm.data
    if problem := problem_of_settings(arm):
        return problem
    strange = [name for name in data.options if name not in inspect.signature(load_images).parameters]
    if data.dataset not in SYNTHETIC and strange:
        return (
            f"{data.dataset} is read from files, but the options ({', '.join(strange)}) generate synthetic images; "
            "add --data public to take the settings of real images"
        )
    rows = list_rows(data.dataset, data_root, masks=masks_of(data), **data.options)
    try:
        for fold in range(arm.folds) if arm.folds else [None]:
            check_fold(arm, rows, fold)
    except UsageError as error:
        return f"{error} ({len(rows)} images of {rows['patient'].nunique()} patients in {data.dataset})"
    return ""


def check_fold(arm: Arm, rows: pd.DataFrame, fold: int | None) -> None:
    """Raise UsageError if one fold of an arm cannot be split, or if its split leaves too few images.

    `rows` are those of the arm's data; a synthetic image has an entry in every column that a split may require.
    """
    split, num_patients = arm.split, rows["patient"].nunique()
    if split.kind == "leave_patients_out" and (split.num_folds or 0) > num_patients:
        remedy = "add patients, or ask for fewer folds, such as --set folds=2"
        raise UsageError(f"{split.num_folds} folds need as many patients; there are {num_patients}; {remedy}")
    if split.num_folds and arm.folds > split.num_folds:
        raise UsageError(f"it asks for {arm.folds} folds, its split makes {split.num_folds}; make as many")
    if arm.data.dataset in SYNTHETIC:
        split = dataclasses.replace(split, require_columns=())
    supply = len(choose_split(rows, dataclasses.replace(split, num_train=0, at_most=False), fold=fold)[0])
    if split.num_train > supply and not split.at_most:
        at = "" if fold is None else f" in fold {fold}"
        remedy = "ask for fewer, test on fewer, or set the split's at_most to take all there are"
        raise UsageError(f"it asks for {split.num_train} training images, its split leaves {supply}{at}; {remedy}")
    train, _ = choose_split(rows, split, fold=fold)
    if arm.evaluation.validation_fraction:
        hold_out(rows, train, arm.evaluation.validation_fraction, arm.evaluation.validation_by)
    if arm.task == "classify":
        check_labels(arm, rows, fold)


def check_labels(arm: Arm, rows: pd.DataFrame, fold: int | None) -> None:
    """Raise UsageError if an image on either side of a classifier's split is labeled neither 0 nor 1."""
    label = arm.data.label
    if arm.data.dataset in SYNTHETIC:
        if YES_OR_NO.get(arm.data.dataset) != label:
            known = " and ".join(f"{name} has {column!r}" for name, column in YES_OR_NO.items())
            raise UsageError(f"{arm.data.dataset} has no label {label!r} that is 0 or 1; {known}")
        return
    if label not in rows:
        raise UsageError(f"there is no label {label!r}{did_you_mean(label, rows)}")
    numbers, used = pd.to_numeric(rows[label], errors="coerce"), np.arange(len(rows))
    if pd.api.types.is_numeric_dtype(rows[label]):  # of text no row can be read
        everything: dict[str, Any] = {
            "num_train": 0,
            "at_most": False,
            "train_percent": 0.0,
            "num_test": 0,
            "evaluate_on": "test",
        }
        used = np.concatenate(choose_split(rows, dataclasses.replace(arm.split, **everything), fold=fold))
    wrong = rows[label].iloc[used][~numbers.iloc[used].isin([0, 1])]
    if len(wrong):
        names = sorted({"missing" if pd.isna(value) or value == "" else str(value) for value in wrong})
        given = ", ".join(names[:MOST_NAMED]) + " and more" * (len(names) > MOST_NAMED)
        remedy = "a classifier learns 0 and 1; choose another label, or leave out what lacks it (require_columns)"
        raise UsageError(f"the label {label!r} of {len(wrong)} images is {given}; {remedy}")
