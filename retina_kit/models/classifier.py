"""Is there a lesion in the image? An encoder and the dense head that goes with it (Ortiz 2022, stage 1)."""

from collections.abc import Sequence

from torch import Tensor

from retina_kit.errors import UsageError
from retina_kit.models.encoders import AnyEncoder, make_encoder, set_norm_momentum
from retina_kit.models.freezing import FreezableEncoder
from retina_kit.models.unet import check_sides, init_glorot


class EncoderClassifier(FreezableEncoder):
    """Images (N, C, H, W) to logits (N, num_outputs); one output is the logit of "there is a lesion".

    The published networks take 480x480 RGB images; with attention "channel_axis" they have 507,061,556
    (vgg_like) and 26,235,338 (resnet_like) weights, BatchNorm statistics included. 97 % of the former is the
    dense head, which `input_size` (H, W) and `width` make smaller. With `encoder` "vgg16" or "resnet50" the
    head is torchvision's, and `weights` may name a file of ImageNet weights. `norm_momentum` is BatchNorm's, for
    runs of a few hundred steps.

    >>> import torch
    >>> EncoderClassifier(width=1 / 16, input_size=(64, 64)).eval()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 1])
    """

    encoder: AnyEncoder

    def __init__(
        self,
        encoder: str = "vgg_like",
        attention: str = "none",
        width: float = 1.0,
        input_size: Sequence[int] = (480, 480),
        in_channels: int = 3,
        num_outputs: int = 1,
        weights: str | None = None,
        norm_momentum: float | None = None,
    ) -> None:
        super().__init__()
        self.input_size = tuple(input_size)
        if any(side % 32 for side in self.input_size):
            raise UsageError(f"input_size {self.input_size}: both sides must be multiples of 32")
        self.encoder = make_encoder(encoder, attention=attention, width=width, in_channels=in_channels, weights=weights)
        self.head = self.encoder.classification_head(self.input_size, num_outputs)
        init_glorot(self.head)
        set_norm_momentum(self, norm_momentum)

    def forward(self, images: Tensor) -> Tensor:
        """Give one logit per image, or `num_outputs` of them."""
        check_sides(images, 32)
        if tuple(images.shape[-2:]) != self.input_size:
            raise UsageError(f"this classifier takes {self.input_size} images, not {tuple(images.shape[-2:])}")
        return self.head(self.encoder(images)[-1])
