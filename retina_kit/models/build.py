"""From an arm's model table to a network, and from a network to its count of weights."""

import difflib
import inspect

import pandas as pd
import torch

from retina_kit.errors import UsageError, did_you_mean
from retina_kit.models.classifier import EncoderClassifier
from retina_kit.models.encoder_decoder import EncoderDecoder
from retina_kit.models.localize_then_segment import LocalizeThenSegment
from retina_kit.models.localizer import Localizer
from retina_kit.models.unet import UNet
from retina_kit.models.unet_s5_d16 import UNetS5D16

MODELS = {
    "unet": UNet,
    "unet_s5_d16": UNetS5D16,
    "localizer": Localizer,
    "localize_then_segment": LocalizeThenSegment,
    "encoder_classifier": EncoderClassifier,
    "encoder_decoder": EncoderDecoder,
}


def network(name, **options):
    """placeholder"""
    settings = {"name": name, **options}
    if name not in MODELS:
        raise UsageError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    known = list(inspect.signature(MODELS[name]).parameters)
    for key in options:
        if key not in known:
            raise UsageError(f"model {name!r} has no setting {key!r}{did_you_mean(key, known)}")
    return settings


def build_model(settings):
    """Return the network that a table such as {"name": "unet", "widths": [...]} describes.

    Raises UsageError for a name or a setting that does not exist.
    """
    settings = dict(settings)
    name = settings.pop("name", None)
    if name not in MODELS:
        raise UsageError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    known = list(inspect.signature(MODELS[name]).parameters)
    for key in settings:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise UsageError(f"model {name!r} has no setting {key!r}{hint} It has {', '.join(known)}")
    return MODELS[name](**settings)


def count_parameters(model, *, statistics=False):
    """Count the weights; with `statistics` BatchNorm's means and variances too (Keras counts so)."""
    count = sum(weight.numel() for weight in model.parameters())
    if statistics:
        running = ("running_mean", "running_var")
        count += sum(b.numel() for name, b in model.named_buffers() if name.rpartition(".")[2] in running)
    return count


def describe_layers(settings, input_size):
    """Return a table of a network's layers with weights: layer, kind, output (C, H, W), number of weights.

    `input_size` is (C, H, W). The network is built on the meta device, so even the largest costs nothing. An
    auxiliary head is part of the table; a layer that is used twice stands in it once.
    """
    rows = {}

    def note(name):
        def hook(module, inputs, output):
            rows[name] = (name, type(module).__name__, tuple(output.shape[1:]), count_parameters(module))

        return hook

    with torch.device("meta"):
        model = build_model(settings).eval()
        for name, module in model.named_modules():
            if not list(module.children()) and count_parameters(module):
                module.register_forward_hook(note(name))
        predict = getattr(model, "forward_with_auxiliary", model)
        predict(torch.zeros(1, *input_size))
    return pd.DataFrame(rows.values(), columns=["layer", "kind", "output (C, H, W)", "weights"])
