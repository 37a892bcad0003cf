"""A run at a fraction: every setting kept but the numbers of steps and images, to see that all of it runs through."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from retina_kit.data.dataset import SYNTHETIC
from retina_kit.errors import UsageError
from retina_kit.training.arm import Arm

FRACTION = "fraction"  # its name among the overrides of an experiment
FEWEST_PATIENTS = 10  # that synthetic data keep
FEWEST_TRAIN, FEWEST_TEST = 4, 2  # images


def checked_fraction(given: Any) -> float:
    """Return a fraction that the user gave, as a number or as text; UsageError unless it is above 0 and at most 1.

    >>> checked_fraction("0.01")
    0.01
    """
    try:
        fraction = float(given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"fraction={given!r} must be a number above 0 and at most 1, such as 0.01") from error
    if not 0 < fraction <= 1:
        raise UsageError(f"fraction={given!r} must be a number above 0 and at most 1, such as 0.01")
    return fraction


def at_fraction(arms: Sequence[Arm], fraction: float) -> list[Arm]:
    """Return arms with this fraction of their steps and images, at least as many as they need to run.

    Networks, image sizes, batch sizes, folds, seeds, learning rates and shares of the training images stay. Synthetic
    data keep `FEWEST_PATIENTS` or two for each fold, the same number in all arms that share a data set.

    >>> from retina_kit.training.recipe import Recipe
    >>> scaled_recipe(Recipe(steps=4000, validate_every=200, batch_size=8), 0.01).steps
    40
    """
    if fraction == 1:
        return list(arms)
    fewest = max([FEWEST_PATIENTS, *(2 * max(arm.folds, arm.split.num_folds or 0) for arm in arms)])
    return [_scaled(arm, fraction, fewest) for arm in arms]


def _scaled(arm: Arm, fraction: float, fewest_patients: int) -> Arm:
    """Scale one arm: its recipe, the images it is trained and tested on, and synthetic data."""
    split, data = arm.split, arm.data
    if split.num_train:
        num_train = at_least(FEWEST_TRAIN, split.num_train, fraction)
        split = dataclasses.replace(split, num_train=num_train, at_most=True)
    elif not split.train_percent and data.dataset not in SYNTHETIC:
        split = dataclasses.replace(split, train_percent=100 * fraction)
    num_test = split.num_test or 100  # of an arm that tests all its images
    split = dataclasses.replace(split, num_test=at_least(FEWEST_TEST, num_test, fraction))
    if data.dataset in SYNTHETIC and "num_patients" in data.options:
        patients = at_least(fewest_patients, data.options["num_patients"], fraction)
        data = dataclasses.replace(data, options=data.options | {"num_patients": patients})
    return dataclasses.replace(arm, split=split, data=data, recipe=scaled_recipe(arm.recipe, fraction))


def scaled_recipe(recipe: Any, fraction: float) -> Any:
    """Return a recipe with this fraction of its steps or epochs, and of every setting that counts steps; at least 1."""
    names = ("steps", "epochs", "decay_steps", "warmup_steps", "validate_every")
    changed = {name: at_least(1, number, fraction) for name in names if (number := getattr(recipe, name))}
    return dataclasses.replace(recipe, **changed)


def at_least(fewest: int, number: int, fraction: float) -> int:
    """Return a fraction of a number, rounded up, but no fewer than `fewest` of those there are.

    >>> at_least(4, 1000, 0.01), at_least(4, 100, 0.01), at_least(4, 3, 0.01)
    (10, 4, 3)
    """
    return min(number, max(fewest, math.ceil(number * fraction)))
