"""From a table of settings to a network, to its count of weights and to its table of layers."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.models.build import MODELS, build_model, count_parameters, describe_layers, network

NARROW = {
    "unet": {"widths": [4, 4, 8, 8, 8], "norm": "batch", "dropout": 0.1, "in_channels": 3},
    "unet_s5_d16": {"base_width": 4, "head": "aspp"},
    "localizer": {"widths": [4, 4, 8, 8, 8], "in_channels": 3, "input_size": [64, 64], "hidden": 8},
    "localize_then_segment": {
        "widths": [4, 4, 8, 8, 8],
        "window": [32, 32],
        "localizer": {"input_size": [32, 32], "hidden": 0},
    },
    "encoder_classifier": {"attention": "channel_axis", "width": 1 / 32, "input_size": [64, 64]},
    "encoder_decoder": {"encoder": "resnet_like", "attention": "channel_axis", "width": 1 / 32},
}


def test_every_model_has_a_narrow_example():
    assert NARROW.keys() == MODELS.keys()


@pytest.mark.parametrize("name", NARROW)
def test_a_table_of_settings_becomes_a_network(name):
    settings = {"name": name, **NARROW[name]}
    model = build_model(settings)
    assert type(model) is MODELS[name]
    assert settings == {"name": name, **NARROW[name]}  # the caller's table is left as it was
    outputs = model(torch.randn(2, 3, 64, 64))
    assert len(outputs) == 2
    assert outputs.isfinite().all()


@pytest.mark.parametrize("name", NARROW)
def test_the_same_seed_gives_the_same_start(name):
    starts = []
    for _ in range(2):
        torch.manual_seed(7)
        starts.append(build_model({"name": name, **NARROW[name]}).state_dict())
    assert all(torch.equal(starts[0][key], starts[1][key]) for key in starts[0])


@pytest.mark.parametrize("name", ["unet", "unet_s5_d16", "localizer", "encoder_classifier"])
def test_a_network_compiles_into_one_graph(name):
    model = build_model({"name": name, **NARROW[name]}).train()
    for call in (model, getattr(model, "forward_with_auxiliary", model)):
        outputs = torch.compile(call, backend="eager", fullgraph=True)(torch.randn(2, 3, 64, 64))
        sum(part.sum() for part in outputs).backward()


def test_a_network_that_is_only_checked_does_not_load_torchs_compiler():
    tables = [{"name": name, **table} for name, table in NARROW.items()]
    tables.append({"name": "encoder_decoder", "encoder": "efficientnet_lite0"})
    code = f"""if True:
        import sys, torch
        from retina_kit.models.build import build_model
        with torch.device("meta"):
            [build_model(table) for table in {tables}]
        print("torch._dynamo" in sys.modules)"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("name", NARROW)
def test_weights_travel_by_name(name):
    first, second = (build_model({"name": name, **NARROW[name]}).eval() for _ in range(2))
    second.load_state_dict(first.state_dict())
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(first(images), second(images))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"name": "unett"}, "no model is called 'unett'; did you mean 'unet'? Known: unet, "),
        ({}, "no model is called ''"),
        ({"name": "unet", "width": (4, 8)}, "model 'unet' has no setting 'width'; did you mean 'widths'?"),
        ({"name": "unet", "droput": 0.1}, "did you mean 'dropout'?"),
        ({"name": "encoder_decoder", "base_width": 4, "color": 1}, "has no setting 'base_width'"),
        (
            {"name": "localize_then_segment", "localizer": {"pol": 2}},
            "'localizer' has no setting 'pol'; did you mean 'pool'",
        ),
        ({"name": "unet", "zzz": 1}, "has no setting 'zzz'. Known: in_channels, num_classes"),
    ],
)
def test_an_unknown_name_or_setting_says_which_one_was_meant(settings, message):
    options = {key: value for key, value in settings.items() if key != "name"}
    for check in (lambda: build_model(settings), lambda: network(settings.get("name", ""), **options)):
        with pytest.raises(UsageError) as caught:
            check()
        assert message in str(caught.value)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", NARROW)
def test_a_network_that_was_checked_is_its_table(name):
    assert network(name, **NARROW[name]) == {"name": name, **NARROW[name]}


def test_statistics_are_counted_where_they_are_asked_for():
    model = nn.Sequential(nn.Conv2d(1, 5, 1), nn.BatchNorm2d(5))
    assert count_parameters(model) == 5 + 5 + 5 + 5  # kernel, bias, scale, shift
    assert count_parameters(model, statistics=True) == 20 + 5 + 5  # and means and variances, but not the counter


def test_the_layers_of_the_unet_are_those_of_the_published_table():
    table = describe_layers({"name": "unet"}, (1, 1024, 512))
    assert len(table) == 19 + 4  # convolutions and transposed convolutions
    assert table["weights"].sum() == 7_759_521
    bottleneck = table[table["layer"] == "encoder.blocks.4.2"].iloc[0]
    assert bottleneck["output (C, H, W)"] == (512, 64, 32)
    assert bottleneck["weights"] == 2_359_808
    assert table.iloc[-1]["output (C, H, W)"] == (1, 1024, 512)


@pytest.mark.parametrize(
    "settings, input_size",
    [
        ({"name": "unet_s5_d16", "head": "psp"}, (3, 256, 256)),
        ({"name": "encoder_classifier", "attention": "channel_axis"}, (3, 480, 480)),
        ({"name": "encoder_decoder", "encoder": "resnet50", "attention": "cbam"}, (3, 160, 160)),
        ({"name": "localizer"}, (1, 256, 256)),
    ],
)
def test_a_table_of_layers_holds_every_weight_once(settings, input_size):
    table = describe_layers(settings, input_size)
    with torch.device("meta"):
        assert table["weights"].sum() == count_parameters(build_model(settings))
    assert table["layer"].is_unique
