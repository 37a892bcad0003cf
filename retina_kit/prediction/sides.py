"""Which image sizes a network takes: both sides are multiples of 16, of 32 with five halvings, and so on."""

import torch
import torch.nn.functional as F
from torch import Tensor

from retina_kit.errors import UsageError
from retina_kit.models.build import build_for_shapes, without_weights
from retina_kit.training.inference import MULTIPLE
from retina_kit.training.metadata import Metadata


def multiple_of_sides(metadata: Metadata) -> int:
    """Return the smallest of 16, 32, 64, ... whose multiples a segmentation network takes."""
    for multiple in (MULTIPLE, 2 * MULTIPLE, 4 * MULTIPLE):
        size = (metadata.in_channels, 3 * multiple, 3 * multiple)
        model, image = build_for_shapes(without_weights(metadata.network), size)
        try:
            with torch.inference_mode():
                model(image)
        except UsageError:
            continue
        return multiple
    return 8 * MULTIPLE


def padded_to(images: Tensor, multiple: int, window: int = 0) -> Tensor:
    """Return uint8 images (N, C, h, w) padded at the right and bottom by their edge, where a window does not fit.

    >>> padded_to(torch.zeros(1, 1, 40, 100, dtype=torch.uint8), 32, window=64).shape
    torch.Size([1, 1, 64, 100])
    """
    missing = [-side % multiple if not window or side < window else 0 for side in images.shape[-2:]]
    if not any(missing):
        return images
    return F.pad(images.float(), (0, missing[1], 0, missing[0]), mode="replicate").to(torch.uint8)
