"""The decode heads of the UNet-S5-D16: FCN, PSP and ASPP (Huang 2023, section 3.2).

Every head takes features (N, C, H, W) and gives logits (N, num_classes, H, W) of the same size.
"""

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_kit.models.layout import layout_of


class ConvUnit(nn.Sequential):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, dilation: int = 1) -> None:
        padding = dilation * (kernel_size - 1) // 2
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Classifier(nn.Sequential):
    """Whole channels dropped with probability 0.1, then a 1x1 convolution to the classes."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(nn.Dropout2d(0.1), nn.Conv2d(in_channels, num_classes, 1))


class FCNHead(nn.Module):
    """One 3x3 convolution and a classifier; also the auxiliary head, on the features at half size."""

    def __init__(self, in_channels: int = 64, channels: int = 64, num_classes: int = 2) -> None:
        super().__init__()
        self.conv = ConvUnit(in_channels, channels)
        self.classifier = Classifier(channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Give logits from the features of a pixel's 3 x 3 neighborhood."""
        return self.classifier(self.conv(features))


class PSPHead(nn.Module):
    """Pyramid pooling: the means over 1, 4, 9 and 36 parts of the image, next to a pixel's own features."""

    def __init__(
        self,
        in_channels: int = 64,
        channels: int = 16,
        num_classes: int = 2,
        pools: Sequence[int] = (1, 2, 3, 6),
    ) -> None:
        super().__init__()
        self.pools = tuple(pools)
        self.branches = nn.ModuleList(ConvUnit(in_channels, channels, 1) for _ in pools)
        self.conv = ConvUnit(in_channels + len(pools) * channels, channels)
        self.classifier = Classifier(channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Give logits from a pixel's features and the means around it."""
        size = features.shape[-2:]
        parts = [features]
        for pool, branch in zip(self.pools, self.branches, strict=True):
            pooled = branch(F.adaptive_avg_pool2d(features, pool))
            parts.append(enlarge(pooled, size))
        return self.classifier(self.conv(torch.cat(parts, dim=1)))


def enlarge(features: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Resize features (N, C, h, w) bilinearly to `size` (H, W), as `F.interpolate` without aligned corners does.

    A bilinear resize is one matrix product per axis. For a few pixels enlarged to a whole image, its gradient is
    several times faster that way.

    >>> small = torch.tensor([[[[0.0, 1.0]]]])
    >>> enlarge(small, (1, 4)).tolist()
    [[[[0.0, 0.25, 0.75, 1.0]]]]
    """
    down, across = (_weights(old, new).to(features) for old, new in zip(features.shape[-2:], size, strict=True))
    wide = across @ features.permute(0, 2, 3, 1)  # (N, h, W, C)
    return (down @ wide.flatten(2)).unflatten(2, wide.shape[2:]).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=64)
def _weights(old: int, new: int) -> Tensor:
    """Give the weights (new, old) with which `old` samples are interpolated linearly at `new` places.

    They are kept, so they must be neither on the meta device, on which a network may be measured first, nor made in
    inference mode, in which a network may predict first and which no later training could use.
    """
    with torch.inference_mode(False):
        one_hot = torch.eye(old, device="cpu")[None]
        return F.interpolate(one_hot, size=new, mode="linear", align_corners=False)[0].T.contiguous()


class ASPPHead(nn.Module):
    """Atrous spatial pyramid pooling of DeepLabV3: convolutions that look 0, 12, 24 and 36 pixels away."""

    def __init__(
        self,
        in_channels: int = 64,
        channels: int = 16,
        num_classes: int = 2,
        dilations: Sequence[int] = (1, 12, 24, 36),
    ) -> None:
        super().__init__()
        self.image_pool = ConvUnit(in_channels, channels, 1)
        self.branches = nn.ModuleList(
            ConvUnit(in_channels, channels, 1 if dilation == 1 else 3, dilation) for dilation in dilations
        )
        self.conv = ConvUnit((len(dilations) + 1) * channels, channels)
        self.classifier = Classifier(channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Give logits from a pixel's surroundings and the mean of the image."""
        pooled = self.image_pool(features.mean(dim=(2, 3), keepdim=True))
        parts = [pooled.expand(-1, -1, *features.shape[-2:]).contiguous(memory_format=layout_of(features))]
        parts += [branch(features) for branch in self.branches]
        return self.classifier(self.conv(torch.cat(parts, dim=1)))
