"""From a trained network to a probability per pixel: whole images or overlapping windows, in batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_kit.data.large_arrays import new_array
from retina_kit.training.batches import Batches
from retina_kit.training.device import autocast
from retina_kit.training.losses import probabilities
from retina_kit.training.normalization import Normalization

MULTIPLE = 16  # four halvings: the sides that a five-level U-Net takes


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """List where windows start along one side; the last one is moved back so that it ends at the border.

    Nine starts along 768 pixels (Huang 2023: 6 x 9 = 54 windows per B-scan):

    >>> window_starts(768, 128, 85)
    [0, 85, 170, 255, 340, 425, 510, 595, 640]
    """
    if window >= length:
        return [0]
    starts = list(range(0, length - window, stride))
    return [*starts, length - window]


def pad_to_multiple(images: Tensor, multiple: int = MULTIPLE) -> Tensor:
    """Return images (N, C, H, W) padded at the right and bottom by their edge to sides that `multiple` divides."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")


@torch.inference_mode()
def predict_logits(
    model: nn.Module,
    images: Tensor,
    *,
    window: int = 0,
    stride: int = 0,
    batch_size: int = 8,
    precision: str = "auto",
) -> Tensor:
    """Return logits (N, K, H, W), float32, of normalized images (N, C, H, W); window 0 takes whole images.

    Where windows overlap, their logits are averaged. The model is put into evaluation mode and left there.
    """
    model.eval()
    if window == 0 or (window >= images.shape[-2] and window >= images.shape[-1]):
        return torch.cat([_whole(model, part, precision) for part in images.split(batch_size)])
    return torch.cat([_windowed(model, image, window, stride, batch_size, precision) for image in images])


def _whole(model: nn.Module, images: Tensor, precision: str) -> Tensor:
    """Return the logits of one batch of whole images."""
    with autocast(images.device, precision):
        logits = model(pad_to_multiple(images))
    return logits.float()[..., : images.shape[-2], : images.shape[-1]]


def _windowed(model: nn.Module, image: Tensor, window: int, stride: int, batch_size: int, precision: str) -> Tensor:
    """Return the logits (1, K, H, W) of one image (C, H, W), averaged over the windows that cover a pixel."""
    height, width = image.shape[-2:]
    tall, wide = min(window, height), min(window, width)
    corners = [
        (top, left)
        for top in window_starts(height, tall, stride or tall)
        for left in window_starts(width, wide, stride or wide)
    ]
    total, count = image.new_zeros(0), image.new_zeros(1, 1, height, width)
    for first in range(0, len(corners), batch_size):
        some = corners[first : first + batch_size]
        crops = torch.stack([image[:, top : top + tall, left : left + wide] for top, left in some])
        logits = _whole(model, crops, precision)
        if first == 0:
            total = image.new_zeros(1, logits.shape[1], height, width)
        for (top, left), crop in zip(some, logits, strict=True):
            total[0, :, top : top + tall, left : left + wide] += crop
            count[0, :, top : top + tall, left : left + wide] += 1
    return total / count


def predict_probability(
    model: nn.Module,
    batches: Batches | Normalization,
    images: Tensor,
    *,
    size: Sequence[int] | None = None,
    classes: bool = False,
    **settings: Any,
) -> Tensor:
    """Return the foreground's probability (N, H, W), float32 on the CPU, for uint8 images (N, C, h, w).

    `batches`, or their `Normalization`, knows how training images were normalized. `size` (H, W) resamples the result
    bilinearly, for images that were reduced before the network saw them. With `classes` each channel of the network is
    a class with a probability of its own, (N, K, H, W). `settings` are those of `predict_logits`.
    """
    whole, done = torch.empty(0), 0
    for some in images.split(settings.get("batch_size", 8)):
        probability = probabilities(predict_logits(model, batches.inputs(some), **settings), classes=classes)
        if size and tuple(size) != tuple(probability.shape[-2:]):
            probability = resampled(probability, (size[0], size[1]))
        if done == 0:
            whole = torch.from_numpy(new_array((len(images), *probability.shape[1:]), np.float32))
        whole[done : done + len(some)] = probability
        done += len(some)
    return whole


def resampled(probability: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample probabilities (N, h, w) or (N, K, h, w) bilinearly to `size` (H, W).

    >>> resampled(torch.ones(2, 8, 8), (4, 6)).shape
    torch.Size([2, 4, 6])
    """
    planes = probability if probability.ndim == 4 else probability[:, None]
    found = F.interpolate(planes, size=size, mode="bilinear").clamp(0, 1)  # weights add up to 1 + 1e-7
    return found if probability.ndim == 4 else found[:, 0]
