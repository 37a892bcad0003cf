"""The stages of an encoder network, as a diagram needs them: what comes out of each, and its weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from retina_kit.errors import UsageError
from retina_kit.models.build import build_model, count_parameters
from retina_kit.models.classifier import EncoderClassifier
from retina_kit.models.encoder_decoder import EncoderDecoder


def stages_of(settings: Mapping[str, Any], input_size: Sequence[int]) -> pd.DataFrame:
    """Tabulate an "encoder_classifier" or "encoder_decoder" stage by stage: part, stage, output, weights.

    `input_size` is (C, H, W); `channels`, `height` and `width` are those of the stage's output, 1 x 1 for a dense
    layer. The encoder's five stages are its features at 1/2 to 1/32. The network is built on the meta device, so
    even 507 million weights cost nothing.

    >>> stages_of({"name": "encoder_classifier", "input_size": (64, 64)}, (3, 64, 64))["stage"].tolist()
    ['input', '1/2', '1/4', '1/8', '1/16', '1/32', 'dense', 'dense', 'dense', 'dense']
    """
    with torch.device("meta"):
        model = build_model(settings).eval()
        if not isinstance(model, EncoderClassifier | EncoderDecoder):
            raise UsageError(f"model {settings['name']!r} has no stages; encoder_classifier and encoder_decoder have")
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # it keeps a shape, but on the meta device it is slow
                module.forward = nn.Identity().forward  # type: ignore[method-assign]
        features = model.encoder(torch.zeros(1, *input_size))
        rows: list[tuple] = [("input", "input", *input_size, 0)]
        rows += [("encoder", f"1/{2 ** (k + 1)}", *f.shape[1:], 0) for k, f in enumerate(features)]
        if isinstance(model, EncoderDecoder):
            rows += _decoder_rows(model, features)
        else:
            rows += _dense_rows(model, features[-1])
    table = pd.DataFrame(rows, columns=["part", "stage", "channels", "height", "width", "weights"])
    last = table.index[table["part"] == "encoder"][-1]
    table.loc[last, "weights"] = count_parameters(model.encoder, statistics=True)  # of the encoder as a whole
    return table


def _decoder_rows(model: EncoderDecoder, features: list[Tensor]) -> list[tuple]:
    """List the decoder's doublings and the head."""
    rows = []

    def note(name: str, module: nn.Module) -> None:
        def hook(_: nn.Module, inputs: Any, output: Tensor) -> None:
            rows.append(("decoder", name, *output.shape[1:], count_parameters(module, statistics=True)))

        module.register_forward_hook(hook)

    for k, step in enumerate(model.decoder.steps):
        note(f"up {k + 1}", step)
    note("last", model.decoder.last)
    logits = model.head(model.decoder(features))
    return [*rows, ("head", "classes", *logits.shape[1:], count_parameters(model.head))]


def _dense_rows(model: EncoderClassifier, features: Tensor) -> list[tuple]:
    """List a classifier's dense layers."""
    rows, current = [], features
    for module in model.head:
        current = module(current)
        if isinstance(module, nn.Linear):
            rows.append(("head", "dense", current.shape[1], 1, 1, count_parameters(module)))
    return rows
