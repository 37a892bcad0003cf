"""Reads files of weights that others made: named tensors, never pickled code."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from retina_kit.errors import DataError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a safetensors file or of a PyTorch state dict."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        given = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the two libraries raise a dozen kinds for a damaged file
        raise DataError(f"{path} is not a file of weights ({error}); download it again") from error
    if not isinstance(given, dict):
        raise DataError(f"{path} holds a {type(given).__name__}, not a state dict of named tensors")
    return given
