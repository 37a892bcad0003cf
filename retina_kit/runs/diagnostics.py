"""Diagnostics for diverged losses and out-of-memory errors."""

from collections.abc import Callable
from typing import Any

import torch

from retina_kit.errors import SetupError
from retina_kit.models.layout import to_device
from retina_kit.training.arm import Arm
from retina_kit.training.device import autocast, give_back_freed_memory
from retina_kit.training.loop import TrainingDiverged, as_float32, outputs_and_loss
from retina_kit.training.recipe import Recipe

MESSAGES_OF_FULL_MEMORY = (
    "out of memory", "can't allocate memory", "bad_alloc", "could not allocate", "not enough memory",
    "cannot allocate memory", "could not create a primitive",  # the last is oneDNN's, without room for its code
)  # fmt: skip
TOO_SMALL = "more than 1 value per channel"  # BatchNorm, after pooling one image to one pixel


class OutOfMemory(SetupError):
    """A run needs more memory than there is; the message names a batch size that fits."""


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an exception means that memory ran out, on a GPU or on this machine.

    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")), is_out_of_memory(ValueError())
    (True, False)
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(message in text for message in MESSAGES_OF_FULL_MEMORY)
    )


def describe_divergence(
    error: TrainingDiverged, arm: Arm, batches: Any, names_at: Callable[[list[int]], list[str]], recipe: Recipe
) -> TrainingDiverged:
    """Add the images, their values and the learning rate of the step at which the loss diverged.

    `names_at` names what batches are sampled from, by position. The state before that step is kept as the last
    checkpoint.
    """
    images, sampled = batches.sample(error.step)[0], ", ".join(names_at(batches.index_of(error.step).tolist()))
    values = f"values {images.min().item():.3g} to {images.max().item():.3g}"
    values += "" if images.isfinite().all() else ", not all finite"
    rate = recipe.learning_rate_at(error.step, len(batches))
    return TrainingDiverged(
        f"arm {arm.name}: {error}. The batch of that step: {sampled} ({values}), learning rate {rate:.3g}; "
        "the last checkpoint before it is kept"
    )


def find_batch_size(
    arm: Arm,
    batches: Any,
    make_model: Callable[[], torch.nn.Module],
    recipe: Recipe,
    device: torch.device,
    precision: str,
) -> OutOfMemory:
    """Name the largest batch size, among repeated halvings, at which one training step fits into memory.

    The smallest is tried first: a library that once ran out of memory may keep failing even when there is enough.
    """
    images, targets = batches.sample(0)
    size, (height, width) = len(images), images.shape[-2:]
    what = f"arm {arm.name}: memory ran out on {device} at batch size {size} of {height}x{width} pixels"
    fits = 0
    for smaller in reversed([size >> halvings for halvings in range(1, size.bit_length())]):
        try:
            try_step(make_model(), images[:smaller], targets[:smaller], recipe, device, precision)
        except (RuntimeError, MemoryError, ValueError) as again:
            if TOO_SMALL in str(again):
                continue
            if not is_out_of_memory(again):
                raise
            break
        fits = smaller
    if fits:
        return OutOfMemory(f"{what}; batch size {fits} fits (one step was tried)")
    return OutOfMemory(f"{what}; not even one image fits: choose a smaller working size or crop, or a narrower network")


def try_step(
    model: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    recipe: Recipe,
    device: torch.device,
    precision: str,
) -> None:
    """Do everything that takes memory in a training step: forward, backward and the optimizer's state."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    else:
        give_back_freed_memory()
    to_device(model, device).train()
    optimizer = recipe.make_optimizer(model)
    predict, loss_of = outputs_and_loss(model, recipe)
    with autocast(device, precision):
        outputs = predict(images)
    loss_of(as_float32(outputs), targets).backward()
    optimizer.step()
