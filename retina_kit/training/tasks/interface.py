"""What every task does: it prepares an arm's images, makes training batches, predicts, validates and scores."""

import abc
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from retina_kit.data.collection import ImageSet
from retina_kit.data.large_arrays import take_rows
from retina_kit.data.splits import hold_out
from retina_kit.data.transforms import Preprocessing, fit_preprocessing, resize_images
from retina_kit.errors import KitError
from retina_kit.training.batches import Batches, pad_to_fit
from retina_kit.training.device import autocast
from retina_kit.training.losses import LOSSES

if TYPE_CHECKING:
    from retina_kit.training.arm import Arm


class Task(abc.ABC):
    """An arm's images, split and preprocessed, and what the network learns to predict from them.

    `images` is uint8 (N, C, h, w) at working size; `targets` has one entry per image; `rows` is a DataFrame with one
    row per image; `train`, `test` and `validation` are positions, the last those of the test images or of the training
    images that are held out; `taken` is the height, width and number of channels
    of the images as they were loaded.
    """

    selects_by: ClassVar[str]  # the validation score of which the best checkpoint is kept
    smaller_is_better: ClassVar[bool] = False
    evaluation_batch_size: ClassVar[int] = 8

    resizes_first: bool = True  # images are resized before they are preprocessed

    images: Tensor
    targets: Tensor
    preprocessing: Preprocessing  # with the statistics of the training images

    def __init__(self, arm: "Arm", image_set: ImageSet, train: np.ndarray, test: np.ndarray) -> None:
        self.arm, self.rows = arm, image_set.rows
        self.train, self.test, self.validation = train, test, test
        settings = arm.evaluation
        if settings.validation_fraction:
            self.train, self.validation = hold_out(
                self.rows, train, settings.validation_fraction, settings.validation_by
            )
            if arm.split.evaluate_on == "train":  # without what is now held out
                self.test = test[np.isin(test, self.train)]
        channels, height, width = image_set.images.shape[1:]
        self.taken = (height, width, channels)
        if arm.data.preprocess_first is not None:
            self.resizes_first = not arm.data.preprocess_first
        self.prepare(image_set)

    @abc.abstractmethod
    def prepare(self, image_set: ImageSet) -> None:
        """Set images and targets, at working size and preprocessed."""

    def preprocessed(self, images: np.ndarray, size: Sequence[int]) -> Tensor:
        """Resize images (N, C, H, W) to `size` and preprocess them, in the task's or the arm's order."""
        images = resize_images(images, size) if self.resizes_first else images
        self.preprocessing = fit_preprocessing(images, self.arm.data.preprocess, self.train)
        return torch.from_numpy(self.preprocessing.apply(images, size))

    @abc.abstractmethod
    def predict(
        self, model: nn.Module, batches: Batches, index: np.ndarray, *, variant: str = "last", precision: str = "auto"
    ) -> Tensor:
        """Predict the images at `index`; float32 on the CPU, one entry per image."""

    def finite(self, outputs: Tensor) -> Tensor:
        """Return what a network predicts; KitError if some of it is no number, as no loss shows after the last step."""
        if not outputs.isfinite().all():
            remedy = "its training diverged; try a lower learning rate"
            raise KitError(f"arm {self.arm.name} predicts values that are no numbers: {remedy}")
        return outputs

    @abc.abstractmethod
    def score(
        self, model: nn.Module, batches: Batches, *, variant: str = "last", precision: str = "auto"
    ) -> pd.DataFrame:
        """Score the network on the test images: one row per image."""

    @abc.abstractmethod
    def validation_scores(self, model: nn.Module, batches: Batches, precision: str) -> dict[str, float]:
        """Score the network on the validation images while it trains, `selects_by` among the scores."""

    def training_data(self, seed: int) -> tuple[Tensor, Tensor]:
        """Return the images and targets that batches are sampled from."""
        return take_rows(self.images, self.train), take_rows(self.targets, self.train)

    def names_at(self, positions: Sequence[int]) -> list[str]:
        """Name some entries of the training data, by their position in it, to report what a batch consisted of."""
        return [f"image {self.rows['id'].iloc[self.train[position]]}" for position in positions]

    def validation_data(self, seed: int) -> tuple[Tensor, Tensor]:
        """Return the images and targets that the validation loss is computed on."""
        return take_rows(self.images, self.validation), take_rows(self.targets, self.validation)

    def make_batches(self, seed: int, device: torch.device) -> Batches:
        """Return the training batches, resident on the device."""
        return self._batches_class()(
            *self.training_data(seed),
            self.arm.recipe,
            seed=seed,
            device=device,
            mean=self.arm.data.mean,
            std=self.arm.data.std,
            in_channels=self.arm.model.get("in_channels"),
        )

    def _batches_class(self) -> type[Batches]:
        return Batches

    @property
    def batch_size(self) -> int:
        """How many images are predicted at once."""
        return self.arm.evaluation.batch_size or self.evaluation_batch_size


class Validator:
    """Scores the network now and then while it trains, and keeps the weights of the best time."""

    def __init__(self, task: Task, batches: Batches, precision: str) -> None:
        self.task, self.batches, self.precision = task, batches, precision
        by_loss = task.arm.evaluation.select_by == "loss"
        self.selects_by = "validation_loss" if by_loss else task.selects_by
        self.smaller_is_better = by_loss or task.smaller_is_better
        self.best_score: float | None = None
        self.best_weights: dict[str, Tensor] = {}

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Return the validation scores."""
        scores = self.task.validation_scores(model, self.batches, self.precision)
        if self.selects_by == "validation_loss":
            scores |= {"validation_loss": validation_loss(self.task, model, self.batches, self.precision)}
        if self._is_best(scores[self.selects_by]):
            self.best_score = scores[self.selects_by]
            self.best_weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
        return scores

    def _is_best(self, score: float) -> bool:
        if self.best_score is None or math.isnan(self.best_score):
            return True
        return score < self.best_score if self.smaller_is_better else score > self.best_score


@torch.inference_mode()
def validation_loss(task: Task, model: nn.Module, batches: Batches, precision: str) -> float:
    """Return the loss of a network in evaluation mode, averaged over its validation images or their patches."""
    model.eval()
    images, targets = task.validation_data(batches.seed)
    total, loss = 0.0, LOSSES[task.arm.recipe.loss]
    for some, wanted in zip(images.split(task.batch_size), targets.split(task.batch_size), strict=True):
        inputs, wanted = batches.inputs(some), wanted.to(batches.images.device)
        if wanted.dim() >= 3:
            inputs, wanted = pad_to_fit(inputs, wanted)
        with autocast(inputs.device, precision):
            outputs = model(inputs)
        total += len(some) * float(loss(outputs.float(), wanted))
    return total / len(images)
