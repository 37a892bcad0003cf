"""What a threshold does: the counts of every image at each of a hundred thresholds, from one pass over the pixels."""

import numpy as np

from retina_kit.evaluation.metrics import dice_of_counts

NUM_STEPS = 100


class ThresholdCounts:
    """Counts tp, fp, fn of N images at the thresholds 0.00, 0.01, ... 1.00; a pixel above the threshold counts."""

    def __init__(self, probability, target):
        """Take probabilities in 0..1 and bool targets, both (N, H, W)."""
        level = np.ceil(np.asarray(probability, np.float64) * NUM_STEPS - 1e-9)  # above k/100 means: level > k
        level = level.clip(0, NUM_STEPS).astype(np.uint8)
        pairs = zip(level, np.asarray(target, bool), strict=True)
        counts = [[np.bincount(p[t == truth], minlength=NUM_STEPS + 1) for truth in (True, False)] for p, t in pairs]
        from_above = np.flip(np.cumsum(np.flip(counts, -1), axis=-1), -1)  # (N, 2, 101): at this level or above
        above = np.pad(from_above[..., 1:], ((0, 0), (0, 0), (0, 1)))
        self.tp, self.fp = above[:, 0], above[:, 1]
        self.fn = from_above[:, 0, :1] - self.tp

    def at(self, threshold):
        """Return (tp, fp, fn), each (N,), at the nearest threshold."""
        k = round(threshold * NUM_STEPS)
        return self.tp[:, k], self.fp[:, k], self.fn[:, k]

    def dice(self, threshold):
        """Return the Dice of each image, NaN where prediction and truth are both empty."""
        return dice_of_counts(*self.at(threshold))

    def pooled_dice(self, threshold):
        """Return the Dice of all images' pixels together."""
        return float(dice_of_counts(*(counts.sum() for counts in self.at(threshold))))
