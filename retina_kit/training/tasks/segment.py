"""Segmentation: which pixels belong to a structure, from a mask of the same size."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from retina_kit.data.collection import ImageSet
from retina_kit.data.large_arrays import take_rows
from retina_kit.data.transforms import resize_masks, scaled_size
from retina_kit.evaluation.metrics import pooled_scores
from retina_kit.evaluation.scoring import score_masks
from retina_kit.training.arm import Evaluation
from retina_kit.training.batches import Batches
from retina_kit.training.inference import predict_probability
from retina_kit.training.tasks.interface import Task


class Segmentation(Task):
    """Trained on whole images or random crops, tested on whole images or overlapping windows.

    `targets` is uint8 (N, h, w) at working size, `masks` bool (N, H, W) as the annotator outlined them. Validation
    scores are pooled over all validation images at working size, as the papers plot them.
    """

    selects_by = "miou"

    def prepare(self, image_set: ImageSet) -> None:
        """Resize and preprocess."""
        data = self.arm.data
        size = data.size or scaled_size(image_set.images.shape[-2:], data.scale)
        self.masks = image_set.masks[data.mask]
        self.images = self.preprocessed(image_set.images, size)
        self.targets = torch.from_numpy(resize_masks(self.masks, size).view(np.uint8))

    def predict(
        self, model: nn.Module, batches: Batches, index: np.ndarray, *, variant: str = "last", precision: str = "auto"
    ) -> Tensor:
        """Predict the foreground's probability (n, H, W) at the size of the masks."""
        images, size = take_rows(self.images, index), self.masks.shape[-2:]
        return predict_probability(model, batches, images, size=size, precision=precision, **self.window(variant))

    def score(
        self, model: nn.Module, batches: Batches, *, variant: str = "last", precision: str = "auto"
    ) -> pd.DataFrame:
        """Count the pixels of each test image that are right and wrong at a threshold of 0.5."""
        probability = self.predict(model, batches, self.test, variant=variant, precision=precision)
        return score_masks(probability.numpy(), take_rows(self.masks, self.test), self.rows.iloc[self.test])

    def validation_scores(self, model: nn.Module, batches: Batches, precision: str) -> dict[str, float]:
        """Return iou, dice and the mean IoU of background and foreground, as fractions."""
        images = take_rows(self.images, self.validation)
        probability = predict_probability(model, batches, images, precision=precision, **self.window("last"))
        return pooled_scores((probability > 0.5).numpy(), (self.targets[self.validation] == 1).numpy())

    def window(self, variant: str) -> dict[str, Any]:
        """Return window, stride and batch size of a variant; "whole" takes whole images whatever the arm sets."""
        settings: Evaluation = self.arm.evaluation
        if variant.endswith("whole"):
            return {"batch_size": self.batch_size}
        return {"batch_size": self.batch_size, "window": settings.window, "stride": settings.stride}
