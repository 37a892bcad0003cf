"""What filters respond to, on networks small enough to know the answer."""

import pytest
import torch

from retina_kit.errors import UsageError
from retina_kit.models.filters import as_images, convolutions, maximize_filters
from retina_kit.models.unet import UNet


@pytest.fixture
def model():
    torch.manual_seed(0)
    return UNet(widths=(4, 4, 4, 4, 8))


def test_convolutions_are_numbered_as_in_the_paper():
    with torch.device("meta"):
        published = convolutions(UNet())
    assert len(published) == 19
    assert [published[k - 1].out_channels for k in (2, 4, 7, 10, 13, 16)] == [32, 64, 256, 512, 128, 64]


def test_a_filter_that_adds_up_is_made_brighter(model):
    conv = convolutions(model)[0]
    torch.nn.init.ones_(conv.weight)
    found = maximize_filters(model, 1, num_filters=2, size=16, num_steps=3, offset=1.0, spread=0.0)
    # every inner pixel counts nine times, so all climb: the step is the gradient over its root mean square
    assert found.shape == (2, 1, 16, 16)
    assert (found > 1).all()
    assert found[0, 0, 8, 8] > found[0, 0, 0, 0]  # corners belong to fewer windows


def test_a_filter_that_never_responds_keeps_its_noise(model):
    conv = convolutions(model)[0]
    torch.nn.init.constant_(conv.weight, -1.0)
    start = maximize_filters(model, 1, num_filters=1, size=16, num_steps=0)
    assert torch.equal(maximize_filters(model, 1, num_filters=1, size=16, num_steps=5), start)


def test_the_network_is_left_as_it_was(model):
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    maximize_filters(model, 16, num_filters=2, size=16, num_steps=2)
    assert model.training
    assert not convolutions(model)[15]._forward_hooks
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_images_are_gray_with_little_contrast():
    image_ = as_images(torch.tensor([0.0, 2.0, 4.0, 6.0]).reshape(1, 1, 2, 2))
    # mean 3, deviation (ddof 1) 2.582: -1.162, -0.387, 0.387, 1.162 deviations
    assert image_.flatten().tolist() == [98, 118, 137, 157]


def test_a_layer_that_is_not_there_is_refused(model):
    with pytest.raises(UsageError, match="19 convolutions"):
        maximize_filters(model, 20)
