"""The task "localize": where the center of a structure is, from two numbers an image (Hu 2018, section 2.2)."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from retina_kit.data.augment import augment_points
from retina_kit.data.transforms import preprocess, resize_images, scaled_size
from retina_kit.errors import UsageError
from retina_kit.evaluation.scoring import score_points
from retina_kit.training.batches import Batches, mix


@dataclass(frozen=True)
class Prepared:
    """One arm's images at working size with their centers; fractions of width and height, NaN where unknown."""

    images: torch.Tensor  # (N, C, h, w) uint8 at working size
    targets: torch.Tensor  # (N, 2) float32: the centers that are learned
    references: np.ndarray  # (N, 2): the centers that are tested against
    diameters: np.ndarray  # (N,): fraction of the width
    rows: object  # DataFrame, one row an image
    train: np.ndarray  # indices
    test: np.ndarray
    size: tuple  # (H, W) of the images as they were taken


def prepare(image_set, arm, train, test):
    """Return the images of an arm at its working size, preprocessed, with the centers of its columns.

    The arm's data table names columns of the rows, in pixels of the images: `center` (x, y), which are
    learned; `test_center`, where others are tested against; `diameter` (one column, or several that are averaged).
    """
    settings = arm["data"]
    size = settings.get("size") or scaled_size(image_set.images.shape[-2:], settings.get("scale", 1.0))
    images = preprocess(resize_images(image_set.images, size), settings.get("preprocess", []), train)
    height, width = image_set.images.shape[-2:]
    centers = columns_of(image_set, settings["center"]) / [width, height]
    references = columns_of(image_set, settings.get("test_center", settings["center"])) / [width, height]
    diameters = columns_of(image_set, settings.get("diameter", [])).reshape(len(image_set), -1)
    mean_diameter = diameters.mean(axis=1) / width if diameters.shape[1] else np.full(len(image_set), math.nan)
    for what, part, index in (("learned", centers, train), ("tested", references, test)):
        unknown = index[np.isnan(part[index]).any(axis=1)]
        if len(unknown):
            name = image_set.rows["id"].iloc[unknown[0]]
            raise UsageError(f"{name} is {what} but has no center; leave such rows out with the split's `known`")
    targets = torch.from_numpy(centers.astype(np.float32))
    return Prepared(
        torch.from_numpy(images), targets, references, mean_diameter, image_set.rows, train, test, (height, width)
    )


def columns_of(image_set, names):
    """Return the named columns of the rows as floats (N, len(names))."""
    missing = [name for name in names if name not in image_set.rows]
    if missing:
        raise UsageError(f"{image_set.name} has no column {missing[0]!r}; it has {', '.join(image_set.rows)}")
    return image_set.rows[list(names)].to_numpy(float)


class PointBatches(Batches):
    """Training batches whose targets are centers: a mirrored image has its center on the other side."""

    def sample(self, step):
        """Return the images, float (B, C, h, w) channels last, and the centers (B, 2) of one step."""
        index = self.index_of(step)
        generator = torch.Generator().manual_seed(mix(self.seed, step, 1))
        images, targets = self.normalize(self.images[index]), self.targets[index]
        images, targets = augment_points(images, targets, self.recipe.augmentation, generator)
        images = images.expand(-1, self.in_channels, -1, -1)
        return images.contiguous(memory_format=torch.channels_last), targets


def make_batches(prepared, arm, recipe, seed, device):
    """Return the training batches of an arm."""
    settings = arm["data"]
    return PointBatches(
        prepared.images[prepared.train],
        prepared.targets[prepared.train],
        recipe,
        seed=seed,
        device=device,
        mean=settings.get("mean", 0.0),
        std=settings.get("std", 255.0),
        in_channels=arm["model"].get("in_channels"),
    )


class Validator:
    """Measures the distance on the test images now and then, and keeps the weights of the best time."""

    def __init__(self, prepared, arm, batches, precision):
        self.prepared, self.arm, self.batches, self.precision = prepared, arm, batches, precision
        self.best_score, self.best_weights = None, {}

    def __call__(self, model):
        """Return the mean distance and mse on the test images, in pixels of the arm's `pixels`."""
        scored = score(model, self.prepared, self.arm, self.batches, precision=self.precision)
        scores = {name: float(scored[name].mean()) for name in ("distance", "mse")}
        if self.best_score is None or math.isnan(self.best_score) or scores["distance"] < self.best_score:
            self.best_score = scores["distance"]
            self.best_weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
        return scores


@torch.inference_mode()
def predict(model, prepared, arm, batches, index, *, variant="last", precision="auto"):
    """Return the centers (n, 2) of the images at `index`, fractions of width and height.

    Computed in float32 whatever `precision` says: there is little to compute, and a pixel is a small fraction.
    """
    model.eval()
    parts = []
    for some in torch.as_tensor(index).split(arm["evaluation"].get("batch_size", 32)):
        inputs = batches.normalize(prepared.images[some].to(batches.images.device))
        inputs = inputs.expand(-1, batches.in_channels, -1, -1).contiguous(memory_format=torch.channels_last)
        parts.append(model(inputs).float().cpu())
    return torch.cat(parts)


def score(model, prepared, arm, batches, *, variant="last", precision="auto"):
    """Return one scored row a test image: distance and mse in pixels, and the distance in diameters.

    Pixels are those of an image of `pixels` (H, W) of the arm's evaluation table; without it, of the images
    as they were taken. Where the columns name no diameter, distance_diameters is NaN.
    """
    height, width = arm["evaluation"].get("pixels", prepared.size)
    index, side = prepared.test, np.array([width, height], float)
    predicted = predict(model, prepared, arm, batches, index, precision=precision).numpy() * side
    target = prepared.references[index] * side
    scored = score_points(predicted, target, prepared.rows.iloc[index])
    diameter = prepared.diameters[index] * width
    return scored.assign(
        target_x=target[:, 0],
        target_y=target[:, 1],
        distance_diameters=scored["distance"] / diameter,
        variant=variant,
    )
