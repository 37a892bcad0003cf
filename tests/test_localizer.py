"""The localizer: two numbers an image, and an encoder that a U-Net can take over."""

import pytest
import torch
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.models.localizer import Localizer
from retina_kit.models.unet import UNet

WIDTHS = (4, 6, 8)


def small(**options):
    torch.manual_seed(0)
    return Localizer(widths=WIDTHS, input_size=(16, 24), **options)


def weights_of(head):
    return [m.weight.shape for m in head if isinstance(m, nn.Linear)]


@pytest.mark.parametrize(
    "options, shapes",
    [
        ({}, [(256, 8 * 4 * 6), (2, 256)]),  # 16x24 halved twice is 4x6
        ({"hidden": 10}, [(10, 192), (2, 10)]),
        ({"hidden": 0}, [(2, 192)]),
        ({"pool": 1}, [(256, 8), (2, 256)]),
        ({"pool": 2, "hidden": 0}, [(2, 32)]),
    ],
)
def test_an_image_gives_two_numbers_and_every_weight_a_gradient(options, shapes):
    model = small(**options)
    assert weights_of(model.head) == shapes
    centers = model(torch.randn(3, 1, 16, 24))
    assert centers.shape == (3, 2)
    centers.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    assert model.encoder.blocks[0][0].weight.grad.abs().sum() > 0


def test_the_answer_is_linear():
    model = small()
    nn.init.zeros_(model.head[-1].weight)
    model.head[-1].bias.data = torch.tensor([-3.0, 5.0])  # outside the image, and neither cut nor squeezed
    assert model(torch.zeros(2, 1, 16, 24)).tolist() == [[-3.0, 5.0]] * 2


def test_the_encoder_fits_a_unet_statistics_included():
    model = small()
    model.train()(torch.randn(4, 1, 16, 24))  # moves the BatchNorm statistics
    unet = UNet(widths=WIDTHS, norm="batch", dropout=0.2)
    unet.encoder.load_state_dict(model.encoder.state_dict())
    images = torch.randn(1, 1, 16, 24)
    for ours, theirs in zip(model.eval().encoder(images), unet.eval().encoder(images), strict=True):
        assert torch.equal(ours, theirs)


def test_the_default_head_is_dense_256_on_all_of_the_deepest_features():
    with torch.device("meta"):
        model = Localizer()
    assert weights_of(model.head) == [(256, 512 * 16 * 16), (2, 256)]


def test_it_learns_where_a_bright_spot_is():
    generator = torch.Generator().manual_seed(0)
    model = small(hidden=16)
    images = torch.zeros(64, 1, 16, 24)
    rows = torch.randint(2, 14, (64,), generator=generator)
    columns = torch.randint(2, 22, (64,), generator=generator)
    for n in range(64):
        images[n, 0, rows[n] - 1 : rows[n] + 2, columns[n] - 1 : columns[n] + 2] = 1
    centers = torch.stack([(columns + 0.5) / 24, (rows + 0.5) / 16], dim=1)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    for _ in range(60):
        loss = (model(images) - centers).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1 * centers.var(dim=0).mean()


def test_another_size_is_refused():
    with pytest.raises(UsageError, match=r"takes \(16, 24\) images, not \(24, 24\)"):
        small()(torch.zeros(1, 1, 24, 24))
