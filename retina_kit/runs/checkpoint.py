"""A checkpoint: everything that a killed run needs to resume at the same step, in one safetensors file."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from retina_kit.errors import DataError
from retina_kit.files import atomic_path
from retina_kit.runs.store import save_tensors
from retina_kit.training.loop import stop_if_diverged

# exceptions raised when a readable file is not a checkpoint of this network
NOT_OURS = (RuntimeError, KeyError, IndexError, ValueError, TypeError, AttributeError)


class Checkpoint:
    """Saves a run every `every_seconds`, and restores it.

    The file contains the model's tensors, the optimizer's, the losses so far, the validations, the seconds it took and,
    if a `keeper` is given, the best weights that it keeps. It is replaced in one rename, so a kill while saving costs
    nothing.
    """

    def __init__(self, path: str | Path, *, every_seconds: float = 30.0, keeper: Any = None) -> None:
        self.path = Path(path)
        self.every_seconds = every_seconds
        self.keeper = keeper
        self.began = self.last_saved = time.monotonic()
        self.earlier_seconds = 0.0  # that earlier, interrupted trainings of this run took up to the restored step

    def save_if_due(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        losses: list[torch.Tensor],
        validations: list[dict[str, Any]],
        *,
        now: bool = False,
    ) -> None:
        """Save if the last time is long enough ago, or `now`; a state after a loss that is not finite is not kept."""
        if now or time.monotonic() - self.last_saved >= self.every_seconds:
            stop_if_diverged(losses)
            self.save(model, optimizer, losses, validations)

    def save(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        losses: list[torch.Tensor],
        validations: list[dict[str, Any]],
    ) -> None:
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
            seconds = self.earlier_seconds + time.monotonic() - self.began
            facts = {"validations": validations, "best_score": best, "seconds": seconds}
            save_tensors(tensors, path, {name: json.dumps(value) for name, value in facts.items()})
        self.last_saved = time.monotonic()

    def restore(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        losses: list[torch.Tensor],
        validations: list[dict[str, Any]],
    ) -> int:
        """Restore everything in place and give the next step: 0 if nothing was saved."""
        if not self.path.is_file():
            return 0
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
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

    def _put_back(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        losses: list[torch.Tensor],
        validations: list[dict[str, Any]],
        tensors: dict[str, torch.Tensor],
        metadata: dict[str, str],
    ) -> None:
        model.load_state_dict(part_of(tensors, "model"))
        self._restore_optimizer(optimizer, part_of(tensors, "optimizer"))
        if self.keeper:
            self.keeper.best_weights = part_of(tensors, "best")
            self.keeper.best_score = json.loads(metadata["best_score"])
        self.earlier_seconds = float(json.loads(metadata["seconds"]))
        device = next(model.parameters()).device
        validations.extend(json.loads(metadata["validations"]))
        losses.extend(tensors["losses"].to(device).unbind())

    def _restore_optimizer(self, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
        """Restore momenta and step counts in the memory layout of the weights they belong to.

        Files keep tensors in plain order, but most networks are channels last in memory, and a fused optimizer walks
        through weight and momentum side by side: a momentum in another order would silently update the wrong weights.
        """
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            index, key = name.split("/")
            weight = weights[int(index)]
            if tensor.shape == weight.shape:
                tensor = torch.empty_like(weight, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
            state.setdefault(int(index), {})[key] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def part_of(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Select the tensors whose names start with `prefix/`, under the rest of their names.

    >>> sorted(part_of({"model/bias": torch.zeros(1), "losses": torch.zeros(2)}, "model"))
    ['bias']
    """
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + "/")}
