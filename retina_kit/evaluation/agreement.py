"""How well do people agree? The Dice of two annotators is the most that can be asked of a network."""

import itertools

import pandas as pd

from retina_kit.evaluation.metrics import dice_of_counts
from retina_kit.evaluation.scoring import score_masks


def agreement(masks, rows):
    """Return one row a pair of annotators: Dice pooled over all images, and its mean and SD over images.

    `masks` maps an annotator to bool (N, H, W). Images in which neither saw anything have no Dice of their own.
    """
    records = []
    for first, second in itertools.combinations(masks, 2):
        scores = score_masks(masks[second], masks[first], rows)
        pooled = dice_of_counts(*scores[["tp", "fp", "fn"]].sum())
        dice = scores["dice"]
        records.append((first, second, pooled, dice.mean(), dice.std(), dice.count(), len(scores)))
    columns = ["first", "second", "pooled Dice", "mean Dice", "SD", "images with fluid", "images"]
    return pd.DataFrame(records, columns=columns)
