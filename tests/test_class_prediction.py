"""A network with several classes on images of your own: a probability, a mask, an area and a color for each."""

import csv
import re

import numpy as np
import pytest
import torch
from PIL import Image
from small_arm import small_arm, train
from test_cli import retina_kit

from retina_kit.errors import UsageError
from retina_kit.prediction.describe import model_card
from retina_kit.prediction.export import ExportedNetwork, example_input, export_pt2
from retina_kit.prediction.folder import color_of, overlay, predict_files
from retina_kit.prediction.predictor import Predictor, TrainedNetwork
from retina_kit.runs.store import RunStore
from retina_kit.teaching.widgets.own_image import OwnImage
from retina_kit.training.prepare import images_of, prepare_arm, trained_model

CLASSES = ("irf", "srf", "ped")
MODEL, DATA = {"num_classes": 3}, {"mask": "", "masks": [*CLASSES], "scale": 0.75}
ARMS = {
    "whole": small_arm("whole", data=DATA, model=MODEL),
    "windows": small_arm("windows", data=DATA, model=MODEL, evaluation={"window": 16, "stride": 12}),
    "one": small_arm("one", data={"mask": "", "masks": ["fluid"]}),
    "binary": small_arm("binary"),
}
IMAGE = np.random.default_rng(0).integers(0, 255, (40, 60)).astype(np.uint8)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return {arm name: finished run}."""
    torch.set_num_threads(1)
    store = RunStore(tmp_path_factory.mktemp("out") / "runs")
    return {name: outcome for (name, _), outcome in train(ARMS.values(), store).items()}


@pytest.mark.parametrize("name", ["whole", "windows"])
def test_weights_alone_predict_every_class_as_the_arm_does(runs, name):
    arm, run = ARMS[name], runs[name]
    task = prepare_arm(arm, 0, None, "nowhere")
    model, batches = trained_model(arm, run.weights(), torch.device("cpu")), task.make_batches(0, torch.device("cpu"))
    expected = task.predict(model, batches, task.test).numpy()
    images = [image[0] for image in images_of(arm, "nowhere").images[task.test]]
    predict = Predictor.load(run.folder, device="cpu")
    assert predict.structures == CLASSES
    for found, theirs in zip(predict.predict(images), expected, strict=True):
        assert found.shape == (3, 32, 48) and found.dtype == np.float32
        assert (found == theirs).all()


def test_any_size_flips_and_ensembles_keep_the_classes(runs):
    plain, flipped = (Predictor.load(runs["whole"].folder, flip=flip, device="cpu") for flip in (False, True))
    assert plain(IMAGE).shape == (3, 40, 60)
    by_hand = (plain(IMAGE) + plain(IMAGE[:, ::-1])[..., ::-1]) / 2
    np.testing.assert_allclose(flipped(IMAGE), by_hand, atol=1e-6)
    both = Predictor.load(runs["whole"].folder, runs["windows"].folder, device="cpu")
    other = Predictor.load(runs["windows"].folder, device="cpu")
    np.testing.assert_allclose(both(IMAGE), (plain(IMAGE) + other(IMAGE)) / 2, atol=1e-6)
    with pytest.raises(UsageError, match="segment fluid and irf, srf, ped; average networks of one arm only"):
        Predictor.load(runs["binary"].folder, runs["whole"].folder, device="cpu")
    with pytest.raises(UsageError, match="segment irf, srf, ped and fluid; average networks of one arm only"):
        Predictor.load(runs["whole"].folder, runs["binary"].folder, device="cpu")


def test_a_network_of_one_class_predicts_like_one_of_one_mask(runs):
    one, binary = (Predictor.load(runs[name].folder, device="cpu") for name in ("one", "binary"))
    assert one.metadata.classes == binary.metadata.classes == ("background", "fluid")
    assert (one(IMAGE) == binary(IMAGE)).all()


def test_the_command_writes_a_mask_and_an_area_for_each_class(runs, tmp_path):
    (tmp_path / "eyes" / "inner").mkdir(parents=True)
    for name in ("a.png", "inner/b.png"):
        Image.fromarray(IMAGE if name == "a.png" else IMAGE.T).save(tmp_path / "eyes" / name)
    options = ["--images", "eyes", "--output", "found", "--pixel-size", "10", "--probabilities", "--threshold", "0.45"]
    done = retina_kit("predict", str(runs["whole"].folder), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 images predicted" in done.stdout and "irf, srf, ped" in done.stdout
    with (tmp_path / "found" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["structure"] for row in rows] == [*CLASSES, *CLASSES]
    probability = Predictor.load(runs["whole"].folder, device="cpu")(IMAGE)
    for row in rows:
        folder, name = row["mask"].split("/")[1], row["mask"].split("/", 2)[2]
        assert folder == row["structure"] and name in ("a.png", "inner/b.png")
        mask = np.asarray(Image.open(tmp_path / "found" / row["mask"])) > 0
        assert int(row["area_px"]) == mask.sum()
        assert float(row["area_mm2"]) == pytest.approx(mask.sum() * 1e-4)
        if name == "a.png":
            assert np.array_equal(mask, probability[CLASSES.index(folder)] > 0.45)
            file = row["mask"].replace("masks", "probabilities").replace("png", "tif")
            stored = Image.open(tmp_path / "found" / file)
            np.testing.assert_allclose(np.asarray(stored), probability[CLASSES.index(folder)], atol=1e-6)
    page = (tmp_path / "found" / "index.html").read_text()
    texts = re.findall(r'alt="([^"]+)"', page)
    assert len(texts) == 2
    assert all(f"predicted {name} outlined" in text for name in CLASSES for text in texts)
    assert "#ff40a0" in page and "#56b4e9" in page


def test_the_structures_of_the_most_uncertain_image_come_first(runs, tmp_path):
    for name, image in (("flat", np.full_like(IMAGE, 128)), ("noise", IMAGE)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    rows = predict_files(Predictor.load(runs["whole"].folder, device="cpu"), [tmp_path], tmp_path / "found").rows()
    doubts = [max(row["mean_uncertainty"] for row in rows[k : k + 3]) for k in (0, 3)]
    assert doubts[0] >= doubts[1]
    assert len({row["overlay"] for row in rows[:3]}) == len({row["overlay"] for row in rows[3:]}) == 1


def test_an_overlay_has_a_color_for_each_class():
    masks = np.zeros((2, *IMAGE.shape), bool)
    masks[0, 5:15, 5:15] = masks[1, 20:30, 20:30] = True
    shown = overlay(IMAGE, masks)
    assert tuple(shown[5, 5]) == color_of(0) and tuple(shown[20, 20]) == color_of(1)
    assert np.array_equal(overlay(IMAGE, masks[0]), overlay(IMAGE, masks[:1]))


def test_an_export_has_a_channel_for_each_class(runs, tmp_path):
    network = TrainedNetwork.load(runs["whole"].folder, "cpu", "float32")
    assert export_pt2(network, tmp_path / "network.pt2") < 1e-4
    images = example_input(network.metadata)
    with torch.inference_mode():
        exported = ExportedNetwork(network).eval()(images)
    assert exported.shape == (2, 3, *images.shape[-2:])
    card = model_card(network.metadata, {"network.pt2": 0.0}, runs["whole"].scores)
    assert "segments irf, srf, ped" in card
    assert "probabilities (N, 3, h, w) of irf, srf, ped" in card
    assert "| dice of srf |" in card and "(3, H, W)" in card


def test_the_widget_shows_one_class_at_a_time(runs, tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "eye.png")
    own = OwnImage(Predictor.load(runs["whole"].folder, device="cpu"), tmp_path / "eye.png")
    assert "irf in" in own.message.value
    own.structure.value = "ped"
    assert "ped in" in own.message.value
    assert np.array_equal(own.plane, own.probability[2])
