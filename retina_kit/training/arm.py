"""One arm: its data split and prepared, its network before the first step, its scores and predictions."""

import functools
import json

import numpy as np
import pandas as pd
import torch

from retina_kit.data.dataset import load_images
from retina_kit.data.splits import choose_split
from retina_kit.errors import UsageError
from retina_kit.models.build import build_model
from retina_kit.training.device import choose_device
from retina_kit.training.recipe import Recipe
from retina_kit.training.tasks import classify, localize, segment, segment_patches
from retina_kit.training.transfer import copy_weights, freeze

TASKS = {"segment": segment, "segment_patches": segment_patches, "classify": classify, "localize": localize}


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
        raise UsageError(f"arm {arm['name']} has a best variant, but its validate_every is 0, so nothing is compared")


@functools.lru_cache(maxsize=12)
def _load(settings, data_root):
    """Return the images of a data table (as JSON), read once a process."""
    settings = json.loads(settings)
    return load_images(settings["dataset"], data_root, masks=settings["masks"], **settings.get("options", {}))


def masks_of(data):
    """Return the masks that an arm's data table names: one, or none where its task needs no mask."""
    return [data["mask"]] if "mask" in data else []


def images_of(arm, data_root):
    """Return the images that an arm is trained and tested on."""
    data = arm["data"]
    settings = {"dataset": data["dataset"], "masks": masks_of(data), "options": data.get("options", {})}
    return _load(json.dumps(settings, sort_keys=True), str(data_root))


def prepare_arm(arm, seed, fold, data_root):
    """Return the task's module and the arm's images, split and preprocessed."""
    task = task_of(arm)
    image_set = images_of(arm, data_root)
    train, test = choose_split(image_set.rows, arm["split"], fold=fold, seed=seed)
    return task, task.prepare(image_set, arm, train, test)


def start_model(arm, seed, parent_weights=None):
    """Return the arm's network before its first step: drawn from the seed, or taken over from the parent."""
    torch.manual_seed(seed)
    model = build_model(arm["model"])
    start = arm.get("start", {})
    if parent_weights is not None:
        copy_weights(model, parent_weights, start.get("parts", "everything"), start.get("into", ""))
    freeze(model, start.get("freeze", []))
    return model


def wants_best(arm):
    """Say whether a variant of the arm is taken at its best validation."""
    return any(variant.startswith("best") for variant in arm["evaluation"].get("variants", ["last"]))


def score_readings(task, model, prepared, arm, batches, validator, precision):
    """Return the scored rows of every variant: "last", "best", "last_whole", "best_whole"."""
    last = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parts = []
    for variant in arm["evaluation"].get("variants", ["last"]):
        if variant.startswith("best"):
            model.load_state_dict(validator.best_weights)
        parts.append(task.score(model, prepared, arm, batches, variant=variant, precision=precision))
        model.load_state_dict(last)
    return pd.concat(parts, ignore_index=True)


def predict_with(run, arm, seed, fold, data_root, *, index=None, variant="last", device="auto", precision="auto"):
    """Return (probability (n, H, W), prepared images, index) of a finished run, test images by default."""
    device = choose_device(device)
    task, prepared = prepare_arm(arm, seed, fold, data_root)
    index = prepared.test if index is None else np.array(index)
    model = build_model(arm["model"])
    model.load_state_dict(run.weights("best" if variant.startswith("best") else "last"))
    model.to(device=device, memory_format=torch.channels_last)
    batches = task.make_batches(prepared, arm, Recipe.from_settings(arm["recipe"]), seed, device)
    probability = task.predict(model, prepared, arm, batches, index, variant=variant, precision=precision)
    return probability.numpy(), prepared, index
