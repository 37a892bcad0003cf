"""Recipes: lengths, learning rates, mistakes."""

import pytest

from retina_kit.errors import UsageError
from retina_kit.schema import parse
from retina_kit.training.recipe import Recipe


def test_steps_and_epochs_give_the_papers_update_counts():
    """230 images in batches of 4 are 58 updates an epoch, 4,060 in 70 epochs (Melinscak 2020, n = 256)."""
    recipe = Recipe(epochs=70, batch_size=4)
    assert recipe.steps_per_epoch(230) == 58
    assert recipe.num_steps(230) == 4060
    assert Recipe(steps=200, batch_size=8).num_steps(88) == 200


def test_the_poly_schedule_hardly_decays_in_200_of_40000_steps():
    recipe = Recipe(steps=200, learning_rate=0.01, schedule="poly", end_learning_rate=1e-4, decay_steps=40000)
    assert recipe.learning_rate_at(0, 200) == pytest.approx(0.01)
    assert recipe.learning_rate_at(200, 200) == pytest.approx(0.00996, abs=5e-6)
    assert recipe.learning_rate_at(2000, 2000) == pytest.approx(0.00955, abs=1e-5)


def make(**settings):
    """Return a recipe of plain settings, as an experiment file or a test writes it."""
    return parse(Recipe, settings, "recipe")


def test_a_mistyped_setting_is_an_error():
    with pytest.raises(UsageError, match="no setting 'learning_rat'; did you mean 'learning_rate'"):
        make(learning_rat=0.1, steps=1)


def test_a_recipe_needs_a_length():
    with pytest.raises(UsageError, match="either steps or epochs"):
        make(loss="soft_dice")
    with pytest.raises(UsageError, match="either steps or epochs"):
        make(steps=1, epochs=1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"optimizer": "adamw"}, "optimizer is 'adamw': input should be 'sgd', 'adam' or 'rmsprop'"),
        ({"schedule": "cosine"}, "schedule is 'cosine'"),
        ({"loss": "focal"}, "loss is 'focal'"),
        ({"auxiliary_loss": "focal"}, "auxiliary_loss is 'focal'"),
        ({"batch_size": 0}, "batch_size is 0: input should be greater than or equal to 1"),
        ({"validate_every": -1}, "validate_every is -1"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast': input should be a valid number"),
        ({"augmentation": {"flop": 0.5}}, "augmentation has no setting 'flop'; did you mean 'flip'"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_an_error(setting, message):
    with pytest.raises(UsageError, match=message):
        make(steps=1, **setting)
