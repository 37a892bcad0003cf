"""The task "segment": which pixels belong to the structure, from a mask of the same size."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from retina_kit.data.large_arrays import take
from retina_kit.data.splits import hold_out
from retina_kit.data.transforms import preprocess, resize_images, resize_masks, scaled_size
from retina_kit.evaluation.scoring import score_masks
from retina_kit.training.batches import Batches
from retina_kit.training.inference import predict_probability


@dataclass(frozen=True)
class Prepared:
    """One arm's images, ready for the network: resident tensors at working size, masks at their own size."""

    images: torch.Tensor  # (N, C, h, w) uint8 at working size
    targets: torch.Tensor  # (N, h, w) uint8 at working size
    masks: np.ndarray  # (N, H, W) bool as drawn by the annotator
    rows: object  # DataFrame, one row an image
    train: np.ndarray  # indices
    test: np.ndarray
    validation: np.ndarray  # what is scored while training: the test images, or those held out of `train`


def prepare(image_set, arm, train, test):
    """Return the images of an arm at its working size, preprocessed, with targets from its mask.

    With `validation_fraction` in the arm's evaluation, the last of the training images are held out for that.
    """
    settings, fraction = arm["data"], arm["evaluation"].get("validation_fraction", 0.0)
    train, validation = hold_out(train, fraction) if fraction else (train, test)
    size = settings.get("size") or scaled_size(image_set.images.shape[-2:], settings.get("scale", 1.0))
    images = preprocess(resize_images(image_set.images, size), settings.get("preprocess", []), train)
    masks = image_set.masks[settings["mask"]]
    return Prepared(
        torch.from_numpy(images),
        torch.from_numpy(resize_masks(masks, size).view(np.uint8)),
        masks,
        image_set.rows,
        train,
        test,
        validation,
    )


def make_batches(prepared, arm, recipe, seed, device):
    """Return the training batches of an arm."""
    settings = arm["data"]
    return Batches(
        take(prepared.images, prepared.train),
        take(prepared.targets, prepared.train),
        recipe,
        seed=seed,
        device=device,
        mean=settings.get("mean", 0.0),
        std=settings.get("std", 255.0),
        in_channels=arm["model"].get("in_channels"),
    )


class Validator:
    """Scores the network on the validation images now and then, and keeps the weights of the best time.

    The scores are pooled over all images, at working size, as the papers plot them while training.
    """

    def __init__(self, prepared, arm, batches, precision):
        self.prepared, self.arm, self.batches, self.precision = prepared, arm, batches, precision
        self.best_score, self.best_weights = None, {}

    def __call__(self, model):
        """Return iou, dice and the mean IoU of background and foreground, as fractions."""
        settings = window_of(self.arm["evaluation"], "last")
        images = take(self.prepared.images, self.prepared.validation)
        probability = predict_probability(model, self.batches, images, precision=self.precision, **settings)
        scores = pooled_scores(probability > 0.5, self.prepared.targets[self.prepared.validation] == 1)
        if self.best_score is None or math.isnan(self.best_score) or scores["miou"] > self.best_score:
            self.best_score = scores["miou"]
            self.best_weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
        return scores


def pooled_scores(predicted, target):
    """Return iou, dice and miou of bool masks (N, H, W) from one confusion matrix over all pixels."""
    overlap = (predicted & target).sum().item()
    union = (predicted | target).sum().item()
    background = predicted.numel() - union
    iou = overlap / union if union else float("nan")
    background_iou = background / (predicted.numel() - overlap)
    return {"iou": iou, "dice": 2 * iou / (1 + iou), "miou": (iou + background_iou) / 2}


def window_of(evaluation, variant):
    """Return window, stride and batch size of a variant; "whole" takes whole images whatever the arm says."""
    settings = {"batch_size": evaluation.get("batch_size", 8)}
    if not variant.endswith("whole"):
        settings |= {"window": evaluation.get("window", 0), "stride": evaluation.get("stride", 0)}
    return settings


def predict(model, prepared, arm, batches, index, *, variant="last", precision="auto"):
    """Return the foreground's probability (n, H, W) of the images at `index`, at the size of their masks."""
    settings = window_of(arm["evaluation"], variant)
    images, size = take(prepared.images, index), prepared.masks.shape[-2:]
    return predict_probability(model, batches, images, size=size, precision=precision, **settings)


def score(model, prepared, arm, batches, *, variant="last", precision="auto"):
    """Return one scored row a test image."""
    probability = predict(model, prepared, arm, batches, prepared.test, variant=variant, precision=precision)
    rows = prepared.rows.iloc[prepared.test]
    return score_masks(probability.numpy(), take(prepared.masks, prepared.test), rows).assign(variant=variant)
