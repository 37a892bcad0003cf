"""Find the other runs of an arm: the seeds and folds whose networks may be averaged."""

import dataclasses
from pathlib import Path
from typing import Any

from retina_kit.errors import DataError
from retina_kit.prediction.predictor import WEIGHTS, weights_file
from retina_kit.training.metadata import Metadata, read_metadata

OF_THE_RUN: dict[str, Any] = {"seed": 0, "fold": None, "run": "", "label": "", "precision": "", "kit_version": ""}


def runs_of_the_same_arm(path: str | Path) -> list[Path]:
    """List the weights of all finished runs next to a run that trained the same arm, itself first.

    Two runs are of the same arm if their weights describe the same network, working size, windows, training data
    and number of steps. Fitted statistics may differ, because each fold has training images of its own.
    """
    own = weights_file(path)
    wanted = arm_of(read_metadata(own))
    found = [own]
    for other in sorted(own.parent.parent.glob(f"[!.]*/{WEIGHTS}")):
        if other.resolve() == own.resolve():
            continue
        try:
            if arm_of(read_metadata(other)) == wanted:
                found.append(other)
        except DataError:  # another arm's weights, older or damaged, are not this arm's concern
            continue
    return found


def arm_of(metadata: Metadata) -> Metadata:
    """Reduce metadata to what all runs of an arm share."""
    steps = tuple(dataclasses.replace(step, mean=None, std=None) for step in metadata.preprocessing.steps)
    shared = dataclasses.replace(metadata.preprocessing, steps=steps)
    return dataclasses.replace(metadata, preprocessing=shared, **OF_THE_RUN)
