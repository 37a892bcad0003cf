"""Segmentation: which pixels belong to a structure, or to each of several, from masks of the same size."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from retina_kit.data.collection import ImageSet
from retina_kit.data.large_arrays import new_array, take_rows
from retina_kit.data.transforms import resize_masks, scaled_size
from retina_kit.evaluation.metrics import pooled_scores
from retina_kit.evaluation.scoring import mean_scores, score_masks, score_masks_of_classes
from retina_kit.training.arm import Evaluation
from retina_kit.training.batches import Batches
from retina_kit.training.inference import predict_probability
from retina_kit.training.tasks.interface import Task


class Segmentation(Task):
    """Trained on whole images or random crops, tested on whole images or overlapping windows.

    `targets` is uint8 (N, h, w) at working size, `masks` bool (N, H, W) as the annotator outlined them. An arm with
    `data.masks` has several classes: `targets` is (N, K, h, w), `masks` (N, K, H, W), and the network has a sigmoid per
    class (see `losses.per_class`). Validation scores are pooled over all validation images at working size, as the
    papers plot them, and averaged over the classes.
    """

    selects_by = "miou"

    def prepare(self, image_set: ImageSet) -> None:
        """Resize and preprocess."""
        data = self.arm.data
        size = data.size or scaled_size(image_set.images.shape[-2:], data.scale)
        self.masks = stacked_masks(image_set, data.masks) if data.masks else image_set.masks[data.mask]
        self.images = self.preprocessed(image_set.images, size)
        self.targets = torch.from_numpy(resize_masks(self.masks, size).view(np.uint8))

    def predict(
        self, model: nn.Module, batches: Batches, index: np.ndarray, *, variant: str = "last", precision: str = "auto"
    ) -> Tensor:
        """Predict the foreground's probability (n, H, W), or each class's (n, K, H, W), at the size of the masks."""
        images, size = take_rows(self.images, index), self.masks.shape[-2:]
        return self._probability(model, batches, images, variant, precision, size=size)

    def _probability(
        self, model: nn.Module, batches: Batches, images: Tensor, variant: str, precision: str, **settings: Any
    ) -> Tensor:
        classes = bool(self.arm.data.masks)
        settings |= {"precision": precision, "classes": classes, **self.window(variant)}
        return self.finite(predict_probability(model, batches, images, **settings))

    def score(
        self, model: nn.Module, batches: Batches, *, variant: str = "last", precision: str = "auto"
    ) -> pd.DataFrame:
        """Count the pixels of each test image, and of each class, that are right and wrong at a threshold of 0.5."""
        return self._scored(self.predict(model, batches, self.test, variant=variant, precision=precision))

    def _scored(self, probability: Tensor, **settings: Any) -> pd.DataFrame:
        masks, rows, classes = take_rows(self.masks, self.test), self.rows.iloc[self.test], self.arm.data.masks
        if classes:
            return score_masks_of_classes(probability.numpy(), masks, rows, classes, **settings)
        return score_masks(probability.numpy(), masks, rows, **settings)

    def validation_scores(self, model: nn.Module, batches: Batches, precision: str) -> dict[str, float]:
        """Return iou, dice and the mean IoU of background and foreground, as fractions; of several classes the mean."""
        images, targets = take_rows(self.images, self.validation), self.targets[self.validation] == 1
        probability = self._probability(model, batches, images, "last", precision)
        return self.mean_over_classes(lambda p, t: pooled_scores(p > 0.5, t), probability, targets)

    def mean_over_classes(
        self, score: Callable[[np.ndarray, np.ndarray], dict[str, float]], probability: Tensor, targets: Tensor
    ) -> dict[str, float]:
        """Return the scores of probabilities and bool targets, (N, H, W) each, or the mean over those of each class."""
        if not self.arm.data.masks:
            return score(probability.numpy(), targets.numpy())
        pairs = zip(probability.unbind(1), targets.unbind(1), strict=True)
        return mean_scores([score(of_class.numpy(), target.numpy()) for of_class, target in pairs])

    def window(self, variant: str) -> dict[str, Any]:
        """Return window, stride and batch size of a variant; "whole" takes whole images whatever the arm sets."""
        settings: Evaluation = self.arm.evaluation
        if variant.endswith("whole"):
            return {"batch_size": self.batch_size}
        return {"batch_size": self.batch_size, "window": settings.window, "stride": settings.stride}


def stacked_masks(image_set: ImageSet, classes: Sequence[str]) -> np.ndarray:
    """Stack the masks (N, H, W) of several classes, in their order: bool (N, K, H, W)."""
    first = image_set.masks[classes[0]]
    stacked = new_array((len(first), len(classes), *first.shape[1:]), bool)
    for k, name in enumerate(classes):
        stacked[:, k] = image_set.masks[name]
    return stacked
