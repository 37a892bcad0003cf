"""From uint8 images to what a network takes, the same for training, testing and prediction."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Normalization:
    """Normalizes images as (gray value - mean) / std, gray values in 0..255, on a device.

    A gray image is repeated to `in_channels` for a color network.

    >>> normalization = Normalization(mean=100.0, std=50.0, in_channels=3, device="cpu")
    >>> normalization.inputs(torch.full((1, 1, 2, 2), 200, dtype=torch.uint8))[0, :, 0, 0].tolist()
    [2.0, 2.0, 2.0]
    """

    def __init__(
        self,
        mean: Sequence[float] | float = 0.0,
        std: Sequence[float] | float = 255.0,
        *,
        in_channels: int,
        device: torch.device | str,
    ) -> None:
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device).reshape(1, -1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32, device=device).reshape(1, -1, 1, 1)
        self.in_channels = in_channels

    def inputs(self, images: Tensor) -> Tensor:
        """Turn uint8 images (N, C, h, w) into what the network takes: on the device, normalized."""
        return self.repeat_gray(self.normalize(images.to(self.mean.device)))

    def normalize(self, images: Tensor) -> Tensor:
        """Return uint8 images as float32, (gray value - mean) / std."""
        return (images.to(torch.float32) - self.mean) / self.std

    def repeat_gray(self, images: Tensor) -> Tensor:
        """Repeat gray images to the network's channels; its first convolution lays them out as its weights are."""
        return images.expand(-1, self.in_channels, -1, -1).contiguous()
