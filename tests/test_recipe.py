"""Recipes: lengths, learning rates, mistakes."""

import dataclasses
import itertools
import subprocess
import sys

import pytest
import torch

from retina_kit.errors import UsageError
from retina_kit.models.build import build_model
from retina_kit.schema import parse
from retina_kit.training.loop import outputs_and_loss
from retina_kit.training.recipe import OPTIMIZERS, Recipe


def test_steps_and_epochs_give_the_papers_update_counts():
    """230 images in batches of 4 are 58 updates an epoch, 4,060 in 70 epochs (Melinscak 2020, n = 256)."""
    recipe = Recipe(epochs=70, batch_size=4)
    assert recipe.steps_per_epoch(230) == 58
    assert recipe.num_steps(230) == 4060
    assert Recipe(steps=200, batch_size=8).num_steps(88) == 200
    assert Recipe(steps=0).num_steps(88) == 0
    assert [Recipe(epochs=1).num_steps(num_images) for num_images in (4, 5, 8)] == [1, 2, 2]  # four a batch


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
        ({"optimizer": "lion"}, "optimizer is 'lion': input should be 'sgd', 'adam', 'adamw' or 'rmsprop'"),
        ({"schedule": "step"}, "schedule is 'step'"),
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


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
def test_the_rate_rises_and_then_falls_to_its_end(schedule):
    recipe = Recipe(steps=110, schedule=schedule, warmup_steps=10, learning_rate=1.0, end_learning_rate=0.1)
    rates = [recipe.learning_rate_at(step, 110) for step in range(111)]
    assert rates[:10] == pytest.approx([0.1 * (k + 1) for k in range(10)])
    assert rates[10] == 1.0
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert rates[110] == pytest.approx(0.1)
    half = 0.5**0.9 if schedule == "poly" else 0.5
    assert rates[60] == pytest.approx(0.1 + 0.9 * half)


def test_a_rate_stays_at_its_end_and_a_warmup_may_take_all_steps():
    recipe = Recipe(steps=9, schedule="cosine", learning_rate=1.0, decay_steps=4)
    assert [round(recipe.learning_rate_at(step, 9), 9) for step in (0, 2, 4, 5, 8)] == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert Recipe(steps=1, schedule="poly", learning_rate=1.0).learning_rate_at(1, 1) == 0.0
    rising = Recipe(steps=2, schedule="poly", learning_rate=1.0, warmup_steps=2)
    assert [rising.learning_rate_at(step, 2) for step in range(3)] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("sgd", {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False}),
        ("adam", {"lr": 1e-3, "eps": 1e-8, "weight_decay": 0.0, "betas": (0.9, 0.999)}),
        ("adamw", {"lr": 1e-3, "eps": 1e-8, "weight_decay": 0.0, "betas": (0.9, 0.999)}),
        ("rmsprop", {"lr": 1e-3, "eps": 1e-8, "weight_decay": 0.0, "alpha": 0.9}),
    ],
)
def test_optimizers_have_the_usual_defaults_and_leave_frozen_weights_alone(optimizer, expected):
    model = torch.nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    made = Recipe(steps=1, optimizer=optimizer).make_optimizer(model)
    assert {name: made.param_groups[0][name] for name in expected} == expected
    assert [weight.shape for weight in made.param_groups[0]["params"]] == [(1, 2)]


def test_a_recipe_leaves_out_what_is_not_asked_for_and_cannot_be_changed():
    recipe = Recipe(steps=1)
    assert (recipe.auxiliary_weight, recipe.l2, recipe.warmup_steps, recipe.validate_every) == (0.0, False, 0, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.steps = 2


def test_decoupled_weight_decay_shrinks_weights_that_get_no_gradient():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    model.weight.grad = torch.zeros_like(model.weight)
    Recipe(steps=1, optimizer="adamw", learning_rate=0.1, weight_decay=0.5).make_optimizer(model).step()
    assert model.weight.item() == pytest.approx(0.95)


def test_the_networks_own_penalty_is_added_to_the_loss():
    model = build_model({"name": "encoder_classifier", "encoder": "resnet_like", "width": 0.03, "input_size": (32, 32)})
    outputs, targets = torch.zeros(2, 1), torch.ones(2, 1)
    _, plain = outputs_and_loss(model, Recipe(steps=1, loss="binary_cross_entropy"))
    _, penalized = outputs_and_loss(model, Recipe(steps=1, loss="binary_cross_entropy", l2=True))
    penalty = model.encoder.l2_penalty().item()
    assert penalty > 0
    assert penalized(outputs, targets).item() == pytest.approx(plain(outputs, targets).item() + penalty)
    with pytest.raises(UsageError, match="no L2 penalty"):
        outputs_and_loss(build_model({"name": "unet", "widths": [4, 4]}), Recipe(steps=1, l2=True))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_optimizers_take_the_very_steps_of_torchs_and_resume_from_their_state(optimizer):
    recipe = parse(Recipe, {"steps": 1, "optimizer": optimizer, "momentum": 0.9, "weight_decay": 0.1}, "recipe")
    ours, theirs = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    made = recipe.make_optimizer(ours)
    usual = OPTIMIZERS[optimizer](theirs.parameters(), lr=1.0)
    usual.load_state_dict(made.state_dict())  # the settings; there is no state yet
    assert isinstance(made, OPTIMIZERS[optimizer])
    for step in range(4):
        if step == 2:  # each resumes from the state of the other
            states = made.state_dict(), usual.state_dict()
            made, usual = recipe.make_optimizer(ours), type(usual)(theirs.parameters(), lr=1.0)
            made.load_state_dict(states[1])
            usual.load_state_dict(states[0])
        for model, taken in ((ours, made), (theirs, usual)):
            taken.zero_grad(set_to_none=True)
            assert model.weight.grad is None
            model(torch.linspace(-1, 1, 10).reshape(2, 5)).square().sum().backward()
            taken.step()
        assert torch.equal(ours.weight, theirs.weight)
        assert torch.equal(ours.bias, theirs.bias)


def test_an_optimizer_does_not_load_torchs_compiler():
    code = """if True:
        import sys, torch
        from retina_kit.training.recipe import Recipe
        model = torch.nn.Linear(2, 1)
        for name in ("sgd", "adam", "adamw", "rmsprop"):
            optimizer = Recipe(steps=1, optimizer=name).make_optimizer(model)
            optimizer.zero_grad(set_to_none=True)
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
        print("torch._dynamo" in sys.modules)"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_rmsprop_has_the_momentum_that_was_asked_for():
    optimizer = Recipe(steps=1, optimizer="rmsprop", momentum=0.9).make_optimizer(torch.nn.Linear(1, 1))
    assert optimizer.param_groups[0]["momentum"] == 0.9
