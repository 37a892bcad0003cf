"""VGG-16 and ResNet-50 of torchvision as encoders, with ImageNet weights from a file on your disk.

They take RGB images (N, 3, H, W), for ImageNet weights normalized by ImageNet's mean and SD, and return the
features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size, as the encoders in `encoders` do.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, VGG16_Weights
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.vgg import cfgs, make_layers

from retina_kit.errors import DataError, UsageError
from retina_kit.models.attention import CBAM, make_attention
from retina_kit.models.tensor_files import read_tensors


class VGG16Encoder(nn.Module):
    """The 13 convolutions of VGG-16; features before the pooling of blocks 2 to 5 and after the last one.

    With attention "cbam" a CBAM follows every pooling.
    """

    channels = (128, 256, 512, 512, 512)

    def __init__(self, attention: str = "none", weights: str | Path | None = None) -> None:
        super().__init__()
        _check_attention(attention)
        self.features = make_layers(cfgs["D"], batch_norm=False)
        for module in self.features:
            if isinstance(module, nn.Conv2d) and module.bias is not None:  # initialized as in torchvision
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
        self.attentions = nn.ModuleList(make_attention(attention, c) for c in (64, 128, 256, 512, 512))
        if weights is not None:
            load_weights(self, weights, VGG16_Weights.IMAGENET1K_V1.url)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Give five features, the finest, at half size, first."""
        features: list[Tensor] = []
        current, attentions = images, iter(self.attentions)
        for module in self.features:
            if isinstance(module, nn.MaxPool2d):
                features.append(current)
                current = next(attentions)(module(current))
            else:
                current = module(current)
        return [*features[1:], current]

    def classification_head(self, input_size: Sequence[int], num_outputs: int = 1) -> nn.Sequential:
        """Build VGG-16's own head: 7x7 means, 4096, 4096 and the outputs, for images of any size."""
        return nn.Sequential(
            *[nn.AdaptiveAvgPool2d(7), nn.Flatten()],
            *[nn.Linear(512 * 49, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)],
            *[nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)],
            nn.Linear(4096, num_outputs),
        )


class AttentiveBottleneck(Bottleneck):
    """ResNet's block with a CBAM on its last convolution, before the addition (Woo et al. 2018, figure 3)."""

    def __init__(self, inplanes: int, planes: int, *arguments: Any, **options: Any) -> None:
        super().__init__(inplanes, planes, *arguments, **options)
        self.attention = CBAM(planes * self.expansion)

    def forward(self, features: Tensor) -> Tensor:
        """Add the block's features, weighed by the attention, to the shortcut's."""
        current = self.relu(self.bn1(self.conv1(features)))
        current = self.relu(self.bn2(self.conv2(current)))
        current = self.attention(self.bn3(self.conv3(current)))
        shortcut = features if self.downsample is None else self.downsample(features)
        return self.relu(current + shortcut)


class ResNet50Encoder(ResNet):
    """The stem and the four stages of ResNet-50; features after the stem's ReLU and after every stage."""

    channels = (64, 256, 512, 1024, 2048)

    def __init__(self, attention: str = "none", weights: str | Path | None = None) -> None:
        _check_attention(attention)
        super().__init__(AttentiveBottleneck if attention == "cbam" else Bottleneck, [3, 4, 6, 3])
        del self.avgpool, self.fc
        if weights is not None:
            load_weights(self, weights, ResNet50_Weights.IMAGENET1K_V2.url)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Give five features, the finest, at half size, first."""
        features = [self.relu(self.bn1(self.conv1(images)))]
        current = self.maxpool(features[0])
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            current = stage(current)
            features.append(current)
        return features

    def classification_head(self, input_size: Sequence[int], num_outputs: int = 1) -> nn.Sequential:
        """Build ResNet-50's own head: the mean over space and one dense layer, for images of any size."""
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, num_outputs))


def load_weights(encoder: nn.Module, path: str | Path, origin: str) -> None:
    """Load torchvision's weights from a safetensors or a PyTorch file; attention and heads stay as they are.

    Only tensors are read, never pickled code. `origin` is the address of the file for messages. Raises DataError if
    a tensor is missing or has another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no weights file {path}; download {origin} and give its path")
    given = read_tensors(path)
    own = {name: tensor for name, tensor in encoder.state_dict().items() if "attention" not in name}
    own = {name: tensor for name, tensor in own.items() if not name.endswith("num_batches_tracked")}
    for name, tensor in own.items():
        if name not in given or given[name].shape != tensor.shape:
            raise DataError(f"{path} does not hold {name} of shape {tuple(tensor.shape)}; expected {origin}")
    encoder.load_state_dict({name: given[name] for name in own}, strict=False)


def _check_attention(attention: str) -> None:
    """Raise UsageError for an attention that the standard networks do not have."""
    if attention not in ("none", "cbam"):
        raise UsageError(f"vgg16 and resnet50 have attention 'none' or 'cbam', not {attention!r}")
