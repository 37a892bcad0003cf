"""The README's first image: `python -m benchmarks.readme_image OUTPUT_ROOT [DATA_ROOT]`.

It shows hu2018's comparison with 10 % of the masks, from a finished run of profile `lesson` on public data: a test
photograph, its ground truth, hits, misses and false alarms of both networks (first seed), and where they differ. The
photograph is the one whose difference in Dice is the median of all, so that nobody has chosen it.
"""

import sys

import numpy as np
from PIL import Image

from retina_kit.experiment import Experiment
from retina_kit.files import atomic_path, kit_root
from retina_kit.predictions import predict
from retina_kit.reporting.figures.overlays import blend_errors, blend_masks, fit_width, side_by_side, with_large_title

SCRATCH, TRANSFER = "random_trainable_10", "pretrained_frozen_10"
WIDTH = 320  # of each of the five images, in pixels
BLUE, ORANGE = "#56B4E9", "#D55E00"


def median_image(experiment):
    """Return id, fold and both Dice of the test image with the median difference, in the first seed."""
    scores = experiment.scores[experiment.scores["variant"] == "last"]
    dice = scores[scores["seed"] == experiment.seeds[0]].pivot_table(index=["id", "fold"], columns="arm", values="dice")
    gain = (dice[TRANSFER] - dice[SCRATCH]).dropna().sort_values(kind="stable")
    place = gain.index[len(gain) // 2]
    return str(place[0]), int(place[1]), float(dice.loc[place, SCRATCH]), float(dice.loc[place, TRANSFER])


def comparison_row(experiment):
    """Return the row of five images as RGB (H, W, 3)."""
    name, fold, *dice = median_image(experiment)
    found = []
    for arm in (SCRATCH, TRANSFER):
        task = experiment.prepared(arm)
        index = np.flatnonzero(task.rows["id"] == name)
        found.append(predict(experiment, arm, fold=fold, index=index)[0][0] > 0.5)
    image, truth = experiment.images(SCRATCH).subset(index).images[0], task.masks[index][0]
    only = {"transfer": found[1] & ~found[0], "scratch": found[0] & ~found[1]}
    return side_by_side(
        [
            with_large_title(fit_width(np.ascontiguousarray(image.transpose(1, 2, 0)), WIDTH), "image"),
            with_large_title(blend_masks(image, {"disc": truth}, width=WIDTH), "ground truth"),
            with_large_title(blend_errors(image, found[0], truth, 0.8, width=WIDTH), f"from scratch: {dice[0]:.2f}"),
            with_large_title(blend_errors(image, found[1], truth, 0.8, width=WIDTH), f"transfer: {dice[1]:.2f}"),
            with_large_title(blend_masks(image, only, 0.8, colors=(BLUE, ORANGE), width=WIDTH), "difference"),
        ]
    )


def main(output_root, data_root="data"):
    """Write docs/images/idrid_row.png."""
    experiment = Experiment("hu2018", "lesson", "public", data_root=data_root, output_root=output_root)
    with atomic_path(kit_root() / "docs" / "images" / "idrid_row.png") as path:
        Image.fromarray(comparison_row(experiment)).save(path, format="png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
