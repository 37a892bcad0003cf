"""The task of segmentation from patches: trained on balanced patches, tested on whole images."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from small_arm import small_arm

from retina_kit.training.arm import Evaluation
from retina_kit.training.prepare import prepare_arm, start_model
from retina_kit.training.tasks.interface import Validator
from retina_kit.training.tasks.segment_patches import pixel_counts, spread_over

ARM = small_arm(
    "exudates",
    task="segment_patches",
    replace={
        "data": {
            "dataset": "synthetic_fundus",
            "mask": "ex",
            "patch": 32,
            "per_lesion": 1.0,
            "copies": 1,
            "options": {"num_patients": 6, "images_per_patient": 1, "size": [80, 80], "seed": 3},
        },
        "model": {"name": "encoder_decoder", "width": 0.03},
        "split": {"kind": "patients", "test_fraction": 0.5, "seed": 0},
        "recipe": {"steps": 2, "batch_size": 2, "validate_every": 1},
        "evaluation": {"window": 32, "stride": 16, "validate_on": 2},
    },
)


@pytest.fixture
def made():
    torch.set_num_threads(1)
    task = prepare_arm(ARM, 0, None, "nowhere")
    return task, task.make_batches(0, torch.device("cpu")), start_model(ARM, 0)


def test_half_of_the_training_patches_have_a_lesion(made):
    task, batches, _ = made
    counts = pixel_counts(task, batches)
    assert batches.images.shape[1:] == (3, 32, 32)
    assert counts["of them with a lesion"] > 0
    assert counts["training patches"] <= 2 * counts["of them with a lesion"]
    assert counts["accuracy of healthy everywhere"] == pytest.approx(1 - task.masks.mean())
    assert counts["accuracy of healthy everywhere"] > 0.9


def test_whole_images_are_scored_with_their_histograms(made):
    task, batches, model = made
    scores = task.score(model, batches, precision="float32")
    assert len(scores) == len(task.test) == 3
    positives = scores.filter(like="positives_").sum(axis=1)
    assert np.array_equal(positives, task.masks[task.test].sum(axis=(1, 2)))
    assert np.array_equal(scores[["tp", "fp", "fn", "tn"]].sum(axis=1), [80 * 80] * 3)


def test_validation_needs_no_threshold(made):
    task, batches, model = made
    validate = Validator(task, batches, "float32")
    scores = validate(model)
    assert {"dice", "average_precision"} <= set(scores)
    assert len(spread_over(task.test, 2)) == 2
    assert validate.best_score is scores["average_precision"]


def test_held_out_images_are_validated_on_by_the_loss_of_their_patches():
    held = dataclasses.replace(
        ARM,
        evaluation=Evaluation(window=32, stride=16, validation_fraction=0.3, validation_by="spread", select_by="loss"),
    )
    task = prepare_arm(held, 0, None, "nowhere")
    assert len(task.train) == 2 and len(task.validation) == 1
    assert not set(task.validation) & (set(task.train) | set(task.test))
    batches, model = task.make_batches(0, torch.device("cpu")), start_model(held, 0)
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    validate = Validator(task, batches, "float32")
    inside = float((task.validation_data(0)[1] != 255).float().mean())  # pixels beyond the border count 0
    loss = inside * math.log(2)  # both classes are equally likely
    assert validate(model)["validation_loss"] == pytest.approx(loss)
    torch.nn.init.constant_(model.head.bias, 5.0)
    with torch.no_grad():
        model.head.bias[0] = 0.0
    validate(model)  # lesions everywhere: worse
    assert validate.best_score == pytest.approx(loss)


def test_a_few_images_are_spread_over_all():
    index = np.array([2, 4, 6, 8, 10])
    assert spread_over(index, 3).tolist() == [2, 6, 10]
    assert spread_over(index, 0) is index
    assert spread_over(index, 9) is index


def test_patches_are_named_by_their_number_because_there_are_more_than_images(made):
    task, batches, _ = made
    assert len(batches.images) > len(task.train)
    assert task.names_at([0, len(batches.images) - 1]) == ["patch 0", f"patch {len(batches.images) - 1}"]
