"""Loads a checkpoint of MMSegmentation's model zoo, from a file on your disk, into our UNet-S5-D16.

The tensors map one to one (148 with an FCN head, 172 with PSP, 178 with ASPP, which is DeepLabV3); only the names
differ. Nothing is downloaded.
"""

from pathlib import Path

from torch import Tensor, nn

from retina_kit.errors import DataError
from retina_kit.models.tensor_files import read_tensors

ZOO = "https://github.com/open-mmlab/mmsegmentation/tree/main/configs/unet"
LAYERS = {"0": "conv", "1": "bn"}  # of a ConvUnit
LAST_UP = 3  # the zoo counts the doublings from the finest, we from the coarsest


def load_zoo_checkpoint(model: nn.Module, head: str, path: str | Path) -> None:
    """Load all tensors of a network with this head (fcn, psp, aspp) from a checkpoint.

    Raises DataError if one is missing or has another shape.
    The file is a state dict, or a dict with one under "state_dict", as MMEngine saves it. Only tensors and plain
    values are read, never pickled code.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no checkpoint {path}; download one from {ZOO} and give its path")
    content = read_tensors(path)
    given: dict[str, Tensor] = content.get("state_dict", content)  # type: ignore[assignment]
    state = {}
    for name, tensor in model.state_dict().items():
        theirs = zoo_name(name, head)
        found = given.get(theirs)
        if found is None and name.endswith("num_batches_tracked"):
            found = tensor  # files of old versions lack it, and no result depends on it
        if found is None or found.shape != tensor.shape:
            there = "no such tensor" if found is None else f"shape {tuple(found.shape)}"
            raise DataError(f"{path}: {theirs} of shape {tuple(tensor.shape)} is expected, there is {there}")
        state[name] = found
    if not next(model.parameters()).is_meta:  # a network that is only described has nothing to load into
        model.load_state_dict(state)


def zoo_name(name: str, head: str) -> str:
    """Translate the name of a tensor of our UNet-S5-D16 with this head (fcn, psp, aspp) into the zoo's.

    >>> zoo_name("backbone.stages.1.0.0.weight", "fcn"), zoo_name("backbone.ups.0.reduce.1.bias", "fcn")
    ('backbone.encoder.1.1.convs.0.conv.weight', 'backbone.decoder.3.upsample.interp_upsample.1.bn.bias')
    >>> zoo_name("decode_head.branches.2.0.weight", "psp"), zoo_name("auxiliary_head.classifier.1.bias", "psp")
    ('decode_head.psp_modules.2.1.conv.weight', 'auxiliary_head.conv_seg.bias')
    """
    part, *inner, layer, end = name.split(".")
    if part == "backbone":
        return f"backbone.{_in_backbone(inner)}.{LAYERS[layer]}.{end}"
    if inner == ["classifier"]:
        return f"{part}.conv_seg.{end}"
    return f"{part}.{_in_head(inner, 'fcn' if part == 'auxiliary_head' else head)}.{LAYERS[layer]}.{end}"


def _in_backbone(inner: list[str]) -> str:
    kind, number, *rest = inner
    if kind == "stages":
        after_pool = 0 if number == "0" else 1  # in the zoo all stages but the first begin with their pooling
        return f"encoder.{number}.{after_pool}.convs.{rest[0]}"
    place = LAST_UP - int(number)
    return f"decoder.{place}." + ("upsample.interp_upsample.1" if rest == ["reduce"] else f"conv_block.convs.{rest[1]}")


def _in_head(inner: list[str], head: str) -> str:
    if inner == ["conv"]:
        return "convs.0" if head == "fcn" else "bottleneck"
    if inner == ["image_pool"]:
        return "image_pool.1"
    return f"psp_modules.{inner[1]}.1" if head == "psp" else f"aspp_modules.{inner[1]}"
