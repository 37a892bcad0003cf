"""Recipes: lengths, learning rates, mistakes."""

import pytest

from retina_kit.errors import UsageError
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


def test_a_mistyped_setting_is_an_error():
    with pytest.raises(UsageError, match="learning_rat"):
        Recipe.from_settings({"learning_rat": 0.1, "steps": 1})


def test_a_recipe_needs_a_length():
    with pytest.raises(UsageError, match="either steps or epochs"):
        Recipe.from_settings({"loss": "soft_dice"})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"optimizer": "adamw"}, "optimizer 'adamw' is not one of sgd, adam, rmsprop"),
        ({"schedule": "cosine"}, "schedule 'cosine' is not one of constant, poly"),
        ({"loss": "focal"}, "no loss is called 'focal'"),
        ({"auxiliary_loss": "focal"}, "no loss is called 'focal'"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"validate_every": -1}, "validate_every must be at least 0"),
    ],
)
def test_a_setting_that_cannot_be_is_an_error(setting, message):
    with pytest.raises(UsageError, match=message):
        Recipe.from_settings({"steps": 1, **setting})
