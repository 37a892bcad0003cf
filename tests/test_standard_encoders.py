"""VGG-16 and ResNet-50 as torchvision has them; skipped if torchvision is not there or does not fit this torch."""

import pytest
import torch
from safetensors.torch import save_file

from retina_kit.errors import DataError, UsageError
from retina_kit.models.build import count_parameters
from retina_kit.models.classifier import EncoderClassifier
from retina_kit.models.encoder_decoder import EncoderDecoder
from retina_kit.models.encoders import make_encoder

try:
    import torchvision

    from retina_kit.models.standard_encoders import ResNet50Encoder, VGG16Encoder
except (ImportError, RuntimeError) as error:
    pytest.skip(f"vgg16 and resnet50 need torchvision: {error}", allow_module_level=True)

AS_NAMED = [(name, attention) for name in ("vgg16", "resnet50") for attention in ("cbam", "none")]


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_the_standard_ones_have_the_weights_of_torchvision(name):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)()
        ours = make_encoder(name)
    head = theirs.classifier if name == "vgg16" else theirs.fc
    assert count_parameters(ours) == count_parameters(theirs) - count_parameters(head)


@pytest.mark.parametrize("name, attention", AS_NAMED)
def test_the_standard_ones_give_features_at_half_size_and_below_with_the_channels_they_say(name, attention):
    with torch.device("meta"):
        encoder = make_encoder(name, attention=attention)
        features = encoder(torch.zeros(1, 3, 160, 160))
    assert [f.shape[-1] for f in features] == [80, 40, 20, 10, 5]
    assert tuple(f.shape[1] for f in features) == encoder.channels


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_standard_encoders_segment_with_a_narrow_decoder(name):
    model = EncoderDecoder(name, "cbam", width=1 / 16).train()
    logits = model(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 2, 64, 64)
    logits.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_standard_classifiers_take_any_size(name):
    with torch.device("meta"):
        model = EncoderClassifier(name, input_size=(320, 480))
        assert model(torch.zeros(2, 3, 320, 480)).shape == (2, 1)


def test_resnet50_from_a_file_gives_what_torchvision_gives(tmp_path):
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50().eval()
    save_file(theirs.state_dict(), tmp_path / "resnet50.safetensors")
    ours = ResNet50Encoder(weights=tmp_path / "resnet50.safetensors").eval()
    images = torch.randn(1, 3, 64, 64)
    deepest = ours(images)[-1]
    torch.testing.assert_close(theirs.fc(deepest.mean(dim=(2, 3))), theirs(images))
    with_attention = ResNet50Encoder("cbam", weights=tmp_path / "resnet50.safetensors")
    assert torch.equal(with_attention.layer4[2].conv3.weight, theirs.layer4[2].conv3.weight)


def test_vgg16_from_a_pytorch_file_gives_what_torchvision_gives(tmp_path):
    theirs = torchvision.models.vgg16(init_weights=False).features
    torch.save({f"features.{name}": tensor for name, tensor in theirs.state_dict().items()}, tmp_path / "vgg16.pth")
    ours = VGG16Encoder(weights=tmp_path / "vgg16.pth")
    images = torch.randn(1, 3, 64, 64)
    features = ours(images)
    assert torch.equal(features[-1], theirs(images))
    assert torch.equal(features[0], theirs[:9](images))  # after the second convolution of block 2


class Stranger:
    """What a harmful file could make a loader build."""


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("none.pth", None, "there is no weights file .*none.pth; download https://.*vgg16"),
        ("torn.pth", b"not a file of weights", "torn.pth is not a file of weights"),
        ("torn.safetensors", b"not a file of weights", "torn.safetensors is not a file of weights"),
        ("list.pth", [1, 2], "holds a list, not a state dict"),
        ("code.pth", {"features.0.weight": Stranger()}, "code.pth is not a file of weights"),
        ("other.pth", {"features.0.weight": torch.zeros(1)}, r"features.0.weight of shape \(64, 3, 3, 3\)"),
    ],
)
def test_a_wrong_weights_file_says_what_is_wrong(tmp_path, name, content, message):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / name)
    with pytest.raises(DataError, match=message):
        VGG16Encoder(weights=tmp_path / name)


def test_an_attention_that_the_standard_ones_do_not_have_is_refused():
    with pytest.raises(UsageError, match="channel_axis"):
        make_encoder("vgg16", attention="channel_axis")
