"""What a child arm copies from its parent, and which parts stay frozen."""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from retina_kit.errors import UsageError


def copy_weights(
    model: nn.Module, parent_weights: Mapping[str, Tensor], parts: Sequence[str] = (), into: str = ""
) -> tuple[list[str], list[str]]:
    """Copy a parent's tensors into `model`; return the names that were copied and the names that were not.

    `parts` names sub-modules such as "encoder"; without any, everything that fits is copied. `into` names the
    sub-module of `model` that is a network like the parent. A tensor is copied if name and shape agree; one whose shape
    differs, such as a 19-class head, keeps its random values. Raises UsageError if nothing at all fits: a copy that
    copies nothing is the mistake this function exists to prevent.
    """
    own = model.state_dict()
    if into:
        parent_weights = {f"{into}.{name}": tensor for name, tensor in parent_weights.items()}
    wanted = [name for name in own if name.split(".")[0] in set(parts)] if parts else list(own)
    copied = [name for name in wanted if name in parent_weights and parent_weights[name].shape == own[name].shape]
    if not any(own[name].dim() > 1 for name in copied):
        what = " and ".join(parts) or "the network"
        raise UsageError(f"nothing of the parent fits into {what}; the parts of this network are {_parts(own)}")
    model.load_state_dict({name: parent_weights[name] for name in copied}, strict=False)
    return copied, [name for name in own if name not in set(copied)]


def freeze(model: nn.Module, parts: Iterable[str]) -> None:
    """Freeze sub-modules for good: their weights get no gradient and their BatchNorm statistics stay as they are."""
    for part in parts:
        method = getattr(model, f"freeze_{part}", None)
        if method is None:
            raise UsageError(f"this network has no part {part!r} that can be frozen")
        method()


def _parts(names: Iterable[str]) -> str:
    """List the top-level parts of a state dict, for messages."""
    return ", ".join(sorted({name.split(".")[0] for name in names}))
