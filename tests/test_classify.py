"""The task of classification: labels as targets, copies of training images only, scores an image."""

import numpy as np
import pytest
import torch
from small_arm import small_arm

from retina_kit.data.collection import ImageSet
from retina_kit.errors import UsageError
from retina_kit.training.prepare import prepare_arm, start_model
from retina_kit.training.tasks.classify import Classification
from retina_kit.training.tasks.interface import Validator

SETTINGS = {
    "data": {
        "dataset": "synthetic_fundus",
        "options": {"num_patients": 8, "images_per_patient": 1, "size": [48, 64]},
        "label": "has_lesion",
        "size": [32, 32],
        "preprocess": ["equalize_weakly"],
        "copies": 2,
    },
    "model": {"name": "encoder_classifier", "width": 0.03, "input_size": [32, 32]},
    "recipe": {"loss": "binary_cross_entropy", "steps": 2, "batch_size": 4, "validate_every": 1},
}
ARM = small_arm("lesion", task="classify", replace=SETTINGS)


@pytest.fixture
def task():
    torch.set_num_threads(1)
    return prepare_arm(ARM, 0, None, "nowhere")


def batches_and_model(task):
    """Return the training batches and the network of the arm."""
    return task.make_batches(0, torch.device("cpu")), start_model(ARM, 0)


def test_targets_are_the_labels(task):
    assert task.images.shape == (8, 3, 32, 32)
    assert task.targets[:, 0].tolist() == task.rows["has_lesion"].tolist()


def test_copies_are_made_of_training_images_only(task):
    batches, _ = batches_and_model(task)
    assert len(batches.images) == 3 * len(task.train)
    assert torch.equal(batches.images[: len(task.train)], task.images[task.train])
    assert torch.equal(batches.targets, task.targets[task.train].repeat(3, 1))
    images, targets = batches.sample(0)
    assert images.shape == (4, 3, 32, 32)
    assert targets.shape == (4, 1)


def test_a_network_that_always_says_yes_finds_everything(task):
    batches, model = batches_and_model(task)
    torch.nn.init.zeros_(model.head[-1].weight)
    torch.nn.init.constant_(model.head[-1].bias, 3.0)
    scores = task.score(model, batches, precision="float32")
    assert len(scores) == len(task.test)
    assert scores["probability"].to_numpy() == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)
    assert scores["tp"].sum() + scores["fp"].sum() == len(task.test)
    assert np.array_equal(scores["tp"] + scores["fn"], task.targets[task.test, 0])


def test_validation_keeps_the_weights_of_the_best_auc(task):
    batches, model = batches_and_model(task)
    validate = Validator(task, batches, "float32")
    scores = validate(model)
    assert set(scores) == {"accuracy", "auc"}
    assert validate.best_score is scores["auc"] or np.isnan(scores["auc"])
    assert "head.1.weight" in validate.best_weights


def test_held_out_images_are_validated_on():
    evaluation = {"validation_fraction": 0.3, "select_by": "loss"}
    arm = small_arm("lesion", task="classify", replace=SETTINGS, evaluation=evaluation)
    task = prepare_arm(arm, 0, None, "nowhere")
    batches, model = task.make_batches(0, torch.device("cpu")), start_model(arm, 0)
    assert len(batches.images) == 3 * len(task.train) == 3 * 4 and len(task.validation) == 2
    torch.nn.init.zeros_(model.head[-1].weight)
    torch.nn.init.zeros_(model.head[-1].bias)
    validate = Validator(task, batches, "float32")
    assert validate(model)["validation_loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert validate.best_score == pytest.approx(np.log(2), abs=1e-6)


def test_a_label_that_is_not_there_is_named(task):
    image_set = ImageSet(np.zeros((8, 3, 32, 32), np.uint8), {}, task.rows, "scans")
    arm = small_arm("lesion", task="classify", replace=SETTINGS | {"data": SETTINGS["data"] | {"label": "glaucoma"}})
    with pytest.raises(UsageError, match="scans has no label 'glaucoma'"):
        Classification(arm, image_set, np.arange(4), np.arange(4, 8))


def test_a_copy_is_named_after_its_image(task):
    number, ids = len(task.train), task.rows["id"].iloc[task.train].tolist()
    assert task.names_at([1, number + 1]) == [f"image {ids[1]}", f"a copy of image {ids[1]}"]


@pytest.mark.parametrize("augmentation", [{"flip": 0.5}, {"crop": 16}, {"ratio": [0.9, 1.1]}])
def test_a_classifier_refuses_an_augmentation_that_it_would_ignore(augmentation):
    recipe = SETTINGS["recipe"] | {"augmentation": augmentation}
    with pytest.raises(UsageError, match="augments colors only"):
        small_arm("lesion", task="classify", replace=SETTINGS | {"recipe": recipe})
