"""How many multiplications and additions the training of an arm takes."""

from collections.abc import Iterable

import torch
from torch.utils.flop_counter import FlopCounterMode

from retina_kit.models.build import build_model, count_parameters
from retina_kit.training.arm import Arm
from retina_kit.training.inference import pad_to_multiple

FORWARD_AND_BACKWARD = 3  # the backward pass takes about twice the work of the forward pass
FALLBACK_SIDE = 256  # pixels, if neither the arm, its crop nor its network fixes the size of its images


def num_weights(arm: Arm) -> int:
    """Count the weights of an arm's network; it is built on the meta device and costs nothing."""
    with torch.device("meta"):
        return count_parameters(build_model(arm.model))


def flops_per_image(arm: Arm) -> float:
    """Return the floating-point operations of one forward pass of an arm's network.

    It is for one image of the size that the network is trained on, padding included; for one of FALLBACK_SIDE if
    nothing fixes that size. Raises UsageError or RuntimeError if the network does not take such an image.
    """
    with torch.device("meta"):
        model = build_model(arm.model).eval()
        image = torch.zeros(1, _channels_of(model), *_size_of(arm, model))
        if not hasattr(model, "input_size"):
            image = pad_to_multiple(image)
        with FlopCounterMode(display=False) as counter:
            model(image)
    return float(counter.get_total_flops())


def flops_of(runs: Iterable[tuple[Arm, int]]) -> float:
    """Estimate the floating-point operations that the training of some runs takes, each an arm and its steps."""
    per_image: dict[str, float] = {}
    total = 0.0
    for arm, steps in runs:
        if arm.name not in per_image:
            per_image[arm.name] = flops_per_image(arm)
        total += FORWARD_AND_BACKWARD * per_image[arm.name] * arm.recipe.batch_size * steps
    return total


def _size_of(arm: Arm, model: torch.nn.Module) -> tuple[int, int]:
    """Return the height and width of an arm's images before they are padded."""
    if crop := arm.recipe.augmentation.crop or arm.data.patch:
        return crop, crop
    fixed: tuple[int, int] = getattr(model, "input_size", (FALLBACK_SIDE, FALLBACK_SIDE))
    return arm.data.size or fixed


def _channels_of(model: torch.nn.Module) -> int:
    """Return the number of channels that a network takes."""
    first = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    return first.in_channels
