"""Weights alone predict what the arm predicts, bit by bit, and images of any other size as well."""

import dataclasses
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small_arm import small_arm, train

import retina_kit as rk
from retina_kit.errors import DataError, UsageError
from retina_kit.prediction.predictor import Predictor, TrainedNetwork, uncertainty, working_size
from retina_kit.runs.store import RunStore
from retina_kit.training.metadata import to_header
from retina_kit.training.prepare import images_of, prepare_arm, trained_model

FUNDUS = {
    "dataset": "synthetic_fundus",
    "mask": "disc",
    "options": {"num_patients": 4, "images_per_patient": 2, "size": [48, 48], "seed": 3},
}
WIDE = FUNDUS["options"] | {"size": [48, 72]}  # a round field of view with black at both sides
ARMS = {
    "plain": {},
    "windows": {"evaluation": {"window": 16, "stride": 12}},
    "scaled": {"data": {"scale": 0.5}},
    "stretched": {"data": {"size": [32, 32]}, "evaluation": {"batch_size": 3}},
    "prepared": {"data": FUNDUS | {"preprocess": ["gray", "standardize", "equalize", "gamma"]}},
    "color": {"data": FUNDUS, "model": {"in_channels": 3}},
    "gray_to_color": {"model": {"in_channels": 3, "num_classes": 2}},
    "cropped": {"data": FUNDUS | {"options": WIDE | {"crop": True}}, "model": {"in_channels": 3}},
    "patches": {"task": "segment_patches", "data": {"patch": 16}},
    "halved_five_times": {
        "task": "segment_patches",
        "data": FUNDUS | {"patch": 32, "options": FUNDUS["options"] | {"size": [64, 96]}},
        "model": {"name": "encoder_decoder", "encoder": "vgg_like", "width": 0.03},
        "evaluation": {"window": 32, "stride": 32},
        "recipe": {"augmentation": {"flip": 0.5}},
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return {arm name: (arm, run)} of arms that reach the network in different ways."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    found = {}
    for name, changes in ARMS.items():
        replace = {"model": changes["model"]} if "name" in changes.get("model", {}) else None
        arm = small_arm(name, replace=replace, **changes)
        outcome = train([arm], store)[name, 0]
        if isinstance(outcome, Exception):
            raise outcome
        found[name] = (arm, outcome)
    return found


def images_and_prediction(arm, run):
    """Return the test images as they were taken, and what the arm itself predicts for them."""
    task = prepare_arm(arm, 0, None, "nowhere")
    model, batches = trained_model(arm, run.weights(), torch.device("cpu")), task.make_batches(0, torch.device("cpu"))
    images = images_of(arm, "nowhere").images[task.test]
    return [image.transpose(1, 2, 0) for image in images], task.predict(model, batches, task.test).numpy()


@pytest.mark.parametrize("name", ARMS)
def test_weights_alone_predict_what_the_arm_predicts(trained, tmp_path, name):
    arm, run = trained[name]
    images, expected = images_and_prediction(arm, run)
    shutil.copy(run.folder / "weights.safetensors", tmp_path / "alone.safetensors")
    found = Predictor.load(tmp_path / "alone.safetensors", device="cpu").predict(images)
    assert len(found) == len(expected) > 1
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        assert (ours == theirs).all()


@pytest.mark.parametrize("name", ARMS)
def test_a_network_that_predicts_no_numbers_is_refused(trained, name):
    """A mask would show nothing, and nobody would know why."""
    _, run = trained[name]
    predictor = Predictor.load(run.folder, device="cpu")
    next(predictor.networks[0].model.parameters()).data.fill_(math.nan)
    with pytest.raises(DataError, match="predicts values that are no numbers"):
        predictor.predict([np.full((48, 64, 3), 90, np.uint8)])


def test_a_photograph_is_cropped_as_in_training(trained):
    arm, run = trained["cropped"]
    _, expected = images_and_prediction(arm, run)
    whole = small_arm("whole", data=FUNDUS | {"options": WIDE}, model={"in_channels": 3})
    task = prepare_arm(arm, 0, None, "nowhere")
    images = [image.transpose(1, 2, 0) for image in images_of(whole, "nowhere").images[task.test]]
    assert images[0].shape[:2] != expected.shape[1:]
    for found, cropped in zip(Predictor.load(run.folder, device="cpu").predict(images), expected, strict=True):
        assert found.shape == (48, 72)
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        assert (found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == cropped).all()


def test_a_gray_image_is_cropped_as_well(trained):
    network = TrainedNetwork.load(trained["plain"][1].folder, device="cpu")
    network.metadata = dataclasses.replace(network.metadata, cropped=True)
    image = np.zeros((60, 80), np.uint8)
    image[10:50, 20:60] = 200
    top, left, bottom, right = network.prepare(image).box
    assert 0 < top <= 10 and 50 <= bottom < 60 and 0 < left <= 20 and 60 <= right < 80


@pytest.mark.parametrize("name", ["plain", "windows", "scaled", "stretched", "prepared", "color", "halved_five_times"])
@pytest.mark.parametrize("size", [(32, 48), (75, 50), (17, 201)])
def test_any_size_comes_back_at_its_own_size(trained, name, size):
    predict = Predictor.load(trained[name][1].folder, device="cpu")
    for shape in (size, (*size, 3)):
        probability = predict(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
        assert probability.shape == size
        assert 0 <= probability.min() <= probability.max() <= 1


def test_a_gray_image_equals_its_rgb_copy(trained):
    image = np.random.default_rng(0).integers(0, 255, (32, 48)).astype(np.uint8)
    for name in ("plain", "color", "prepared"):
        predict = Predictor.load(trained[name][1].folder, device="cpu")
        assert (predict(image) == predict(np.dstack([image] * 3))).all()


def test_the_longer_side_is_that_of_training(trained):
    scaled, stretched = (trained[name][1].metadata() for name in ("scaled", "stretched"))
    assert working_size(scaled, (32, 48)) == (16, 24)  # the training images' own size
    assert working_size(scaled, (480, 480)) == (24, 24)
    assert working_size(scaled, (100, 480)) == (16, 24)  # at least 16 pixels
    assert working_size(stretched, (480, 100)) == (32, 32)


def test_a_mixed_list_keeps_its_order(trained):
    predict = Predictor.load(trained["plain"][1].folder, device="cpu")
    images = [np.full(size, value, np.uint8) for size, value in (((32, 48), 10), ((64, 64), 90), ((32, 48), 200))]
    for one, together in zip(images, predict.predict(images), strict=True):
        np.testing.assert_allclose(predict(one), together, atol=1e-6)


def test_a_mirrored_image_has_the_mirrored_prediction_with_flip(trained):
    predict = Predictor.load(trained["plain"][1].folder, flip=True, device="cpu")
    image = np.random.default_rng(0).integers(0, 255, (32, 48)).astype(np.uint8)
    np.testing.assert_allclose(predict(image[:, ::-1]), predict(image)[:, ::-1], atol=1e-6)
    plain = Predictor.load(trained["plain"][1].folder, device="cpu")
    by_hand = (plain(image) + plain(image[:, ::-1])[:, ::-1]) / 2
    np.testing.assert_allclose(predict(image), by_hand, atol=1e-6)


def test_an_ensemble_is_the_mean_of_its_networks(trained):
    folders = [trained[name][1].folder for name in ("plain", "scaled")]
    image = np.random.default_rng(0).integers(0, 255, (32, 48)).astype(np.uint8)
    each = [Predictor.load(folder, device="cpu")(image) for folder in folders]
    np.testing.assert_allclose(Predictor.load(*folders, device="cpu")(image), (each[0] + each[1]) / 2, atol=1e-7)


def test_networks_of_different_structures_or_tasks_are_not_averaged(trained):
    fluid, discs, patches = (
        TrainedNetwork.load(trained[name][1].folder, "cpu") for name in ("plain", "color", "patches")
    )
    with pytest.raises(UsageError, match="these networks segment fluid and disc; average networks of one arm only"):
        Predictor([fluid, discs])
    with pytest.raises(UsageError, match="these networks segment fluid and segment_patches fluid; average"):
        Predictor([fluid, patches])


def test_a_file_is_read(trained, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (20, 30)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "eye.png")
    predict = rk.Predictor.load(trained["plain"][1].folder, device="cpu")
    assert (predict(tmp_path / "eye.png") == predict(image)).all()
    assert (predict(image.astype(np.uint16) * 257) == predict(image)).all()


def test_mistakes_are_named(trained, tmp_path):
    predict = Predictor.load(trained["plain"][1].folder, device="cpu")
    with pytest.raises(UsageError, match=r"shape \(3, 20, 30\)"):
        predict(np.zeros((3, 20, 30), np.uint8))
    with pytest.raises(DataError, match=r"no weights\.safetensors"):
        Predictor.load(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        Predictor.load(tmp_path / "nothing.safetensors")
    with pytest.raises(UsageError, match="at least one"):
        Predictor([])


def test_a_classifier_cannot_segment(trained):
    _, run = trained["plain"]
    network = TrainedNetwork.load(run.folder, "cpu")
    network.metadata = dataclasses.replace(network.metadata, task="classify")
    with pytest.raises(UsageError, match="trained to classify, not to segment"):
        Predictor([network])


def test_weights_of_another_network_are_named(trained, tmp_path):
    header = to_header(trained["color"][1].metadata())
    tensors = load_file(trained["plain"][1].folder / "weights.safetensors")
    save_file(tensors, tmp_path / "mixed.safetensors", header)
    with pytest.raises(DataError, match=r"mixed.safetensors does not hold the weights of the network"):
        Predictor.load(tmp_path / "mixed.safetensors")


def test_weights_whose_test_windows_leave_gaps_are_refused(trained, tmp_path):
    _, run = trained["windows"]
    header = to_header(dataclasses.replace(run.metadata(), window=16, stride=17))
    save_file(load_file(run.folder / "weights.safetensors"), tmp_path / "gaps.safetensors", header)
    with pytest.raises(DataError, match="windows of 16 pixels that are 17 pixels apart leave gaps; nothing was pred"):
        Predictor.load(tmp_path / "gaps.safetensors")


def test_uncertainty_is_zero_where_all_is_sure_and_one_where_nothing_is():
    assert uncertainty(np.array([[0.0, 1.0]], np.float32)) == pytest.approx(0, abs=1e-6)
    assert uncertainty(np.full((4, 4), 0.5, np.float32)) == 1
