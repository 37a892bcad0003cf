"""The task of segmentation: images at two sizes, pooled scores, and the weights of the best time."""

import math

import numpy as np
import pytest
import torch
from small_arm import OPTIONS, small_arm

from retina_kit.data.dataset import load_images
from retina_kit.data.transforms import equalize, resize_images
from retina_kit.evaluation.metrics import pooled_scores
from retina_kit.training.prepare import prepare_arm, score_variants, start_model
from retina_kit.training.tasks.interface import Validator

ARM = small_arm("fluid", data={"scale": 0.5})


@pytest.fixture
def prepared():
    torch.set_num_threads(1)
    return prepare_arm(ARM, 0, None, "nowhere")


def test_networks_see_the_working_size_and_scores_the_masks_own(prepared):
    assert prepared.images.shape == (8, 1, 16, 24)
    assert prepared.targets.shape == (8, 16, 24)
    assert prepared.masks.shape == (8, 32, 48)
    assert set(prepared.targets.unique().tolist()) == {0, 1}
    patients = prepared.rows["patient"].to_numpy()
    assert not set(patients[prepared.train]) & set(patients[prepared.test])


def test_scores_are_pooled_over_all_pixels():
    target = torch.zeros(2, 4, 4, dtype=torch.bool)
    predicted = target.clone()
    target[0, 0] = True  # 4 pixels
    predicted[0, 0, :3] = predicted[1, 0, 0] = True  # 3 of them and one elsewhere
    assert pooled_scores(predicted, target) == pytest.approx(
        {"iou": 3 / 5, "dice": 6 / 8, "miou": (3 / 5 + 27 / 29) / 2}
    )


def test_whole_variants_have_no_window():
    task = prepare_arm(small_arm("fluid", evaluation={"window": 128, "stride": 85, "batch_size": 4}), 0, None, "")
    assert task.window("last") == {"batch_size": 4, "window": 128, "stride": 85}
    assert task.window("best_whole") == {"batch_size": 4}


def validator_and_model(prepared):
    """Return a validator and a network that says the same of every pixel."""
    batches = prepared.make_batches(0, torch.device("cpu"))
    model = start_model(ARM, 0)
    torch.nn.init.zeros_(model.head.weight)
    return Validator(prepared, batches, "float32"), model


def say(model, everything):
    """Let the network call everything foreground, or nothing."""
    torch.nn.init.constant_(model.head.bias, 5.0 if everything else -5.0)


def test_the_best_weights_are_kept(prepared):
    validate, model = validator_and_model(prepared)
    for everything in (True, False, True):
        say(model, everything)
        validate(model)
    assert validate.best_weights["head.bias"].item() == -5.0  # little is fluid, so nothing is the better guess
    assert validate.best_score == pytest.approx((1 - prepared.targets[prepared.test].float().mean().item()) / 2)


def test_a_last_step_that_is_the_best_one_is_scored_once(monkeypatch):
    arm = small_arm("fluid", recipe={"validate_every": 1}, evaluation={"variants": ["last", "best", "last_whole"]})
    task = prepare_arm(arm, 0, None, "nowhere")
    validate, model = validator_and_model(task)
    passes, score = [], task.score
    monkeypatch.setattr(task, "score", lambda *args, **settings: passes.append(1) or score(*args, **settings))
    found = {}
    for everything in (False, True):  # nothing is the better guess, and the best time
        say(model, everything)
        validate(model)
        scores = score_variants(task, model, validate.batches, validate, "float32")
        found[everything] = scores.groupby("variant")["fp"].sum().gt(0).to_dict()
        assert model.head.bias.item() == (5.0 if everything else -5.0)  # the model keeps its last weights
    assert found == {
        False: {"last": False, "best": False, "last_whole": False},
        True: {"last": True, "best": False, "last_whole": True},
    }
    assert len(passes) == 2 + 3


def test_a_score_that_is_no_number_is_never_the_best(prepared):
    prepared.targets[prepared.test] = 0  # nothing to find: IoU is no number until something is found
    validate, model = validator_and_model(prepared)
    for everything in (False, True):
        say(model, everything)
        validate(model)
    assert validate.best_score == 0
    say(model, False)
    assert math.isnan(validate(model)["miou"])
    assert validate.best_weights["head.bias"].item() == 5.0


def test_predictions_have_the_size_of_the_masks(prepared):
    batches = prepared.make_batches(0, torch.device("cpu"))
    model = start_model(ARM, 0)
    probability = prepared.predict(model, batches, prepared.test, precision="float32")
    assert probability.shape == (2, 32, 48)
    scores = prepared.score(model, batches, precision="float32")
    assert np.array_equal(scores["tp"] + scores["fn"], prepared.masks[prepared.test].sum(axis=(1, 2)))


def test_histograms_can_be_equalized_before_images_are_resized():
    data = {"preprocess": ["equalize"], "size": [16, 32]}
    after, before = (
        prepare_arm(small_arm("arm", data=data | {"preprocess_first": first}), 0, None, "nowhere")
        for first in (False, True)
    )
    scans = load_images("synthetic_oct", "nowhere", masks=["fluid"], **OPTIONS).images
    assert np.array_equal(before.images.numpy(), resize_images(equalize(scans), (16, 32)))
    assert np.array_equal(after.images.numpy(), equalize(resize_images(scans, (16, 32))))
    assert (before.resizes_first, after.resizes_first) == (False, True)
