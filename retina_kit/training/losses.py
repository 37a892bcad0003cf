"""The losses of the four papers, each from float32 logits and uint8 targets, each with its convention in words.

`logits` is (N, K, H, W) with K = 2 for a softmax over background and foreground, or K = 1 for a sigmoid;
`targets` is (N, H, W) with 0, 1 and `IGNORE` (255, outside the image). With several classes `targets` is (N, K, H, W),
a mask per class, and `per_class` takes the loss of each class by itself.
"""

import functools
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from retina_kit.data.augment import IGNORE

Loss = Callable[[Tensor, Tensor], Tensor]


def per_class(loss: Loss) -> Loss:
    """Let a loss of one structure take several classes: the mean of its value over the classes, one sigmoid each.

    Every class is a yes/no question of its own. That serves lesions, which may overlap (a pixel of IDRiD can belong to
    a hemorrhage and an exudate), and types of fluid, which exclude one another (RETOUCH): there a pixel that two
    classes claim is a false alarm of at least one of them, and each class keeps the loss, the threshold and the scores
    that a network for it alone would have, so that one network and several can be compared. A softmax over exclusive
    classes could not represent an overlap, and would tie the classes' thresholds to one another.

    Logits and targets are (N, K, H, W); with targets (N, H, W) the loss is what it was.

    >>> logits = torch.tensor([[[[0.0]], [[4.0]]]])  # one pixel, two classes
    >>> targets = torch.tensor([[[[1]], [[1]]]])
    >>> round(cross_entropy(logits, targets).item(), 4)  # (log 2 + log(1 + exp(-4))) / 2
    0.3556
    """

    @functools.wraps(loss)
    def mean_over_classes(logits: Tensor, targets: Tensor) -> Tensor:
        if targets.dim() != 4:
            return loss(logits, targets)
        pairs = zip(logits.split(1, dim=1), targets.unbind(1), strict=True)
        return torch.stack([loss(of_class, target) for of_class, target in pairs]).mean()

    return mean_over_classes


@per_class
def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over all pixels; ignored pixels count 0 but stay in the mean (Huang 2023's code)."""
    if logits.shape[1] == 1:
        valid = targets != IGNORE
        losses = F.binary_cross_entropy_with_logits(logits[:, 0], (targets == 1).float(), reduction="none")
        return (losses * valid).mean()
    losses = F.cross_entropy(logits, targets.long(), ignore_index=IGNORE, reduction="none")
    return losses.mean()


def dice_all_classes(logits: Tensor, targets: Tensor, activation: str = "softmax", epsilon: float = 1e-3) -> Tensor:
    """1 - Dice of all classes flattened together, with squared areas, mean over the batch.

    Background and foreground share one sum, so with 1 % of fluid an empty prediction costs about 0.01: this loss
    does not rebalance the classes (the form used in Huang 2023, section 3.3.3). One logit stands for both. Of ignored
    pixels the overlap counts 0, but what is predicted there stays in the area.
    """
    if logits.shape[1] == 1:
        logits, activation = torch.cat([-logits, logits], dim=1), "sigmoid"
    num_classes = logits.shape[1]
    probability = logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()
    valid = targets != IGNORE
    one_hot = F.one_hot(targets.long().clamp(max=num_classes - 1), num_classes).permute(0, 3, 1, 2)
    one_hot = (one_hot * valid[:, None]).to(probability.dtype)
    overlap = (probability * one_hot).sum(dim=(1, 2, 3))
    area = probability.square().sum(dim=(1, 2, 3)) + one_hot.square().sum(dim=(1, 2, 3))
    return (1 - 2 * overlap / (area + 2 * epsilon)).mean()


def foreground_probability(logits: Tensor) -> Tensor:
    """Probability of the foreground, shape (N, H, W), from one sigmoid logit or two softmax logits."""
    if logits.shape[1] == 1:
        return logits[:, 0].sigmoid()
    return (logits[:, 1] - logits[:, 0]).sigmoid()


def probabilities(logits: Tensor, *, classes: bool = False) -> Tensor:
    """Probability of each of several `classes`, (N, K, H, W), or of the foreground alone, (N, H, W)."""
    return logits.sigmoid() if classes else foreground_probability(logits)


def pooled_soft_dice(logits: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    """Soft Dice of the foreground over the whole batch as one image: (2 sum(py) + s) / (sum(p) + sum(y) + s)."""
    valid = targets != IGNORE
    probability = foreground_probability(logits) * valid
    foreground = (targets == 1).to(probability.dtype)
    overlap = (probability * foreground).sum()
    return (2 * overlap + smooth) / (probability.sum() + foreground.sum() + smooth)


@per_class
def soft_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """1 - pooled soft Dice of the foreground (Melinscak 2020's code, smoothing 1)."""
    return 1 - pooled_soft_dice(logits, targets)


@per_class
def negative_log_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """-log of the pooled soft Dice of the foreground (Hu 2018, section 2.3)."""
    return -pooled_soft_dice(logits, targets).log()


@per_class
def hybrid(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy + 3 x all-class Dice on sigmoids (Huang 2023, section 3.3.3: weights 1 to 3)."""
    return cross_entropy(logits, targets) + 3 * dice_all_classes(logits, targets, activation="sigmoid")


@per_class
def cross_entropy_and_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy + (1 - pooled soft Dice of the foreground): small structures count, and every pixel has a gradient.

    >>> logits, targets = torch.zeros(1, 1, 1, 2), torch.tensor([[[1, 0]]])
    >>> round(cross_entropy_and_dice(logits, targets).item(), 4)  # log 2, and 1 - (2 x 0.5 + 1) / (1 + 1 + 1)
    1.0265
    """
    return cross_entropy(logits, targets) + soft_dice(logits, targets)


@per_class
def cross_entropy_and_log_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy - log(pooled soft Dice of the foreground), for a structure of very few pixels.

    The gradient of -log Dice is that of 1 - Dice divided by Dice: it does not vanish where a network has found nothing
    yet. Cross-entropy keeps the probabilities graded, without which the area under precision-recall is low.

    >>> logits, targets = torch.zeros(1, 1, 1, 2), torch.tensor([[[1, 0]]])
    >>> round(cross_entropy_and_log_dice(logits, targets).item(), 4)  # log 2 - log((2 x 0.5 + 1) / (1 + 1 + 1))
    1.0986
    """
    return cross_entropy(logits, targets) + negative_log_dice(logits, targets)


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error over all coordinates, both (N, D) (Hu 2018, section 2.2)."""
    return F.mse_loss(outputs, targets)


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy of one logit per image, outputs (N, 1), targets (N, 1) (Ortiz 2022, stage 1)."""
    return F.binary_cross_entropy_with_logits(outputs, targets)


LossName = Literal[
    "cross_entropy",
    "dice_all_classes",
    "soft_dice",
    "negative_log_dice",
    "hybrid",
    "cross_entropy_and_dice",
    "cross_entropy_and_log_dice",
    "mean_squared_error",
    "binary_cross_entropy",
]
LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "dice_all_classes": per_class(dice_all_classes),
    "soft_dice": soft_dice,
    "negative_log_dice": negative_log_dice,
    "hybrid": hybrid,
    "cross_entropy_and_dice": cross_entropy_and_dice,
    "cross_entropy_and_log_dice": cross_entropy_and_log_dice,
    "mean_squared_error": mean_squared_error,
    "binary_cross_entropy": binary_cross_entropy,
}


def with_auxiliary(
    loss: Loss, auxiliary_loss: Loss, weight: float
) -> Callable[[tuple[Tensor, Tensor], Tensor], Tensor]:
    """Return a loss of (main logits, auxiliary logits): main + weight x auxiliary."""

    def sum_of_two(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        logits, auxiliary_logits = outputs
        return loss(logits, targets) + weight * auxiliary_loss(auxiliary_logits.to(torch.float32), targets)

    return sum_of_two
