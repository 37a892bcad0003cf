"""A checkpoint: all that a killed run needs to go on at the very step where it was, as one safetensors file."""

import json
import sys
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from retina_kit.errors import DataError
from retina_kit.files import atomic_path
from retina_kit.runs.store import save_tensors
from retina_kit.training.loop import stop_if_diverged

# what a file that is readable, but no checkpoint of this network, makes torch and json raise
NOT_OURS = (RuntimeError, KeyError, IndexError, ValueError, TypeError, AttributeError)


class Checkpoint:
    """Saves a run every so many seconds, and restores it.

    The file holds the model's tensors, the optimizer's, the losses so far, the validations and, where a `keeper`
    is given, the best weights it keeps. It is replaced in one rename, so a kill while saving costs nothing.
    """

    def __init__(self, path, *, every_seconds=30.0, keeper=None):
        self.path = Path(path)
        self.every_seconds = every_seconds
        self.keeper = keeper
        self.last_saved = time.monotonic()

    def save_if_due(self, model, optimizer, losses, validations, *, now=False):
        """Save where the last time is long enough ago, or `now`; a state after a loss that is no number is not kept."""
        if now or time.monotonic() - self.last_saved >= self.every_seconds:
            stop_if_diverged(losses)
            self.save(model, optimizer, losses, validations)

    def save(self, model, optimizer, losses, validations):
        """Write the state after the last finished step."""
        tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer/{index}/{name}": torch.as_tensor(value)
                for name, value in state.items()
                if value is not None
            }
        if self.keeper and self.keeper.best_weights:
            tensors |= {f"best/{name}": tensor for name, tensor in self.keeper.best_weights.items()}
        tensors["losses"] = torch.stack(losses)
        best = self.keeper.best_score if self.keeper else None
        with atomic_path(self.path) as path:
            save_tensors(tensors, path, {"validations": json.dumps(validations), "best_score": json.dumps(best)})
        self.last_saved = time.monotonic()

    def restore(self, model, optimizer, losses, validations):
        """Bring everything back to where it was saved and return the next step: 0 where nothing was saved."""
        if not self.path.is_file():
            return 0
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            self.path.unlink()
            print(f"checkpoint {self.path} cannot be read ({error}); starting from the first step", file=sys.stderr)
            return 0
        try:
            self._put_back(model, optimizer, losses, validations, tensors, metadata)
        except NOT_OURS as error:
            text = str(error).strip().split("\n")[0]
            raise DataError(f"{self.path} is not a checkpoint of this run ({text}); retina-kit store clean") from error
        return len(losses)

    def _put_back(self, model, optimizer, losses, validations, tensors, metadata):
        model.load_state_dict(part_of(tensors, "model"))
        self._restore_optimizer(optimizer, part_of(tensors, "optimizer"))
        if self.keeper:
            self.keeper.best_weights = part_of(tensors, "best")
            self.keeper.best_score = json.loads(metadata["best_score"])
        device = next(model.parameters()).device
        validations.extend(json.loads(metadata["validations"]))
        losses.extend(tensors["losses"].to(device).unbind())

    def _restore_optimizer(self, optimizer, tensors):
        """Put momenta and step counts back beside the weights they belong to.

        Files hold tensors in plain order, but weights lie channels last, and a fused optimizer walks through weight
        and momentum side by side in memory: a momentum in another order would meet the wrong weights, silently.
        """
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        state = {}
        for name, tensor in tensors.items():
            index, key = name.split("/")
            weight = weights[int(index)]
            if tensor.shape == weight.shape:
                tensor = torch.empty_like(weight, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
            state.setdefault(int(index), {})[key] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def part_of(tensors, prefix):
    """Return the tensors whose names start with `prefix/`, under the rest of their names."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + "/")}
