"""One arm with one seed and one fold, from its description to a finished run in the store."""

import contextlib
import functools
import json
import platform
import time
import traceback

import numpy as np
import pandas as pd
import torch

from retina_kit import machine
from retina_kit.data.dataset import load_pictures
from retina_kit.data.splits import choose_split
from retina_kit.errors import KitError, UsageError
from retina_kit.models.build import build_model
from retina_kit.training import classify, localize, segment, segment_patches
from retina_kit.training.checkpoint import Checkpoint
from retina_kit.training.device import autocast, choose_device
from retina_kit.training.loop import TrainingDiverged, fit
from retina_kit.training.recipe import Recipe
from retina_kit.training.store import canonical_hash, code_version
from retina_kit.training.transfer import copy_weights, freeze
from retina_kit.training.trouble import is_out_of_memory, say_what_was_fed, say_what_would_fit

TASKS = {"segment": segment, "segment_patches": segment_patches, "classify": classify, "localize": localize}
DECIDES = ("task", "data", "split", "model", "start", "recipe", "evaluation")


class Interrupted(KitError):
    """A replicate was asked to stop before its last step; its checkpoint is saved."""

    exit_code = 130


def describe(arm, seed, fold, fingerprint, parent_key=None, precision="auto"):
    """Return all that decides a replicate's result, as JSON-able data; its hash is the replicate's name.

    `arm` is the resolved table of the experiment file; its name, label and place in tables decide nothing.
    """
    description = {name: arm[name] for name in DECIDES if name in arm}
    start = {key: value for key, value in arm.get("start", {}).items() if key != "from"}
    description |= {"start": start, "seed": seed, "fold": fold, "data_fingerprint": fingerprint}
    return description | {"parent": parent_key, "precision": precision, "code": code_version()}


def task_of(arm):
    """Return the module of an arm's task."""
    if arm["task"] not in TASKS:
        raise UsageError(f"arm {arm['name']}: no task is called {arm['task']!r}; there are {', '.join(TASKS)}")
    return TASKS[arm["task"]]


def check_arm(arm):
    """Raise where an arm cannot be trained whatever its data are: its task, recipe or network does not exist."""
    task_of(arm)
    try:
        recipe = Recipe.from_settings(arm["recipe"])
        with torch.device("meta"):
            freeze(build_model(arm["model"]), arm["start"].get("freeze", []))
    except UsageError as error:
        raise UsageError(f"arm {arm['name']}: {error}") from error
    if recipe.num_steps(1) == 0 and "from" not in arm["start"]:
        raise UsageError(f"arm {arm['name']} has no updates and no parent: there is nothing to score")
    if wants_best(arm) and not recipe.validate_every:
        raise UsageError(f"arm {arm['name']} has a best reading, but its validate_every is 0, so nothing is compared")


@functools.lru_cache(maxsize=12)
def _load(settings, data_root):
    """Return the pictures of a data table (as JSON), read once a process."""
    settings = json.loads(settings)
    return load_pictures(settings["dataset"], data_root, masks=settings["masks"], **settings.get("options", {}))


def masks_of(data):
    """Return the masks that an arm's data table names: one, or none where its task needs no mask."""
    return [data["mask"]] if "mask" in data else []


def pictures_of(arm, data_root):
    """Return the pictures that an arm is trained and tested on."""
    data = arm["data"]
    settings = {"dataset": data["dataset"], "masks": masks_of(data), "options": data.get("options", {})}
    return _load(json.dumps(settings, sort_keys=True), str(data_root))


def prepare_arm(arm, seed, fold, data_root):
    """Return the task's module and the arm's pictures, split and preprocessed."""
    task = task_of(arm)
    pictures = pictures_of(arm, data_root)
    train, test = choose_split(pictures.rows, arm["split"], fold=fold, seed=seed)
    return task, task.prepare(pictures, arm, train, test)


def start_model(arm, seed, parent_weights=None):
    """Return the arm's network before its first step: drawn from the seed, or taken over from the parent."""
    torch.manual_seed(seed)
    model = build_model(arm["model"])
    start = arm.get("start", {})
    if parent_weights is not None:
        copy_weights(model, parent_weights, start.get("parts", "everything"), start.get("into", ""))
    freeze(model, start.get("freeze", []))
    return model


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
        task, prepared = prepare_arm(arm, seed, fold, data_root)
        recipe = Recipe.from_settings(arm["recipe"])
        model = start_model(arm, seed, parent.weights() if parent else None)
        batches = task.make_batches(prepared, arm, recipe, seed, device)
        validator = task.Validator(prepared, arm, batches, precision) if recipe.validate_every else None
        checkpoint = Checkpoint(store.unfinished(key) / "checkpoint.safetensors", keeper=validator)
        with explained(arm, prepared, batches, recipe, seed, device, precision):
            history = fit(model, batches, recipe, device=device, seed=seed, precision=precision, validate=validator,
                          watch=watch, checkpoint=checkpoint)  # fmt: skip
        if len(history) < len(batches):
            raise Interrupted(f"arm {arm['name']} was stopped after step {len(history)}; run again to go on from there")
        scores = score_readings(task, model, prepared, arm, batches, validator, precision)
        provenance = {
            "arm": arm["name"],
            "description": description,
            "steps": len(history),
            "seconds": round(time.perf_counter() - began, 3),
            "device": name_of(device),
            "precision": "float32" if type(autocast(device, precision)).__name__ == "nullcontext" else "bfloat16",
            "torch": torch.__version__,
            "python": platform.python_version(),
            "peak_memory_mb": peak_memory_mb(device),
        }
        best = validator.best_weights if validator and wants_best(arm) else None
        return store.write(key, provenance, history, scores, model.state_dict(), best)


@contextlib.contextmanager
def explained(arm, prepared, batches, recipe, seed, device, precision):
    """Turn a loss that is no number, or memory that ran out, into an error that says what to know about it."""
    try:
        yield
    except TrainingDiverged as error:
        raise say_what_was_fed(error, arm, batches, prepared.rows.iloc[prepared.train], recipe) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the tensors that did not fit
    else:
        return
    raise say_what_would_fit(arm, batches, lambda: start_model(arm, seed), recipe, device, precision)


def wants_best(arm):
    """Say whether a reading of the arm is taken at its best validation."""
    return any(reading.startswith("best") for reading in arm["evaluation"].get("readings", ["last"]))


def score_readings(task, model, prepared, arm, batches, validator, precision):
    """Return the scored rows of every reading: "last", "best", "last_whole", "best_whole"."""
    last = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parts = []
    for reading in arm["evaluation"].get("readings", ["last"]):
        if reading.startswith("best"):
            model.load_state_dict(validator.best_weights)
        parts.append(task.score(model, prepared, arm, batches, reading=reading, precision=precision))
        model.load_state_dict(last)
    return pd.concat(parts, ignore_index=True)


def predict_with(run, arm, seed, fold, data_root, *, index=None, reading="last", device="auto", precision="auto"):
    """Return (probability (n, H, W), prepared pictures, index) of a finished run, test pictures by default."""
    device = choose_device(device)
    task, prepared = prepare_arm(arm, seed, fold, data_root)
    index = prepared.test if index is None else np.array(index)
    model = build_model(arm["model"])
    model.load_state_dict(run.weights("best" if reading.startswith("best") else "last"))
    model.to(device=device, memory_format=torch.channels_last)
    batches = task.make_batches(prepared, arm, Recipe.from_settings(arm["recipe"]), seed, device)
    probability = task.predict(model, prepared, arm, batches, index, reading=reading, precision=precision)
    return probability.numpy(), prepared, index


def name_of(device):
    """Return what computes, in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({torch.get_num_threads()} threads)"


def peak_memory_mb(device):
    """Return the peak memory in MiB: of the GPU's tensors, or of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    return machine.peak_memory_mb()
