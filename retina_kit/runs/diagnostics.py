"""What a person needs to know when training fails: what was fed when the loss broke, and what would fit in memory."""

import torch

from retina_kit.errors import SetupError
from retina_kit.training.device import autocast, give_back_freed_memory
from retina_kit.training.loop import TrainingDiverged, as_float32, outputs_and_loss

SIGNS_OF_FULL_MEMORY = (
    "out of memory", "can't allocate memory", "bad_alloc", "could not allocate", "not enough memory",
    "cannot allocate memory", "could not create a primitive",  # the last is oneDNN's, which finds no room for its code
)  # fmt: skip


class OutOfMemory(SetupError):
    """A replicate needs more memory than there is; the message says what would fit."""


def is_out_of_memory(error):
    """Say whether an exception means that memory ran out, on a GPU or on this machine."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in SIGNS_OF_FULL_MEMORY)
    )


def say_what_was_fed(error, arm, batches, rows, recipe):
    """Return a TrainingDiverged with the images, the gray values and the learning rate of the step in question.

    `rows` are the training rows. The state before it is kept as the last checkpoint.
    """
    step = error.step
    images, _ = batches.sample(step)
    positions = batches.index_of(step).tolist()
    fed = ", ".join(str(rows["id"].iloc[position]) for position in positions) if "id" in rows else str(positions)
    numbers = f"values {images.min().item():.3g} to {images.max().item():.3g}"
    numbers += "" if images.isfinite().all() else ", some of them no numbers"
    rate = recipe.learning_rate_at(step, len(batches))
    return TrainingDiverged(
        f"arm {arm.name}: {error}. Fed at that step: images {fed} ({numbers}), learning rate {rate:.3g}; the last "
        "checkpoint before it is kept"
    )


def say_what_would_fit(arm, batches, make_model, recipe, device, precision):
    """Return an OutOfMemory that names the largest halved batch size of which one step was done, if any was.

    The smallest comes first: a library that once found memory full may fail again where there is enough.
    """
    images, targets = batches.sample(0)
    size, height, width = len(images), *images.shape[-2:]
    what = f"arm {arm.name}: memory ran out on {device} at batch size {size} of {height}x{width} pixels"
    fits = 0
    for smaller in reversed([size >> halvings for halvings in range(1, size.bit_length())]):
        try:
            one_step(make_model(), images[:smaller], targets[:smaller], recipe, device, precision)
        except (RuntimeError, MemoryError) as again:
            if not is_out_of_memory(again):
                raise
            break
        fits = smaller
    if fits:
        return OutOfMemory(f"{what}; batch size {fits} fits (one step was tried)")
    return OutOfMemory(f"{what}; not even one image fits: choose a smaller working size or crop, or a narrower network")


def one_step(model, images, targets, recipe, device, precision):
    """Do what takes the memory of one training step: forwards, backwards and the optimizer's state."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    else:
        give_back_freed_memory()
    model.to(device=device, memory_format=torch.channels_last).train()
    optimizer = recipe.make_optimizer(model)
    predict, loss_of = outputs_and_loss(model, recipe)
    with autocast(device, precision):
        outputs = predict(images)
    loss_of(as_float32(outputs), targets).backward()
    optimizer.step()
