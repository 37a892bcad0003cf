"""Losses, curves, resampling and the U-Net against other people's code, or a second implementation, on random inputs.

Metrics are compared in test_metric_oracles, distances of outlines with MONAI in test_boundary, and the coverage of the
intervals is simulated by `python -m benchmarks.verdicts`. Other people's code comes with the extra `bench`;
`pytest -rA` shows the number of inputs and the largest difference of each comparison.
"""

import importlib.util

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from retina_kit.data.transforms import equalize, resize_images, resize_masks, to_gray
from retina_kit.evaluation import metrics
from retina_kit.evaluation.calibration import expected_calibration_error
from retina_kit.models.unet import UNet
from retina_kit.training import losses

NUM_INPUTS = 200


def needs(name, package=""):
    """Skip a test where a library is not installed."""
    missing = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(missing, reason=f"needs {package or name} (the bench extra)")


def logits_and_targets(seed, channels, *, ignored=True):
    """Return random logits (N, K, H, W) and targets (N, H, W), some of them ignored."""
    rng = np.random.default_rng(seed)
    shape = (rng.integers(1, 4), rng.integers(3, 20), rng.integers(3, 20))
    logits = rng.normal(0, rng.uniform(0.1, 5), (shape[0], channels, *shape[1:])).astype(np.float32)
    targets = (rng.random(shape) < rng.uniform(0.02, 0.9)).astype(np.uint8)
    if ignored:
        targets[rng.random(shape) < 0.1] = 255
    return torch.from_numpy(logits), torch.from_numpy(targets)


def report(record_property, differences):
    """Keep the number of inputs and the largest difference, print them, and return the latter."""
    largest = float(max(differences))
    record_property("inputs", len(differences))
    record_property("largest difference", largest)
    print(f"{len(differences)} inputs, largest difference {largest:.2e}")
    return largest


# ---- losses: the formulas of MMSegmentation's CrossEntropyLoss and DiceLoss, written out in float64 --------
def probabilities_of(logits, activation):
    """Return float64 probabilities (N, K, H, W)."""
    values = logits.numpy().astype(np.float64)
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-values))
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def cross_entropy_by_formula(logits, targets):
    """Average -log p of the right class over all pixels, 0 for ignored ones (avg_non_ignore=False)."""
    values, y = logits.numpy().astype(np.float64), targets.numpy()
    if logits.shape[1] == 1:
        values = np.concatenate([np.zeros_like(values), values], axis=1)
    log_sum = np.log(np.exp(values - values.max(1, keepdims=True)).sum(1)) + values.max(1)
    right = np.where(y == 1, values[:, 1], values[:, 0])
    return np.where(y == 255, 0, log_sum - right).mean()


def dice_by_formula(logits, targets, activation, eps=1e-3):
    """1 - 2a / (b + c) per image: a = sum(p y), b = sum(p p) + eps, c = sum(y y) + eps, over classes and pixels."""
    p, y = probabilities_of(logits, activation), targets.numpy()
    one_hot = np.stack([y == 0, y == 1], axis=1).astype(np.float64)
    a, b, c = ((values).sum((1, 2, 3)) for values in (p * one_hot, p * p, one_hot))
    return (1 - 2 * a / (b + eps + c + eps)).mean()


@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy of one logit", "dice_all_classes", "hybrid"])
def test_losses_are_the_formulas_of_mmsegmentation(name, record_property):
    differences = []
    for seed in range(NUM_INPUTS):
        logits, targets = logits_and_targets(seed, 1 if name.endswith("one logit") else 2)
        expected = {
            "cross_entropy": lambda x, y: cross_entropy_by_formula(x, y),
            "cross_entropy of one logit": lambda x, y: cross_entropy_by_formula(x, y),
            "dice_all_classes": lambda x, y: dice_by_formula(x, y, "softmax"),
            "hybrid": lambda x, y: cross_entropy_by_formula(x, y) + 3 * dice_by_formula(x, y, "sigmoid"),
        }[name](logits, targets)
        found = losses.LOSSES[name.split(" of ")[0]](logits, targets).item()
        differences.append(abs(found - expected))
    assert report(record_property, differences) < 1e-5


@needs("segmentation_models_pytorch")
@pytest.mark.parametrize("name", ["soft_dice", "negative_log_dice", "cross_entropy"])
def test_losses_are_those_of_segmentation_models(name, record_property):
    """Their smoothing of 0.5 is 1 here: they add it to half of both sums. Theirs of an empty mask is 0 by a rule."""
    from segmentation_models_pytorch.losses import DiceLoss, SoftBCEWithLogitsLoss

    settings = {"mode": "binary", "smooth": 0.5, "ignore_index": 255}
    theirs = {
        "soft_dice": DiceLoss(**settings),
        "negative_log_dice": DiceLoss(**settings, log_loss=True),
        "cross_entropy": SoftBCEWithLogitsLoss(),
    }[name]
    differences = []
    for seed in range(NUM_INPUTS):
        logits, targets = logits_and_targets(seed, 1, ignored=name != "cross_entropy")
        targets[0, 0, 0] = 1
        y = targets[:, None] if name != "cross_entropy" else targets[:, None].float()
        differences.append(abs(losses.LOSSES[name](logits, targets) - theirs(logits, y)).item())
    assert report(record_property, differences) < 1e-5


@needs("monai")
def test_the_soft_dice_is_that_of_monai(record_property):
    from monai.losses import DiceLoss

    theirs, differences = DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0), []
    for seed in range(NUM_INPUTS):
        logits, targets = logits_and_targets(seed, 1, ignored=False)
        differences.append(abs(losses.soft_dice(logits, targets) - theirs(logits, targets[:, None].float())).item())
    assert report(record_property, differences) < 1e-5


# ---- curves and calibration --------
def scores_and_truth(seed):
    """Return scores with ties, and which of them are positive; there are some of both."""
    rng = np.random.default_rng(seed)
    truth = rng.random(rng.integers(20, 300)) < rng.uniform(0.05, 0.9)
    truth[:2] = [False, True]
    return np.round(np.clip(0.3 * truth + 0.7 * rng.random(len(truth)), 0, 1), 2), truth


@needs("sklearn", "scikit-learn")
def test_areas_are_those_under_the_curves_of_scikit_learn(record_property):
    """The areas by hand from the points of the curves: trapezoids under the ROC, steps of precision."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    differences = []
    for seed in range(NUM_INPUTS):
        scores, truth = scores_and_truth(seed)
        false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
        precision, recall, _ = precision_recall_curve(truth, scores)
        roc = (np.diff(false) * (true[1:] + true[:-1]) / 2).sum()
        differences.append(abs(metrics.roc_auc(scores, truth) - roc))
        differences.append(abs(metrics.average_precision(scores, truth) + (np.diff(recall) * precision[:-1]).sum()))
    assert report(record_property, differences) < 1e-12


@needs("torchmetrics")
def test_scores_are_those_of_torchmetrics(record_property):
    """They compute in float32."""
    from torchmetrics.functional import classification as theirs

    differences = []
    for seed in range(NUM_INPUTS):
        scores, truth = scores_and_truth(seed)
        p, y = torch.from_numpy(scores).float(), torch.from_numpy(truth).long()
        differences.append(abs(metrics.roc_auc(scores, truth) - theirs.binary_auroc(p, y).item()))
        differences.append(abs(metrics.average_precision(scores, truth) - theirs.binary_average_precision(p, y).item()))
        counts = metrics.counts_per_image((scores > 0.5)[None, None], truth[None, None])
        for name, function in (("dice", "binary_f1_score"), ("iou", "binary_jaccard_index"),
                               ("recall", "binary_recall"), ("specificity", "binary_specificity")):  # fmt: skip
            mine = metrics.COUNT_METRICS[name](*counts)[0]
            differences.append(abs(mine - getattr(theirs, function)(p, y).item()))
        shifted = np.clip(scores + 0.004, 0, 1)  # no score on the edge of a bin, which belongs to the other bin there
        expected = theirs.binary_calibration_error(torch.from_numpy(shifted).float(), y, n_bins=15, norm="l1")
        differences.append(abs(expected_calibration_error(shifted, truth) - expected.item()))
    assert report(record_property, differences) < 1e-5


# ---- pixels --------
def test_resampling_and_clahe_are_those_of_opencv(record_property):
    rng, differences = np.random.default_rng(0), []
    for _ in range(NUM_INPUTS):
        height, width, new_height, new_width = rng.integers(8, 90, 4)
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        shrinks = new_height <= height and new_width <= width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        expected = cv2.resize(image, (int(new_width), int(new_height)), interpolation=how)
        found = resize_images(image.transpose(2, 0, 1)[None], (new_height, new_width))[0].transpose(1, 2, 0)
        mask = image[..., 0] > 128
        size = (int(new_width), int(new_height))
        nearest = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
        clahe = cv2.createCLAHE(2.0, (8, 8))
        equalized = np.stack([clahe.apply(channel) for channel in cv2.split(image)])
        gray = image @ np.array([0.299, 0.587, 0.114])
        differences += [
            np.abs(found.astype(int) - expected).max(),
            int((resize_masks(mask[None], (new_height, new_width))[0] != nearest).any()),
            np.abs(equalize(image.transpose(2, 0, 1)[None])[0].astype(int) - equalized).max(),
            int(np.abs(to_gray(image.transpose(2, 0, 1)[None])[0, 0] - gray).max() > 0.51),  # rounded
        ]
    assert report(record_property, differences) == 0


def test_shrinking_by_a_whole_factor_averages_by_hand(record_property):
    rng, differences = np.random.default_rng(1), []
    for _ in range(NUM_INPUTS):
        factor, (height, width) = rng.integers(2, 6), rng.integers(2, 12, 2)
        image = rng.integers(0, 256, (1, 1, height * factor, width * factor), dtype=np.uint8)
        mean = image.reshape(height, factor, width, factor).mean((1, 3))
        differences.append(np.abs(resize_images(image, (height, width))[0, 0] - mean).max())
    assert report(record_property, differences) <= 0.5  # the rounding to whole gray values


# ---- the U-Net: a second implementation, from the paper's figure, with functions only --------
def unet_by_hand(named, images):
    """Give the logits of a U-Net with these weights (a state dict without normalization) of five levels."""

    def parameters(name):
        return named[f"{name}.weight"], named[f"{name}.bias"]

    def twice(x, name):
        for number in (0, 2):
            x = F.relu(F.conv2d(x, *parameters(f"{name}.{number}"), padding=1))
        return x

    skips, x = [], images
    for level in range(4):
        x = twice(x, f"encoder.blocks.{level}")
        skips.append(x)
        x = F.max_pool2d(x, kernel_size=2)
    x = twice(x, "encoder.blocks.4")
    for level in range(4):
        up = F.conv_transpose2d(x, *parameters(f"decoder.ups.{level}"), stride=2)
        x = twice(torch.cat((up, skips[3 - level]), dim=1), f"decoder.blocks.{level}")
    return F.conv2d(x, *parameters("head"))


@torch.inference_mode()
def test_the_unet_is_a_second_implementation_of_it(record_property):
    differences = []
    for seed in range(20):
        torch.manual_seed(seed)
        network = UNet(in_channels=1 + 2 * (seed % 2), num_classes=1 + seed % 3, widths=(4, 6, 8, 10, 12)).eval()
        for bias in (weight for name, weight in network.named_parameters() if name.endswith("bias")):
            bias.normal_(0, 0.1)
        images = torch.randn(2, 1 + 2 * (seed % 2), 32, 48)
        found, expected = network(images), unet_by_hand(network.state_dict(), images)
        differences.append(((found - expected).abs().max() / expected.abs().max()).item())
    assert report(record_property, differences) < 1e-5
