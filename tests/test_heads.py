"""UNet-S5-D16 and its heads: the counts of the configuration files, and the layers in their order."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.models.heads import ASPPHead, ConvUnit, FCNHead, PSPHead, enlarge
from retina_kit.models.unet_s5_d16 import Backbone, UNetS5D16, UpUnit

COUNTS = {"fcn": (29_060_676, 37_122), "psp": (29_046_276, 22_722), "aspp": (29_064_996, 41_442)}


def count(module):
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize("head", COUNTS)
def test_the_counts_are_the_published_ones(head):
    with torch.device("meta"):
        model = UNetS5D16(head)
    assert (count(model), count(model.decode_head)) == COUNTS[head]
    assert count(model.backbone) == 28_949_568
    assert count(model.auxiliary_head) == 73_986


@pytest.mark.parametrize("head", COUNTS)
@pytest.mark.parametrize("base_width", [4, 8, 16])
def test_narrow_ones_train(head, base_width):
    torch.manual_seed(0)
    model = UNetS5D16(head, base_width=base_width).train()
    logits, auxiliary = model.forward_with_auxiliary(torch.randn(2, 3, 32, 48))
    assert logits.shape == auxiliary.shape == (2, 2, 32, 48)
    (logits.square().mean() + auxiliary.square().mean()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    assert model.backbone.stages[0][0][0].weight.grad.abs().sum() > 0


def test_forward_is_the_first_of_the_two():
    model = UNetS5D16("psp", base_width=4).eval()
    images = torch.randn(1, 3, 16, 16)
    assert torch.equal(model(images), model.forward_with_auxiliary(images)[0])


def test_the_backbone_gives_half_size_and_full_size():
    with torch.device("meta"):
        half, full = Backbone()(torch.zeros(1, 3, 256, 256))
    assert half.shape == (1, 128, 128, 128)
    assert full.shape == (1, 64, 256, 256)


def test_a_unit_is_convolution_norm_activation_without_bias():
    conv, norm, relu = ConvUnit(2, 3)
    assert (type(conv), type(norm), type(relu)) == (nn.Conv2d, nn.BatchNorm2d, nn.ReLU)
    assert conv.bias is None
    assert (norm.eps, norm.momentum) == (1e-5, 0.1)


def test_up_is_bilinear_and_comes_after_the_skip():
    unit = UpUnit(1, 1).eval()
    nn.init.ones_(unit.reduce[0].weight)
    seen = []
    unit.convs.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    features = torch.tensor([[[[0.0, 4.0]]]])
    unit(features, torch.full((1, 1, 2, 4), 9.0))
    skip, up = seen[0][0]
    assert (skip == 9).all()
    torch.testing.assert_close(up[0], torch.tensor([0.0, 1.0, 3.0, 4.0]), rtol=0, atol=1e-4)  # corners not aligned


def test_pyramid_pooling_sees_the_whole_image():
    head = PSPHead(2, 2).eval()
    for weight in head.parameters():
        nn.init.ones_(weight)
    features = torch.ones(1, 2, 12, 12, requires_grad=True)
    head(features)[0, 0, 0, 0].backward()
    assert head.pools == (1, 2, 3, 6)
    assert (features.grad > 0).all()  # the first pixel's logit depends on every pixel, the furthest corner too


def test_atrous_convolutions_have_the_dilations_of_the_configuration():
    head = ASPPHead()
    assert [(b[0].kernel_size[0], b[0].dilation[0]) for b in head.branches] == [
        (1, 1),
        (3, 12),
        (3, 24),
        (3, 36),
    ]
    features = torch.randn(1, 64, 20, 20)
    assert head.eval()(features).shape == (1, 2, 20, 20)  # smaller than the widest dilation


@pytest.mark.parametrize("head", [FCNHead, PSPHead, ASPPHead])
def test_the_classifier_drops_whole_channels(head):
    drop, conv = head().classifier
    assert isinstance(drop, nn.Dropout2d)
    assert drop.p == 0.1
    assert conv.kernel_size == (1, 1)


def test_the_start_is_kaiming_with_a_small_classifier():
    torch.manual_seed(0)
    model = UNetS5D16(base_width=16)
    conv = model.backbone.stages[1][1][0]  # 32 to 32 channels
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.05)
    assert model.auxiliary_head.classifier[1].weight.std().item() == pytest.approx(0.01, rel=0.4)
    assert model.decode_head.classifier[1].bias.abs().max() == 0
    assert all((m.weight == 1).all() and (m.bias == 0).all() for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_auxiliary_logits_are_resized_bilinearly():
    model = UNetS5D16(base_width=4).eval()
    images = torch.randn(1, 3, 16, 16)
    half, _ = model.backbone(images)
    wanted = F.interpolate(model.auxiliary_head(half), size=(16, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model.forward_with_auxiliary(images)[1], wanted)


def test_bfloat16_and_channels_last_run_forward_and_backward():
    model = UNetS5D16("aspp", base_width=4).to(memory_format=torch.channels_last).train()
    images = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits, auxiliary = model.forward_with_auxiliary(images)
    (logits.float().mean() + auxiliary.float().mean()).backward()
    assert logits.isfinite().all()
    assert model.backbone.stages[0][0][0].weight.grad.isfinite().all()


@pytest.mark.parametrize("size, ok", [((496, 768), True), ((250, 256), False)])
def test_sides_must_be_multiples_of_sixteen(size, ok):
    with torch.device("meta"):
        model = UNetS5D16(base_width=4)
        images = torch.zeros(1, 3, *size)
    if ok:
        assert model(images).shape[-2:] == size
    else:
        with pytest.raises(UsageError, match="250x256 do not fit: pad both sides to multiples of 16"):
            model(images)


def test_an_unknown_head_is_named():
    with pytest.raises(UsageError, match="deeplab"):
        UNetS5D16("deeplab")


@pytest.mark.parametrize("side", [1, 2, 3, 6])
def test_enlarging_by_matrix_products_is_bilinear_interpolation(side):
    small = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(small, size=(20, 31), mode="bilinear", align_corners=False)
    torch.testing.assert_close(enlarge(small, (20, 31)), expected)


def test_a_network_that_was_measured_on_the_meta_device_can_be_used_afterwards():
    from retina_kit.models.heads import enlarge

    with torch.device("meta"):
        enlarge(torch.zeros(1, 1, 3, 5), (7, 11))
    assert enlarge(torch.ones(1, 1, 3, 5), (7, 11)).mean().item() == pytest.approx(1)


def test_a_network_that_has_predicted_can_still_be_trained():
    with torch.inference_mode():
        enlarge(torch.ones(1, 1, 3, 5), (13, 17))
    features = torch.ones(1, 1, 3, 5, requires_grad=True)
    enlarge(features, (13, 17)).sum().backward()
    assert features.grad.sum().item() == pytest.approx(13 * 17)
