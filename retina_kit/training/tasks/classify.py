"""The task "classify": is there a lesion in the image, from one yes or no an image (Ortiz 2022, stage 1)."""

from dataclasses import dataclass

import numpy as np
import torch

from retina_kit.data.copies import with_copies
from retina_kit.data.transforms import preprocess, resize_images
from retina_kit.errors import UsageError
from retina_kit.evaluation.metrics import roc_auc
from retina_kit.evaluation.scoring import score_classes
from retina_kit.training.batches import Batches
from retina_kit.training.device import autocast


@dataclass(frozen=True)
class Prepared:
    """One arm's images, ready for the network, and what is to be said of each."""

    images: torch.Tensor  # (N, C, h, w) uint8 at working size
    targets: torch.Tensor  # (N, 1) float32, 0 or 1
    rows: object  # DataFrame, one row an image
    train: np.ndarray  # indices
    test: np.ndarray


def prepare(image_set, arm, train, test):
    """Return the images of an arm, preprocessed, at its working size `data.size` (H, W), with its `data.label`."""
    settings = arm["data"]
    label = settings.get("label", "has_lesion")
    if label not in image_set.rows:
        raise UsageError(f"{image_set.name} has no label {label!r}; its columns are {', '.join(image_set.rows)}")
    size = settings.get("size") or image_set.images.shape[-2:]
    images = resize_images(preprocess(image_set.images, settings.get("preprocess", []), train), tuple(size))
    targets = image_set.rows[label].to_numpy(np.float32)[:, None]
    return Prepared(torch.from_numpy(images), torch.from_numpy(targets), image_set.rows, train, test)


def make_batches(prepared, arm, recipe, seed, device):
    """Return the training batches of an arm: its training images and `data.copies` moved copies of each.

    The copies are made here, of training images only: no test image has a relative among them.
    """
    settings = arm["data"]
    images, targets = prepared.images[prepared.train], prepared.targets[prepared.train]
    num_copies = settings.get("copies", 0)
    if num_copies:
        images = torch.from_numpy(with_copies(images.numpy(), None, num_copies, seed)[0])
        targets = targets.repeat(1 + num_copies, 1)
    return Batches(
        images, targets, recipe, seed=seed, device=device,
        mean=settings.get("mean", 0.0), std=settings.get("std", 255.0), in_channels=arm["model"].get("in_channels"),
    )  # fmt: skip


class Validator:
    """Scores the network on the test images now and then, and keeps the weights of the best AUC."""

    def __init__(self, prepared, arm, batches, precision):
        self.prepared, self.arm, self.batches, self.precision = prepared, arm, batches, precision
        self.best_score, self.best_weights = None, {}

    def __call__(self, model):
        """Return the accuracy at 0.5 and the AUC, as fractions."""
        index = self.prepared.test
        probability = predict(model, self.prepared, self.arm, self.batches, index, precision=self.precision).numpy()
        target = self.prepared.targets[index, 0].numpy() == 1
        auc = roc_auc(probability, target)
        if self.best_score is None or np.isnan(self.best_score) or auc > self.best_score:
            self.best_score = auc
            self.best_weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
        return {"accuracy": float(((probability > 0.5) == target).mean()), "auc": auc}


@torch.inference_mode()
def predict(model, prepared, arm, batches, index, *, variant="last", precision="auto"):
    """Return the probability (n,) of a lesion in the images at `index`, float32 on the CPU."""
    model.eval()
    parts = []
    for some in prepared.images[index].split(arm["evaluation"].get("batch_size", 8)):
        inputs = batches.normalize(some.to(batches.images.device)).expand(-1, batches.in_channels, -1, -1)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with autocast(inputs.device, precision):
            logits = model(inputs)
        parts.append(logits.float()[:, 0].sigmoid().cpu())
    return torch.cat(parts)


def score(model, prepared, arm, batches, *, variant="last", precision="auto"):
    """Return one scored row a test image: its probability, its truth, and its 0/1 counts at 0.5."""
    probability = predict(model, prepared, arm, batches, prepared.test, variant=variant, precision=precision)
    rows = prepared.rows.iloc[prepared.test]
    target = prepared.targets[prepared.test, 0].numpy() == 1
    return score_classes(probability.numpy(), target, rows).assign(variant=variant)
