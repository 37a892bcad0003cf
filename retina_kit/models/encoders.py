"""The VGG-like and ResNet-like encoders of Ortiz 2022, as its code has them, and the choice of one by name.

An encoder takes images (N, C, H, W), both sides multiples of 32, and returns five features: at 1/2, 1/4, 1/8,
1/16 and 1/32 of the size, with the channels that its attribute `channels` lists. `classification_head` gives
what its classifier has on top of the last. `width` scales all channels.

Keras's conventions hold throughout: BatchNorm with eps 1e-3 and momentum 0.01 (0.99 in Keras's terms), biases even
before BatchNorm. Counts that include BatchNorm's running means and variances, as Keras's do, are 14,220,595
(VGG-like) and 26,104,265 (ResNet-like) with attention, 14,140,480 and 23,587,712 without.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from retina_kit.errors import SetupError, UsageError, unknown_name
from retina_kit.models.attention import make_attention
from retina_kit.models.efficientnet import EfficientNetLite0Encoder
from retina_kit.models.unet import init_glorot

if TYPE_CHECKING:
    from retina_kit.models.standard_encoders import ResNet50Encoder, VGG16Encoder

ENCODERS = ("vgg_like", "resnet_like", "vgg16", "resnet50", "efficientnet_lite0")
AnyEncoder: TypeAlias = "VGGLikeEncoder | ResNetLikeEncoder | VGG16Encoder | ResNet50Encoder | EfficientNetLite0Encoder"


def make_encoder(
    name: str,
    *,
    attention: str = "none",
    width: float = 1.0,
    in_channels: int = 3,
    weights: str | None = None,
) -> AnyEncoder:
    """Build an encoder: "vgg_like" and "resnet_like" as published, "vgg16" and "resnet50" as torchvision has them.

    `weights` is a file of ImageNet weights for the latter two, which have neither `width` nor `in_channels`;
    "efficientnet_lite0" takes "imagenet" for those of its package, too.

    >>> make_encoder("vgg_like", width=1 / 8).channels
    (16, 32, 64, 64, 64)
    """
    weights = weights or None  # an arm's table writes "" for none
    if name in ("vgg16", "resnet50", "efficientnet_lite0"):
        if in_channels != 3:
            raise UsageError(f"encoder {name!r} takes 3 channels, not {in_channels}; repeat the gray channel")
        if name == "efficientnet_lite0":
            if attention != "none":
                raise UsageError(f"encoder {name!r} has no attention, so not {attention!r}")
            return EfficientNetLite0Encoder(weights)
        return _make_standard_encoder(name, attention, weights)
    if name not in ENCODERS:
        raise unknown_name("encoder", name, ENCODERS)
    if weights is not None:
        raise UsageError(f"encoder {name!r} has no public weights; vgg16, resnet50 and efficientnet_lite0 have")
    kind = VGGLikeEncoder if name == "vgg_like" else ResNetLikeEncoder
    return kind(in_channels, width, attention)


def _make_standard_encoder(name: str, attention: str, weights: str | None) -> "VGG16Encoder | ResNet50Encoder":
    """Build one of torchvision's encoders; SetupError if torchvision is not there or belongs to another torch."""
    try:
        from retina_kit.models import standard_encoders  # takes more than a second, and only these two need it
    except (ImportError, RuntimeError) as error:  # RuntimeError: "operator torchvision::nms does not exist"
        remedy = "pip install 'retina-kit[encoders]'"
        raise SetupError(f"encoder {name!r} needs a torchvision that fits this torch ({error}): {remedy}") from error
    if name == "vgg16":
        return standard_encoders.VGG16Encoder(attention, weights)
    return standard_encoders.ResNet50Encoder(attention, weights)


def keras_norm(channels: int) -> nn.BatchNorm2d:
    """Build a BatchNorm with Keras's defaults."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def set_norm_momentum(model: nn.Module, momentum: float | None) -> None:
    """Set how much of every BatchNorm's running mean and variance a step replaces; None leaves them as built.

    With the published 0.01 a run of a hundred steps ends with running statistics that are still a third of
    their start, and may predict badly although it has learned: short runs take 0.1.
    """
    for module in model.modules():
        if momentum is not None and isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum


class ConvReluNorm(nn.Sequential):
    """3x3 convolution, ReLU, BatchNorm, in this order (Ortiz 2022, the code)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            keras_norm(out_channels),
        )


def scaled(channels: int, width: float) -> int:
    """Multiply a number of channels by a width; the result is at least 1.

    >>> scaled(64, 1 / 8), scaled(4, 1 / 8)
    (8, 1)
    """
    return max(1, round(channels * width))


class VGGLikeEncoder(nn.Module):
    """Five blocks of 2, 2, 2, 3, 3 convolutions, one less than VGG-16, each with 3x3 pooling of stride 2.

    Features are taken before the pooling of blocks 2 to 5, and after the last one with its attention.
    """

    def __init__(self, in_channels: int = 3, width: float = 1.0, attention: str = "none") -> None:
        super().__init__()
        self.width = width
        widths = [scaled(channels, width) for channels in (64, 128, 256, 512, 512)]
        self.channels = (*widths[1:], widths[-1])
        self.blocks = nn.ModuleList()
        for before, after, num_convs in zip([in_channels, *widths], widths, (2, 2, 2, 3, 3), strict=False):
            convs = [ConvReluNorm(before if k == 0 else after, after) for k in range(num_convs)]
            self.blocks.append(nn.Sequential(*convs))
        # Keras's "same" pads even sides at the right and bottom only; ceil_mode lets windows hang over there
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.attentions = nn.ModuleList(make_attention(attention, channels) for channels in widths)
        init_glorot(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Give five features, the finest, at half size, first."""
        current, features = images, []
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            features.append(block(current))
            current = attention(self.pool(features[-1]))
        return [*features[1:], current]

    def classification_head(self, input_size: Sequence[int], num_outputs: int = 1) -> nn.Sequential:
        """Build the dense head for images of `input_size` (H, W): 4096, 4096, 1024 and the outputs."""
        height, width = input_size
        sizes = [self.channels[-1] * (height // 32) * (width // 32)]
        sizes += [scaled(neurons, self.width) for neurons in (4096, 4096, 1024)]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], num_outputs))


class ResidualBlock(nn.Module):
    """1x1, 3x3 and 1x1 convolutions next to a shortcut, as published: ReLU also before the addition.

    With a `stride` the shortcut is a convolution, and dropout acts after the last BatchNorm and again after
    its ReLU; without one the shortcut is the input, and it acts after the second and the last BatchNorm.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int, stride: int | None = None) -> None:
        super().__init__()
        projects = stride is not None
        first = [nn.Conv2d(in_channels, channels, 1, stride=stride or 1), keras_norm(channels), nn.ReLU()]
        second = [nn.Conv2d(channels, channels, 3, padding=1), keras_norm(channels), nn.ReLU()]
        third = [nn.Conv2d(channels, out_channels, 1), keras_norm(out_channels), nn.Dropout(0.4), nn.ReLU()]
        if projects:
            third.append(nn.Dropout(0.4))  # written below the shortcut in the code, but acts on this path
        else:
            second.insert(2, nn.Dropout(0.4))
        self.convs = nn.Sequential(*first, *second, *third)
        self.shortcut: nn.Module = nn.Identity()
        if projects:
            shortcut_conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride or 1)
            self.shortcut = nn.Sequential(shortcut_conv, keras_norm(out_channels), nn.ReLU())
        self.relu = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Add the block's features to the shortcut's."""
        return self.relu(self.convs(features) + self.shortcut(features))


class ResNetLikeEncoder(nn.Module):
    """A stem and four stages of 3, 4, 6, 3 residual blocks; attention after all but the last of stage 3.

    Features are taken after the stem's ReLU and after every stage. Stages are numbered from 2, as published.
    """

    def __init__(self, in_channels: int = 3, width: float = 1.0, attention: str = "none") -> None:
        super().__init__()
        inner = [scaled(channels, width) for channels in (64, 128, 256, 512)]
        outer = [scaled(channels, width) for channels in (256, 512, 1024, 2048)]
        self.channels = (inner[0], *outer)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, inner[0], 7, stride=2, padding=3), keras_norm(inner[0]), nn.ReLU()
        )
        self.pool = nn.MaxPool2d(2)
        self.stages = nn.ModuleList()
        for k, num_blocks in enumerate((3, 4, 6, 3)):
            blocks = [ResidualBlock(self.channels[k], inner[k], outer[k], stride=1 if k == 0 else 2)]
            blocks += [ResidualBlock(outer[k], inner[k], outer[k]) for _ in range(num_blocks - 1)]
            attentions = [make_attention(attention, outer[k]) for _ in blocks]
            if k == 1:
                attentions[-1] = nn.Identity()  # the code leaves this one out
            pairs = zip(blocks, attentions, strict=True)
            self.stages.append(nn.Sequential(*itertools.chain.from_iterable(pairs)))
        init_glorot(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Give five features, the finest, at half size, first."""
        features = [self.stem(images)]
        current = self.pool(features[0])
        for stage in self.stages:
            current = stage(current)
            features.append(current)
        return features

    def classification_head(self, input_size: Sequence[int], num_outputs: int = 1) -> nn.Sequential:
        """Build the head for images of `input_size` (H, W): 2x2 means, dropout and one dense layer."""
        cells = -(-input_size[0] // 64) * -(-input_size[1] // 64)
        pool = nn.AvgPool2d(2, ceil_mode=True)  # as Keras's "same": what hangs over the edge does not count
        dense = nn.Linear(self.channels[-1] * cells, num_outputs)
        return nn.Sequential(pool, nn.Flatten(), nn.Dropout(0.6), dense)

    def l2_penalty(self) -> Tensor:
        """Sum the squared kernels of stages 4 and 5, times 0.01: what Keras adds to the loss."""
        blocks = [block for block in self.stages[2:].modules() if isinstance(block, ResidualBlock)]
        convs = [conv for block in blocks for conv in block.modules() if isinstance(conv, nn.Conv2d)]
        return 0.01 * torch.stack([conv.weight.square().sum() for conv in convs]).sum()
