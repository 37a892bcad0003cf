"""The training loop, to be read aloud: sample a batch, predict, compare, step."""

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor, nn

from retina_kit.errors import KitError, UsageError
from retina_kit.models.layout import to_device
from retina_kit.training.batches import Batches
from retina_kit.training.device import autocast, seed_generator
from retina_kit.training.losses import LOSSES, with_auxiliary
from retina_kit.training.recipe import Recipe

Scores = dict[str, float]
Watch = Callable[[int, int, list[Tensor], Scores], bool | None]  # step, num_steps, losses, scores -> stop?


class TrainingDiverged(KitError):
    """The loss is no longer a number; the message names the step, `step` counts it from 0."""

    step = 0


class SavesProgress(Protocol):
    """What `fit` asks of a checkpoint."""

    def restore(self, model: nn.Module, optimizer: Any, losses: list[Tensor], validations: list[dict]) -> int:
        """Restore the last saved state and return the step to resume at."""

    def save_if_due(self, model: nn.Module, optimizer: Any, losses: list[Tensor], validations: list[dict], *, now: bool
    ) -> None:  # fmt: skip
        """Save the state after a step, now or if enough time has passed."""


def fit(
    model: nn.Module,
    batches: Batches,
    recipe: Recipe,
    *,
    device: torch.device,
    seed: int = 0,
    precision: str = "auto",
    validate: Callable[[nn.Module], Scores] | None = None,
    watch: Watch | None = None,
    checkpoint: SavesProgress | None = None,
) -> pd.DataFrame:
    """Train `model` in place and return its history, one row per step: step, loss, learning_rate, validation scores.

    `batches.sample(step)` gives the images and targets of a step. `validate(model)` gives a dict of scores and is
    called every `recipe.validate_every` steps and after the last. `watch` is called after each step and may return True
    to stop early. `checkpoint` saves now and then and lets an interrupted run resume.
    """
    to_device(model, device).train()
    optimizer = recipe.make_optimizer(model)
    predict, loss_of = outputs_and_loss(model, recipe)
    num_steps = len(batches)
    losses: list[Tensor] = []
    validations: list[dict] = []

    first_step = checkpoint.restore(model, optimizer, losses, validations) if checkpoint else 0
    for step in range(first_step, num_steps):
        seed_generator(device, seed * 1_000_003 + step)  # so that dropout, too, depends on seed and step alone
        images, targets = batches.sample(step)
        set_learning_rate(optimizer, recipe.learning_rate_at(step, num_steps))

        with autocast(device, precision):
            outputs = predict(images)
        loss = loss_of(as_float32(outputs), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())  # stays on the device: reading it here would wait for every step

        scores: Scores = {}
        if validate and is_due(step, recipe.validate_every, num_steps):
            stop_if_diverged(losses)
            scores = validate(model)
            validations.append({"step": step + 1, **scores})
            model.train()
        stop = watch is not None and bool(watch(step, num_steps, losses, scores))
        if checkpoint:
            checkpoint.save_if_due(model, optimizer, losses, validations, now=stop)
        if stop:
            break
    stop_if_diverged(losses)
    return history_of(losses, validations, recipe, num_steps)


def outputs_and_loss(
    model: nn.Module, recipe: Recipe
) -> tuple[Callable[[Tensor], Any], Callable[[Any, Tensor], Tensor]]:
    """Return two functions: from images to outputs, and from outputs and targets to the loss."""
    forward: Any = model
    loss: Callable[[Any, Tensor], Tensor] = LOSSES[recipe.loss]
    if recipe.auxiliary_weight != 0:
        forward = model.forward_with_auxiliary
        loss = with_auxiliary(LOSSES[recipe.loss], LOSSES[recipe.auxiliary_loss], recipe.auxiliary_weight)
    return forward, with_penalty(loss, model) if recipe.l2 else loss


def with_penalty(loss: Callable[[Any, Tensor], Tensor], model: nn.Module) -> Callable[[Any, Tensor], Tensor]:
    """Return a loss that adds the L2 penalty of the sub-module that defines one; UsageError if none does."""
    for module in model.modules():
        penalty: Any = getattr(module, "l2_penalty", None)
        if penalty is not None:
            return lambda outputs, targets: loss(outputs, targets) + penalty()
    raise UsageError(f"{type(model).__name__} has no L2 penalty; resnet_like encoders have one, so leave l2 out")


def as_float32(outputs: Any) -> Any:
    """Return the outputs in float32, in which losses are computed whatever the network computed in."""
    if isinstance(outputs, tuple):
        return tuple(output.float() for output in outputs)
    return outputs.float()


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every parameter group the learning rate of this step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def is_due(step: int, every: int, num_steps: int) -> bool:
    """Return True after every `every`-th step and after the last one; never if `every` is 0.

    >>> [step for step in range(7) if is_due(step, 3, 7)]
    [2, 5, 6]
    """
    return every > 0 and ((step + 1) % every == 0 or step + 1 == num_steps)


def stop_if_diverged(losses: list[Tensor]) -> None:
    """Raise if a loss so far is not finite; reading them waits for the device, so this is done rarely."""
    bad = (~as_tensor(losses).isfinite()).nonzero()
    if len(bad):
        at = int(bad[0])
        error = TrainingDiverged(f"the loss is {losses[at].item()} at step {at + 1}; try a lower learning rate")
        error.step = at
        raise error


def as_tensor(losses: list[Tensor]) -> Tensor:
    """Stack the losses so far, each a scalar tensor."""
    return torch.stack(losses) if losses else torch.zeros(0)


def history_of(losses: list[Tensor], validations: list[dict], recipe: Recipe, num_steps: int) -> pd.DataFrame:
    """Return the history as a DataFrame, one row per step; validation scores are NaN at steps without one."""
    history = pd.DataFrame({"step": range(1, len(losses) + 1), "loss": as_tensor(losses).cpu().numpy()})
    history["learning_rate"] = [recipe.learning_rate_at(step, num_steps) for step in range(len(losses))]
    if validations:
        history = history.merge(pd.DataFrame(validations), on="step", how="left")
    return history


class Stopwatch:
    """A `watch` for `fit` that measures steps per second and stops after `seconds`, if given."""

    def __init__(self, seconds: float = math.inf) -> None:
        self.limit = seconds
        self.start = time.perf_counter()
        self.num_steps = 0

    def __call__(self, step: int, num_steps: int, losses: list[Tensor], scores: Scores) -> bool:
        """Count the step; True once the time is over."""
        self.num_steps += 1
        return self.seconds > self.limit

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start
