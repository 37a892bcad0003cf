"""The U-Net of Ronneberger et al. 2015 in the width and depth of Melinscak 2020 and, with options, of Hu 2018."""

import itertools

import torch
from torch import nn

from retina_kit.errors import UsageError

WIDTHS = (32, 64, 128, 256, 512)


class Block(nn.Sequential):
    """Two 3x3 convolutions, each followed by BatchNorm (where `norm` is "batch") and ReLU.

    `dropout` acts after the second activation, or between the two convolutions where `dropout_between` is true.
    """

    def __init__(self, in_channels, out_channels, norm=None, dropout=0.0, dropout_between=False):
        first, second = [], []
        for layers, channels in ((first, in_channels), (second, out_channels)):
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=1))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU(inplace=True))
        drop = [nn.Dropout(dropout)] if dropout else []
        super().__init__(*first, *(drop if dropout_between else []), *second, *([] if dropout_between else drop))


class Encoder(nn.Module):
    """The contracting half: one block a level, 2x2 max-pooling between them."""

    def __init__(self, in_channels=1, widths=WIDTHS, norm=None, dropout=0.0, **options):
        super().__init__()
        self.widths = tuple(widths)
        channels = [in_channels, *widths]
        drops = [0.0] * (len(widths) - 1) + [dropout]  # the bottleneck only
        self.blocks = nn.ModuleList(
            Block(before, after, norm, drop, **options)
            for (before, after), drop in zip(itertools.pairwise(channels), drops, strict=True)
        )
        self.pool = nn.MaxPool2d(2)

    def forward(self, images):
        """Return the features of every level, the finest first; images are (N, C, H, W)."""
        features = [self.blocks[0](images)]
        for block in self.blocks[1:]:
            features.append(block(self.pool(features[-1])))
        return features


class Decoder(nn.Module):
    """The expanding half: up-sampling to half the channels, concatenation [up, skip], one block a level."""

    def __init__(self, widths=WIDTHS, norm=None, dropout=0.0, up="transpose", **options):
        super().__init__()
        levels = list(reversed(list(itertools.pairwise(widths))))
        self.ups = nn.ModuleList(_make_up(deep, shallow, up) for shallow, deep in levels)
        self.blocks = nn.ModuleList(Block(2 * shallow, shallow, norm, dropout, **options) for shallow, _ in levels)

    def forward(self, features):
        """Return features at the size of the picture from those of every level, the finest first."""
        current = features[-1]
        for up, block, skip in zip(self.ups, self.blocks, reversed(features[:-1]), strict=True):
            current = block(torch.cat([up(current), skip], dim=1))
        return current


def _make_up(in_channels, out_channels, how):
    """Return what doubles the size: a 2x2 transposed convolution, or nearest neighbours and a 3x3 convolution."""
    if how == "transpose":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
    if how == "nearest":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(in_channels, out_channels, 3, padding=1))
    raise UsageError(f"up-sampling {how!r} is not one of transpose, nearest")


class UNet(nn.Module):
    """U-Net from images (N, C, H, W) to logits (N, num_classes, H, W); H and W are multiples of 16.

    The defaults have 7,759,521 weights: five levels, biases, no normalisation, 2x2 transposed convolutions
    (Melinscak 2020, II.B). `norm="batch"` and `dropout` give Hu 2018's network, whose sizes are not printed.
    """

    def __init__(self, in_channels=1, num_classes=1, widths=WIDTHS, norm=None, dropout=0.0, up="transpose"):
        super().__init__()
        self.encoder = Encoder(in_channels, widths, norm, dropout)
        self.decoder = Decoder(widths, norm, dropout, up)
        self.head = nn.Conv2d(widths[0], num_classes, 1)
        self.encoder_is_frozen = False
        init_glorot(self)

    def forward(self, images):
        """Return logits at the size of the images."""
        check_sides(images, 2 ** (len(self.encoder.widths) - 1))
        return self.head(self.decoder(self.encoder(images)))

    def freeze_encoder(self):
        """Freeze the encoder's weights and, through `train`, its BatchNorm statistics."""
        self.encoder.requires_grad_(False)
        self.encoder_is_frozen = True
        return self.train(self.training)

    def train(self, mode=True):
        """Set training mode; a frozen encoder stays in evaluation mode, so that its statistics do not drift."""
        super().train(mode)
        if self.encoder_is_frozen:
            self.encoder.eval()
        return self


def check_sides(images, multiple):
    """Raise where a side of the images cannot be halved often enough."""
    height, width = images.shape[-2:]
    if height % multiple or width % multiple:
        raise UsageError(f"pictures of {height}x{width} do not fit: both sides must be multiples of {multiple}")


def init_glorot(model):
    """Draw all convolutions and dense layers as Keras does: Glorot uniform, zero biases."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
