"""Two attention modules of one name: the CBAM of Woo et al. 2018, and what the code of Ortiz 2022 calls so.

Both take features (N, C, H, W) and give features of the same shape.
"""

import torch
from torch import nn

from retina_kit.errors import UsageError


class CBAM(nn.Module):
    """Convolutional block attention: a gate a channel, then a gate a pixel (Woo et al. 2018, section 3).

    The channel gate sees the mean and the maximum over space through one shared perceptron; the pixel gate
    sees the mean and the maximum over channels through a 7x7 convolution.
    """

    def __init__(self, channels, reduction=16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, features):
        """Return the gated features."""
        mean = self.perceptron(features.mean(dim=(2, 3), keepdim=True))
        peak = self.perceptron(features.amax(dim=(2, 3), keepdim=True))
        gated = features * torch.sigmoid(mean + peak)
        return gated * torch.sigmoid(self.spatial(_over_channels(gated)))


class ChannelAxisCBAM(nn.Module):
    """What was published as CBAM: both gates see means and maxima over the channels (Ortiz 2022, the code).

    It differs from `CBAM` in four ways. The first gate's mean and maximum run over the channels instead of
    over space, so that every pixel has its own; each goes through its own perceptron; the perceptrons end in
    ReLU, so that the gate is never below 0.5; and the features themselves are added to the result.
    """

    def __init__(self, channels, reduction=16):
        super().__init__()
        self.from_mean = _pixel_perceptron(channels, reduction)
        self.from_max = _pixel_perceptron(channels, reduction)
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3), nn.BatchNorm2d(1, eps=1e-3, momentum=0.01))

    def forward(self, features):
        """Return the features plus the gated features."""
        mean, peak = _over_channels(features).split(1, dim=1)
        gated = features * torch.sigmoid(self.from_mean(mean) + self.from_max(peak))
        return features + gated * torch.sigmoid(self.spatial(_over_channels(gated)))


def make_attention(kind, channels):
    """Return the module called "none", "cbam" or "channel_axis" for features of so many channels."""
    kinds = {"none": lambda _: nn.Identity(), "cbam": CBAM, "channel_axis": ChannelAxisCBAM}
    if kind not in kinds:
        raise UsageError(f"attention {kind!r} is not one of {', '.join(kinds)}")
    return kinds[kind](channels)


def _over_channels(features):
    """Return the mean and the maximum over the channels, (N, 2, H, W)."""
    return torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)


def _pixel_perceptron(channels, reduction):
    """Return a perceptron from one number a pixel to `channels`, as Keras's Dense is on a 4-D tensor."""
    hidden = max(1, channels // reduction)
    return nn.Sequential(
        nn.Conv2d(1, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1), nn.ReLU(inplace=True)
    )
