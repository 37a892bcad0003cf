"""The U-Net of Ronneberger 2015 in the width and depth of Melinscak 2020 and, with options, of Hu 2018."""

import itertools
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_kit.errors import UsageError, unknown_name
from retina_kit.models.freezing import FreezableEncoder

WIDTHS = (32, 64, 128, 256, 512)
Norm: TypeAlias = Literal["none", "batch"] | None
Rates: TypeAlias = float | Sequence[float]  # of dropout: one for all, or one per block
Up: TypeAlias = Literal["transpose", "nearest"]


class Block(nn.Sequential):
    """Two 3x3 convolutions, each followed by BatchNorm (if `norm` is "batch") and ReLU.

    `dropout` acts after the second activation, or between the two convolutions if `dropout_between` is
    true. Either way the weights keep their names, so that those of a network without dropout fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: Norm = None,
        dropout: float = 0.0,
        dropout_between: bool = False,
    ) -> None:
        if norm not in (None, "none", "batch"):
            raise unknown_name("norm", norm, ("none", "batch"))
        layers: list[nn.Module] = []
        for channels, dropped in ((in_channels, dropout_between), (out_channels, not dropout_between)):
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=1))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(out_channels))
            relu = nn.ReLU(inplace=True)
            layers.append(nn.Sequential(relu, nn.Dropout(dropout)) if dropped and dropout else relu)
        super().__init__(*layers)


class Encoder(nn.Module):
    """The contracting half: one block per level, 2x2 max-pooling between them.

    One `dropout` rate acts in the bottleneck only; a list gives every level its own, the finest first.

    >>> with torch.device("meta"):
    ...     features = Encoder()(torch.zeros(1, 1, 1024, 512))
    >>> [tuple(level.shape[1:]) for level in features]
    [(32, 1024, 512), (64, 512, 256), (128, 256, 128), (256, 128, 64), (512, 64, 32)]
    """

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = WIDTHS,
        norm: Norm = None,
        dropout: Rates = 0.0,
        dropout_between: bool = False,
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        channels = [in_channels, *widths]
        rates = [0.0] * (len(widths) - 1) + [dropout] if isinstance(dropout, int | float) else dropout
        self.blocks = nn.ModuleList(
            Block(before, after, norm, rate, dropout_between)
            for (before, after), rate in zip(itertools.pairwise(channels), rates, strict=True)
        )
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Give the features of every level, the finest first; images are (N, C, H, W)."""
        features = [self.blocks[0](images)]
        for block in self.blocks[1:]:
            features.append(block(self.pool(features[-1])))
        return features


class Decoder(nn.Module):
    """The expanding half: up-sampling to half the channels, concatenation [up, skip], one block per level.

    One `dropout` rate acts in every block; a list gives every block its own, the coarsest first.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        norm: Norm = None,
        dropout: Rates = 0.0,
        up: Up = "transpose",
        dropout_between: bool = False,
    ) -> None:
        super().__init__()
        levels = list(reversed(list(itertools.pairwise(widths))))
        rates = [dropout] * len(levels) if isinstance(dropout, int | float) else dropout
        self.ups = nn.ModuleList(_make_up(deep, shallow, up) for shallow, deep in levels)
        self.blocks = nn.ModuleList(
            Block(2 * shallow, shallow, norm, rate, dropout_between)
            for (shallow, _), rate in zip(levels, rates, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Give features at the size of the image from those of every level, the finest first."""
        current = features[-1]
        for up, block, skip in zip(self.ups, self.blocks, reversed(features[:-1]), strict=True):
            current = block(torch.cat([up(current), skip], dim=1))
        return current


def _make_up(in_channels: int, out_channels: int, how: Up) -> nn.Module:
    """Build what doubles the size: 2x2 transposed convolution, or nearest neighbors and 3x3 convolution."""
    if how == "transpose":
        return UpConvolution(in_channels, out_channels)
    if how == "nearest":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(in_channels, out_channels, 3, padding=1))
    raise unknown_name("up-sampling", how, ("transpose", "nearest"))


class UpConvolution(nn.ConvTranspose2d):
    """A 2x2 transposed convolution of stride 2, which doubles the size.

    The four outputs of a pixel do not overlap, so it is one matrix product and a permutation; on a CPU that takes
    half the time of PyTorch's general transposed convolution.
    """

    bias: nn.Parameter

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2, stride=2)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]  # the output size is always twice the input's
        """Give (N, out_channels, 2 H, 2 W) for (N, in_channels, H, W)."""
        if images.is_cuda:
            return super().forward(images)
        num, _, height, width = images.shape
        weight = self.weight.permute(2, 3, 1, 0).reshape(4 * self.out_channels, self.in_channels)
        pixels = F.linear(images.permute(0, 2, 3, 1), weight, self.bias.repeat(4))
        pixels = pixels.view(num, height, width, 2, 2, self.out_channels).permute(0, 1, 3, 2, 4, 5)
        return pixels.reshape(num, 2 * height, 2 * width, self.out_channels).permute(0, 3, 1, 2)


class UNet(FreezableEncoder):
    """U-Net from images (N, C, H, W) to logits (N, num_classes, H, W); H and W are multiples of 16.

    The defaults have 7,759,521 weights: five levels, biases, no normalization, 2x2 transposed convolutions
    (Melinscak 2020, II.B). `norm="batch"` and `dropout` give Hu 2018's network, whose sizes are not reported.
    One `dropout` rate acts in the bottleneck and the decoder; a list gives each of the nine blocks its own,
    in the order of the network. With `dropout_between` they act where Melinscak 2020's code has them
    commented out, with 0.1, 0.1, 0.2, 0.2, 0.3, 0.2, 0.2, 0.1, 0.1.

    >>> sum(weight.numel() for weight in UNet().parameters())
    7759521
    >>> UNet(in_channels=3, num_classes=2, widths=(8, 16, 32), norm="batch")(torch.zeros(4, 3, 32, 48)).shape
    torch.Size([4, 2, 32, 48])
    """

    encoder: Encoder

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        widths: Sequence[int] = WIDTHS,
        norm: Norm = None,
        dropout: Rates = 0.0,
        up: Up = "transpose",
        dropout_between: bool = False,
    ) -> None:
        super().__init__()
        down_rates, up_rates = _split_rates(dropout, len(widths))
        self.encoder = Encoder(in_channels, widths, norm, down_rates, dropout_between)
        self.decoder = Decoder(widths, norm, up_rates, up, dropout_between)
        self.head = nn.Conv2d(widths[0], num_classes, 1)
        init_glorot(self)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits at the size of the images."""
        check_sides(images, 2 ** (len(self.encoder.widths) - 1))
        return self.head(self.decoder(self.encoder(images)))


def _split_rates(dropout: Rates, num_levels: int) -> tuple[Rates, Rates]:
    """Divide dropout between the encoder and the decoder, from one rate or from one per block."""
    if isinstance(dropout, int | float):
        return dropout, dropout
    if len(dropout) != 2 * num_levels - 1:
        raise UsageError(f"dropout has {len(dropout)} rates; it takes one or {2 * num_levels - 1}, one per block")
    return dropout[:num_levels], dropout[num_levels:]


def check_sides(images: Tensor, multiple: int) -> None:
    """Raise UsageError if a side of the images cannot be halved often enough."""
    height, width = images.shape[-2:]
    if height % multiple or width % multiple:
        raise UsageError(f"images of {height}x{width} do not fit: pad both sides to multiples of {multiple}")


def init_glorot(model: nn.Module) -> None:
    """Initialize all convolutions and dense layers as Keras does: Glorot uniform, zero biases."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
