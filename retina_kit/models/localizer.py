"""The U-Net's encoder with a fully connected head that says where a structure's center is (Hu 2018, 2.2)."""

import torch
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.models.freezing import FreezableEncoder
from retina_kit.models.unet import WIDTHS, Encoder, check_sides, init_glorot


class Localizer(FreezableEncoder):
    """Images (N, C, H, W) to centers (N, 2): x and y as fractions of the image's width and height.

    (0, 0) is the top left corner of the image and (1, 1) the bottom right one, so that pixels are x * W and
    y * H. The answer is linear: a center outside the image is possible. `input_size` is (H, W), which
    the flattened head needs to know.

    `encoder` is a U-Net's, with the same names: its weights fit a `UNet` of the same widths and norm. The
    paper prints neither the number nor the width of its dense layers, and calls them linear; ours is one
    of `hidden` units with ReLU and one of 2 without, and `hidden=0` is a single linear layer. `pool`
    averages the deepest features over a pool x pool grid before they are flattened; 0 flattens all of them.

    Inside, the head counts in `output_scale` to a side, and starts at the image's middle. The paper's errors are
    in pixels, so several hundred of them: steps of RMSprop and Adam are as large for every weight whatever the
    gradient, and thousands of inputs that move together throw a head that counts in fractions far out.
    """

    def __init__(self, in_channels=1, widths=WIDTHS, norm="batch", dropout=0.0, input_size=(256, 256),
                 hidden=256, pool=0, output_scale=1.0):  # fmt: skip
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

    def forward(self, images):
        """Return the centers (x, y) of the images."""
        check_sides(images, 2 ** (len(self.encoder.widths) - 1))
        if tuple(images.shape[-2:]) != self.input_size:
            raise UsageError(f"this localizer takes {self.input_size} images, not {tuple(images.shape[-2:])}")
        features = self.encoder(images)[-1]
        kind = "cuda" if features.is_cuda else "cpu"
        with torch.autocast(kind, enabled=False):  # bfloat16 knows a fraction to 1/256 only
            return self.head(features.to(self.head[-1].weight.dtype)) / self.output_scale
