"""Checkpoints of MMSegmentation's model zoo: every tensor finds its place, by the names that the zoo writes."""

import pytest
import torch

from retina_kit.errors import DataError
from retina_kit.models.build import build_model
from retina_kit.models.unet_s5_d16 import UNetS5D16

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
HEADS = {  # convolutions with a BatchNorm of each decode head, as the zoo names them
    "fcn": ["convs.0"],
    "psp": [*(f"psp_modules.{k}.1" for k in range(4)), "bottleneck"],
    "aspp": ["image_pool.1", *(f"aspp_modules.{k}" for k in range(4)), "bottleneck"],
}


def zoo_names(head):
    """List the names of a checkpoint as MMSegmentation's classes make them."""
    units = [f"backbone.encoder.{k}.{int(k > 0)}.convs.{conv}" for k in range(5) for conv in range(2)]
    units += [f"backbone.decoder.{k}.conv_block.convs.{conv}" for k in range(4) for conv in range(2)]
    units += [f"backbone.decoder.{k}.upsample.interp_upsample.1" for k in range(4)]
    units += [f"decode_head.{unit}" for unit in HEADS[head]] + ["auxiliary_head.convs.0"]
    names = [name for unit in units for name in (f"{unit}.conv.weight", *(f"{unit}.bn.{end}" for end in NORM))]
    return names + [
        f"{part}.conv_seg.{end}" for part in ("decode_head", "auxiliary_head") for end in ("weight", "bias")
    ]


def checkpoint(head, base=4):
    """Make a checkpoint in the zoo's naming, every number at random; channels follow from the stage."""
    shapes = {name: tensor.shape for name, tensor in shapes_by_zoo_name(head, base).items()}
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.tensor(7) if name.endswith("tracked") else torch.rand(shapes[name], generator=generator)
        for name in zoo_names(head)
    }


def shapes_by_zoo_name(head, base):
    """Give a tensor of the right shape for each name, from the widths of mmseg's configuration."""
    widths, shapes = [base * 2**k for k in range(5)], {}

    def unit(name, out, into, kernel):
        shapes[f"{name}.conv.weight"] = torch.empty(out, into, kernel, kernel)
        shapes.update({f"{name}.bn.{end}": torch.empty(out) for end in NORM})

    for k, width in enumerate(widths):
        before = widths[k - 1] if k else 3
        unit(f"backbone.encoder.{k}.{int(k > 0)}.convs.0", width, before, 3)
        unit(f"backbone.encoder.{k}.{int(k > 0)}.convs.1", width, width, 3)
    for k in range(4):
        unit(f"backbone.decoder.{k}.upsample.interp_upsample.1", widths[k], widths[k + 1], 1)
        unit(f"backbone.decoder.{k}.conv_block.convs.0", widths[k], 2 * widths[k], 3)
        unit(f"backbone.decoder.{k}.conv_block.convs.1", widths[k], widths[k], 3)
    channels = base if head == "fcn" else 16
    for name in HEADS[head]:
        into = {"convs.0": base, "bottleneck": base + 4 * 16 if head == "psp" else 5 * 16}.get(name, base)
        small = name.startswith(("psp", "image")) or name == "aspp_modules.0"
        unit(f"decode_head.{name}", channels, into, 1 if small else 3)
    unit("auxiliary_head.convs.0", base, 2 * base, 3)
    for part, width in (("decode_head", channels), ("auxiliary_head", base)):
        shapes[f"{part}.conv_seg.weight"], shapes[f"{part}.conv_seg.bias"] = torch.empty(2, width, 1, 1), torch.empty(2)
    return shapes


@pytest.mark.parametrize(("head", "count"), [("fcn", 148), ("psp", 172), ("aspp", 178)])
def test_every_tensor_of_a_checkpoint_is_loaded(head, count, tmp_path):
    given = checkpoint(head)
    assert len(given) == count == len(UNetS5D16(head, base_width=4).state_dict())
    torch.save({"meta": {"mmseg_version": "0.16.0"}, "state_dict": given}, tmp_path / "zoo.pth")
    settings = {"name": "unet_s5_d16", "head": head, "base_width": 4, "weights": str(tmp_path / "zoo.pth")}
    loaded = build_model(settings)
    state = loaded.state_dict()
    assert sorted(float(t.double().sum()) for t in state.values()) == sorted(
        float(t.double().sum()) for t in given.values()
    )
    assert torch.equal(state["backbone.stages.4.1.0.weight"], given["backbone.encoder.4.1.convs.1.conv.weight"])
    assert torch.equal(state["backbone.ups.0.convs.0.1.bias"], given["backbone.decoder.3.conv_block.convs.0.bn.bias"])
    assert torch.equal(state["decode_head.classifier.1.weight"], given["decode_head.conv_seg.weight"])
    assert loaded.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 2, 32, 32)


def test_another_heads_checkpoint_and_one_that_is_not_there_are_errors(tmp_path):
    torch.save(checkpoint("psp"), tmp_path / "zoo.pth")
    with pytest.raises(DataError, match=r"decode_head.image_pool.1.conv.weight of shape .* there is no such tensor"):
        UNetS5D16("aspp", base_width=4, weights=str(tmp_path / "zoo.pth"))
    with pytest.raises(DataError, match=r"there is shape \(4, 3, 3, 3\)"):
        UNetS5D16("psp", base_width=8, weights=str(tmp_path / "zoo.pth"))
    with pytest.raises(DataError, match="there is no checkpoint"):
        UNetS5D16(weights="nowhere.pth")
