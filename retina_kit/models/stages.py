"""The stages of an encoder network, as a diagram needs them: what comes out of each, and its weights."""

import pandas as pd
import torch
from torch import nn

from retina_kit.models.build import build_model, count_parameters


def stages_of(settings, input_size):
    """Return one row a stage of an "encoder_classifier" or "encoder_decoder": part, stage, output, weights.

    `input_size` is (C, H, W); `channels`, `height` and `width` are those of the stage's output, 1 x 1 for a dense
    layer. The encoder's five stages are its features at 1/2 to 1/32. The network is built on the meta device, so
    even 507 million weights cost nothing.
    """
    with torch.device("meta"):
        model = build_model(settings).eval()
        images = torch.zeros(1, *input_size)
        features = model.encoder(images)
        rows = [("input", "input", *input_size, 0)]
        rows += [("encoder", f"1/{2 ** (k + 1)}", *f.shape[1:], 0) for k, f in enumerate(features)]
        rows += _decoder_rows(model, features) if hasattr(model, "decoder") else _dense_rows(model, features[-1])
    table = pd.DataFrame(rows, columns=["part", "stage", "channels", "height", "width", "weights"])
    last = table.index[table["part"] == "encoder"][-1]
    table.loc[last, "weights"] = count_parameters(model.encoder, statistics=True)  # of the encoder as a whole
    return table


def _decoder_rows(model, features):
    """Return the rows of the decoder's doublings and of the head."""
    rows = []

    def note(name, module):
        def hook(_, inputs, output):
            rows.append(("decoder", name, *output.shape[1:], count_parameters(module, statistics=True)))

        module.register_forward_hook(hook)

    for k, step in enumerate(model.decoder.steps):
        note(f"up {k + 1}", step)
    note("last", model.decoder.last)
    logits = model.head(model.decoder(features))
    return [*rows, ("head", "classes", *logits.shape[1:], count_parameters(model.head))]


def _dense_rows(model, features):
    """Return the rows of a classifier's dense layers."""
    rows, current = [], features
    for module in model.head:
        current = module(current)
        if isinstance(module, nn.Linear):
            rows.append(("head", "dense", current.shape[1], 1, 1, count_parameters(module)))
    return rows
