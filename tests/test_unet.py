"""The U-Net: its published count, its options, and what a frozen encoder keeps still."""

import pytest
import torch
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.models.unet import Block, Decoder, Encoder, UNet, UpConvolution, init_glorot

WIDTHS = (4, 6, 8)  # a small one for real tensors; three levels take sides that 4 divides
CONV_WEIGHTS = [320, 9248, 18496, 36928, 73856, 147584, 295168, 590080, 1180160, 2359808]
CONV_WEIGHTS += [1179904, 590080, 295040, 147584, 73792, 36928, 18464, 9248, 33]
UP_WEIGHTS = [524544, 131200, 32832, 8224]


def count(module):
    return sum(weight.numel() for weight in module.parameters())


def small(**options):
    torch.manual_seed(0)
    return UNet(widths=WIDTHS, **options)


def test_the_count_is_the_one_that_the_paper_prints():
    with torch.device("meta"):
        assert count(UNet()) == 7_759_521  # Melinscak 2020, II.B


def test_every_layer_has_the_count_of_the_published_table():
    with torch.device("meta"):
        modules = list(UNet().modules())
    assert [count(m) for m in modules if isinstance(m, nn.Conv2d)] == CONV_WEIGHTS
    assert [count(m) for m in modules if isinstance(m, nn.ConvTranspose2d)] == UP_WEIGHTS


def test_the_default_has_neither_normalization_nor_dropout():
    with torch.device("meta"):
        kinds = {type(m) for m in UNet().modules() if not list(m.children())}
    assert kinds == {nn.Conv2d, UpConvolution, nn.ReLU, nn.MaxPool2d}


@pytest.mark.parametrize(
    "options",
    [{}, {"norm": "batch", "dropout": 0.2}, {"up": "nearest"}, {"in_channels": 3, "num_classes": 2}],
)
def test_logits_have_the_size_of_the_images_and_gradients_reach_every_weight(options):
    model = small(**options).train()
    logits = model(torch.randn(2, options.get("in_channels", 1), 24, 32))
    assert logits.shape == (2, options.get("num_classes", 1), 24, 32)
    logits.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    assert model.encoder.blocks[0][0].weight.grad.abs().sum() > 0


def test_logits_are_not_squeezed_into_probabilities():
    model = small()
    nn.init.constant_(model.head.bias, 7.0)
    assert model(torch.zeros(1, 1, 4, 4)).max() == 7.0


def test_the_encoder_halves_four_times_and_gives_the_finest_first():
    with torch.device("meta"):
        features = Encoder()(torch.zeros(1, 1, 1024, 512))
    assert [tuple(f.shape[1:]) for f in features] == [
        (32, 1024, 512),
        (64, 512, 256),
        (128, 256, 128),
        (256, 128, 64),
        (512, 64, 32),
    ]


def test_the_decoder_puts_what_came_up_before_the_skip():
    decoder = Decoder(widths=(1, 2))
    seen = []
    decoder.blocks[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    nn.init.constant_(decoder.ups[0].weight, 0.0)
    nn.init.constant_(decoder.ups[0].bias, -3.0)  # negative and still there: no activation follows the up-sampling
    decoder([torch.full((1, 1, 2, 2), 5.0), torch.zeros(1, 2, 1, 1)])
    assert seen[0][0, :, 0, 0].tolist() == [-3.0, 5.0]


def test_glorot_is_the_keras_one():
    model = UNet(widths=(16, 32))
    conv, up = model.encoder.blocks[1][0], model.decoder.ups[0]
    for layer, fans in (
        (conv, 9 * (16 + 32)),
        (up, 4 * (32 + 16)),
    ):  # fan in + fan out, for either kind of layer
        bound = (6 / fans) ** 0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert layer.bias.abs().max() == 0


def test_one_dropout_rate_acts_in_bottleneck_and_decoder_only():
    model = small(norm="batch", dropout=0.2)
    rates = {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert {name.rsplit(".", 2)[0] for name in rates} == {
        "encoder.blocks.2",
        "decoder.blocks.0",
        "decoder.blocks.1",
    }
    assert set(rates.values()) == {0.2}
    assert [type(m) for m in model.encoder.blocks[0]] == 2 * [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


def test_a_rate_for_every_block_acts_between_the_convolutions():
    rates = [0.1, 0.1, 0.2, 0.2, 0.3, 0.2, 0.2, 0.1, 0.1]
    with torch.device("meta"):
        model = UNet(dropout=rates, dropout_between=True)
        assert count(model) == 7_759_521
        assert list(model.state_dict()) == list(UNet().state_dict())
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == rates
    block = model.encoder.blocks[0]
    assert isinstance(block[1][1], nn.Dropout)
    assert isinstance(block[3], nn.ReLU)


def test_a_training_step_leaves_a_frozen_encoder_untouched():
    model = small(norm="batch", dropout=0.2).freeze_encoder().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], lr=0.1)
    model(torch.randn(4, 1, 16, 16)).square().mean().backward()
    optimizer.step()
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith("encoder.") for name in moved)
    assert {"decoder.blocks.0.1.running_mean", "decoder.blocks.0.1.running_var", "head.weight"} <= moved


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: small(norm="layer"), "layer"),
        (lambda: small(up="cubic"), "cubic"),
        (lambda: small(dropout=[0.1, 0.2]), "2 rates; it takes one or 5"),
        (lambda: small()(torch.zeros(1, 1, 16, 18)), "16x18 do not fit: pad both sides to multiples of 4"),
    ],
)
def test_what_cannot_be_says_so(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_channels_last_and_bfloat16_give_nearly_the_same_logits():
    model, images = small(norm="batch").eval(), torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        exact = model(images)
        last = model.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            coarse = model(images)
    torch.testing.assert_close(last, exact)
    assert (coarse.float() - exact).abs().max() < 0.05 * exact.abs().max() + 0.02


def test_a_block_starts_from_any_number_of_channels():
    block = Block(3, 5)
    init_glorot(block)
    assert block(torch.zeros(1, 3, 2, 2)).shape == (1, 5, 2, 2)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_fast_up_convolution_is_pytorchs_transposed_convolution(memory_format):
    fast, plain = UpConvolution(6, 3), nn.ConvTranspose2d(6, 3, 2, stride=2)
    plain.load_state_dict(fast.state_dict())
    images = torch.randn(2, 6, 5, 7).contiguous(memory_format=memory_format)
    inputs = [images.clone().requires_grad_() for _ in range(2)]
    outputs = [up(image) for up, image in zip((fast, plain), inputs, strict=True)]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    torch.testing.assert_close(fast.weight.grad, plain.weight.grad)
    torch.testing.assert_close(fast.bias.grad, plain.bias.grad)
