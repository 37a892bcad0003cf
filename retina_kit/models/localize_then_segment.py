"""Two networks in a row: a localizer says where the structure is, a U-Net looks at a window around that place."""

import torch
import torch.nn.functional as F
from torch import nn

from retina_kit.models.localizer import Localizer
from retina_kit.models.unet import WIDTHS, UNet

OUTSIDE = -20.0  # the logit of pixels outside the window: a probability of 2e-9


class LocalizeThenSegment(nn.Module):
    """Whole images (N, C, H, W) to logits (N, num_classes, H, W), by way of a window around the found center.

    Hu 2018 hands the localizer's features on to the U-Net; this network, which is ours, hands its answer on:
    the image is reduced to the localizer's `input_size`, the localizer says the center, and the U-Net sees
    `window` (height, width) pixels of the image around it, at full size. Pixels outside the window are
    background. `localizer` is the table of a `Localizer`; `freeze_localizer` keeps a trained one as it is. Its
    answer is a place to cut at, so no gradient reaches it either way.
    """

    def __init__(self, in_channels=3, num_classes=1, widths=WIDTHS, norm="batch", dropout=0.0, window=(128, 128),
                 localizer=None):  # fmt: skip
        super().__init__()
        self.window = tuple(window)
        self.localizer = Localizer(**{"in_channels": in_channels, "widths": widths, "norm": norm} | (localizer or {}))
        self.unet = UNet(in_channels, num_classes, widths, norm, dropout)
        self.localizer_is_frozen = False

    def forward(self, images):
        """Return logits at the size of the images."""
        rows, columns = self.places(images)
        which = torch.arange(len(images), device=images.device)[:, None, None]
        windows = images.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)
        logits = self.unet(windows.contiguous(memory_format=torch.channels_last))
        whole = logits.new_full((len(images), *images.shape[-2:], logits.shape[1]), OUTSIDE)
        whole = whole.index_put((which, rows, columns), logits.permute(0, 2, 3, 1))
        return whole.permute(0, 3, 1, 2)

    @torch.no_grad()
    def places(self, images):
        """Return the rows (N, h, 1) and columns (N, 1, w) of the windows, all of them inside the images."""
        height, width = images.shape[-2:]
        tall, wide = min(self.window[0], height), min(self.window[1], width)
        x, y = self.localizer(F.interpolate(images, self.localizer.input_size, mode="area")).float().T
        top = (y * height - tall / 2).round().long().clamp(0, height - tall)
        left = (x * width - wide / 2).round().long().clamp(0, width - wide)
        rows = top[:, None] + torch.arange(tall, device=images.device)
        columns = left[:, None] + torch.arange(wide, device=images.device)
        return rows[:, :, None], columns[:, None, :]

    def freeze_localizer(self):
        """Freeze the localizer's weights and, through `train`, its BatchNorm statistics."""
        self.localizer.requires_grad_(False)
        self.localizer_is_frozen = True
        return self.train(self.training)

    def train(self, mode=True):
        """Set training mode; a frozen localizer stays in evaluation mode."""
        super().train(mode)
        if self.localizer_is_frozen:
            self.localizer.eval()
        return self
