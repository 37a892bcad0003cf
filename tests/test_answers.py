"""Classifiers and localizers predict images of any size from weights alone, as in their arms' own tests."""

import csv
import dataclasses
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_arm import small_arm, train
from test_cli import assert_refused, retina_kit

import retina_kit as rk
from retina_kit.errors import DataError, UsageError
from retina_kit.prediction.answer_folder import marked, predict_answers
from retina_kit.prediction.answers import ImagePredictor, Point
from retina_kit.prediction.predictor import Predictor, TrainedNetwork
from retina_kit.runs.store import RunStore
from retina_kit.training.prepare import images_of, prepare_arm, trained_model

OPTIONS = {"num_patients": 6, "images_per_patient": 2, "size": [48, 60], "seed": 3}
FUNDUS = {"dataset": "synthetic_fundus", "options": OPTIONS, "size": [32, 32]}
OWN = {
    "classify": {
        "data": FUNDUS | {"label": "has_lesion"},
        "model": {"name": "encoder_classifier", "width": 0.03, "input_size": [32, 32]},
        "recipe": {"loss": "binary_cross_entropy", "steps": 3, "batch_size": 2},
    },
    "localize": {
        "data": FUNDUS | {"center": ["disc_x", "disc_y"]},
        "model": {"name": "localizer", "widths": [4, 4, 4, 4, 4], "input_size": [32, 32], "hidden": 0},
        "recipe": {"loss": "mean_squared_error", "steps": 3, "batch_size": 2},
    },
}


def arm_of(name, task, data):
    """Return a small arm with one answer per image."""
    own = OWN[task]
    channels = {"in_channels": 3} if task == "localize" and "preprocess" not in data else {}
    return small_arm(name, task=task, replace=own | {"data": own["data"] | data, "model": own["model"] | channels})


ARMS = {
    "classifier": ("classify", {"preprocess": ["equalize"]}),
    "cropped_classifier": ("classify", {"options": OPTIONS | {"crop": True}}),
    "localizer": ("localize", {}),
    "gray_localizer": ("localize", {"preprocess": ["gray", "standardize"]}),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return {arm name: (arm, run)}."""
    store, found = RunStore(tmp_path_factory.mktemp("runs")), {}
    for name, (task, data) in ARMS.items():
        arm = arm_of(name, task, data)
        run = train([arm], store)[name, 0]
        assert not isinstance(run, Exception), run
        found[name] = (arm, run)
    return found


def images_and_answers(arm, run):
    """Return the test images as they were taken, and what the arm itself predicts: probabilities, or pixels."""
    task = prepare_arm(arm, 0, None, "nowhere")
    model, batches = trained_model(arm, run.weights(), torch.device("cpu")), task.make_batches(0, torch.device("cpu"))
    images = images_of(arm, "nowhere").images[task.test]
    expected = task.predict(model, batches, task.test).numpy().astype(float)
    expected = expected * images.shape[:1:-1] if arm.task == "localize" else expected
    return [image.transpose(1, 2, 0) for image in images], expected


@pytest.mark.parametrize("name", ARMS)
def test_a_network_that_predicts_no_numbers_is_refused(trained, name):
    _, run = trained[name]
    predict = rk.ImagePredictor.load(run.folder, device="cpu")
    next(predict.networks[0].model.parameters()).data.fill_(math.nan)
    with pytest.raises(DataError, match="predicts values that are no numbers"):
        predict(np.full((48, 64, 3), 90, np.uint8))


@pytest.mark.parametrize("name", ARMS)
def test_weights_alone_answer_what_the_arm_answers(trained, tmp_path, name):
    arm, run = trained[name]
    images, expected = images_and_answers(arm, run)
    shutil.copy(run.folder / "weights.safetensors", tmp_path / "alone.safetensors")
    found = rk.ImagePredictor.load(tmp_path / "alone.safetensors", device="cpu").predict(images)
    assert len(found) == len(expected) > 1
    assert (np.array(found) == expected).all()


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("size", [(32, 48), (75, 50), (17, 201)])
def test_images_of_any_size_and_kind_have_an_answer(trained, name, size):
    predict = ImagePredictor.load(trained[name][1].folder, device="cpu")
    for shape in (size, (*size, 3)):
        answer = predict(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
        assert np.isfinite(answer).all()
        assert isinstance(answer, Point if "localizer" in name else float)


def test_no_image_has_no_answer(trained):
    assert ImagePredictor.load(trained["localizer"][1].folder, device="cpu").predict([]) == []


def test_a_point_grows_with_the_image(trained):
    predict = ImagePredictor.load(trained["localizer"][1].folder, device="cpu")
    flat = np.full((64, 96, 3), 90, np.uint8)
    small, large = predict(flat), predict(np.full((128, 288, 3), 90, np.uint8))
    assert large.x == pytest.approx(3 * small.x, rel=1e-5)
    assert large.y == pytest.approx(2 * small.y, rel=1e-5)


def test_the_mirrored_image_counts_with_flip_and_several_networks_are_averaged(trained):
    image = np.random.default_rng(0).integers(0, 255, (32, 48, 3)).astype(np.uint8)
    for name in ("classifier", "localizer"):
        folder = trained[name][1].folder
        plain, flipped = (ImagePredictor.load(folder, device="cpu", flip=flip) for flip in (False, True))
        there, back = np.array(plain(image)), np.array(plain(np.ascontiguousarray(image[:, ::-1])))
        if name == "localizer":
            back[0] = 48 - back[0]
        np.testing.assert_allclose(np.array(flipped(image)), (there + back) / 2, rtol=1e-5)
        both = ImagePredictor.load(folder, folder, device="cpu")
        np.testing.assert_allclose(np.array(both(image)), there, rtol=1e-6)


@pytest.fixture
def eyes(trained, tmp_path):
    """Return a folder with weights alone and images of three sizes, one that is damaged."""
    for name in ("classifier", "localizer"):
        shutil.copy(trained[name][1].folder / "weights.safetensors", tmp_path / f"{name}.safetensors")
    (tmp_path / "eyes").mkdir()
    for number, (height, width) in enumerate(((48, 60), (70, 40), (33, 33))):
        pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "eyes" / f"{number}.png")
    (tmp_path / "eyes" / "broken.png").write_bytes(b"no image")
    return tmp_path


def rows_of(folder):
    """Return the rows of predictions.csv."""
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_classifier_answers_a_folder_most_uncertain_first(eyes):
    done = retina_kit("predict", "classifier.safetensors", "--images", "eyes", "--output", "found", cwd=eyes)
    assert done.returncode == 3
    assert "not predicted: eyes/broken.png" in done.stdout
    rows = rows_of(eyes / "found")
    assert len(rows) == 3
    doubts = [float(row["uncertainty"]) for row in rows]
    assert doubts == sorted(doubts, reverse=True)
    predict = ImagePredictor.load(eyes / "classifier.safetensors", device="cpu")
    for row in rows:
        assert float(row["probability"]) == pytest.approx(predict(eyes / row["file"]), abs=1e-5)
        assert row["answer"] == ("has_lesion" if float(row["probability"]) > 0.5 else "no has_lesion")
        assert Image.open(eyes / "found" / row["overlay"]).size == (int(row["width"]), int(row["height"]))
    page = (eyes / "found" / "index.html").read_text()
    assert "mean binary entropy of the probability" in page
    assert "has_lesion with a probability of" in page
    assert "mask" not in page.split("<body>")[1]


@pytest.mark.parametrize("name", ["classifier", "localizer"])
def test_a_table_without_a_readable_image_has_the_columns_of_one_with(eyes, name):
    predict = ImagePredictor.load(eyes / f"{name}.safetensors", device="cpu")
    predict_answers(predict, [eyes / "eyes"], eyes / "some")
    result = predict_answers(predict, [eyes / "eyes" / "broken.png"], eyes / "none")
    assert list(result.failures) == [str(eyes / "eyes" / "broken.png")]
    some, none = (pd.read_csv(eyes / folder / "predictions.csv") for folder in ("some", "none"))
    assert list(none) == list(some) and (len(some), len(none)) == (3, 0)


def test_a_localizer_answers_a_folder_in_pixels(eyes):
    done = retina_kit("predict", "localizer.safetensors", "--images", "eyes", "--output", "found", cwd=eyes)
    assert done.returncode == 3
    predict = ImagePredictor.load(eyes / "localizer.safetensors", device="cpu")
    rows = rows_of(eyes / "found")
    assert [row["file"] for row in rows] == ["eyes/0.png", "eyes/1.png", "eyes/2.png"]
    for row in rows:
        assert (float(row["x"]), float(row["y"])) == pytest.approx(predict(eyes / row["file"]), abs=0.01)
    page = (eyes / "found" / "index.html").read_text()
    assert "x and y count pixels from the left and the top" in page
    assert "with a cross at the predicted center" in page


@pytest.mark.parametrize(
    ("weights", "option", "value"),
    [("classifier", "--probabilities", None), ("classifier", "--pixel-size", "6"), ("localizer", "--threshold", "0.4")],
)
def test_options_of_masks_are_refused(eyes, weights, option, value):
    arguments = [f"{weights}.safetensors", "--images", "eyes", "--output", "found", option, *([value] if value else [])]
    assert_refused(retina_kit("predict", *arguments, cwd=eyes), 2, f"{option} is for networks that segment")
    assert not (eyes / "found").exists()


def test_networks_that_do_not_belong_together_are_refused(trained):
    classifier, localizer = (trained[name][1].folder for name in ("classifier", "localizer"))
    with pytest.raises(UsageError, match="these networks: classify, localize"):
        ImagePredictor.load(classifier, localizer)
    with pytest.raises(UsageError, match=r"trained to classify, not to segment; use retina_kit\.ImagePredictor"):
        Predictor.load(classifier)
    other = TrainedNetwork.load(classifier, "cpu")
    other.metadata = dataclasses.replace(other.metadata, classes=("no hemorrhage", "hemorrhage"))
    with pytest.raises(UsageError, match="these networks classify has_lesion and hemorrhage; average networks of one"):
        ImagePredictor([TrainedNetwork.load(classifier, "cpu"), other])
    with pytest.raises(UsageError, match="these networks: none"):
        ImagePredictor([])


def test_the_cross_is_at_the_point(trained, tmp_path):
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(tmp_path / "dark.png")
    network = TrainedNetwork.load(trained["gray_localizer"][1].folder, "cpu")
    result = predict_answers(ImagePredictor([network]), [tmp_path], tmp_path / "found")
    assert len(result.rows()) == 1
    from retina_kit.data.image_files import read_page

    drawn = marked(read_page(tmp_path / "dark.png"), Point(30.2, 20.9)).any(axis=2)
    assert drawn[21, 30]
    assert np.flatnonzero(drawn.any(axis=0)).mean() == 30
    assert np.flatnonzero(drawn.any(axis=1)).mean() == 21
