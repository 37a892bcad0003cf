"""One run: an arm with one seed and one fold, from its description to a finished entry in the run store."""

import contextlib
import platform
import time
import traceback

import torch

from retina_kit import machine
from retina_kit.errors import Interrupted
from retina_kit.runs.checkpoint import Checkpoint
from retina_kit.runs.code_version import code_version
from retina_kit.runs.diagnostics import is_out_of_memory, say_what_was_fed, say_what_would_fit
from retina_kit.runs.store import canonical_hash
from retina_kit.schema import to_json
from retina_kit.training.device import choose_device, device_name, resolve_precision
from retina_kit.training.loop import TrainingDiverged, fit
from retina_kit.training.prepare import prepare_arm, score_variants, start_model
from retina_kit.training.tasks.interface import Validator

DECIDES = ("task", "data", "split", "model", "freeze", "recipe", "evaluation")


def describe(arm, seed, fold, fingerprint, parent_key=None, precision="auto"):
    """Return all that decides a replicate's result, as JSON-able data; its hash is the replicate's name.

    `arm` is the resolved table of the experiment file; its name, label and place in tables decide nothing.
    """
    plain = to_json(arm)
    description = {name: plain[name] for name in DECIDES if name in plain}
    start = {key: value for key, value in plain.get("start", {}).items() if key != "parent"}
    description |= {"start": start, "seed": seed, "fold": fold, "data_fingerprint": fingerprint}
    return description | {"parent": parent_key, "precision": precision, "code": code_version()}


def run_replicate(store, arm, seed, fold, description, *, data_root, parent=None, device="auto", precision="auto",
                  watch=None):  # fmt: skip
    """Train, score and store one replicate, or return the finished run that the store already has.

    `description` is what `describe` returned. A replicate that was interrupted goes on from its last checkpoint.
    """
    key = canonical_hash(description)
    with store.lock(key):
        finished = store.find(key)
        if finished:
            return finished
        device = choose_device(device)
        began = time.perf_counter()
        task = prepare_arm(arm, seed, fold, data_root)
        recipe = arm.recipe
        model = start_model(arm, seed, parent.weights() if parent else None)
        batches = task.make_batches(seed, device)
        validator = Validator(task, batches, precision) if recipe.validate_every else None
        checkpoint = Checkpoint(store.unfinished(key) / "checkpoint.safetensors", keeper=validator)
        with explained(arm, task, batches, recipe, seed, device, precision):
            history = fit(model, batches, recipe, device=device, seed=seed, precision=precision, validate=validator,
                          watch=watch, checkpoint=checkpoint)  # fmt: skip
        if len(history) < len(batches):
            raise Interrupted(f"arm {arm.name} was stopped after step {len(history)}; run again to go on from there")
        scores = score_variants(task, model, batches, validator, precision)
        provenance = {
            "arm": arm.name,
            "description": description,
            "steps": len(history),
            "seconds": round(time.perf_counter() - began, 3),
            "device": device_name(device),
            "precision": resolve_precision(device, precision),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "peak_memory_mb": peak_memory_mb(device),
        }
        best = validator.best_weights if validator and arm.keeps_best else None
        return store.write(key, provenance, history, scores, model.state_dict(), best)


@contextlib.contextmanager
def explained(arm, task, batches, recipe, seed, device, precision):
    """Turn a loss that is no number, or memory that ran out, into an error that says what to know about it."""
    try:
        yield
    except TrainingDiverged as error:
        raise say_what_was_fed(error, arm, batches, task.rows.iloc[task.train], recipe) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the tensors that did not fit
    else:
        return
    raise say_what_would_fit(arm, batches, lambda: start_model(arm, seed), recipe, device, precision)


def peak_memory_mb(device):
    """Return the peak memory in MiB: of the GPU's tensors, or of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    return machine.peak_memory_mb()
