"""Freezing an encoder for good: its weights (Hu 2018, section 2.3) and, our choice, its BatchNorm statistics."""

from typing import Self

from torch import nn


class FreezableEncoder(nn.Module):
    """A network with a part called `encoder` that can be frozen.

    A frozen encoder takes no gradient and stays in evaluation mode: its BatchNorm statistics do not move and
    its dropout is off, as in a Keras layer whose `trainable` is False.
    """

    encoder: nn.Module
    encoder_is_frozen = False

    def freeze_encoder(self) -> Self:
        """Freeze the encoder's weights and, through `train`, its BatchNorm statistics."""
        self.encoder.requires_grad_(False)
        self.encoder_is_frozen = True
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen encoder stays in evaluation mode, where statistics do not drift."""
        super().train(mode)
        if self.encoder_is_frozen:
            self.encoder.eval()
        return self
