"""How an arm is trained, as data: optimizer, learning rate, schedule, loss, batch, length, augmentation."""

import math
from dataclasses import dataclass, field, fields

import torch

from retina_kit.data.augment import Augmentation
from retina_kit.errors import UsageError
from retina_kit.training.losses import find_loss

OPTIMIZERS = ("sgd", "adam", "rmsprop")
SCHEDULES = ("constant", "poly")


@dataclass(frozen=True)
class Recipe:
    """One arm's training settings; a step is one update of the weights, an epoch one pass over the images.

    Give either `steps` or `epochs`. With steps the reshuffled images follow one another without end and every
    batch is full; with epochs the last batch of each pass may be smaller, as in Keras. `steps = 0` trains nothing:
    the weights that an arm starts with are scored as they are.
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

    def __post_init__(self):
        """Raise where a setting cannot be: a name that does not exist, a number below what it may be."""
        for what, name, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if name not in known:
                raise UsageError(f"{what} {name!r} is not one of {', '.join(known)}")
        find_loss(self.loss)
        find_loss(self.auxiliary_loss)
        for name, lowest in (("batch_size", 1), ("steps", 0), ("epochs", 0), ("validate_every", 0)):
            if getattr(self, name) < lowest:
                raise UsageError(f"a recipe's {name} must be at least {lowest}, not {getattr(self, name)}")

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
        if (recipe.steps and recipe.epochs) or not {"steps", "epochs"} & set(settings):
            raise UsageError(f"a recipe needs either steps or epochs, not {recipe.steps} and {recipe.epochs}")
        return recipe

    def steps_per_epoch(self, num_images):
        """Return how many updates one pass over `num_images` images takes."""
        return math.ceil(num_images / self.batch_size)

    def num_steps(self, num_images):
        """Return the number of updates in all."""
        return self.steps or self.epochs * self.steps_per_epoch(num_images)

    def learning_rate_at(self, step, num_steps):
        """Return the learning rate of a step, counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
        left = max(0.0, 1 - step / (self.decay_steps or num_steps))
        return self.end_learning_rate + (self.learning_rate - self.end_learning_rate) * left**self.poly_power

    def make_optimizer(self, model):
        """Return the optimizer over the weights that are not frozen."""
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        settings = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimizer == "sgd":
            return torch.optim.SGD(weights, momentum=self.momentum, fused=True, **settings)
        if self.optimizer == "adam":
            return torch.optim.Adam(weights, eps=self.epsilon, fused=True, **settings)
        return torch.optim.RMSprop(weights, alpha=0.9, eps=self.epsilon, **settings)
