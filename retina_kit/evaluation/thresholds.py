"""The effect of the threshold: counts of every image at each of a hundred thresholds, from one pass over the pixels."""

import numpy as np
import numpy.typing as npt

from retina_kit.evaluation.metrics import dice_of_counts

NUM_STEPS = 100


class ThresholdCounts:
    """Counts tp, fp, fn of N images at the thresholds 0.00, 0.01, ... 1.00; a pixel above the threshold is positive.

    >>> counts = ThresholdCounts([[[0.9, 0.4]]], [[[True, True]]])
    >>> [round(counts.pooled_dice(threshold), 4) for threshold in (0.3, 0.5)]
    [1.0, 0.6667]
    """

    def __init__(self, probability: npt.ArrayLike, target: npt.ArrayLike) -> None:
        """Take probabilities in 0..1 and bool targets, both (N, H, W)."""
        level = np.ceil(np.asarray(probability, np.float64) * NUM_STEPS - 1e-9)  # above k/100 means: level > k
        level = level.clip(0, NUM_STEPS).astype(np.uint8)
        pairs = zip(level, np.asarray(target, bool), strict=True)
        counts = [[np.bincount(p[t == kind], minlength=NUM_STEPS + 1) for kind in (True, False)] for p, t in pairs]
        from_above = np.flip(np.cumsum(np.flip(counts, -1), axis=-1), -1)  # (N, 2, 101): at this level or above
        above = np.pad(from_above[..., 1:], ((0, 0), (0, 0), (0, 1)))
        self.tp, self.fp = above[:, 0], above[:, 1]
        self.fn = from_above[:, 0, :1] - self.tp

    def at(self, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (tp, fp, fn), each (N,), at the nearest threshold."""
        k = round(threshold * NUM_STEPS)
        return self.tp[:, k], self.fp[:, k], self.fn[:, k]

    def dice(self, threshold: float) -> np.ndarray:
        """Return the Dice of each image, NaN if prediction and target are both empty."""
        return dice_of_counts(*self.at(threshold))

    def pooled_dice(self, threshold: float) -> float:
        """Return the Dice of all images' pixels together."""
        return float(dice_of_counts(*(counts.sum() for counts in self.at(threshold))))

    def best(self) -> float:
        """Find the threshold with the highest Dice of all pixels together; of several, the one closest to 0.5.

        Choose it on validation images. Chosen on the test images, it makes their Dice look better than it is.

        >>> ThresholdCounts([[[0.9, 0.2, 0.1]]], [[[True, True, False]]]).best()
        0.19
        """
        scores = dice_of_counts(self.tp.sum(0), self.fp.sum(0), self.fn.sum(0))
        steps = np.flatnonzero(scores == np.nanmax(scores)) if np.isfinite(scores).any() else np.array([NUM_STEPS // 2])
        return float(steps[np.abs(steps - NUM_STEPS // 2).argmin()] / NUM_STEPS)
