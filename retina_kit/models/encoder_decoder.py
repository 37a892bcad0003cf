"""Which pixels belong to a lesion? An encoder with the decoder of Ortiz 2022, stage 2, as its code has it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from retina_kit.models.encoders import AnyEncoder, ConvReluNorm, make_encoder, scaled, set_norm_momentum
from retina_kit.models.freezing import FreezableEncoder
from retina_kit.models.unet import check_sides, init_glorot

STEPS = ((3, 1024, 512), (3, 1024, 512), (2, 512, 256), (2, 256, 128), (2, 128, 64))  # convolutions, channels, out


class UpStep(nn.Sequential):
    """Convolutions, a 3x3 transposed convolution of stride 1 without activation, doubling by repetition."""

    def __init__(self, num_convs: int, in_channels: int, channels: int, out_channels: int) -> None:
        convs = [ConvReluNorm(in_channels if k == 0 else channels, channels) for k in range(num_convs)]
        up = [nn.ConvTranspose2d(channels, out_channels, 3, padding=1), nn.Upsample(scale_factor=2)]
        super().__init__(*convs, *up)


class SkipDecoder(nn.Module):
    """Five doublings, the first four with concatenation [up, skip], and two convolutions at full size."""

    def __init__(self, encoder_channels: Sequence[int], width: float = 1.0) -> None:
        super().__init__()
        skips = [*reversed(encoder_channels[:-1]), 0]
        in_channels = encoder_channels[-1]
        self.steps = nn.ModuleList()
        for (num_convs, channels, up_channels), skip in zip(STEPS, skips, strict=True):
            up_channels = scaled(up_channels, width)
            self.steps.append(UpStep(num_convs, in_channels, scaled(channels, width), up_channels))
            in_channels = up_channels + skip
        self.out_channels = scaled(32, width)
        self.last = nn.Sequential(
            ConvReluNorm(in_channels, scaled(64, width)), ConvReluNorm(scaled(64, width), self.out_channels)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Give features at the size of the image from the encoder's five, the finest first."""
        current = features[-1]
        for step, skip in zip(self.steps, [*reversed(features[:-1]), None], strict=True):
            current = step(current)
            if skip is not None:
                current = torch.cat([current, skip], dim=1)
        return self.last(current)


class EncoderDecoder(FreezableEncoder):
    """Images (N, C, H, W) to logits (N, num_classes, H, W); both sides are multiples of 32 (published: 160).

    `encoder` and its names are those of an `EncoderClassifier` of the same settings, so that its weights fit.
    The published ones, with attention "channel_axis", have 86,497,813 (vgg_like) and 117,182,123 weights
    (resnet_like), BatchNorm statistics included; most are the decoder's. `width` scales the decoder and, if it is
    "vgg_like" or "resnet_like", the encoder. `norm_momentum` is BatchNorm's, for runs of a few hundred steps.

    >>> EncoderDecoder(width=1 / 16).eval()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 2, 64, 64])
    """

    encoder: AnyEncoder

    def __init__(
        self,
        encoder: str = "vgg_like",
        attention: str = "none",
        width: float = 1.0,
        num_classes: int = 2,
        in_channels: int = 3,
        weights: str | None = None,
        norm_momentum: float | None = None,
    ) -> None:
        super().__init__()
        self.encoder = make_encoder(encoder, attention=attention, width=width, in_channels=in_channels, weights=weights)
        self.decoder = SkipDecoder(self.encoder.channels, width)
        self.head = nn.Conv2d(self.decoder.out_channels, num_classes, 3, padding=1)
        init_glorot(self.decoder)
        init_glorot(self.head)
        set_norm_momentum(self, norm_momentum)

    def forward(self, images: Tensor) -> Tensor:
        """Give logits at the size of the images."""
        check_sides(images, 32)
        return self.head(self.decoder(self.encoder(images)))
