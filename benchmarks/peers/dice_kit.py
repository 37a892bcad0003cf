"""This kit in `time-to-dice`: `training/loop.py` with one of the recipes below.

Settings are the name of a recipe and optionally a precision. The recipes were compared on training patients only, see
`python -m benchmarks.time_to_dice choose`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.dice_clock import DiceClock, DiceTask, Update, main
from retina_kit.data.augment import Augmentation
from retina_kit.models.build import build_model, network
from retina_kit.models.encoders import set_norm_momentum
from retina_kit.training.batches import Batches
from retina_kit.training.device import choose_device
from retina_kit.training.inference import predict_probability
from retina_kit.training.loop import fit
from retina_kit.training.recipe import Recipe

CROPS = Augmentation(crop=96, flip=0.5, foreground=0.7)  # 70 % of the crops are centered on the structure
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "crops": {"widths": (16, 32, 64, 128), "augmentation": CROPS},
    "narrow crops": {"widths": (8, 16, 32, 64, 128), "augmentation": CROPS},
    "whole images": {"widths": (16, 32, 64, 128), "augmentation": Augmentation(flip=0.5)},
}
NORM_MOMENTUM = 0.2  # of the running statistics, so that they follow within some twenty steps
STEPS = 120  # over which the cosine schedule ends


def make_recipe(augmentation: Augmentation) -> Recipe:
    """Return the recipe: cross-entropy and Dice, AdamW, warm-up and cosine schedule."""
    return Recipe(
        loss="cross_entropy_and_dice",
        optimizer="adamw",
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=5,
        decay_steps=STEPS,
        steps=10**6,
        end_learning_rate=1e-4,
        batch_size=8,
        augmentation=augmentation,
    )


def train(task: DiceTask, update: Update, clock: DiceClock) -> None:
    """Train in the kit's loop, predict whole images."""
    name, _, precision = task.settings.partition(", ")
    device, precision = choose_device("cpu"), precision or "auto"
    clock.start()
    model = build_model(network("unet", widths=RECIPES[name]["widths"], norm="batch", in_channels=task.channels))
    set_norm_momentum(model, NORM_MOMENTUM)
    recipe, images = make_recipe(RECIPES[name]["augmentation"]), torch.from_numpy(task.images)
    mean, std = (statistic.tolist() for statistic in mean_and_std(images))
    targets = torch.from_numpy(task.targets)
    batches = Batches(images, targets, recipe, seed=task.seed, device=device, mean=mean, std=std)

    def predict(test_images: np.ndarray) -> Tensor:
        found = predict_probability(model, batches, torch.from_numpy(test_images), precision=precision)
        model.train()
        return found

    fit(model, batches, recipe, device=device, seed=task.seed, precision=precision, watch=lambda *_: update(predict))


def mean_and_std(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and SD of each channel of uint8 images (N, C, h, w)."""
    pixels = images.float()
    return pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))


if __name__ == "__main__":
    main(train, ["torch"])
