"""How an arm is trained: optimizer, learning rate, schedule, loss, batch size, length, augmentation."""

import math
from typing import Literal

import torch
from pydantic import model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from retina_kit.data.augment import Augmentation
from retina_kit.schema import STRICT, Count, Positive
from retina_kit.training.losses import LossName
from retina_kit.training.optimizers import without_compiler

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """One arm's training settings; a step is one update of the weights, an epoch one pass over the images.

    Give `steps` or `epochs`; the other one is None or 0. With steps the reshuffled images follow one another without
    end and every batch is full; with epochs the last batch of each epoch may be smaller, as in Keras. `steps = 0` alone
    trains nothing: the weights that an arm starts with are scored as they are.

    >>> Recipe(steps=100, schedule="poly").learning_rate_at(0, 100)
    0.001
    """

    loss: LossName = "cross_entropy"
    auxiliary_loss: LossName = "cross_entropy"
    auxiliary_weight: float = 0.0  # 0: the network's auxiliary head is not used
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0  # of sgd and rmsprop
    weight_decay: float = 0.0
    l2: bool = False  # add the network's own L2 penalty to the loss, as Keras does with regularized layers
    epsilon: float = 1e-8  # of adam, adamw and rmsprop; Keras uses 1e-7
    schedule: Literal["constant", "poly", "cosine"] = "constant"
    warmup_steps: Count = 0  # over which the rate rises linearly to `learning_rate`, in any schedule
    poly_power: float = 0.9
    decay_steps: Count = 0  # step at which the poly or cosine schedule ends; 0: the last one
    end_learning_rate: float = 0.0
    batch_size: Positive = 4
    steps: Count | None = None
    epochs: Count | None = None
    validate_every: Count = 0  # steps; 0: never
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        if (self.steps and self.epochs) or (self.steps is None and self.epochs is None):
            raise ValueError(f"a recipe needs either steps or epochs, not {self.steps} and {self.epochs}")
        return self

    def steps_per_epoch(self, num_images: int) -> int:
        """Return how many steps one epoch over `num_images` images takes."""
        return math.ceil(num_images / self.batch_size)

    def num_steps(self, num_images: int) -> int:
        """Return the total number of steps."""
        return self.steps or (self.epochs or 0) * self.steps_per_epoch(num_images)

    def learning_rate_at(self, step: int, num_steps: int) -> float:
        """Return the learning rate of a step, counted from 0.

        >>> recipe = Recipe(steps=6, schedule="cosine", warmup_steps=2, learning_rate=1.0)
        >>> [round(recipe.learning_rate_at(step, 6), 3) for step in range(6)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return self.learning_rate
        end = (self.decay_steps or num_steps) - self.warmup_steps
        left = max(0.0, 1 - (step - self.warmup_steps) / max(1, end))
        share = left**self.poly_power if self.schedule == "poly" else (1 - math.cos(math.pi * left)) / 2
        return self.end_learning_rate + (self.learning_rate - self.end_learning_rate) * share

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make the optimizer of the weights that are not frozen."""
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        rate, decay = self.learning_rate, self.weight_decay
        kind = without_compiler(OPTIMIZERS[self.optimizer])
        if self.optimizer == "sgd":
            return kind(weights, lr=rate, momentum=self.momentum, weight_decay=decay, fused=True)
        if self.optimizer == "rmsprop":
            return kind(weights, lr=rate, alpha=0.9, eps=self.epsilon, weight_decay=decay, momentum=self.momentum)
        return kind(weights, lr=rate, eps=self.epsilon, weight_decay=decay, fused=True)
