"""The memory layout of a network: by its width, the device and the processor's instructions."""

import pytest
import torch

from retina_kit.models.build import build_model
from retina_kit.models.heads import ASPPHead
from retina_kit.models.layout import layout_of, memory_format_of, to_device
from retina_kit.models.unet import UNet
from retina_kit.training.batches import Batches
from retina_kit.training.inference import predict_probability
from retina_kit.training.loop import fit
from retina_kit.training.recipe import Recipe

CPU = torch.device("cpu")
NARROW, WIDE = {"name": "unet", "widths": [16, 256]}, {"name": "unet", "widths": [32, 64]}
DEPTHWISE = {"name": "encoder_decoder", "encoder": "efficientnet_lite0", "width": 0.0625}
LOCALIZES = {"name": "localize_then_segment", "widths": [32, 64], "localizer": {"input_size": [16, 16], "hidden": 0}}


def instructions(monkeypatch, name):
    """Let torch find a processor with these instructions."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: name)


@pytest.mark.parametrize(
    ("settings", "capability", "device", "expected"),
    [
        (NARROW, "AVX2", "cpu", torch.channels_last),
        (WIDE, "AVX2", "cpu", torch.contiguous_format),
        (LOCALIZES, "AVX2", "cpu", torch.contiguous_format),
        (DEPTHWISE, "AVX2", "cpu", torch.channels_last),
        (WIDE, "AVX512", "cpu", torch.channels_last),
        (WIDE, "AVX2", "cuda", torch.channels_last),
    ],
)
def test_only_a_wide_network_on_a_cpu_with_avx2_alone_is_contiguous(
    monkeypatch, settings, capability, device, expected
):
    instructions(monkeypatch, capability)
    assert memory_format_of(build_model(settings), torch.device(device)) == expected


def test_a_network_without_convolutions_has_a_layout_too(monkeypatch):
    instructions(monkeypatch, "AVX2")
    assert memory_format_of(torch.nn.Linear(32, 32), CPU) == torch.channels_last


@pytest.mark.parametrize("settings", [WIDE, LOCALIZES | {"window": [16, 16]}])
def test_both_layouts_train_and_predict_alike(monkeypatch, settings):
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    masks, recipe = (images[:, 0] > 128).to(torch.uint8), Recipe(steps=2, batch_size=2, learning_rate=1e-4)
    found, layouts = [], []
    for capability in ("AVX2", "AVX512"):
        instructions(monkeypatch, capability)
        torch.manual_seed(0)
        model = build_model(settings | {"in_channels": 3})
        inside = model if isinstance(model, UNet) else model.unet
        deepest = inside.encoder.blocks[1]
        deepest.register_forward_hook(lambda module, inputs, output: layouts.append(layout_of(output)))
        batches = Batches(images, masks, recipe, seed=0, device=CPU)
        losses = fit(model, batches, recipe, device=CPU, precision="float32")["loss"]
        found.append((losses.tolist(), predict_probability(model, batches, images, precision="float32")))
    half = len(layouts) // 2
    assert set(layouts[:half]) == {torch.contiguous_format}  # in every step and prediction
    assert set(layouts[half:]) == {torch.channels_last}
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_mean_of_an_image_takes_the_layout_of_its_features(layout):
    head, layouts = ASPPHead(8, 4).to(memory_format=layout).train(), []
    head.conv.register_forward_pre_hook(lambda module, inputs: layouts.append(layout_of(inputs[0])))
    head(torch.randn(2, 8, 6, 5).contiguous(memory_format=layout))
    assert layouts == [layout]


def test_a_network_is_moved_and_laid_out_in_place(monkeypatch):
    instructions(monkeypatch, "AVX2")
    model = build_model(NARROW)
    assert to_device(model, CPU) is model
    assert model.encoder.blocks[1][0].weight.is_contiguous(memory_format=torch.channels_last)
