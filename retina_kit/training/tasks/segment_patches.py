"""The task "segment_patches": trained on square patches, tested on whole images (Ortiz 2022, stage 2).

Everything but the training batches and the scores is the task "segment".
"""

import numpy as np
import torch

from retina_kit.data.copies import with_copies
from retina_kit.data.patches import training_patches
from retina_kit.evaluation.metrics import average_precision
from retina_kit.evaluation.scoring import score_masks
from retina_kit.training.batches import Batches
from retina_kit.training.inference import predict_probability
from retina_kit.training.tasks.segment import pooled_scores, predict, prepare, window_of

__all__ = ["Validator", "make_batches", "predict", "prepare", "score"]
NUM_BINS = 200  # of the histograms behind the area under precision-recall


def make_batches(prepared, arm, recipe, seed, device):
    """Return the training batches of an arm: patches of its training images and of their moved copies.

    `data.patch` is the side of a patch, `data.copies` the number of copies of each image, `data.per_lesion` how
    many patches without a lesion there are for each one with it (0: all of them are kept).
    """
    settings = arm["data"]
    images, masks = prepared.images[prepared.train].numpy(), prepared.targets[prepared.train].numpy()
    images, masks = with_copies(images, masks, settings.get("copies", 0), seed)
    images, targets = training_patches(images, masks, settings["patch"], settings.get("per_lesion", 0), seed)
    return Batches(
        torch.from_numpy(images), torch.from_numpy(targets), recipe, seed=seed, device=device,
        mean=settings.get("mean", 0.0), std=settings.get("std", 255.0), in_channels=arm["model"].get("in_channels"),
    )  # fmt: skip


def pixel_counts(prepared, batches):
    """Return how rare a lesion is: its share of all pixels, what saying "healthy" earns, and the training patches."""
    share = float(prepared.masks.mean())
    with_lesion = (batches.targets == 1).any(dim=(1, 2))
    return {
        "lesion pixels": share,
        "accuracy of healthy everywhere": 1 - share,
        "training patches": len(with_lesion),
        "of them with a lesion": int(with_lesion.sum()),
    }


class Validator:
    """Scores the network on some test images now and then, and keeps the weights of the best time.

    `evaluation.validate_on` says on how many test images, spread over the test set (0: all). The best time is
    that of the largest area under precision-recall, which needs no threshold.
    """

    def __init__(self, prepared, arm, batches, precision):
        self.arm, self.batches, self.precision = arm, batches, precision
        index = spread_over(prepared.test, arm["evaluation"].get("validate_on", 0))
        self.images, self.targets = prepared.images[index], prepared.targets[index] == 1
        self.best_score, self.best_weights = None, {}

    def __call__(self, model):
        """Return iou, dice, miou and the average precision over all pixels, as fractions."""
        settings = window_of(self.arm["evaluation"], "last")
        probability = predict_probability(model, self.batches, self.images, precision=self.precision, **settings)
        scores = pooled_scores(probability > 0.5, self.targets)
        scores["average_precision"] = average_precision(probability.numpy(), self.targets.numpy(), NUM_BINS)
        if self.best_score is None or np.isnan(self.best_score) or scores["average_precision"] > self.best_score:
            self.best_score = scores["average_precision"]
            self.best_weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
        return scores


def spread_over(index, count):
    """Return `count` of the positions, evenly spread; all of them where `count` is 0 or too large."""
    if not count or count >= len(index):
        return index
    return index[np.linspace(0, len(index) - 1, count).round().astype(int)]


def score(model, prepared, arm, batches, *, variant="last", precision="auto"):
    """Return one scored row a test image, with the histograms that areas under curves are computed from."""
    probability = predict(model, prepared, arm, batches, prepared.test, variant=variant, precision=precision)
    rows = prepared.rows.iloc[prepared.test]
    scored = score_masks(probability.numpy(), prepared.masks[prepared.test], rows, num_bins=NUM_BINS)
    return scored.assign(variant=variant)
