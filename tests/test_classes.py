"""Several classes in one network: losses and scores that can be counted by hand, and one class as it always was."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from small_arm import OPTIONS, small_arm
from torch import nn

from retina_kit.data.augment import IGNORE, Augmentation, augment_images, one_class
from retina_kit.data.dataset import load_images
from retina_kit.data.patches import training_patches
from retina_kit.data.transforms import resize_masks
from retina_kit.errors import UsageError
from retina_kit.evaluation.scoring import score_masks, score_masks_of_classes
from retina_kit.training import losses
from retina_kit.training.arm import Data
from retina_kit.training.arm_training import ArmTraining
from retina_kit.training.batches import Batches
from retina_kit.training.prepare import prepare_arm
from retina_kit.training.recipe import Recipe

SURE = 50.0  # a logit whose sigmoid is 1 in float32
OF_CLASSES = {"data": {"mask": "", "masks": ["irf", "srf"]}, "model": {"num_classes": 2}}
SEGMENTATION_LOSSES = sorted(set(losses.LOSSES) - {"mean_squared_error", "binary_cross_entropy"})


def trained(arm):
    """Return a small arm's training after its last step, its history and its scores."""
    torch.set_num_threads(1)
    training = ArmTraining(prepare_arm(arm, 0, None, "nowhere"), 0, torch.device("cpu"), "float32")
    history = training.fit()
    return training, history, training.score()


def test_the_loss_of_two_classes_can_be_counted():
    """Class 1 is found in one pixel of two, class 2 in both: (1 - 3/4 + 1 - 5/5) / 2, with smoothing 1."""
    logits = torch.tensor([[[[SURE, -SURE, -SURE, -SURE]], [[SURE, SURE, -SURE, -SURE]]]])
    targets = torch.tensor([[[[1, 1, 0, 0]], [[1, 1, 0, 0]]]], dtype=torch.uint8)
    assert losses.soft_dice(logits, targets).item() == pytest.approx(0.125, abs=1e-6)
    assert losses.negative_log_dice(logits, targets).item() == pytest.approx(-math.log(0.75) / 2, abs=1e-6)
    ignored = torch.tensor([[[[1, IGNORE, 0, 0]], [[1, IGNORE, 0, 0]]]], dtype=torch.uint8)
    assert losses.soft_dice(logits, ignored).item() == pytest.approx(0, abs=1e-6)


def test_the_cross_entropy_of_two_classes_can_be_counted():
    logits, targets = torch.tensor([[[[0.0]], [[2.0]]]]), torch.tensor([[[[1]], [[0]]]], dtype=torch.uint8)
    expected = (math.log(2) + math.log1p(math.exp(2))) / 2
    assert losses.cross_entropy(logits, targets).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", SEGMENTATION_LOSSES)
def test_the_loss_of_one_class_and_its_gradient_are_those_of_one_mask(name):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 2, (3, 5, 7), generator=generator).to(torch.uint8)
    targets[:, :, -1] = IGNORE
    found = []
    for given in (targets, targets[:, None]):
        logits = torch.randn(3, 1, 5, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
        loss = losses.LOSSES[name](logits, given)
        loss.backward()
        found.append((loss, logits.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_dice_of_all_classes_takes_one_logit_for_both():
    """One sigmoid p of the foreground and 1 - p of the background: a certain and right network has no loss."""
    targets = torch.tensor([[[1, 0, 0, 0]]], dtype=torch.uint8)
    right = torch.tensor([[[[SURE, -SURE, -SURE, -SURE]]]])
    assert losses.dice_all_classes(right, targets).item() == pytest.approx(0, abs=1e-3)
    assert losses.dice_all_classes(-right, targets).item() == pytest.approx(1, abs=1e-3)
    assert losses.hybrid(right, targets).item() == pytest.approx(0, abs=3e-3)


def test_as_many_logits_as_classes_are_needed():
    with pytest.raises(ValueError, match="zip"):
        losses.soft_dice(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, 2))


def test_scores_of_two_classes_can_be_counted():
    """Two images of four pixels; class b overlaps class a in the first pixel of the first image."""
    predicted = np.array([[[[1, 1, 0, 0]], [[1, 0, 0, 0]]], [[[0, 0, 0, 0]], [[0, 0, 1, 1]]]], bool)
    target = np.array([[[[1, 0, 1, 0]], [[1, 0, 0, 0]]], [[[0, 0, 0, 0]], [[0, 1, 1, 0]]]], bool)
    rows = pd.DataFrame({"id": ["x", "y"], "patient": ["p", "q"]})
    scored = score_masks_of_classes(predicted, target, rows, ["a", "b"])
    assert scored[["class", "id"]].to_numpy().tolist() == [["a", "x"], ["a", "y"], ["b", "x"], ["b", "y"]]
    assert scored[["tp", "fp", "fn", "tn"]].to_numpy().tolist() == [
        [1, 1, 1, 1],
        [0, 0, 0, 4],
        [1, 0, 0, 3],
        [1, 1, 1, 1],
    ]
    assert scored["dice"].fillna(-1).tolist() == [0.5, -1, 1, 0.5]
    alone = score_masks(predicted[:, 1], target[:, 1], rows)
    pd.testing.assert_frame_equal(scored[2:].drop(columns="class").reset_index(drop=True), alone)
    with pytest.raises(UsageError, match="not one channel for each of a, b, c"):
        score_masks_of_classes(predicted, target, rows, ["a", "b", "c"])


FOREGROUND = {"crop": 16, "ratio": [0.8, 1.2], "flip": 0.5, "foreground": 0.7, "cat_max_ratio": 0.9}
PATCHES = {
    "dataset": "synthetic_fundus",
    "patch": 32,
    "per_lesion": 1.0,
    "copies": 1,
    "options": {"num_patients": 6, "images_per_patient": 1, "size": [80, 80], "seed": 3},
}
ONE_CLASS = {
    "crops": (
        "fluid",
        {
            "recipe": {"steps": 6, "loss": "soft_dice", "validate_every": 3, "augmentation": FOREGROUND},
            "evaluation": {"variants": ["last", "best", "last_whole"], "window": 16, "stride": 12},
            "data": {"scale": 0.75},
        },
    ),
    "patches": (
        "ex",
        {
            "task": "segment_patches",
            "data": PATCHES,
            "model": {"in_channels": 3},
            "recipe": {"steps": 6, "loss": "hybrid", "validate_every": 3},
            "evaluation": {"window": 32, "validation_fraction": 0.3, "select_by": "loss", "variants": ["last", "best"]},
        },
    ),
}


@pytest.mark.parametrize("kind", ONE_CLASS)
def test_one_class_is_trained_and_scored_bit_for_bit_like_one_mask(kind):
    mask, changes = ONE_CLASS[kind]
    found = []
    for names in ({"mask": mask}, {"mask": "", "masks": [mask]}):
        found.append(trained(small_arm("one", **changes | {"data": changes.get("data", {}) | names})))
    (one, history, scores), (other, its_history, its_scores) = found
    for weights, its_weights in (
        (one.model.state_dict(), other.model.state_dict()),
        (one.best_weights(), other.best_weights()),
    ):
        assert all(torch.equal(weights[name], its_weights[name]) for name in weights)
    pd.testing.assert_frame_equal(history, its_history, check_exact=True)
    assert its_scores.pop("class").unique().tolist() == [mask]
    pd.testing.assert_frame_equal(scores, its_scores, check_exact=True)
    index = one.task.test
    predicted = [part.task.predict(part.model, part.batches, index, precision="float32") for part in (one, other)]
    assert torch.equal(predicted[0], predicted[1][:, 0])


def test_each_class_of_two_has_its_own_probability_mask_and_scores():
    training, history, scores = trained(small_arm("two", **OF_CLASSES, recipe={"validate_every": 2}))
    task = training.task
    assert task.targets.shape == (8, 2, 32, 48) and task.masks.shape == (8, 2, 32, 48)
    images = load_images("synthetic_oct", "nowhere", masks=["irf", "srf"], **OPTIONS)
    probability = task.predict(training.model, training.batches, task.test, precision="float32")
    assert probability.shape == (2, 2, 32, 48)
    for k, name in enumerate(("irf", "srf")):
        own = scores[scores["class"] == name].drop(columns=["class", "variant"]).reset_index(drop=True)
        rows = task.rows.iloc[task.test]
        expected = score_masks(probability[:, k].numpy(), images.masks[name][task.test], rows)
        pd.testing.assert_frame_equal(own, expected)
    assert history["miou"].notna().sum() == 2  # after steps 2 and 3


def test_an_auxiliary_head_has_the_classes_as_well():
    model = {"name": "unet_s5_d16", "base_width": 4, "in_channels": 3, "num_classes": 2}
    recipe = {"steps": 2, "batch_size": 2, "auxiliary_weight": 0.4, "augmentation": {"crop": 32}}
    arm = small_arm("two", data=OF_CLASSES["data"], replace={"model": model, "recipe": recipe})
    _, history, scores = trained(arm)
    assert history["loss"].notna().all()
    assert set(scores["class"]) == {"irf", "srf"}


def test_a_network_learns_which_class_is_which():
    """Bright pixels are class one, bright or gray ones class two: an overlap that a softmax could not represent."""
    gray = np.random.default_rng(0).choice([0, 120, 240], (6, 1, 16, 16)).astype(np.uint8)
    targets = torch.from_numpy(np.concatenate([gray == 240, gray >= 120], axis=1).astype(np.uint8))
    recipe = Recipe(steps=1, batch_size=6, learning_rate=0.1)
    batches = Batches(torch.from_numpy(gray), targets, recipe, seed=0, device="cpu")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(150):
        images, wanted = batches.sample(step)
        loss = losses.soft_dice(model(images), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, wanted = batches.sample(0)
    assert torch.equal(model(images) > 0, wanted == 1)


def test_the_masks_of_all_classes_move_with_their_image():
    images = torch.arange(16.0).reshape(1, 1, 4, 4)
    targets = torch.stack([images[0] > 7, images[0] % 4 > 1], dim=1).to(torch.uint8)
    mirrored, labels = augment_images(images, targets, Augmentation(flip=1.0), torch.Generator().manual_seed(0))
    assert torch.equal(labels[:, 0], (mirrored[:, 0] > 7).to(torch.uint8))
    assert torch.equal(labels[:, 1], (mirrored[:, 0] % 4 > 1).to(torch.uint8))
    padded = augment_images(images, targets, Augmentation(crop=6), torch.Generator().manual_seed(0))[1]
    assert (padded[:, :, 4:] == IGNORE).all() and padded.shape == (1, 2, 6, 6)


def test_a_small_class_is_centered_as_often_as_a_large_one():
    targets = torch.zeros(1000, 3, 4, 4, dtype=torch.uint8)
    targets[:, 0, 0, 0] = 1  # one pixel
    targets[:, 2] = 1  # all of them; the second class is in no image
    chosen = one_class(targets, torch.rand(1000, generator=torch.Generator().manual_seed(0)))
    assert chosen.flatten(1).sum(1).unique().tolist() == [1, 16]
    assert 450 < (chosen.flatten(1).sum(1) == 1).sum() < 550
    assert not one_class(torch.zeros(2, 3, 4, 4), torch.tensor([0.0, 0.99])).any()


def test_patches_with_any_class_are_kept():
    masks = np.zeros((1, 2, 4, 4), bool)
    masks[0, 0, 0, 0] = masks[0, 1, 3, 3] = True
    images, targets = training_patches(np.zeros((1, 1, 4, 4), np.uint8), masks, 2, per_lesion=0.5, seed=0)
    assert images.shape == (3, 1, 2, 2) and targets.shape == (3, 2, 2, 2)
    assert (targets == 1).sum(axis=(0, 2, 3)).tolist() == [1, 1]


def test_masks_of_all_classes_are_resized_like_one():
    masks = np.random.default_rng(0).random((2, 3, 8, 8)) > 0.5
    small = resize_masks(masks, (4, 4))
    assert small.shape == (2, 3, 4, 4)
    assert np.array_equal(small[:, 1], resize_masks(masks[:, 1], (4, 4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"masks": ["irf", "srf"]}}, "mask 'fluid' and masks ['irf', 'srf'] exclude each other"),
        ({"data": {"mask": "", "masks": ["irf", "irf"]}}, "name a class twice"),
        ({"data": OF_CLASSES["data"]}, "2 masks, but its network num_classes=1; set num_classes=2, one per mask"),
        ({"model": {"num_classes": 3}}, "one mask, but its network num_classes=3; name the classes in masks=[...]"),
        ({"name": "all:irf"}, "':' in its name"),
        (
            {
                "task": "localize",
                "data": {"mask": "", "masks": ["irf"], "center": ["x", "y"]},
                "replace": {"model": {"name": "localizer"}},
            },
            "its task is localize",
        ),
    ],
)
def test_masks_and_channels_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        small_arm(changes.pop("name", "all"), **changes)


def test_a_misspelled_class_is_refused_by_name():
    arm = small_arm("two", **OF_CLASSES)
    assert arm.class_of("two:srf") == "srf"
    assert arm.scored_names == ("two:irf", "two:srf")
    with pytest.raises(UsageError, match="no class 'srff'; did you mean 'srf'"):
        arm.class_of("two:srff")
    with pytest.raises(UsageError, match="several classes; name one of them: two:irf, two:srf"):
        arm.class_of("two")
    with pytest.raises(UsageError, match="no mask 'sfr'; did you mean 'srf'"):
        prepare_arm(small_arm("two", data={"mask": "", "masks": ["irf", "sfr"]}, model={"num_classes": 2}), 0, None, "")
    assert small_arm("one").class_of("one") == "fluid"
    assert Data("synthetic_oct", mask="fluid").classes == ("fluid",)
