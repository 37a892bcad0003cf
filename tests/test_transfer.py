"""A copy that copies, and a freeze that freezes the statistics too."""

import pytest
import torch
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.models.unet import UNet
from retina_kit.models.unet_s5_d16 import UNetS5D16
from retina_kit.training.transfer import copy_weights, freeze

WIDTHS = (4, 4, 8, 8, 8)


def test_everything_is_copied_and_a_misfit_head_stays_random():
    parent, child = UNetS5D16(base_width=4, num_classes=19), UNetS5D16(base_width=4)
    before = child.decode_head.classifier[1].weight.clone()
    _, left = copy_weights(child, parent.state_dict())
    assert torch.equal(child.backbone.stages[0][0][0].weight, parent.backbone.stages[0][0][0].weight)
    assert torch.equal(child.decode_head.classifier[1].weight, before)
    assert {name.split(".")[0] for name in left} == {"decode_head", "auxiliary_head"}


def test_only_the_encoder_is_copied():
    parent, child = UNet(widths=WIDTHS), UNet(widths=WIDTHS)
    copied, _ = copy_weights(child, parent.state_dict(), ["encoder"])
    assert copied
    assert all(name.startswith("encoder.") for name in copied)


def test_a_copy_that_copies_nothing_is_an_error():
    other = UNetS5D16(base_width=4).state_dict()
    with pytest.raises(UsageError, match=r"nothing of the parent fits into the network; the parts .* are .*decoder"):
        copy_weights(UNet(widths=WIDTHS), other)
    with pytest.raises(UsageError, match="fits into encoder and decoder;"):
        copy_weights(UNet(widths=WIDTHS), other, ["encoder", "decoder"])


def test_a_frozen_encoder_keeps_its_statistics_while_the_decoder_learns():
    model = UNet(widths=WIDTHS, norm="batch")
    freeze(model, ["encoder"])
    model.train()
    frozen = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    moving = {k: v.clone() for k, v in model.decoder.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(torch.randn(2, 1, 32, 32)).square().mean().backward()
    optimizer.step()
    assert all(torch.equal(v, frozen[k]) for k, v in model.encoder.state_dict().items())
    assert any(not torch.equal(v, moving[k]) for k, v in model.decoder.state_dict().items())


def test_a_part_that_does_not_exist_cannot_be_frozen():
    with pytest.raises(UsageError, match="tail"):
        freeze(UNet(widths=WIDTHS), ["tail"])


class TwoParts(nn.Module):
    """A body and a head, of weights and biases only."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 1)


def test_matrices_are_something_to_copy_and_biases_alone_are_not():
    weights = {"body.0.weight": torch.ones(2, 2), "body.0.bias": torch.ones(2), "head.weight": torch.ones(3, 2)}
    model = TwoParts()
    assert copy_weights(model, weights) == (["body.0.weight", "body.0.bias"], ["head.weight", "head.bias"])
    assert torch.equal(model.body[0].weight, torch.ones(2, 2)) and model.head.weight.shape == (1, 2)
    del weights["body.0.weight"]
    with pytest.raises(UsageError, match=r"fits into the network; the parts of this network are body, head$"):
        copy_weights(model, weights)
    with pytest.raises(UsageError, match="fits into head;"):
        copy_weights(model, {"body.0.weight": torch.ones(2, 2)}, ["head"])


def test_a_network_inside_another_gets_the_parents_weights():
    model = TwoParts()
    copied, _ = copy_weights(model, {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2)}, into="body")
    assert copied == ["body.0.weight", "body.0.bias"]


def test_frozen_is_what_is_named():
    model = UNet(widths=WIDTHS)
    freeze(model, [])
    assert all(weight.requires_grad for weight in model.parameters())
    freeze(model, ["encoder"])
    assert not any(weight.requires_grad for weight in model.encoder.parameters())
