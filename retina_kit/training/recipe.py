"""How an arm is trained, as data: optimiser, learning rate, schedule, loss, batch, length, augmentation."""

import math
from dataclasses import dataclass, field, fields

import torch

from retina_kit.data.augment import Augmentation
from retina_kit.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """One arm's training settings; a step is one update of the weights, an epoch one pass over the pictures.

    Give either `steps` or `epochs`. With steps the reshuffled pictures follow one another without end and every
    batch is full; with epochs the last batch of each pass may be smaller, as in Keras.
    """

    loss: str = "cross_entropy"
    auxiliary_loss: str = "cross_entropy"
    auxiliary_weight: float = 0.0  # 0: the network's auxiliary head is not used
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0  # sgd
    weight_decay: float = 0.0
    epsilon: float = 1e-8  # adam, rmsprop; Keras uses 1e-7
    schedule: str = "constant"  # or "poly"
    poly_power: float = 0.9
    decay_steps: int = 0  # where the poly schedule ends; 0: at the last step
    end_learning_rate: float = 0.0
    batch_size: int = 4
    steps: int = 0
    epochs: int = 0
    validate_every: int = 0  # steps; 0: never
    augmentation: Augmentation = field(default_factory=Augmentation)

    @classmethod
    def from_settings(cls, settings):
        """Return the recipe of a TOML table; unknown keys are an error."""
        settings = dict(settings)
        known = {f.name for f in fields(cls)} - {"augmentation"}
        shape = {f.name for f in fields(Augmentation)}
        augmentation = settings.pop("augmentation", {})
        for unknown in (set(settings) - known) | (set(augmentation) - shape):
            raise UsageError(f"a recipe has no setting {unknown!r}; it has {', '.join(sorted(known | shape))}")
        recipe = cls(**settings, augmentation=Augmentation(**augmentation))
        if (recipe.steps > 0) == (recipe.epochs > 0):
            raise UsageError(f"a recipe needs either steps or epochs, not {recipe.steps} and {recipe.epochs}")
        return recipe

    def steps_per_epoch(self, num_images):
        """Return how many updates one pass over `num_images` pictures takes."""
        return math.ceil(num_images / self.batch_size)

    def num_steps(self, num_images):
        """Return the number of updates in all."""
        return self.steps or self.epochs * self.steps_per_epoch(num_images)

    def learning_rate_at(self, step, num_steps):
        """Return the learning rate of a step, counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule != "poly":
            raise UsageError(f"schedule {self.schedule!r} is not one of constant, poly")
        left = max(0.0, 1 - step / (self.decay_steps or num_steps))
        return self.end_learning_rate + (self.learning_rate - self.end_learning_rate) * left**self.poly_power

    def make_optimizer(self, model):
        """Return the optimiser over the weights that are not frozen."""
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        settings = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimizer == "sgd":
            return torch.optim.SGD(weights, momentum=self.momentum, fused=True, **settings)
        if self.optimizer == "adam":
            return torch.optim.Adam(weights, eps=self.epsilon, fused=True, **settings)
        if self.optimizer == "rmsprop":
            return torch.optim.RMSprop(weights, alpha=0.9, eps=self.epsilon, **settings)
        raise UsageError(f"optimizer {self.optimizer!r} is not one of sgd, adam, rmsprop")
