"""Two networks in a row: a localizer finds the structure, and a U-Net looks at a window around that place."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retina_kit.models.localizer import Localizer
from retina_kit.models.unet import WIDTHS, Norm, Rates, UNet

OUTSIDE = -20.0  # the logit of pixels outside the window: a probability of 2e-9


class LocalizeThenSegment(nn.Module):
    """Whole images (N, C, H, W) to logits (N, num_classes, H, W), by way of a window around the predicted center.

    Hu 2018 transfers the localizer's features to the U-Net; this network, which is ours, uses its output:
    the image is reduced to the localizer's `input_size`, the localizer predicts the center, and the U-Net sees
    `window` (height, width) pixels of the image around it, at full size. Pixels outside the window are
    background. `localizer` is the table of a `Localizer`; `freeze_localizer` keeps a trained one as it is. Its
    output is a place to cut at, so no gradient reaches it either way.

    >>> small = {"widths": (4, 4, 8), "window": (16, 16), "localizer": {"input_size": (16, 32), "hidden": 0}}
    >>> logits = LocalizeThenSegment(**small).eval()(torch.zeros(1, 3, 32, 64))
    >>> logits.shape, int((logits != OUTSIDE).sum())
    (torch.Size([1, 1, 32, 64]), 256)
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        widths: Sequence[int] = WIDTHS,
        norm: Norm = "batch",
        dropout: Rates = 0.0,
        window: Sequence[int] = (128, 128),
        localizer: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.window = tuple(window)
        of_both: dict[str, Any] = {"in_channels": in_channels, "widths": widths, "norm": norm}
        self.localizer = Localizer(**of_both | dict(localizer or {}))
        self.unet = UNet(in_channels, num_classes, widths, norm, dropout)
        self.localizer_is_frozen = False

    def forward(self, images: Tensor) -> Tensor:
        """Give logits at the size of the images."""
        rows, columns = self.places(images)
        which = torch.arange(len(images), device=images.device)[:, None, None]
        windows = images.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)
        logits = self.unet(windows.contiguous())
        whole = logits.new_full((len(images), *images.shape[-2:], logits.shape[1]), OUTSIDE)
        whole = whole.index_put((which, rows, columns), logits.permute(0, 2, 3, 1))
        return whole.permute(0, 3, 1, 2)

    @torch.no_grad()
    def places(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give the rows (N, h, 1) and columns (N, 1, w) of the windows, all of them inside the images."""
        height, width = images.shape[-2:]
        tall, wide = min(self.window[0], height), min(self.window[1], width)
        x, y = self.localizer(F.interpolate(images, self.localizer.input_size, mode="area")).float().T
        top = (y * height - tall / 2).round().long().clamp(0, height - tall)
        left = (x * width - wide / 2).round().long().clamp(0, width - wide)
        rows = top[:, None] + torch.arange(tall, device=images.device)
        columns = left[:, None] + torch.arange(wide, device=images.device)
        return rows[:, :, None], columns[:, None, :]

    def freeze_localizer(self) -> Self:
        """Freeze the localizer's weights and, through `train`, its BatchNorm statistics."""
        self.localizer.requires_grad_(False)
        self.localizer_is_frozen = True
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen localizer stays in evaluation mode."""
        super().train(mode)
        if self.localizer_is_frozen:
            self.localizer.eval()
        return self
