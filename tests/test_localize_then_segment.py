"""The network that looks at a window around the found center: where it cuts, what it pastes, what may learn."""

import pytest
import torch

from retina_kit.models.build import build_model
from retina_kit.models.localize_then_segment import OUTSIDE
from retina_kit.models.localizer import Localizer
from retina_kit.training.transfer import copy_weights, freeze

SMALL = {"widths": [4, 4, 8, 8, 8], "norm": "batch"}
LOCALIZER = {"input_size": [16, 32], "hidden": 0}


def network(window=(16, 16), center=None):
    """Return a small network; with `center` (x, y) its localizer says this whatever it sees."""
    model = build_model({"name": "localize_then_segment", "window": window, "localizer": LOCALIZER, **SMALL})
    if center:
        last = model.localizer.head[-1]
        last.weight.data.zero_()
        last.bias.data = torch.tensor(center)
    return model.eval()


@pytest.mark.parametrize(
    ("center", "top", "left"),
    [((0.5, 0.5), 8, 24), ((0.25, 0.75), 16, 8), ((0.0, 0.0), 0, 0), ((1.0, 2.0), 16, 48), ((-3.0, 0.5), 8, 0)],
    ids=["middle", "below", "corner", "outside below", "outside left"],
)
def test_the_window_lies_around_the_center_and_inside_the_image(center, top, left):
    logits = network(center=center)(torch.rand(2, 3, 32, 64))
    inside = logits != OUTSIDE
    assert logits.shape == (2, 1, 32, 64)
    rows, columns = inside[0, 0].any(dim=1).nonzero(), inside[0, 0].any(dim=0).nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (top, top + 15, left, left + 15)
    assert inside[1].sum() == 16 * 16


def test_the_window_is_what_the_unet_says_of_that_part_of_the_image():
    model, images = network(center=(0.25, 0.75)), torch.rand(2, 3, 32, 64)
    expected = model.unet(images[:, :, 16:32, 8:24])
    torch.testing.assert_close(model(images)[:, :, 16:32, 8:24], expected)


def test_an_image_smaller_than_the_window_is_seen_whole():
    logits = network(window=(64, 64), center=(0.1, 0.9))(torch.rand(1, 3, 32, 64))
    assert (logits != OUTSIDE).all()


def test_every_image_has_its_own_window():
    model = network()
    with torch.no_grad():
        rows, columns = model.places(torch.rand(5, 3, 32, 64))
    assert rows.shape == (5, 16, 1)
    assert columns.shape == (5, 1, 16)


def test_a_frozen_localizer_keeps_its_statistics_while_the_unet_learns():
    model = network()
    parent = Localizer(in_channels=3, input_size=(16, 32), hidden=0, **SMALL)
    copied, left = copy_weights(model, parent.state_dict(), into="localizer")
    assert {name.split(".")[0] for name in copied} == {"localizer"}
    assert {name.split(".")[0] for name in left} == {"unet"}
    freeze(model, ["localizer"])
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(torch.rand(2, 3, 32, 64)).square().mean().backward()
    optimizer.step()
    moved = {name.split(".")[0] for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"unet"}
