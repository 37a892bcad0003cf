"""Whether every arm's data has the images that the arm asks for, found from rows alone before anything is trained."""

import dataclasses
import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from retina_kit.data.dataset import SYNTHETIC, list_rows, load_images
from retina_kit.data.splits import choose_split, hold_out
from retina_kit.errors import UsageError
from retina_kit.training.arm import Arm
from retina_kit.training.prepare import masks_of

MOST_NAMED = 3  # arms in one message


def check_supply(arms: Iterable[Arm], data_root: str | Path) -> None:
    """Raise one UsageError that names every arm whose data do not have what it asks for; nothing is loaded.

    An arm asks for training images, for folds, and for images to validate on and to test. Manifests of real data
    sets are read below `data_root`.
    """
    known: dict[str, str] = {}  # what an arm asks for -> what is wrong with it
    problems: dict[str, list[str]] = {}  # what is wrong -> the arms that it is wrong with
    for arm in arms:
        asked = repr((arm.data.dataset, arm.data.classes, arm.data.options, arm.split, arm.folds, arm.evaluation))
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


def problem_of(arm: Arm, data_root: str | Path) -> str:
    """Tell what an arm asks for, what its data have, and what to do about it; an empty text if they have enough."""
    data = arm.data
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
