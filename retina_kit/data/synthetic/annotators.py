"""Synthetic annotators: imperfect copies of an exact mask, as two people, or one person twice, would mark it."""

import cv2
import numpy as np


def annotate(fluid: np.ndarray, number: int, annotator: int, disagreement: float, seed: int) -> np.ndarray:
    """Mark the fluid of one scan (H, W) imperfectly: a wobbling border, and small pieces missed.

    `number` is the scan's position. Annotators 0 and 1 are the same person twice: they miss the same pieces and share
    the bias of the border, not its wobble. The border moves by some pixels of a 256-pixel-high scan, times
    `disagreement`.
    """
    rng = np.random.default_rng([seed, number, annotator, 77])
    person = np.random.default_rng([seed, number, annotator // 2, 78])
    height, width = fluid.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(fluid.view(np.uint8))
    seen = np.zeros_like(fluid)
    for label in range(1, count):
        small = np.exp(-stats[label, cv2.CC_STAT_AREA] / (0.0008 * height * width))
        if person.random() > 0.5 * small * disagreement:
            seen |= labels == label
    inside, outside = (cv2.distanceTransform(part.view(np.uint8), cv2.DIST_L2, 3) for part in (seen, ~seen))
    points = rng.standard_normal((9, 12)).astype(np.float32)
    wobble = cv2.resize(points, (width, height), interpolation=cv2.INTER_CUBIC)
    bias = person.normal(0, 1.2)
    strength = disagreement * height / 256
    near = cv2.dilate(seen.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return (inside - outside > (1.5 * wobble + bias) * strength) & near
