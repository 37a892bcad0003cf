"""The arms of profile `paper` have the settings of the paper or its code: each was wrong once."""

import fnmatch
import functools

import pytest

from retina_kit.experiment_file import find_paper

PUBLISHED = [
    # paper, arms (a pattern of names), setting, value; sections and lines of code are in the settings' `where`
    ("hu2018", "random_frozen_100", "start.calibrate", True),  # else BatchNorm's statistics fit no image
    ("hu2018", "random_frozen_uncalibrated_100", "start", None),  # the demonstration of that failure
    ("hu2018", "localizer", "evaluation.validation_by", "spread"),  # not one patient's images
    ("huang2023", "fcn_*", "data.mean", (46.6002,)),
    ("huang2023", "fcn_*", "data.std", (54.681,)),
    ("huang2023", "*_bs?", "recipe.augmentation.cat_max_ratio", 0.75),
    ("huang2023", "fcn_*", "recipe.decay_steps", 40000),  # of the source's schedule: the rate hardly falls
    ("huang2023", "fcn_*", "recipe.augmentation.photometric", False),
    ("huang2023", "vessels_*", "recipe.augmentation.photometric", True),
    ("huang2023", "psp_chase", "recipe.learning_rate", 0.01),
    ("huang2023", "aspp_chase_no_augmentation", "data.scale", 0.5),
    ("melinscak2020", "scratch_*", "recipe.learning_rate", 1e-5),
    ("melinscak2020", "scratch_*", "recipe.epsilon", 1e-7),  # Keras
    ("melinscak2020", "transfer_*", "evaluation.validation_by", "spread"),
    ("ortiz2022", "random_frozen", "start.calibrate", True),
    ("ortiz2022", "classify_resnet", "recipe.l2", True),
    ("ortiz2022", "exudates_resnet", "recipe.l2", True),
    ("ortiz2022", "published", "recipe.l2", False),  # the VGG-like network has no such penalty
    ("ortiz2022", "published", "evaluation.variants", ("last", "best")),
    ("ortiz2022", "published", "evaluation.select_by", "loss"),
]


@functools.cache
def arms_of(paper):
    definition = find_paper(paper)
    return {arm.name: arm for arm in definition.resolve_arms("paper", definition.resolve_settings("paper", "public"))}


@pytest.mark.parametrize(("paper", "pattern", "setting", "value"), PUBLISHED)
def test_an_arm_has_the_published_setting(paper, pattern, setting, value):
    arms = [arm for name, arm in arms_of(paper).items() if fnmatch.fnmatchcase(name, pattern)]
    assert arms
    for arm in arms:
        found = functools.reduce(getattr, setting.split("."), arm)
        assert found == value, arm.name


def test_both_stages_of_a_transfer_see_the_same_normalization():
    arms = arms_of("ortiz2022")
    copied = [arm for arm in arms.values() if arm.start and arm.start.parent]
    assert copied
    for arm in copied:
        parent = arms[arm.start.parent]
        assert (arm.data.mean, arm.data.std) == (parent.data.mean, parent.data.std), arm.name
