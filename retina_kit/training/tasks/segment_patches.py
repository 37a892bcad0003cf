"""Patch segmentation: trained on square patches, tested on whole images (Ortiz 2022, stage 2)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from retina_kit.data.copies import ImagesWithCopies, with_copies
from retina_kit.data.patches import training_patches
from retina_kit.evaluation.metrics import average_precision, pooled_scores
from retina_kit.training.batches import Batches
from retina_kit.training.tasks.segment import Segmentation

NUM_BINS = 300  # of the histograms behind the area under the precision-recall curve, 0.08 wide on the logit scale


class PatchSegmentation(Segmentation):
    """Segmentation whose batches are patches, and whose best checkpoint needs no threshold."""

    selects_by = "average_precision"

    def training_data(self, seed: int) -> tuple[Tensor, Tensor]:
        """Cut the training images and their moved copies into patches; `per_lesion` bounds those without a lesion."""
        data = self.arm.data
        images = ImagesWithCopies(self.images[self.train].numpy(), data.copies, seed)  # all of them would be 0.3 GB
        masks = with_copies(self.targets[self.train].numpy(), data.copies, seed, nearest=True)
        patches, targets = training_patches(images, masks, data.patch, data.per_lesion, seed)
        return torch.from_numpy(patches), torch.from_numpy(targets)

    def names_at(self, positions: Sequence[int]) -> list[str]:
        """Name some training patches by their number; which image they are from is not kept."""
        return [f"patch {position}" for position in positions]

    def validation_data(self, seed: int) -> tuple[Tensor, Tensor]:
        """Cut the validation images into patches as the training images are, without moved copies."""
        data = self.arm.data
        images, masks = self.images[self.validation].numpy(), self.targets[self.validation].numpy()
        images, targets = training_patches(images, masks, data.patch, data.per_lesion, seed)
        return torch.from_numpy(images), torch.from_numpy(targets)

    def score(
        self, model: nn.Module, batches: Batches, *, variant: str = "last", precision: str = "auto"
    ) -> pd.DataFrame:
        """Count pixels as in segmentation, and add the histograms that areas under curves are computed from."""
        probability = self.predict(model, batches, self.test, variant=variant, precision=precision)
        return self._scored(probability, num_bins=NUM_BINS)

    def validation_scores(self, model: nn.Module, batches: Batches, precision: str) -> dict[str, float]:
        """Return iou, dice, miou and average precision over all pixels of `validate_on` validation images."""
        index = spread_over(self.validation, self.arm.evaluation.validate_on)
        probability = self._probability(model, batches, self.images[index], "last", precision)
        return self.mean_over_classes(scores_of_pixels, probability, self.targets[index] == 1)


def scores_of_pixels(probability: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return iou, dice, miou and average precision over all pixels, (N, H, W) each."""
    scores = pooled_scores(probability > 0.5, target)
    return scores | {"average_precision": average_precision(probability, target, NUM_BINS)}


def pixel_counts(task: PatchSegmentation, batches: Batches) -> dict[str, float]:
    """Measure how rare a lesion of any class is: its share of all pixels, the accuracy of "healthy", the patches."""
    share = float((task.masks.any(axis=1) if task.arm.data.masks else task.masks).mean())
    with_lesion = (batches.targets == 1).flatten(1).any(dim=1)
    return {
        "lesion pixels": share,
        "accuracy of healthy everywhere": 1 - share,
        "training patches": len(with_lesion),
        "of them with a lesion": int(with_lesion.sum()),
    }


def spread_over(index: np.ndarray, count: int) -> np.ndarray:
    """Pick `count` of the positions, evenly spread; all of them if `count` is 0 or too large.

    >>> spread_over(np.arange(10), 3)
    array([0, 4, 9])
    """
    if not count or count >= len(index):
        return index
    return index[np.linspace(0, len(index) - 1, count).round().astype(int)]
