"""The U-Net's encoder with a fully connected head that predicts a structure's center (Hu 2018, 2.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from retina_kit.errors import UsageError
from retina_kit.models.freezing import FreezableEncoder
from retina_kit.models.unet import WIDTHS, Encoder, Norm, Rates, check_sides, init_glorot


class Localizer(FreezableEncoder):
    """Images (N, C, H, W) to centers (N, 2): x and y as fractions of the image's width and height.

    (0, 0) is the top left corner of the image, (1, 1) the bottom right one. `encoder` is a U-Net's, with the same
    names: its weights fit a `UNet` of the same widths and norm. `input_size` is (H, W), which the flattened head
    needs to know; `pool` averages the deepest features over a pool x pool grid first (0: all of them are flattened).

    The paper calls its dense layers linear and reports neither their number nor their width: ours are one of
    `hidden` units with ReLU and one of 2 without, or with `hidden=0` a single linear layer. Centers outside the
    image are possible. The head predicts `output_scale` times the fraction and starts at the image's middle. The
    paper's errors are in pixels, so a scale of several hundred: RMSprop and Adam take equally large steps for every
    weight, so with a scale of 1 the thousands of inputs that move together throw the output far off.

    >>> Localizer(widths=(4, 8), input_size=(32, 48), output_scale=400.0)(torch.zeros(5, 1, 32, 48)).shape
    torch.Size([5, 2])
    """

    encoder: Encoder

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = WIDTHS,
        norm: Norm = "batch",
        dropout: Rates = 0.0,
        input_size: Sequence[int] = (256, 256),
        hidden: int = 256,
        pool: int = 0,
        output_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.input_size, self.output_scale = tuple(input_size), output_scale
        if pool < 0 or hidden < 0:
            raise UsageError(f"pool is {pool} and hidden is {hidden}; both are 0 or more")
        self.encoder = Encoder(in_channels, widths, norm, dropout)
        shrink = 2 ** (len(widths) - 1)
        cells = pool**2 if pool else (self.input_size[0] // shrink) * (self.input_size[1] // shrink)
        pooling = [nn.AdaptiveAvgPool2d(pool)] if pool else []
        dense = [nn.Linear(cells * widths[-1], hidden), nn.ReLU(inplace=True)] if hidden else []
        last = nn.Linear(hidden or cells * widths[-1], 2)
        self.head = nn.Sequential(*pooling, nn.Flatten(), *dense, last)
        init_glorot(self)
        nn.init.constant_(last.bias, output_scale / 2)

    def forward(self, images: Tensor) -> Tensor:
        """Predict the centers (x, y) of the images."""
        check_sides(images, 2 ** (len(self.encoder.widths) - 1))
        if tuple(images.shape[-2:]) != self.input_size:
            raise UsageError(f"this localizer takes {self.input_size} images, not {tuple(images.shape[-2:])}")
        features = self.encoder(images)[-1]
        kind = "cpu" if features.is_meta else features.device.type
        with torch.autocast(kind, enabled=False):  # bfloat16 resolves a fraction to 1/256 only
            return self.head(features.to(self.head[-1].weight.dtype)) / self.output_scale
