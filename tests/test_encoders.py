"""Encoders as published and as named, the networks on them, and the conventions of Keras that they keep."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from retina_kit.errors import SetupError, UsageError
from retina_kit.models.attention import CBAM, ChannelAxisCBAM, make_attention
from retina_kit.models.build import count_parameters
from retina_kit.models.classifier import EncoderClassifier
from retina_kit.models.encoder_decoder import EncoderDecoder, UpStep
from retina_kit.models.encoders import ConvReluNorm, ResidualBlock, make_encoder

# encoder, attention: all weights with BatchNorm's means and variances, as Keras's totals are; trainable ones
ENCODERS = {
    ("vgg_like", "channel_axis"): (14_220_595, 14_212_649),
    ("vgg_like", "none"): (14_140_480, 14_132_544),
    ("resnet_like", "channel_axis"): (26_104_265, 26_051_115),
    ("resnet_like", "none"): (23_587_712, 23_534_592),
}
CLASSIFIERS = {
    ("vgg_like", "channel_axis"): 507_061_556,
    ("vgg_like", "none"): 506_981_441,
    ("resnet_like", "channel_axis"): 26_235_338,
}
SEGMENTERS = {"vgg_like": (86_497_813, 86_473_803), "resnet_like": (117_182_123, 117_112_909)}
AS_PUBLISHED = [(name, attention) for name in ("vgg_like", "resnet_like") for attention in ("channel_axis", "none")]


@pytest.mark.parametrize("name, attention", ENCODERS)
def test_encoders_have_the_published_counts(name, attention):
    with torch.device("meta"):
        encoder = make_encoder(name, attention=attention)
    assert (count_parameters(encoder, statistics=True), count_parameters(encoder)) == ENCODERS[name, attention]


@pytest.mark.parametrize("name, attention", CLASSIFIERS)
def test_classifiers_have_the_published_counts(name, attention):
    with torch.device("meta"):
        model = EncoderClassifier(name, attention)
        assert model(torch.zeros(1, 3, 480, 480)).shape == (1, 1)
    assert count_parameters(model, statistics=True) == CLASSIFIERS[name, attention]


@pytest.mark.parametrize("name", SEGMENTERS)
def test_segmentation_networks_have_the_published_counts(name):
    with torch.device("meta"):
        model = EncoderDecoder(name, "channel_axis")
        assert model(torch.zeros(1, 3, 160, 160)).shape == (1, 2, 160, 160)
    assert (count_parameters(model, statistics=True), count_parameters(model)) == SEGMENTERS[name]


@pytest.mark.parametrize("name, attention", AS_PUBLISHED)
def test_features_come_at_half_size_and_below_with_the_channels_they_say(name, attention):
    with torch.device("meta"):
        encoder = make_encoder(name, attention=attention)
        features = encoder(torch.zeros(1, 3, 160, 160))
    assert [f.shape[-1] for f in features] == [80, 40, 20, 10, 5]
    assert tuple(f.shape[1] for f in features) == encoder.channels


@pytest.mark.parametrize("name, attention", AS_PUBLISHED)
def test_narrow_ones_classify_and_segment_and_every_weight_gets_a_gradient(name, attention):
    torch.manual_seed(0)
    settings = {"encoder": name, "attention": attention, "width": 1 / 8}
    for model in (EncoderClassifier(input_size=(64, 64), **settings), EncoderDecoder(**settings)):
        logits = model.train()(torch.randn(2, 3, 64, 64))
        assert logits.shape == ((2, 1) if isinstance(model, EncoderClassifier) else (2, 2, 64, 64))
        logits.square().mean().backward()
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
        assert next(model.encoder.parameters()).grad.abs().sum() > 0


def test_the_classifiers_encoder_fits_the_segmentation_network():
    settings = {"encoder": "resnet_like", "attention": "channel_axis", "width": 1 / 16}
    classifier = EncoderClassifier(input_size=(32, 32), **settings)
    model = EncoderDecoder(**settings)
    model.encoder.load_state_dict(classifier.encoder.state_dict())
    images = torch.randn(1, 3, 32, 32)
    for ours, theirs in zip(model.eval().encoder(images), classifier.eval().encoder(images), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["vgg_like", "resnet_like"])
def test_a_training_step_leaves_a_frozen_encoder_untouched(name):
    torch.manual_seed(0)
    model = EncoderDecoder(name, "channel_axis", width=1 / 16).freeze_encoder().train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], lr=0.1)
    model(torch.randn(4, 3, 32, 32)).square().mean().backward()
    optimizer.step()
    moved = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert not any(key.startswith("encoder.") for key in moved)
    assert {"decoder.steps.0.0.2.running_mean", "decoder.last.1.2.running_var", "head.weight"} <= moved


# Keras's conventions


@pytest.mark.parametrize("side", [2, 4, 10, 30])
def test_pooling_pads_even_sides_at_the_right_and_bottom_with_minus_infinity(side):
    images = -torch.rand(1, 2, side, side + 2) - 1  # negative throughout, so that padding with zeros would show
    padded = F.pad(images, (0, 1, 0, 1), value=-torch.inf)
    pool = make_encoder("vgg_like", width=1 / 64).pool
    assert torch.equal(pool(images), F.max_pool2d(padded, 3, stride=2))


def test_pooling_by_hand():
    row = torch.tensor([[[[1.0, 9.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]]]])
    assert make_encoder("vgg_like", width=1 / 64).pool(row).tolist() == [[[[9.0, 3.0]]]]  # 1 9 2 and 2 3


def test_means_that_hang_over_the_edge_count_what_they_cover():
    pool = EncoderClassifier("resnet_like", width=1 / 64, input_size=(96, 96)).head[0]
    cells = torch.tensor([[[[1.0, 3.0, 5.0], [5.0, 7.0, 9.0], [2.0, 4.0, 8.0]]]])
    assert pool(cells).tolist() == [[[[4.0, 7.0], [3.0, 8.0]]]]
    assert pool(torch.full((1, 1, 1, 1), 6.0)).item() == 6.0


def test_a_transposed_convolution_of_stride_1_is_a_convolution_with_the_kernel_turned_round():
    up = UpStep(1, 2, 3, 4)[1]
    features = torch.randn(1, 3, 5, 6)
    turned = up.weight.flip(2, 3).transpose(0, 1)
    torch.testing.assert_close(up(features), F.conv2d(features, turned, up.bias, padding=1))


def test_doubling_repeats_pixels():
    assert UpStep(1, 1, 1, 1)[2](torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_the_order_is_convolution_activation_norm_with_keras_constants():
    conv, relu, norm = ConvReluNorm(2, 3)
    assert (type(conv), type(relu), type(norm)) == (nn.Conv2d, nn.ReLU, nn.BatchNorm2d)
    assert conv.bias is not None
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)


def test_short_runs_can_have_a_faster_norm():
    def momenta(**settings):
        model = EncoderDecoder(attention="channel_axis", width=1 / 64, **settings)
        return {m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)}

    assert momenta() == {0.01}
    assert momenta(norm_momentum=0.1) == {0.1}


def test_a_residual_block_cannot_subtract():
    block = ResidualBlock(4, 2, 4).eval()
    features = torch.randn(2, 4, 3, 3).abs()
    assert (block(features) >= features).all()


def test_dropout_in_residual_blocks_is_where_the_code_has_it():
    def kinds(block):
        return [type(layer).__name__ for layer in block.convs]

    unit = ["Conv2d", "BatchNorm2d"]
    assert kinds(ResidualBlock(4, 2, 4)) == [*[*unit, "ReLU"], *[*unit, "Dropout", "ReLU"], *[*unit, "Dropout", "ReLU"]]
    assert kinds(ResidualBlock(4, 2, 4, stride=2)) == [
        *[*unit, "ReLU"],
        *[*unit, "ReLU"],
        *[*unit, "Dropout", "ReLU", "Dropout"],
    ]


def test_fifteen_of_sixteen_blocks_have_attention():
    with torch.device("meta"):
        encoder = make_encoder("resnet_like", attention="channel_axis")
    has = [[isinstance(m, ChannelAxisCBAM) for m in stage[1::2]] for stage in encoder.stages]
    assert has == [[True] * 3, [True, True, True, False], [True] * 6, [True] * 3]


def test_the_penalty_is_a_hundredth_of_the_squared_kernels_of_the_last_two_stages():
    encoder = make_encoder("resnet_like", width=1 / 64, attention="channel_axis")
    for weight in encoder.parameters():
        nn.init.zeros_(weight)
    assert encoder.l2_penalty() == 0
    nn.init.ones_(encoder.stages[1][0].convs[0].weight)  # stage 3 is not penalised
    nn.init.ones_(encoder.stages[2][1].spatial[0].weight)  # nor is attention
    nn.init.constant_(encoder.stages[2][0].convs[0].weight, 2.0)
    kernels = encoder.stages[2][0].convs[0].weight.numel()
    assert encoder.l2_penalty().item() == pytest.approx(0.01 * 4 * kernels)


# Attention


def test_the_published_attention_gates_every_pixel_and_adds_the_features():
    attention = ChannelAxisCBAM(32).eval()
    for weight in attention.parameters():
        nn.init.zeros_(weight)
    features = torch.randn(1, 32, 4, 4)
    torch.testing.assert_close(attention(features), 1.25 * features)  # F + 0.5 x 0.5 x F


def test_the_published_channel_gate_is_at_least_a_half():
    attention = ChannelAxisCBAM(32).eval()
    logits = attention.from_mean(torch.randn(1, 1, 5, 5))
    assert logits.shape == (1, 32, 5, 5)
    assert logits.min() >= 0


def test_the_named_attention_weighs_channels_by_what_they_are_over_space():
    attention = CBAM(2, reduction=1)
    for weight in attention.parameters():
        nn.init.zeros_(weight)
    features = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(attention(features), 0.25 * features)  # 0.5 x 0.5 x F, nothing added
    attention.perceptron[2].bias.data = torch.tensor([50.0, -50.0])  # one channel open, the other shut
    torch.testing.assert_close(attention(features)[:, 0], 0.5 * features[:, 0])
    assert attention(features)[:, 1].abs().max() < 1e-6


def test_the_named_attention_shares_one_perceptron_between_mean_and_maximum():
    attention = CBAM(32)
    assert count_parameters(attention) == (32 * 2 + 2) + (2 * 32 + 32) + 2 * 49


@pytest.mark.parametrize("channels", [1, 8, 64])
@pytest.mark.parametrize("kind", ["none", "cbam", "channel_axis"])
def test_attention_keeps_the_shape(kind, channels):
    features = torch.randn(2, channels, 8, 6)
    assert make_attention(kind, channels)(features).shape == features.shape


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: make_encoder("vgg19"), "vgg19"),
        (lambda: make_encoder("vgg_like", attention="senet", width=1 / 64), "senet"),
        (lambda: make_encoder("resnet50", in_channels=1), "repeat the gray channel"),
        (lambda: make_encoder("resnet_like", weights="file"), "no public weights"),
        (lambda: EncoderClassifier(input_size=(100, 64), width=1 / 64), "multiples of 32"),
        (lambda: EncoderDecoder(width=1 / 64)(torch.zeros(1, 3, 48, 64)), "48x64 do not fit"),
        (
            lambda: EncoderClassifier(input_size=(64, 64), width=1 / 64)(torch.zeros(1, 3, 96, 96)),
            r"takes \(64, 64\) images, not \(96, 96\)",
        ),
    ],
)
def test_what_cannot_be_says_so(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_without_torchvision_its_encoders_say_what_to_install(name, monkeypatch):
    monkeypatch.delitem(sys.modules, "retina_kit.models.standard_encoders", raising=False)
    monkeypatch.delattr("retina_kit.models.standard_encoders", raising=False)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(SetupError, match=rf"{name}.*pip install 'retina-kit\[encoders\]'"):
        make_encoder(name)
