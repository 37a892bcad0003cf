"""The loop learns, stops when it should, and takes the very step that plain PyTorch takes."""

import math

import pytest
import torch
from torch.nn import functional

from retina_kit.errors import UsageError
from retina_kit.models.unet import UNet
from retina_kit.models.unet_s5_d16 import UNetS5D16
from retina_kit.schema import parse
from retina_kit.training import loop
from retina_kit.training.batches import Batches
from retina_kit.training.loop import (
    Stopwatch,
    TrainingDiverged,
    fit,
    is_due,
    set_learning_rate,
    stop_if_diverged,
)
from retina_kit.training.recipe import Recipe

CPU = torch.device("cpu")
WIDTHS = (8, 8, 8, 8, 8)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def bright_squares(recipe, num_images=8):
    """Return batches of dark noise with a bright square each, the square being the target."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (num_images, 1, 32, 32), generator=generator, dtype=torch.uint8)
    targets = torch.zeros(num_images, 32, 32, dtype=torch.uint8)
    for number in range(num_images):
        targets[number, number : number + 12, 4:16] = 1
    images += targets[:, None] * 120
    return Batches(images, targets, recipe, seed=0, device=CPU, mean=60.0, std=60.0)


def network(**settings):
    """Return a small network, always the same."""
    torch.manual_seed(0)
    return UNet(widths=WIDTHS, **settings)


def train(recipe, **settings):
    """Train a small network and return it with its history."""
    model, recipe = network(), parse(Recipe, {"batch_size": 4, **recipe}, "recipe")
    return model, fit(model, bright_squares(recipe), recipe, device=CPU, **{"precision": "float32", **settings})


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_it_learns(precision):
    model, history = train({"steps": 40, "learning_rate": 1e-2}, precision=precision)
    assert history["loss"].iloc[-5:].mean() < 0.3 * history["loss"].iloc[0]
    images, targets = bright_squares(Recipe(steps=1, batch_size=8)).sample(0)
    with torch.inference_mode():
        agreement = ((model.eval()(images)[:, 0] > 0) == (targets == 1)).float().mean()
    assert agreement > 0.97
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


def test_the_fast_precision_starts_where_float32_starts():
    exact, fast = (train({"steps": 3}, precision=precision)[1]["loss"] for precision in ("float32", "bfloat16"))
    assert fast.tolist() == pytest.approx(exact.tolist(), rel=0.02)
    assert fast.tolist() != exact.tolist()


def test_an_unknown_precision_is_named():
    with pytest.raises(UsageError, match="float16"):
        train({"steps": 1}, precision="float16")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4}, torch.optim.SGD),
        ({"optimizer": "adam", "epsilon": 1e-3, "learning_rate": 0.005}, torch.optim.Adam),
        ({"optimizer": "rmsprop", "epsilon": 1e-3, "learning_rate": 0.005}, torch.optim.RMSprop),
    ],
    ids=["sgd", "adam", "rmsprop"],
)
def test_two_steps_are_those_of_plain_pytorch(ours, theirs):
    settings = {
        torch.optim.SGD: {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4},
        torch.optim.Adam: {"lr": 0.005, "eps": 1e-3},
        torch.optim.RMSprop: {"lr": 0.005, "eps": 1e-3, "alpha": 0.9},
    }[theirs]
    recipe = parse(Recipe, {"steps": 2, "batch_size": 4, "learning_rate": 0.05, **ours}, "recipe")
    model, batches = network(), bright_squares(recipe)
    history = fit(model, batches, recipe, device=CPU, precision="float32")

    plain, losses = network().train(), []
    optimizer = theirs(plain.parameters(), foreach=False, **settings)
    for step in range(2):
        chosen = batches.index_of(step)
        images = (batches.images[chosen].float() - 60) / 60  # NCHW, contiguous
        logits = plain(images)
        loss = functional.binary_cross_entropy_with_logits(logits[:, 0], batches.targets[chosen].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert history["loss"].tolist() == pytest.approx(losses, abs=1e-5)
    for (name, weight), expected in zip(model.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(weight, expected, atol=1e-5, rtol=0, msg=name)


def test_the_auxiliary_head_counts_with_its_weight():
    torch.manual_seed(0)
    model = UNetS5D16(in_channels=1, base_width=4)
    recipe = parse(Recipe, {"steps": 1, "batch_size": 4, "auxiliary_weight": 0.4, "learning_rate": 0.0}, "recipe")
    batches = bright_squares(recipe)
    images, targets = batches.sample(0)
    torch.manual_seed(0)  # dropout of step 0
    main, auxiliary = model.train().forward_with_auxiliary(images)
    expected = sum(
        weight * functional.cross_entropy(logits, targets.long()) for weight, logits in ((1, main), (0.4, auxiliary))
    )
    assert fit(model, batches, recipe, device=CPU, precision="float32")["loss"][0] == pytest.approx(expected.item())


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not():
    weights = []
    for seed in (0, 0, 1):
        model, recipe = network(dropout=0.5), parse(Recipe, {"steps": 2, "batch_size": 4}, "recipe")
        fit(model, bright_squares(recipe), recipe, device=CPU, seed=seed, precision="float32")
        weights.append(model.head.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("validate_every", [0, 2])
def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(validate_every):
    def validate(model):
        calls.append(model)
        return {"dice": 0.5}

    calls = []
    recipe = {"steps": 8, "optimizer": "sgd", "learning_rate": 1e30, "validate_every": validate_every}
    with pytest.raises(TrainingDiverged, match=r"the loss is (nan|inf) at step 2; try a lower learning rate"):
        train(recipe, validate=validate)
    assert calls == []  # the validation after step 2 finds it first


def test_a_watch_sees_every_step_and_can_stop():
    def watch(step, num_steps, losses, scores):
        seen.append((step, num_steps, len(losses)))
        return step == 2

    seen = []
    _, history = train({"steps": 9}, watch=watch)
    assert seen == [(0, 9, 1), (1, 9, 2), (2, 9, 3)]
    assert history["step"].tolist() == [1, 2, 3]


def test_validations_stand_beside_their_steps():
    scores = iter([0.1, 0.2, 0.3])
    _, history = train({"steps": 5, "validate_every": 2}, validate=lambda model: {"dice": next(scores)})
    assert history["dice"].fillna(-1).tolist() == [-1, 0.1, -1, 0.2, 0.3]  # the last step is always validated


def test_the_network_trains_on_after_a_validation():
    modes = []
    recipe = parse(Recipe, {"steps": 3, "batch_size": 4, "validate_every": 1}, "recipe")
    model = network()
    fit(
        model, bright_squares(recipe), recipe, device=CPU, precision="float32",
        validate=lambda model: {"dice": float(not model.eval().training)},
        watch=lambda *_: modes.append(model.training),
    )  # fmt: skip
    assert modes == [True, True, True]


def test_the_history_has_the_learning_rate_of_every_step():
    recipe = {"steps": 4, "schedule": "poly", "poly_power": 1.0, "learning_rate": 0.8, "end_learning_rate": 0.0}
    _, history = train(recipe)
    assert history["learning_rate"].tolist() == pytest.approx([0.8, 0.6, 0.4, 0.2])


class Checkpoint:
    """Restores two steps and notes when it is asked to save."""

    def __init__(self):
        self.saved = []

    def restore(self, model, optimizer, losses, validations):
        losses.extend([torch.tensor(1.0), torch.tensor(2.0)])
        validations.append({"step": 2, "dice": 0.5})
        return 2

    def save_if_due(self, model, optimizer, losses, validations, *, now):
        self.saved.append((len(losses), now))


def test_a_run_resumes_where_its_checkpoint_is_and_saves_when_it_is_stopped():
    checkpoint = Checkpoint()
    _, history = train({"steps": 6}, checkpoint=checkpoint, watch=lambda step, *_: step == 3)
    assert checkpoint.saved == [(3, False), (4, True)]
    assert history["step"].tolist() == [1, 2, 3, 4] and history["loss"].tolist()[:2] == [1, 2]
    assert history["dice"].fillna(-1).tolist() == [-1, 0.5, -1, -1]


def test_dropout_has_other_numbers_in_each_step_of_each_seed(monkeypatch):
    seeds = []
    monkeypatch.setattr(loop, "seed_generator", lambda device, seed: seeds.append(seed))
    recipe = parse(Recipe, {"steps": 3, "batch_size": 4}, "recipe")
    batches, model = bright_squares(recipe), UNet(widths=(4, 4))
    for seed in range(3):
        fit(model, batches, recipe, device=CPU, seed=seed, precision="float32")
    assert len(set(seeds)) == len(seeds) == 9 and all(type(seed) is int for seed in seeds)


def test_the_first_loss_that_is_no_number_is_named():
    with pytest.raises(TrainingDiverged, match="the loss is nan at step 2; try a lower learning rate") as caught:
        stop_if_diverged([torch.tensor(value) for value in (1.0, math.nan, math.inf)])
    assert caught.value.step == 1 and TrainingDiverged.step == 0
    stop_if_diverged([torch.tensor(1.0)])
    stop_if_diverged([])


def test_every_group_of_weights_gets_the_learning_rate():
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 0.1} for weight in weights])
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


def test_a_stopwatch_counts_steps_and_seconds():
    watch = Stopwatch(seconds=1000)
    assert [watch(step, 3, [], {}) for step in range(2)] == [False, False]
    assert watch.num_steps == 2 and 0 <= watch.seconds < 1000
    watch.start -= 2000
    assert watch(2, 3, [], {}) and watch.seconds >= 2000


def test_no_steps_leave_an_empty_history():
    _, history = train({"steps": 0})
    assert history.empty and list(history) == ["step", "loss", "learning_rate"]


def test_something_is_due_every_so_often_and_at_the_end():
    assert [step for step in range(7) if is_due(step, 3, 7)] == [2, 5, 6]
    assert not any(is_due(step, 0, 7) for step in range(7))


def test_a_stopwatch_stops_in_time():
    _, history = train({"steps": 50}, watch=Stopwatch(seconds=0.0))
    assert len(history) == 1
    watch = Stopwatch()
    train({"steps": 3}, watch=watch)
    assert watch.num_steps == 3
    assert 0 < watch.seconds < math.inf
