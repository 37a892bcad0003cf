"""Freezing an encoder for good: its weights and its BatchNorm statistics (Hu 2018, section 2.3)."""

from torch import nn


class FreezableEncoder(nn.Module):
    """A network with a part called `encoder` that can be frozen and thawed.

    A frozen encoder takes no gradient and stays in evaluation mode: its BatchNorm statistics do not move and
    its dropout is off, as in a Keras layer whose `trainable` is False.
    """

    encoder_is_frozen = False

    def freeze_encoder(self):
        """Freeze the encoder's weights and, through `train`, its BatchNorm statistics."""
        return self._set_frozen(True)

    def unfreeze_encoder(self):
        """Let the encoder learn again, statistics included."""
        return self._set_frozen(False)

    def train(self, mode=True):
        """Set training mode; a frozen encoder stays in evaluation mode, where statistics do not drift."""
        super().train(mode)
        if self.encoder_is_frozen:
            self.encoder.eval()
        return self

    def _set_frozen(self, frozen):
        self.encoder.requires_grad_(not frozen)
        self.encoder_is_frozen = frozen
        return self.train(self.training)
