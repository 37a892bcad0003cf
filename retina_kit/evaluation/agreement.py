"""Inter-rater agreement: the Dice of two annotators, a practical bound for a network that learns from one of them."""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from retina_kit.evaluation.metrics import dice_of_counts
from retina_kit.evaluation.scoring import score_masks


def annotator_agreement(masks: Mapping[str, np.ndarray], rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pair of annotators: Dice pooled over all images, and its mean and SD over images.

    `masks` maps an annotator to bool (N, H, W). Images in which both masks are empty have no Dice of their own.

    >>> one, two = np.array([[[1, 1, 0]], [[0, 0, 0]]], bool), np.array([[[1, 0, 0]], [[0, 0, 0]]], bool)
    >>> found = annotator_agreement({"one": one, "two": two}, pd.DataFrame({"id": [1, 2], "patient": [1, 2]}))
    >>> round(float(found.loc[0, "pooled Dice"]), 4), int(found.loc[0, "images with fluid"])
    (0.6667, 1)
    """
    records = []
    for first, second in itertools.combinations(masks, 2):
        scores = score_masks(masks[second], masks[first], rows)
        pooled = dice_of_counts(*scores[["tp", "fp", "fn"]].sum())
        dice = scores["dice"]
        records.append((first, second, pooled, dice.mean(), dice.std(), dice.count(), len(scores)))
    columns = ["first", "second", "pooled Dice", "mean Dice", "SD", "images with fluid", "images"]
    return pd.DataFrame(records, columns=columns)
