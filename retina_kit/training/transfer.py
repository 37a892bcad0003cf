"""What a child arm takes over from its parent, and what stays frozen."""

from retina_kit.errors import UsageError


def copy_weights(model, parent_weights, parts="everything", into=""):
    """Copy a parent's tensors into `model`; return the names copied and the names left as they were.

    `parent_weights` is a state dict. `parts` is "everything" or a list of sub-module names such as ["encoder"].
    `into` names the sub-module of `model` that is a network like the parent, where `model` holds more than that.
    A tensor is copied where the name is the same; one whose shape differs, such as a 19-class head, stays random.
    Raises where nothing at all fits: a copy that copies nothing is the mistake this function exists to prevent.
    """
    own = model.state_dict()
    if into:
        parent_weights = {f"{into}.{name}": tensor for name, tensor in parent_weights.items()}
    wanted = own if parts == "everything" else [n for n in own if n.split(".")[0] in set(parts)]
    copied = [n for n in wanted if n in parent_weights and parent_weights[n].shape == own[n].shape]
    if not any(own[name].dim() > 1 for name in copied):
        raise UsageError(f"nothing of the parent fits into {parts!r} of this network; its parts are {_parts(own)}")
    model.load_state_dict({name: parent_weights[name] for name in copied}, strict=False)
    return copied, [name for name in own if name not in set(copied)]


def freeze(model, parts):
    """Freeze sub-modules for good: their weights take no gradient and their BatchNorm statistics stay still."""
    for part in parts:
        method = getattr(model, f"freeze_{part}", None)
        if method is None:
            raise UsageError(f"this network has no part {part!r} that can be frozen")
        method()


def _parts(names):
    """Return the top-level parts of a state dict, for messages."""
    return ", ".join(sorted({name.split(".")[0] for name in names}))
