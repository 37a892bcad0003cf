"""Two attention modules that both go by the name CBAM: that of Woo et al. 2018, and that in Ortiz 2022's code.

Both take features (N, C, H, W) and give features of the same shape.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from retina_kit.errors import unknown_name


class CBAM(nn.Module):
    """Convolutional block attention: one gate per channel, then one gate per pixel (Woo et al. 2018, section 3).

    The channel gate sees the mean and the maximum over space through one shared perceptron; the pixel gate
    sees the mean and the maximum over channels through a 7x7 convolution.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Weigh features (N, C, H, W) by both gates."""
        mean = self.perceptron(features.mean(dim=(2, 3), keepdim=True))
        peak = self.perceptron(features.amax(dim=(2, 3), keepdim=True))
        gated = features * torch.sigmoid(mean + peak)
        return gated * torch.sigmoid(self.spatial(_over_channels(gated)))


class ChannelAxisCBAM(nn.Module):
    """What was published as CBAM: both gates see means and maxima over the channels (Ortiz 2022, the code).

    It differs from `CBAM`: the first gate's mean and maximum run over the channels instead of
    over space, so that every pixel has its own; each goes through its own perceptron; the perceptrons end in
    ReLU, so that the gate is never below 0.5; and the features themselves are added to the result.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.from_mean = _pixel_perceptron(channels, reduction)
        self.from_max = _pixel_perceptron(channels, reduction)
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3), nn.BatchNorm2d(1, eps=1e-3, momentum=0.01))

    def forward(self, features: Tensor) -> Tensor:
        """Add the gated features to the features (N, C, H, W)."""
        mean, peak = _over_channels(features).split(1, dim=1)
        gated = features * torch.sigmoid(self.from_mean(mean) + self.from_max(peak))
        return features + gated * torch.sigmoid(self.spatial(_over_channels(gated)))


def make_attention(kind: str, channels: int) -> nn.Module:
    """Build the attention called "none", "cbam" or "channel_axis" for features of this many channels."""
    kinds: dict[str, Callable[[int], nn.Module]] = {
        "none": lambda _: nn.Identity(),
        "cbam": CBAM,
        "channel_axis": ChannelAxisCBAM,
    }
    if kind not in kinds:
        raise unknown_name("attention", kind, kinds)
    return kinds[kind](channels)


def _over_channels(features: Tensor) -> Tensor:
    """Stack the mean and the maximum over the channels, (N, 2, H, W)."""
    return torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)


def _pixel_perceptron(channels: int, reduction: int) -> nn.Sequential:
    """Build a perceptron from one number per pixel to `channels`, as Keras's Dense is on a 4-D tensor."""
    hidden = max(1, channels // reduction)
    return nn.Sequential(
        nn.Conv2d(1, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1), nn.ReLU(inplace=True)
    )
