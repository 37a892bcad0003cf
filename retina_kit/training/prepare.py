"""From an arm to its task, its network before the first step, its scores and its predictions."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from retina_kit.data.collection import ImageSet
from retina_kit.data.dataset import load_images
from retina_kit.data.splits import choose_split
from retina_kit.errors import UsageError
from retina_kit.models.build import build_model, without_weights
from retina_kit.models.layout import to_device
from retina_kit.training.arm import Arm, Data
from retina_kit.training.batches import Batches
from retina_kit.training.tasks.classify import Classification
from retina_kit.training.tasks.interface import Task, Validator
from retina_kit.training.tasks.localize import Localization
from retina_kit.training.tasks.segment import Segmentation
from retina_kit.training.tasks.segment_patches import PatchSegmentation
from retina_kit.training.transfer import copy_weights, freeze

KEPT_BYTES = 256 * 2**20  # a public data set; those of a synthetic lesson all fit
KEPT: dict[str, ImageSet] = {}  # the most recently used at the end; for one thread

TASKS: dict[str, type[Task]] = {
    "segment": Segmentation,
    "segment_patches": PatchSegmentation,
    "classify": Classification,
    "localize": Localization,
}


def check_network(arm: Arm) -> None:
    """Raise UsageError if an arm's network cannot be built or a part that it freezes does not exist."""
    try:
        with torch.device("meta"):
            freeze(build_model(arm.model), arm.freeze)
    except UsageError as error:
        raise UsageError(f"arm {arm.name}: {error}") from error


def masks_of(data: Data) -> list[str]:
    """List the masks that an arm needs: one, one per class, or none if its task needs no mask."""
    return list(data.classes)


def images_of(arm: Arm, data_root: str | Path) -> ImageSet:
    """Load the images that an arm is trained and tested on.

    A process keeps the most recently used data sets that fit into `KEPT_BYTES`, and always the last one. What does not
    fit any more is let go before the next one is read.
    """
    settings = {"name": arm.data.dataset, "masks": masks_of(arm.data), **arm.data.options}
    key = json.dumps([settings, str(data_root)], sort_keys=True)
    image_set = KEPT.pop(key, None)
    if image_set is None:
        _let_go(0)
        image_set = load_images(data_root=data_root, **settings)
    KEPT[key] = image_set
    _let_go(1)
    return image_set


def _let_go(at_least: int) -> None:
    """Forget the data sets that were used longest ago until the others, or `at_least` so many, fit."""
    while len(KEPT) > at_least and sum(kept.num_bytes for kept in KEPT.values()) > KEPT_BYTES:
        KEPT.pop(next(iter(KEPT)))


def prepare_arm(arm: Arm, seed: int, fold: int | None, data_root: str | Path) -> Task:
    """Load, split and preprocess an arm's data: the task that makes its batches and scores its network."""
    image_set = images_of(arm, data_root)
    train, test = choose_split(image_set.rows, arm.split, fold=fold, seed=seed)
    return TASKS[arm.task](arm, image_set, train, test)


def start_model(arm: Arm, seed: int, parent_weights: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Build an arm's network before its first step: initialized from the seed, then with its parent's weights."""
    torch.manual_seed(seed)
    model = build_model(arm.model)
    if parent_weights is not None and arm.start:
        copy_weights(model, parent_weights, arm.start.parts, arm.start.into)
    freeze(model, arm.freeze)
    return model


def score_variants(
    task: Task, model: nn.Module, batches: Batches, validator: Validator | None, precision: str
) -> pd.DataFrame:
    """Score the test images once per variant of the arm: last, best, last_whole, best_whole.

    If the last validation was the best one, its scores are those of the last step and are not computed again.
    """
    last = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    best = validator.best_weights if validator else {}
    differ = any(not torch.equal(best[name], tensor.cpu()) for name, tensor in last.items() if name in best)
    scored: dict[tuple[bool, bool], pd.DataFrame] = {}
    parts = []
    for variant in task.arm.evaluation.variants:
        uses_best, whole = differ and variant.startswith("best"), variant.endswith("whole")
        if (uses_best, whole) not in scored:
            model.load_state_dict(best if uses_best else last)
            scored[uses_best, whole] = task.score(model, batches, variant=variant, precision=precision)
        parts.append(scored[uses_best, whole].assign(variant=variant))
    model.load_state_dict(last)
    return pd.concat(parts, ignore_index=True)


def trained_model(arm: Arm, weights: Mapping[str, Tensor], device: torch.device) -> nn.Module:
    """Build an arm's network with trained weights, ready to predict on a device."""
    model = build_model(without_weights(arm.model))
    model.load_state_dict(weights)
    return to_device(model, device)
