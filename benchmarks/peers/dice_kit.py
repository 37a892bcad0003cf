"""This kit in `time-to-dice`: `training/loop.py` with one of the recipes below.

Settings are the name of a recipe, or "chosen", and optionally a precision. The recipes were compared on training
patients only, see `python -m benchmarks.time_to_dice choose`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.dice_clock import DiceClock, DiceTask, Update, main
from retina_kit.data.augment import Augmentation
from retina_kit.models.build import build_model, network
from retina_kit.training.batches import Batches
from retina_kit.training.device import choose_device
from retina_kit.training.inference import predict_probability
from retina_kit.training.loop import fit
from retina_kit.training.recipe import Recipe

WIDE, DEEP = (16, 32, 64, 128), (8, 16, 32, 64, 128, 256)
CROPS = {"crop": 96, "flip": 0.5, "foreground": 0.7}  # 70 % of the crops are centered on the structure
RESIZED = {"ratio": (0.8, 1.25)}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "wide": {"widths": WIDE, "rate": 2e-3, "decay": 120, "batch": 8, "augmentation": CROPS},
    "deep": {"widths": DEEP, "rate": 4e-3, "decay": 110, "batch": 8, "augmentation": CROPS},
    "deep resized": {"widths": DEEP, "rate": 4e-3, "decay": 200, "batch": 8, "augmentation": CROPS | RESIZED},
    "whole resized": {"widths": DEEP, "rate": 4e-3, "decay": 250, "batch": 4, "augmentation": {"flip": 0.5} | RESIZED},
}
CHOSEN = "whole resized"  # on both data sets


def make_recipe(rate: float, decay: int, batch: int, augmentation: Mapping[str, Any]) -> Recipe:
    """Return the recipe: cross-entropy and Dice, AdamW, warm-up, a cosine schedule over `decay` steps."""
    return Recipe(
        loss="cross_entropy_and_dice",
        optimizer="adamw",
        learning_rate=rate,
        schedule="cosine",
        warmup_steps=5,
        decay_steps=decay,
        end_learning_rate=rate / 20,
        steps=10**6,
        batch_size=batch,
        augmentation=Augmentation(**augmentation),
    )


def train(task: DiceTask, update: Update, clock: DiceClock) -> None:
    """Train in the kit's loop, predict whole images."""
    name, _, precision = task.settings.partition(", ")
    settings = dict(RECIPES[CHOSEN if name == "chosen" else name])
    device, precision = choose_device("cpu"), precision or "auto"
    clock.start()
    model = build_model(network("unet", widths=settings.pop("widths"), norm="batch", in_channels=task.channels))
    recipe, images = make_recipe(**settings), torch.from_numpy(task.images)
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
