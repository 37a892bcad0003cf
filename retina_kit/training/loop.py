"""The training loop, to be read aloud: draw a batch, predict, compare, step."""

import math
import time

import pandas as pd
import torch

from retina_kit.errors import KitError
from retina_kit.training.device import autocast
from retina_kit.training.losses import LOSSES, with_auxiliary


class TrainingDiverged(KitError):
    """The loss is no longer a number; the message says at which step, `step` counts it from 0."""

    step = 0


def fit(model, batches, recipe, *, device, seed=0, precision="auto", validate=None, watch=None, checkpoint=None):
    """Train `model` in place and return its history, one row a step: step, learning_rate, loss, validation scores.

    `batches.sample(step)` gives the images and targets of a step. `validate(model)` gives a dict of scores and is
    called every `recipe.validate_every` steps. `watch(step, num_steps, losses, scores)` is called after each
    step and may return True to stop early. `checkpoint` saves now and then and lets a killed run go on where it was.
    """
    model.to(device=device, memory_format=torch.channels_last).train()
    optimizer = recipe.make_optimizer(model)
    predict, loss_of = outputs_and_loss(model, recipe)
    num_steps = len(batches)
    losses, validations = [], []

    first_step = checkpoint.restore(model, optimizer, losses, validations) if checkpoint else 0
    for step in range(first_step, num_steps):
        torch.manual_seed(seed * 1_000_003 + step)  # dropout's draws, too, depend on the step alone
        images, targets = batches.sample(step)
        set_learning_rate(optimizer, recipe.learning_rate_at(step, num_steps))

        with autocast(device, precision):
            outputs = predict(images)
        loss = loss_of(as_float32(outputs), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())  # stays on the device: reading it here would wait for every step

        scores = {}
        if validate and is_due(step, recipe.validate_every, num_steps):
            stop_if_diverged(losses)
            scores = validate(model)
            validations.append({"step": step + 1, **scores})
            model.train()
        stop = watch is not None and watch(step, num_steps, losses, scores)
        if checkpoint:
            checkpoint.save_if_due(model, optimizer, losses, validations, now=stop)
        if stop:
            break
    stop_if_diverged(losses)
    return history_of(losses, validations, recipe, num_steps)


def outputs_and_loss(model, recipe):
    """Return what is called on a batch of images and the loss of its outputs, with the auxiliary head or without."""
    loss = LOSSES[recipe.loss]
    if recipe.auxiliary_weight == 0:
        return model, loss
    auxiliary_loss = LOSSES[recipe.auxiliary_loss]
    return model.forward_with_auxiliary, with_auxiliary(loss, auxiliary_loss, recipe.auxiliary_weight)


def as_float32(outputs):
    """Return the outputs in float32, in which losses are computed whatever the network computed in."""
    if isinstance(outputs, tuple):
        return tuple(output.float() for output in outputs)
    return outputs.float()


def set_learning_rate(optimizer, learning_rate):
    """Give every parameter group the learning rate of this step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def is_due(step, every, num_steps):
    """Say whether something that happens every so many steps, and at the last one, happens after this step."""
    return every > 0 and ((step + 1) % every == 0 or step + 1 == num_steps)


def stop_if_diverged(losses):
    """Raise where a loss so far is not finite; reading them waits for the device, so it is done rarely."""
    bad = (~as_tensor(losses).isfinite()).nonzero()
    if len(bad):
        at = int(bad[0])
        error = TrainingDiverged(f"the loss is {losses[at].item()} at step {at + 1}; try a lower learning rate")
        error.step = at
        raise error


def as_tensor(losses):
    """Return the losses so far, each a scalar tensor, as one."""
    return torch.stack(losses) if losses else torch.zeros(0)


def history_of(losses, validations, recipe, num_steps):
    """Return the history as a DataFrame, one row a step, validation scores NaN where there was none."""
    history = pd.DataFrame({"step": range(1, len(losses) + 1), "loss": as_tensor(losses).cpu().numpy()})
    history["learning_rate"] = [recipe.learning_rate_at(step, num_steps) for step in range(len(losses))]
    if validations:
        history = history.merge(pd.DataFrame(validations), on="step", how="left")
    return history


class Stopwatch:
    """A `watch` for `fit` that measures steps a second and stops after `seconds`, if given."""

    def __init__(self, seconds=math.inf):
        self.limit = seconds
        self.start = time.perf_counter()
        self.num_steps = 0

    def __call__(self, step, num_steps, losses, scores):
        """Count the step; True once the time is over."""
        self.num_steps += 1
        return self.seconds > self.limit

    @property
    def seconds(self):
        """Seconds since the start."""
        return time.perf_counter() - self.start
