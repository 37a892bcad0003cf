"""UNet-S5-D16, the vessel network of MMSegmentation's model zoo that Huang 2023 tuned for macular fluid."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_kit.errors import unknown_name
from retina_kit.models.heads import ASPPHead, ConvUnit, FCNHead, PSPHead
from retina_kit.models.model_zoo import load_zoo_checkpoint
from retina_kit.models.unet import check_sides

HEADS: dict[str, type[FCNHead] | type[PSPHead] | type[ASPPHead]] = {"fcn": FCNHead, "psp": PSPHead, "aspp": ASPPHead}


class UpUnit(nn.Module):
    """Bilinear doubling, 1x1 convolution to the skip's channels, concatenation [skip, up], two more."""

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.reduce = ConvUnit(in_channels, skip_channels, 1)
        self.convs = nn.Sequential(ConvUnit(2 * skip_channels, skip_channels), ConvUnit(skip_channels, skip_channels))

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Give features at the size and with the channels of the skip."""
        up = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
        return self.convs(torch.cat([skip, self.reduce(up)], dim=1))


class Backbone(nn.Module):
    """Five stages down and four up; gives the last two feature maps, at half and at full size."""

    def __init__(self, in_channels: int = 3, base_width: int = 64) -> None:
        super().__init__()
        widths = [base_width * 2**stage for stage in range(5)]
        self.stages = nn.ModuleList(
            nn.Sequential(ConvUnit(before, after), ConvUnit(after, after))
            for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.ups = nn.ModuleList(UpUnit(widths[k + 1], widths[k]) for k in reversed(range(4)))
        self.pool = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give features at half size (2 x base_width channels) and at full size (base_width channels)."""
        skips = [self.stages[0](images)]
        for stage in self.stages[1:]:
            skips.append(stage(self.pool(skips[-1])))
        current, outputs = skips[-1], []
        for up, skip in zip(self.ups, reversed(skips[:-1]), strict=True):
            current = up(current, skip)
            outputs.append(current)
        return outputs[-2], outputs[-1]


class UNetS5D16(nn.Module):
    """Images (N, C, H, W) to logits (N, num_classes, H, W), with a second, auxiliary head for training.

    With `base_width` 64 and three input channels the networks have 29,060,676 (fcn), 29,046,276 (psp) and
    29,064,996 (aspp) weights, auxiliary head included. Narrower ones keep 16 channels in PSP and ASPP.
    "aspp" is DeepLabV3, which Huang 2023 calls DeepLabV3+. `weights` is the path of a checkpoint of the model zoo,
    which the paper started from.

    >>> UNetS5D16("psp", base_width=4).eval()(torch.zeros(1, 3, 32, 48)).shape
    torch.Size([1, 2, 32, 48])
    """

    def __init__(
        self,
        head: str = "fcn",
        in_channels: int = 3,
        num_classes: int = 2,
        base_width: int = 64,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise unknown_name("head", head, HEADS)
        channels = base_width if head == "fcn" else max(16, base_width // 4)
        self.backbone = Backbone(in_channels, base_width)
        self.decode_head = HEADS[head](base_width, channels, num_classes)
        self.auxiliary_head = FCNHead(2 * base_width, base_width, num_classes)
        init_kaiming(self)
        if weights:  # an arm's table writes "" for none
            load_zoo_checkpoint(self, head, weights)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits at the size of the images."""
        check_sides(images, 16)
        return self.decode_head(self.backbone(images)[1])

    def forward_with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give the logits and those of the auxiliary head, both at the size of the images."""
        check_sides(images, 16)
        half, full = self.backbone(images)
        auxiliary = F.interpolate(self.auxiliary_head(half), scale_factor=2, mode="bilinear", align_corners=False)
        return self.decode_head(full), auxiliary


def init_kaiming(model: nn.Module) -> None:
    """Initialize convolutions with Kaiming normal (fan out, ReLU) and classifiers with a normal of SD 0.01."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # torch loads its compiler to fill those
            if module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
