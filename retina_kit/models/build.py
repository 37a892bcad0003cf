"""From an arm's model table to a network, and from a network to its number of weights."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import nn

from retina_kit.errors import UsageError, did_you_mean, unknown_name
from retina_kit.models.classifier import EncoderClassifier
from retina_kit.models.encoder_decoder import EncoderDecoder
from retina_kit.models.localize_then_segment import LocalizeThenSegment
from retina_kit.models.localizer import Localizer
from retina_kit.models.unet import UNet
from retina_kit.models.unet_s5_d16 import UNetS5D16

SMALL = 10**10  # weights x pixels; an image takes less than half a second
SMALL_IMAGE = 2**20  # pixels; features of 16 channels take 64 MB

MODELS: dict[str, type[nn.Module]] = {
    "unet": UNet,
    "unet_s5_d16": UNetS5D16,
    "localizer": Localizer,
    "localize_then_segment": LocalizeThenSegment,
    "encoder_classifier": EncoderClassifier,
    "encoder_decoder": EncoderDecoder,
}


def network(name: str, **options: Any) -> dict[str, Any]:
    """Describe a network as plain data, its name and options checked; `build_model` makes it.

    An option that is itself a network, such as the `localizer` of "localize_then_segment", is a table of that
    network's options and checked as well. Raises UsageError for a name or an option that does not exist.

    >>> network("unet", widths=[8, 16, 32], norm="batch")
    {'name': 'unet', 'widths': [8, 16, 32], 'norm': 'batch'}
    >>> network("unet", droput=0.2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    retina_kit.errors.UsageError: model 'unet' has no setting 'droput'; did you mean 'dropout'? Known: in_channels, ...
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    known = list(_parameters_of(name))
    for option, value in options.items():
        if option not in known:
            raise UsageError(f"model {name!r} has no setting {option!r}{did_you_mean(option, known)}")
        if option in MODELS and isinstance(value, Mapping):
            network(option, **value)
    return {"name": name, **options}


def num_classes_of(settings: Mapping[str, Any]) -> int:
    """Return how many channels the logits of a network have; 0 if it gives no logits per pixel.

    >>> num_classes_of({"name": "unet"}), num_classes_of({"name": "unet", "num_classes": 4})
    (1, 4)
    """
    parameter = _parameters_of(settings["name"]).get("num_classes")
    return settings.get("num_classes", parameter.default) if parameter else 0


@functools.cache
def _parameters_of(name: str) -> Mapping[str, inspect.Parameter]:
    """Look up the settings of a model once: an experiment names some models hundreds of times."""
    return inspect.signature(MODELS[name]).parameters


def build_model(settings: Mapping[str, Any]) -> nn.Module:
    """Build the network that a table such as {"name": "unet", "widths": [...]} describes, with random weights.

    Raises UsageError for a name or a setting that does not exist.

    >>> model = build_model({"name": "unet", "widths": [8, 16, 32], "num_classes": 2})
    >>> model(torch.zeros(1, 1, 64, 96)).shape
    torch.Size([1, 2, 64, 96])
    """
    name, options = settings.get("name", ""), {key: value for key, value in settings.items() if key != "name"}
    network(name, **options)
    return MODELS[name](**options)


def without_weights(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's table without the file of weights that it starts from, for one whose weights are known.

    >>> without_weights({"name": "encoder_decoder", "encoder": "vgg16", "weights": "vgg16.pth"})
    {'name': 'encoder_decoder', 'encoder': 'vgg16'}
    """
    return {key: value for key, value in settings.items() if key != "weights"}


def count_parameters(model: nn.Module, *, statistics: bool = False) -> int:
    """Count the weights; with `statistics` BatchNorm's running means and variances too, as Keras does.

    >>> with torch.device("meta"):
    ...     count_parameters(UNet())  # Melinscak 2020, II.B
    7759521
    """
    count = sum(weight.numel() for weight in model.parameters())
    if statistics:
        running = ("running_mean", "running_var")
        count += sum(b.numel() for name, b in model.named_buffers() if name.rpartition(".")[2] in running)
    return count


def build_for_shapes(settings: Mapping[str, Any], input_size: Sequence[int]) -> tuple[nn.Module, torch.Tensor]:
    """Build a network that is only asked for shapes, and an image (1, C, H, W) of zeros for it.

    `input_size` is (C, H, W). A large network or image is on the meta device, where even the largest costs nothing.
    Small ones are on the CPU, because torch loads its compiler for the meta device, which takes two seconds.

    >>> model, image = build_for_shapes({"name": "unet"}, (1, 1024, 1024))
    >>> model(image).shape, image.device
    (torch.Size([1, 1, 1024, 1024]), device(type='meta'))
    """
    with torch.device("meta"):
        num_weights = count_parameters(build_model(settings))
    num_pixels = input_size[1] * input_size[2]
    small = num_pixels <= SMALL_IMAGE and num_weights * num_pixels < SMALL
    with torch.device("cpu" if small else "meta"), torch.random.fork_rng(devices=[]):
        return build_model(settings).eval(), torch.zeros(1, *input_size)


def describe_layers(settings: Mapping[str, Any], input_size: Sequence[int]) -> pd.DataFrame:
    """Tabulate a network's layers with weights: layer, kind, output (C, H, W), number of weights.

    `input_size` is (C, H, W). An auxiliary head is part of the table; a layer that is used twice has one row.

    >>> describe_layers({"name": "unet", "widths": [8, 16]}, (1, 32, 32))["output (C, H, W)"].tolist()[:3]
    [(8, 32, 32), (8, 32, 32), (16, 16, 16)]
    """
    rows: dict[str, tuple] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            rows[name] = (name, type(module).__name__, tuple(output.shape[1:]), count_parameters(module))

        return hook

    model, image = build_for_shapes(settings, input_size)
    for name, module in model.named_modules():
        if not list(module.children()) and count_parameters(module):
            module.register_forward_hook(note(name))
    predict: Callable[..., Any] = getattr(model, "forward_with_auxiliary", model)
    with torch.inference_mode():
        predict(image)
    return pd.DataFrame(rows.values(), columns=["layer", "kind", "output (C, H, W)", "weights"])
