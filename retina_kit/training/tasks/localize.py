"""Localization: where the center of a structure is, as two numbers per image (Hu 2018, section 2.2)."""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from retina_kit.data.augment import augment_points
from retina_kit.data.collection import ImageSet
from retina_kit.data.transforms import scaled_size
from retina_kit.errors import UsageError, did_you_mean
from retina_kit.evaluation.scoring import score_points
from retina_kit.training.batches import Batches, mix
from retina_kit.training.tasks.interface import Task


class Localization(Task):
    """Two numbers per image; `targets` is float32 (N, 2), fractions of width and height, NaN if unknown.

    `references` (N, 2) are the centers that are tested against, `diameters` (N,) fractions of the width, `size` the
    height and width of the images as they were taken.
    """

    selects_by = "distance"
    smaller_is_better = True
    evaluation_batch_size = 32

    def prepare(self, image_set: ImageSet) -> None:
        """Resize and preprocess; centers come from columns of the rows, in pixels."""
        data = self.arm.data
        size = data.size or scaled_size(image_set.images.shape[-2:], data.scale)
        height, width = self.size = image_set.images.shape[-2:]
        centers = columns_of(image_set, data.center) / [width, height]
        self.references = columns_of(image_set, data.test_center or data.center) / [width, height]
        diameters = columns_of(image_set, data.diameter).reshape(len(image_set), -1)
        self.diameters = diameters.mean(axis=1) / width if data.diameter else np.full(len(image_set), math.nan)
        held_out = self.validation if self.arm.evaluation.validation_fraction else self.train[:0]
        used = [("learned", centers, self.train), ("held out", centers, held_out)]
        for what, part, index in (*used, ("tested", self.references, self.test)):
            unknown = index[np.isnan(part[index]).any(axis=1)]
            if len(unknown):
                name = image_set.rows["id"].iloc[unknown[0]]
                raise UsageError(
                    f"{name} is {what} but has no center; leave such rows out with the split's `require_columns`"
                )
        self.images = self.preprocessed(image_set.images, size)
        self.targets = torch.from_numpy(centers.astype(np.float32))

    def training_data(self, seed: int) -> tuple[Tensor, Tensor]:
        """Return the training images and their centers, or with `shuffle_centers` each the center of another."""
        images, centers = super().training_data(seed)
        if self.arm.data.shuffle_centers:
            centers = centers[np.random.default_rng([seed, 13]).permutation(len(centers))]
        return images, centers

    def _batches_class(self) -> type[Batches]:
        return PointBatches

    @torch.inference_mode()
    def predict(
        self, model: nn.Module, batches: Batches, index: np.ndarray, *, variant: str = "last", precision: str = "auto"
    ) -> Tensor:
        """Predict centers (n, 2), fractions of width and height.

        Computed in float32 whatever `precision` is: there is little to compute, and a pixel is a small fraction.
        """
        model.eval()
        parts = torch.as_tensor(index).split(self.batch_size)
        return self.finite(torch.cat([model(batches.inputs(self.images[some])).float().cpu() for some in parts]))

    def score(
        self, model: nn.Module, batches: Batches, *, variant: str = "last", precision: str = "auto"
    ) -> pd.DataFrame:
        """Return distance and mse in pixels, and the distance in diameters (NaN if no diameter is known).

        Pixels are those of an image of `evaluation.pixels`; without it, of the images as they were taken.
        """
        return self._score_at(self.test, model, batches, precision)

    def _score_at(self, index: np.ndarray, model: nn.Module, batches: Batches, precision: str) -> pd.DataFrame:
        height, width = self.arm.evaluation.pixels or self.size
        side = np.array([width, height], float)
        predicted = self.predict(model, batches, index, precision=precision).numpy() * side
        target = self.references[index] * side
        scored = score_points(predicted, target, self.rows.iloc[index])
        return scored.assign(
            target_x=target[:, 0],
            target_y=target[:, 1],
            distance_diameters=scored["distance"] / (self.diameters[index] * width),
        )

    def validation_scores(self, model: nn.Module, batches: Batches, precision: str) -> dict[str, float]:
        """Return the mean distance and mse on the validation images, in the pixels of `score`."""
        scored = self._score_at(self.validation, model, batches, precision)
        return {name: float(scored[name].mean()) for name in ("distance", "mse")}


class PointBatches(Batches):
    """Training batches whose targets are centers: a mirrored image has its center on the other side."""

    def sample(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images, float (B, C, h, w), and the centers (B, 2) of one step."""
        index = self.index_of(step)
        generator = torch.Generator().manual_seed(mix(self.seed, step, 1))
        images, targets = self.normalized(index, step), self.targets[index]
        images, targets = augment_points(images, targets, self.recipe.augmentation, generator)
        return self.normalization.repeat_gray(images), targets


def columns_of(image_set: ImageSet, names: tuple[str, ...]) -> np.ndarray:
    """Return the named columns of the rows as floats (N, len(names))."""
    for name in names:
        if name not in image_set.rows:
            raise UsageError(f"{image_set.name} has no column {name!r}{did_you_mean(name, image_set.rows)}")
    return image_set.rows[list(names)].to_numpy(float)
