"""BatchNorm statistics of a frozen part, measured on the training images before the first step.

A part that is frozen at a random start keeps the statistics it was built with, mean 0 and variance 1, which fit no
data. A comparison with a pretrained frozen part then measures those statistics as much as the weights.
"""

from collections.abc import Iterable

import torch
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.models.layout import to_device
from retina_kit.training.batches import Batches
from retina_kit.training.inference import pad_to_multiple


@torch.no_grad()
def calibrate_norms(model: nn.Module, batches: Batches, parts: Iterable[str], batch_size: int) -> None:
    """Set the running statistics of every BatchNorm in some parts to the mean over all training images.

    `parts` names sub-modules such as "encoder". The images of `batches` pass in their order, preprocessed and
    normalized but not augmented, `batch_size` at a time and in float32; the statistics of these batches are averaged.
    Nothing else of the network changes, and dropout is off. The network is left in evaluation mode. Raises UsageError
    if a part has no BatchNorm, because there would be nothing to calibrate.

    >>> from retina_kit.models.unet import UNet
    >>> from retina_kit.training.recipe import Recipe
    >>> images, masks = torch.full((4, 1, 32, 32), 51, dtype=torch.uint8), torch.zeros(4, 32, 32, dtype=torch.uint8)
    >>> batches = Batches(images, masks, Recipe(steps=1), seed=0, device="cpu")
    >>> model = UNet(widths=[4, 4], norm="batch")
    >>> calibrate_norms(model, batches, ["encoder"], batch_size=2)
    >>> norms = [module for module in model.encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    >>> bool((norms[0].running_mean != 0).any()), norms[0].momentum
    (True, 0.1)
    """
    norms = [norm for part in parts for norm in norms_of(model, part)]
    momenta = [norm.momentum for norm in norms]
    to_device(model, batches.images.device).eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
        norm.train()
    for some in batches.images.split(batch_size):
        model(pad_to_multiple(batches.inputs(some)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def norms_of(model: nn.Module, part: str) -> list[nn.modules.batchnorm._BatchNorm]:
    """List the BatchNorms of a sub-module; UsageError if there is none."""
    modules = dict(model.named_children()).get(part, nn.Identity()).modules()
    found = [module for module in modules if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not found:
        raise UsageError(f"part {part!r} of this network has no BatchNorm whose statistics could be calibrated")
    return found
