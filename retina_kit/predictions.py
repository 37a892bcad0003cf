"""Predictions of trained arms for figures and widgets: each test image by a network that did not train on it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from torch import nn

from retina_kit.errors import UsageError
from retina_kit.reporting.beyond_dice import (
    TOLERANCE,
    BeyondDice,
    Predicted,
    calibration_row,
    outline_rows,
    outline_table,
    reliability_of,
)
from retina_kit.training.batches import Batches
from retina_kit.training.device import choose_device
from retina_kit.training.prepare import prepare_arm, trained_model
from retina_kit.training.tasks.interface import Task
from retina_kit.training.tasks.segment import Segmentation

if TYPE_CHECKING:
    from retina_kit.experiment import Experiment

MOST_KEPT, MOST_BYTES = 2, 64_000_000  # runs that stay ready to predict, and the size of the images of one


class Examples(NamedTuple):
    """Test images with their ground truth and what some arms predict."""

    images: np.ndarray  # (n, C, H, W) uint8, as they were taken
    ground_truth: np.ndarray  # (n, H, W) bool
    predicted: dict[str, np.ndarray]  # arm -> (n, H, W) bool
    ids: list[str]


class Probabilities(NamedTuple):
    """Test images of one arm with the predicted probability of the structure."""

    images: np.ndarray  # (n, C, H, W) uint8
    probability: np.ndarray  # (n, H, W) float32
    ground_truth: np.ndarray  # (n, H, W) bool
    ids: list[str]


class Ready(NamedTuple):
    """What predicts the images of one run, and what it has predicted of its test images: {variant: probability}."""

    task: Task
    model: nn.Module
    batches: Batches
    of_test: dict[str, np.ndarray]


def predict(
    experiment: "Experiment",
    arm_name: str,
    *,
    seed: int | None = None,
    fold: int | None = None,
    index: np.ndarray | None = None,
    variant: str = "last",
) -> tuple[np.ndarray, Task, np.ndarray]:
    """Predict images of a trained arm, by default its test images: (prediction, the arm's task, positions)."""
    seed = experiment.first_seed(arm_name) if seed is None else seed
    task, model, batches, of_test = _ready(experiment, arm_name, seed, fold, best=variant.startswith("best"))
    wanted = task.test if index is None else np.array(index)
    if variant in of_test and set(wanted) <= set(task.test):
        place = {position: k for k, position in enumerate(task.test)}
        return of_test[variant][[place[position] for position in wanted]], task, wanted
    found = task.predict(model, batches, wanted, variant=variant, precision=experiment.precision).numpy()
    if index is None:
        of_test[variant] = found
    return found, task, wanted


def _ready(experiment: "Experiment", arm_name: str, seed: int, fold: int | None, *, best: bool) -> Ready:
    """Prepare the images of a run and load its network, or return one of the last few, if its images are small."""
    arm, run = experiment.arm(arm_name), experiment.run_of(arm_name, seed, fold)
    key = f"{run.folder} {best} {run.settings['files']}"
    ready = experiment.ready.pop(key, None)
    if ready is None:
        task, device = prepare_arm(arm, seed, fold, experiment.data_root), choose_device(experiment.device)
        model = trained_model(arm, run.weights("best" if best else "last"), device)
        ready = Ready(task, model, task.make_batches(seed, device), {})
    if ready.task.images.nbytes <= MOST_BYTES:
        experiment.ready[key] = ready
    for oldest in list(experiment.ready)[:-MOST_KEPT]:
        del experiment.ready[oldest]
    return ready


def predict_examples(experiment: "Experiment", arm_names: list[str], *, num_images: int, pick: str) -> Examples:
    """Predict test images that have something to find, with several arms, or classes of them such as "lesions:ma".

    `pick` is "spread" (over the test set), "worst" (lowest Dice of the last arm) or "largest" (most to find). With
    cross-validation, each image is predicted by the fold that tested it.
    """
    for name in arm_names:
        experiment.arm(name).class_of(name)
    rows = _pick(experiment.scores, arm_names[-1], num_images, pick)
    task = experiment.prepared(arm_names[-1])
    assert isinstance(task, Segmentation)
    index = task.rows.index[task.rows["id"].isin(rows["id"][:num_images])].to_numpy(copy=True)
    predicted = {name: _predict_unseen(experiment, name, rows, index) > 0.5 for name in arm_names}
    image_set = experiment.images(arm_names[-1]).subset(index)
    masks = of_class(task, arm_names[-1], task.masks[index])
    return Examples(image_set.images, masks, predicted, list(image_set.rows["id"]))


def of_class(task: Task, name: str, values: np.ndarray) -> np.ndarray:
    """Return the plane (n, H, W) of one class, such as "lesions:ma", of values (n, K, H, W); those of one mask pass.

    Raises UsageError if the arm has several classes and the name has none.
    """
    masks = task.arm.data.masks
    return values[:, masks.index(task.arm.class_of(name))] if masks else values


def _pick(scores: pd.DataFrame, arm_name: str, num_images: int, pick: str) -> pd.DataFrame:
    """Return scored rows of an arm's first seed, those wanted first."""
    rows = scores[(scores["arm"] == arm_name) & (scores["variant"] == "last")]
    rows = rows[(rows["seed"] == rows["seed"].iloc[0]) & (rows["tp"] + rows["fn"] > 0)]
    if pick == "spread":
        return rows.iloc[:: max(1, len(rows) // num_images)]
    if pick == "worst":
        return rows.sort_values("dice")
    return rows.iloc[(-(rows["tp"] + rows["fn"])).argsort(kind="stable")]


def _predict_unseen(experiment: "Experiment", arm_name: str, rows: pd.DataFrame, index: np.ndarray) -> np.ndarray:
    """Predict the images at `index`, each by the fold (of scored `rows`) that tested it."""
    fold_of = rows.set_index("id")["fold"]
    folds = fold_of[experiment.prepared(arm_name).rows["id"].iloc[index]].to_numpy()
    parts = np.empty(len(index), object)
    for fold in np.unique(folds):
        mine = np.flatnonzero(folds == fold)
        found, task, _ = predict(experiment, arm_name, fold=None if fold < 0 else int(fold), index=index[mine])
        for place, probability in zip(mine, of_class(task, arm_name, found), strict=True):
            parts[place] = probability
    return np.stack(list(parts))


def predict_probabilities(experiment: "Experiment", arm_name: str) -> Probabilities:
    """Predict the test images of an arm, or of one class of it; with cross-validation, those of its first fold."""
    experiment.arm(arm_name).class_of(arm_name)
    fold = next(job.fold for job in experiment.jobs if arm_name in job.arm.scored_names)
    found, task, index = predict(experiment, arm_name, fold=fold)
    assert isinstance(task, Segmentation)
    image_set = experiment.images(arm_name).subset(index)
    probability, masks = (of_class(task, arm_name, values) for values in (found, task.masks[index]))
    return Probabilities(image_set.images, probability, masks, list(image_set.rows["id"]))


def score_beyond_dice(experiment: "Experiment", arm_names: Sequence[str], tolerance: float = TOLERANCE) -> BeyondDice:
    """Score the outlines and the calibration of some segmentation arms, or of classes of them such as "lesions:ma".

    Test images of the first seed and all folds.
    """
    scored, calibrations, bins = [], [], {}
    for name in arm_names:
        arm = experiment.arm(name)
        seed = experiment.first_seed(arm.name)
        folds = [job.fold for job in experiment.jobs if job.arm.name == arm.name and job.seed == seed]
        tested = [_predicted(experiment, name, seed, fold) for fold in folds]
        lines = "vessel" in (arm.class_of(name) or arm.data.mask)
        outlines = [outline_rows(found, tolerance=tolerance, centerlines=lines) for found in tested]
        parts = [rows.assign(fold=-1 if fold is None else fold) for rows, fold in zip(outlines, folds, strict=True)]
        scored.append(pd.concat(parts, ignore_index=True).assign(arm=name, seed=seed))
        label = arm.title if arm.name == name else name
        bins[label] = reliability_of(tested)
        held_out = len(folds) == 1 and arm.evaluation.validation_fraction > 0
        validated = _predicted(experiment, name, seed, folds[0], validation=True) if held_out else None
        calibrations.append({"arm": label, **calibration_row(tested, validated, bins[label])})
    return BeyondDice(outline_table(pd.concat(scored, ignore_index=True), tolerance), pd.DataFrame(calibrations), bins)


def _predicted(
    experiment: "Experiment", name: str, seed: int, fold: int | None, *, validation: bool = False
) -> Predicted:
    """Predict the test images of one run of an arm, or the training images that it held out for validation."""
    index = experiment.prepared(name, seed, fold).validation if validation else None
    found, task, index = predict(experiment, name, seed=seed, fold=fold, index=index)
    if not isinstance(task, Segmentation):
        raise UsageError(f"arm {name} does not segment, so it has no outlines; choose a segmentation arm")
    probability, masks = (of_class(task, name, values) for values in (found, task.masks[index]))
    return Predicted(probability, masks, task.rows.iloc[index])
