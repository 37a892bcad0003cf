"""The stages that a diagram shows, with the weights of the networks at full width."""

import pytest

from retina_kit.models.stages import stages_of
from retina_kit.reporting.figures import plot_stages


@pytest.mark.parametrize(("encoder", "weights"), [("vgg_like", 507_061_556), ("resnet_like", 26_235_338)])
def test_a_classifier_narrows_to_one_number(encoder, weights):
    settings = {"name": "encoder_classifier", "encoder": encoder, "attention": "channel_axis"}
    stages = stages_of(settings, (3, 480, 480))
    assert stages["height"].tolist()[:6] == [480, 240, 120, 60, 30, 15]
    assert stages["channels"].iloc[-1] == 1
    assert stages["weights"].sum() == weights


@pytest.mark.parametrize(("encoder", "weights"), [("vgg_like", 86_497_813), ("resnet_like", 117_182_123)])
def test_an_encoder_decoder_comes_back_to_its_size(encoder, weights):
    settings = {"name": "encoder_decoder", "encoder": encoder, "attention": "channel_axis"}
    stages = stages_of(settings, (3, 160, 160))
    assert stages["height"].tolist() == [160, 80, 40, 20, 10, 5, 10, 20, 40, 80, 160, 160, 160]
    assert stages["weights"].sum() == weights
    figure = plot_stages({encoder: stages})
    assert f"{weights:,}" in figure.axes[0].get_title(loc="left")
