"""The task of localization: centers as fractions, errors in stated pixels, and what real rows must leave out."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_arm import small_arm

from retina_kit.data.collection import ImageSet
from retina_kit.data.dataset import fingerprint
from retina_kit.data.manifest import has_pack
from retina_kit.data.splits import Split, choose_split, shared_patients
from retina_kit.errors import UsageError
from retina_kit.runs.plan import plan_jobs, run_jobs
from retina_kit.runs.store import RunStore
from retina_kit.training.prepare import prepare_arm, start_model
from retina_kit.training.tasks.interface import Validator
from retina_kit.training.tasks.localize import Localization

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
OPTIONS = {"num_patients": 10, "images_per_patient": 1, "size": [32, 48], "seed": 1}
WIDTHS = [4, 4, 4, 4, 4]


def center_arm(name="center", **changes):
    """Return a small localizer's arm on synthetic photographs."""
    settings = {
        "data": {
            "dataset": "synthetic_fundus",
            "center": ["disc_x", "disc_y"],
            "diameter": ["disc_diameter"],
            "size": [32, 48],
            "preprocess": ["gray"],
            "options": OPTIONS,
        },
        "split": {"kind": "patients", "test_fraction": 0.3, "seed": 0},
        "model": {"name": "localizer", "widths": WIDTHS, "input_size": [32, 48], "hidden": 0, "output_scale": 40.0},
        "recipe": {
            "loss": "mean_squared_error",
            "optimizer": "rmsprop",
            "steps": 3,
            "batch_size": 2,
            "augmentation": {"ratio": [0.9, 1.1], "flip": 0.5},
        },
        "evaluation": {"pixels": [425, 640]},
    }
    return small_arm(name, task="localize", replace=settings | changes)


def four_images():
    """Four gray images of 20 x 40; the last has no center."""
    rows = pd.DataFrame({"id": list("abcd"), "patient": list("abcd"), "split": ""})
    rows = rows.assign(x=[10.0, 20, 30, np.nan], y=[5.0, 10, 15, np.nan], width=8.0, height=12.0)
    return ImageSet(np.zeros((4, 1, 20, 40), np.uint8), {}, rows, "four")


def prepare_four(train, test, *, image_set=None, evaluation=None, recipe=None, **data):
    """Return the four images as a localizer sees them."""
    columns = {"center": ["x", "y"], "diameter": ["width", "height"], "size": [16, 32], **data}
    recipe = {"steps": 1, "loss": "mean_squared_error"} | (recipe or {})
    changes = {"data": {"dataset": "four", **columns}, "evaluation": evaluation or {}, "recipe": recipe}
    return Localization(center_arm(**changes), image_set or four_images(), np.array(train), np.array(test))


def test_centers_are_fractions_of_the_image():
    prepared = prepare_four([0, 1], [2])
    assert prepared.images.shape == (4, 1, 16, 32)
    assert prepared.targets[:3].tolist() == [[0.25, 0.25], [0.5, 0.5], [0.75, 0.75]]
    assert prepared.diameters[0] == 10 / 40


@pytest.mark.parametrize(("train", "test"), [([0, 3], [2]), ([0], [3])])
def test_a_row_without_a_center_is_named(train, test):
    with pytest.raises(UsageError, match=r"d is .* but has no center"):
        prepare_four(train, test)


def test_a_held_out_row_without_a_center_is_named():
    images = four_images()
    images.rows.loc[[0, 1, 2], "x"] = [10.0, np.nan, 30.0]
    with pytest.raises(UsageError, match="b is held out but has no center"):
        prepare_four([0, 1], [2], image_set=images, evaluation={"validation_fraction": 0.5})


def test_a_column_that_does_not_exist_is_named():
    with pytest.raises(UsageError, match="no column 'z'"):
        prepare_four([0], [1], center=["x", "z"])
    with pytest.raises(UsageError, match="no column 'z'"):
        fingerprint("idrid_grading_loc", masks=[], columns=["z"])


class AlwaysTheMiddle(torch.nn.Module):
    """A localizer that says the middle of every image."""

    def forward(self, images):
        """Return (0.5, 0.5) for every image."""
        return torch.full((len(images), 2), 0.5)


def test_errors_are_in_pixels_of_the_stated_size_and_in_diameters():
    task = prepare_four([0, 1], [2], evaluation={"pixels": [200, 400]})
    scored = task.score(AlwaysTheMiddle(), task.make_batches(0, torch.device("cpu")))
    row = scored.iloc[0]
    assert (row["id"], row["target_x"], row["target_y"]) == ("c", 300, 150)
    assert row["distance"] == pytest.approx(np.hypot(100, 50))
    assert row["mse"] == pytest.approx((100**2 + 50**2) / 2)
    assert row["distance_diameters"] == pytest.approx(np.hypot(100, 50) / 100)


def test_the_test_center_may_be_another_one():
    image_set = four_images()
    image_set.rows[["x2", "y2"]] = [[0.0, 0.0]] * 4
    prepared = prepare_four([0, 1], [2, 3], image_set=image_set, test_center=["x2", "y2"], diameter=[])
    assert prepared.references[2].tolist() == [0, 0]
    assert prepared.targets[2].tolist() == [0.75, 0.75]


def test_the_validator_keeps_the_weights_of_the_shortest_distance():
    task = prepare_four([0, 1], [2])
    validator = Validator(task, task.make_batches(0, torch.device("cpu")), "float32")
    assert validator(AlwaysTheMiddle())["distance"] == pytest.approx(np.hypot(10, 5))
    assert validator.best_score == pytest.approx(np.hypot(10, 5))


def test_batches_augment_the_centers_too():
    task = prepare_four([0, 1, 2], [2], recipe={"batch_size": 3, "augmentation": {"flip": 1.0}})
    images, targets = task.make_batches(0, torch.device("cpu")).sample(0)
    assert images.shape == (3, 1, 16, 32)
    assert sorted(targets[:, 0].tolist()) == [0.25, 0.5, 0.75]
    assert all(x + y == 1 for x, y in targets.tolist())


def test_a_localizer_starts_at_the_middle():
    model = start_model(center_arm(), seed=0)
    torch.nn.init.zeros_(model.head[-1].weight)
    assert model(torch.rand(2, 1, 32, 48)).tolist() == [[0.5, 0.5]] * 2


def test_the_encoder_of_a_localizer_goes_into_a_frozen_unet(tmp_path):
    torch.set_num_threads(1)
    data = {"dataset": "synthetic_fundus", "mask": "disc", "preprocess": ["gray"], "options": OPTIONS}
    start = {"parent": "center", "parts": ["encoder"]}
    disc = small_arm("disc", start=start, freeze=["encoder"], replace={"data": data})

    def fingerprint_of(arm):
        return fingerprint("synthetic_fundus", masks=[], **OPTIONS)

    store = RunStore(tmp_path)
    jobs = plan_jobs([center_arm(), disc], [0], fingerprint_of, "float32")
    outcomes = run_jobs(jobs, store, data_root="nowhere", device="cpu")
    parent, child = (outcomes[job.key] for job in jobs)
    assert {"distance", "mse", "distance_diameters", "predicted_x", "target_x"} <= set(parent.scores)
    assert len(parent.scores) == 3
    weights, kept = child.weights(), parent.weights()
    names = [name for name in kept if name.startswith("encoder.")]
    assert any("running_mean" in name for name in names)
    assert all(torch.equal(weights[name], kept[name]) for name in names)


@pytest.mark.real_data
def test_phase_two_never_tests_on_what_the_fair_localizer_saw():
    for name in ("idrid_grading_loc", "idrid_seg_1024"):
        if not has_pack(name, REAL):
            pytest.skip(f"{name} is not in ../shared/data")
    from retina_kit.data.dataset import load_images

    centers = load_images("idrid_grading_loc", REAL, masks=[]).rows
    masks = load_images("idrid_seg_1024", REAL, masks=[]).rows
    leaky = Split("published", require_columns=["disc_box_x"], exclude_test_patients=True)
    fair = dataclasses.replace(leaky, exclude_if=["same_image_in_segmentation_set"])
    (train, test), (leaky_train, _) = choose_split(centers, fair), choose_split(centers, leaky)
    assert (len(train), len(leaky_train), len(test)) == (350, 410, 103)
    assert shared_patients(centers, train, test) == []
    assert not set(centers["patient"].iloc[train]) & set(masks["patient"])
    assert len(set(centers["patient"].iloc[leaky_train]) & set(masks["patient"])) == 58


def test_shuffled_centers_are_those_of_other_training_images():
    plain = prepare_arm(center_arm(), 0, None, "nowhere")
    data = dataclasses.replace(plain.arm.data, shuffle_centers=True)
    shuffled = prepare_arm(dataclasses.replace(plain.arm, data=data), 0, None, "nowhere")
    images, centers = plain.training_data(0)
    same_images, other_centers = shuffled.training_data(0)
    assert torch.equal(images, same_images)
    assert not torch.equal(centers, other_centers)
    assert sorted(centers.tolist()) == sorted(other_centers.tolist())
    assert torch.equal(other_centers, shuffled.training_data(0)[1])
    assert not torch.equal(other_centers, shuffled.training_data(1)[1])
    assert np.array_equal(plain.references, shuffled.references)
    with pytest.raises(UsageError, match="no centers to shuffle"):
        small_arm("arm", data={"shuffle_centers": True})
