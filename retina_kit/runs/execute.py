"""Executes one run: an arm with one seed and one fold, from its description to an entry in the run store."""

import contextlib
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from retina_kit import machine
from retina_kit.errors import Interrupted
from retina_kit.runs.checkpoint import Checkpoint
from retina_kit.runs.deciding_code import code_version
from retina_kit.runs.diagnostics import describe_divergence, find_batch_size, is_out_of_memory
from retina_kit.runs.store import Run, RunStore, canonical_hash
from retina_kit.schema import to_json
from retina_kit.training.arm import Arm
from retina_kit.training.arm_training import ArmTraining
from retina_kit.training.batches import Batches
from retina_kit.training.device import choose_device, device_name, resolve_precision
from retina_kit.training.loop import TrainingDiverged
from retina_kit.training.metadata import describe_weights
from retina_kit.training.prepare import prepare_arm, start_model
from retina_kit.training.tasks.interface import Task

DECIDES = ("task", "data", "split", "model", "freeze", "recipe", "evaluation")


def identity_of(
    arm: Arm,
    seed: int,
    fold: int | None,
    fingerprint: str,
    parent_key: str | None = None,
    precision: str = "auto",
) -> dict[str, Any]:
    """Describe everything that decides a run's result, as JSON-able data; its hash is the run's name.

    `arm` is the resolved table of the experiment file; its name, label and place in tables decide nothing.
    """
    plain = to_json(arm)
    description = {name: plain[name] for name in DECIDES if name in plain}
    start = {key: value for key, value in plain.get("start", {}).items() if key != "parent"}
    description |= {"start": start, "seed": seed, "fold": fold, "data_fingerprint": fingerprint}
    return description | {"parent": parent_key, "precision": precision, "code": code_version()}


def columns_that_decide(arm: Arm) -> list[str]:
    """List the columns of a data set whose entries decide a run's result: what is learned, and who is trained on."""
    data, split = arm.data, arm.split
    learned = [*data.center, *data.test_center, *data.diameter, *([data.label] if arm.task == "classify" else [])]
    return [*learned, *dict.fromkeys(c for c in (*split.require_columns, *split.exclude_if) if c not in learned)]


def execute_run(
    store: RunStore,
    arm: Arm,
    seed: int,
    fold: int | None,
    description: dict[str, Any],
    *,
    data_root: str | Path,
    parent: Run | None = None,
    device: str = "auto",
    precision: str = "auto",
    watch: Callable[..., bool] | None = None,
) -> Run:
    """Train, score and store one run, or find the finished one that the store already has.

    `description` is what `identity_of` gave. An interrupted run resumes from its last checkpoint.
    """
    key = canonical_hash(description)
    with store.lock(key):
        finished = store.find(key)
        if finished:
            return finished
        chosen = choose_device(device)
        began = time.perf_counter()
        task = prepare_arm(arm, seed, fold, data_root)
        training = ArmTraining(task, seed, chosen, precision, parent.weights() if parent else None)
        checkpoint = Checkpoint(store.unfinished(key) / "checkpoint.safetensors", keeper=training.validator)
        with failures_explained(task, training.batches, seed, chosen, precision):
            history = training.fit(watch=watch, checkpoint=checkpoint)
        if not training.is_finished(history):
            raise Interrupted(f"arm {arm.name} was stopped after step {len(history)}; run again to resume")
        scores = training.score()
        provenance: dict[str, Any] = {
            "arm": arm.name,
            "description": description,
            "steps": len(history),
            "seconds": round(checkpoint.earlier_seconds + time.perf_counter() - began, 3),
            "device": device_name(chosen),
            "precision": resolve_precision(chosen, precision),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "peak_memory_mb": peak_memory_mb(chosen),
        }
        described = describe_weights(
            task,
            key,
            description,
            precision=provenance["precision"],
            steps=len(history),
            data_root=data_root,
            parent=parent.metadata() if parent else None,
        )
        weights, best = training.model.state_dict(), training.best_weights()
        return store.write(key, provenance, history, scores, weights, best, described)


@contextlib.contextmanager
def failures_explained(task: Task, batches: Batches, seed: int, device: torch.device, precision: str) -> Iterator[None]:
    """Turn a diverged loss, or memory that ran out, into an error that helps to fix it."""
    arm = task.arm
    try:
        yield
    except TrainingDiverged as error:
        raise describe_divergence(error, arm, batches, task.names_at, arm.recipe) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the tensors that did not fit
    else:
        return
    raise find_batch_size(arm, batches, lambda: start_model(arm, seed), arm.recipe, device, precision)


def peak_memory_mb(device: torch.device) -> int:
    """Measure the peak memory in MiB: of the GPU's tensors, or of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    return machine.peak_memory_mb()
