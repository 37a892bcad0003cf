"""Exported networks predict what torch predicts, at any size, and come with a model card."""

import dataclasses
import importlib.util
import json
import shutil

import numpy as np
import pytest
import torch
from small_arm import small_arm, train
from test_cli import assert_refused, retina_kit

from retina_kit.errors import KitError, SetupError
from retina_kit.prediction import export as exporting
from retina_kit.prediction.describe import model_card
from retina_kit.prediction.export import (
    TOLERANCE,
    ExportedNetwork,
    example_input,
    export_onnx,
    export_pt2,
    input_channels,
)
from retina_kit.prediction.predictor import TrainedNetwork
from retina_kit.prediction.sides import multiple_of_sides
from retina_kit.runs.store import RunStore
from retina_kit.training.metadata import KEY

HAS_ONNX = all(importlib.util.find_spec(name) for name in exporting.NEEDED)
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="needs onnx, onnxruntime and onnxscript (the export extra)")
FUNDUS = {"num_patients": 4, "images_per_patient": 2, "size": [48, 48], "seed": 3}
OF_FUNDUS = {"dataset": "synthetic_fundus", "options": FUNDUS}
ARMS = {
    "fluid": {"data": {"preprocess": ["standardize"]}},
    "color": {"data": OF_FUNDUS | {"mask": "disc"}, "model": {"in_channels": 3, "num_classes": 2}},
    "gray_to_color": {"model": {"in_channels": 3}},
    "gray_disc": {"data": OF_FUNDUS | {"mask": "disc", "preprocess": ["gray"]}},
    "halved_five_times": {
        "task": "segment_patches",
        "data": {"dataset": "synthetic_fundus", "mask": "disc", "patch": 32, "options": FUNDUS | {"size": [64, 64]}},
        "model": {"name": "encoder_decoder", "encoder": "vgg_like", "width": 0.03},
        "recipe": {"augmentation": {"flip": 0.5}},
    },
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return the folder of a run per arm."""
    store = RunStore(tmp_path_factory.mktemp("out") / "runs")
    found = {}
    for name, changes in ARMS.items():
        replace = {"model": changes["model"]} if "name" in changes.get("model", {}) else None
        found[name] = train([small_arm(name, replace=replace, **changes)], store)[name, 0].folder
    return found


def load(folders, name):
    """Load a network on the CPU."""
    return TrainedNetwork.load(folders[name], "cpu", "float32")


@pytest.mark.parametrize("name", ARMS)
def test_what_is_exported_is_what_the_kit_predicts(folders, name):
    network = load(folders, name)
    pixels = np.random.default_rng(0).integers(0, 255, network.metadata.working_size).astype(np.uint8)
    image = pixels if network.metadata.image_channels == 1 else np.dstack([pixels, pixels.T, pixels])
    seen = torch.from_numpy(network.prepare(image).pixels[None]).float()
    assert seen.shape[1] == input_channels(network.metadata)
    found = ExportedNetwork(network)(seen).detach()[0].numpy()
    np.testing.assert_allclose(found, network.probabilities([image])[0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fluid", "color", "halved_five_times"])
def test_a_program_of_torch_agrees_at_three_sizes(folders, tmp_path, name):
    network = load(folders, name)
    assert export_pt2(network, tmp_path / "network.pt2") <= TOLERANCE
    extra = {KEY: ""}
    program = torch.export.load(tmp_path / "network.pt2", extra_files=extra).module()
    assert json.loads(extra[KEY])["arm"] == name
    agrees(network, lambda images: program(images).detach().numpy())


@needs_onnx
@pytest.mark.parametrize("name", ARMS)
def test_onnxruntime_agrees_at_three_sizes(folders, tmp_path, name):
    import onnxruntime

    network = load(folders, name)
    assert export_onnx(network, tmp_path / "network.onnx") <= TOLERANCE
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map[KEY])["arm"] == name
    agrees(network, lambda images: session.run(None, {"images": images.numpy()})[0])


def agrees(network, run):
    """Check an exported network at sizes that the export itself did not check."""
    for number, sides in ((1, (2, 2)), (4, (6, 2)), (2, (12, 16))):
        images = example_input(network.metadata, sides, number, seed=99)
        multiple = multiple_of_sides(network.metadata)
        assert multiple == (32 if network.metadata.arm == "halved_five_times" else 16)
        assert images.shape[-2:] == (sides[0] * multiple, sides[1] * multiple)
        expected = ExportedNetwork(network)(images).detach().numpy()
        np.testing.assert_allclose(run(images), expected, atol=TOLERANCE)


def test_an_export_that_differs_is_not_kept(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(KitError, match="differs from torch"):
        export_pt2(load(folders, "fluid"), tmp_path / "network.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(HAS_ONNX, reason="the export extra is installed")
def test_onnx_needs_an_extra(folders, tmp_path):
    with pytest.raises(SetupError, match=r"retina-kit\[export\]"):
        export_onnx(load(folders, "fluid"), tmp_path / "network.onnx")


def test_the_card_says_what_must_be_known(folders):
    metadata = load(folders, "fluid").metadata
    scores = RunStore(folders["fluid"].parent).find(folders["fluid"].name).scores
    card = model_card(metadata, {"network.onnx": 2e-7}, scores)
    headings = ["Uses", "Bias, Risks, and Limitations", "How to Get Started with the Model", "Training Details",
                "Evaluation", "Technical Specifications"]  # fmt: skip
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == headings
    assert card.startswith("---\nlibrary_name: retina-kit\n")
    step = metadata.preprocessing.steps[0]
    for part in ("not for clinical use", "synthetic_oct", "license", repr(step.mean), repr(step.std), "| dice |",
                 "2.0e-07", "32x48, 64x64, 80x112", "synthetic images only"):  # fmt: skip
        assert part in card
    assert "Not known from the weights alone" in model_card(metadata, {})
    assert 'rk.Predictor.load("weights.safetensors")("eye.png")  # float32 (H, W)' in card
    for task, tag in (("classify", "image-classification"), ("localize", "keypoint-detection")):
        other = model_card(dataclasses.replace(metadata, task=task), {})
        assert "rk.ImagePredictor.load" in other and "rk.Predictor.load" not in other
        assert f"pipeline_tag: {tag}\n" in other


def test_the_command_writes_the_network_and_its_card(folders, tmp_path):
    shutil.copytree(folders["fluid"].parent, tmp_path / "outputs" / "runs")
    done = retina_kit("export", folders["fluid"].name, "--pt2", "ship/fluid.pt2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["differences"]["ship/fluid.pt2"] <= TOLERANCE
    card = (tmp_path / "ship" / "README.md").read_text()
    assert "`fluid.pt2`" in card
    assert "| dice |" in card


def test_mistakes_are_one_message(folders, tmp_path):
    (tmp_path / "README.md").write_text("# my project")
    assert_refused(retina_kit("export", folders["fluid"], cwd=tmp_path), 2, "--onnx or --pt2")
    done = retina_kit("export", folders["fluid"], "--pt2", "x.pt2", cwd=tmp_path)
    assert_refused(done, 2, "README.md is not a model card and would be overwritten")
    assert (tmp_path / "README.md").read_text() == "# my project"
