"""What a file of weights says about itself, without a training: an arm's task is all that the description needs."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_arm import small_arm

from retina_kit.data.card import read_card
from retina_kit.data.transforms import FittedStep, fit_preprocessing, preprocess, standardize, to_gray
from retina_kit.errors import DataError
from retina_kit.schema import to_json
from retina_kit.training.metadata import (
    KEY,
    TrainedOn,
    describe_weights,
    from_header,
    read_metadata,
    source_of,
    to_header,
)
from retina_kit.training.prepare import prepare_arm


def described(arm, **settings):
    """Return the description of an arm's weights, as if it had been trained for 3 steps."""
    identity = {"seed": 5, "fold": None, "data_fingerprint": "abc"}
    settings = {"precision": "float32", "steps": 3, "data_root": "nowhere"} | settings
    return describe_weights(prepare_arm(arm, 0, None, "nowhere"), "0123", identity, **settings)


def of_two_classes(**changes):
    """Return an arm that segments two structures."""
    return small_arm("two", data={"mask": "", "masks": ["irf", "srf"]}, model={"num_classes": 2}, **changes)


def of_grades():
    """Return an arm that grades color photographs."""
    data = {"dataset": "synthetic_fundus", "options": {"num_patients": 4, "size": [48, 64], "lesions": True}}
    model = {"name": "encoder_classifier", "encoder": "vgg_like", "width": 1 / 32, "input_size": (64, 64)}
    recipe = {"steps": 1, "loss": "binary_cross_entropy"}
    return small_arm("grade", task="classify", replace={"data": data, "model": model, "recipe": recipe})


def test_a_description_says_what_the_arm_and_its_task_say():
    evaluation = {"window": 16, "stride": 8, "batch_size": 3}
    found = described(small_arm("arm", label="An arm", data={"scale": 0.5}, evaluation=evaluation))
    assert (found.arm, found.label, found.task, found.variant) == ("arm", "An arm", "segment", "last")
    assert (found.in_channels, found.image_channels) == (1, 1)
    assert (found.image_size, found.working_size) == ((32, 48), (16, 24))
    assert (found.stretched, found.cropped, found.resize_first) == (False, False, True)
    assert (found.mean, found.std, found.threshold) == ((0.0,), (255.0,), 0.5)
    assert (found.window, found.stride, found.batch_size) == (16, 8, 3)
    assert (found.seed, found.fold, found.steps, found.run, found.precision) == (5, None, 3, "0123", "float32")
    assert (found.classes, found.structures, found.has_classes) == (("background", "fluid"), ("fluid",), False)


def test_a_size_of_its_own_stretches_images():
    found = described(small_arm("arm", data={"size": [32, 32]}))
    assert (found.stretched, found.working_size, found.image_size) == (True, (32, 32), (32, 48))


def test_several_structures_are_classes_and_grades_are_not():
    found = described(of_two_classes())
    assert (found.classes, found.structures, found.has_classes) == (
        ("background", "irf", "srf"), ("irf", "srf"), True,
    )  # fmt: skip
    graded = described(of_grades())
    assert (graded.classes, graded.has_classes) == (("no has_lesion", "has_lesion"), False)
    assert (graded.in_channels, graded.image_channels, graded.image_size) == (3, 3, (48, 64))
    point = dataclasses.replace(found, task="localize", classes=("x", "y", "z"))
    assert not point.has_classes


def test_a_localizer_tells_the_coordinates_of_a_point():
    options = {"num_patients": 4, "size": [48, 64]}
    data = {"dataset": "synthetic_fundus", "center": ["disc_x", "disc_y"], "options": options}
    model = {"name": "localizer", "widths": [4, 4], "input_size": [16, 16], "hidden": 0, "in_channels": 3}
    recipe = {"steps": 1, "loss": "mean_squared_error"}
    arm = small_arm("disc", task="localize", replace={"data": data, "model": model, "recipe": recipe})
    assert described(arm).classes == ("x", "y")


def test_a_network_for_color_images_says_so_even_if_its_images_are_gray():
    assert described(small_arm("arm", model={"in_channels": 3})).in_channels == 3


def test_the_sources_of_a_parent_follow_ones_own():
    parent = described(small_arm("parent"))
    elsewhere = dataclasses.replace(parent.sources[0], name="stare")
    child = described(small_arm("child"), parent=dataclasses.replace(parent, sources=(elsewhere, *parent.sources)))
    assert [source.name for source in child.sources] == ["synthetic_oct", "stare"]
    assert [source.name for source in described(small_arm("alone")).sources] == ["synthetic_oct"]


def test_a_source_is_described_by_its_card_and_synthetic_images_may_be_passed_on(tmp_path):
    found, card = source_of("stare", "abc", tmp_path), read_card("stare", tmp_path)
    assert found == TrainedOn("stare", card.title, card.license, card.citation, False, "abc")
    own = source_of("synthetic_fundus", "def", tmp_path)
    assert (own.name, own.citation, own.redistribute, own.fingerprint) == (
        "synthetic_fundus", "retina-kit", True, "def",
    )  # fmt: skip


def test_a_header_is_one_sorted_text_under_the_key_of_its_version():
    found = described(small_arm("arm", data={"preprocess": ["gray"]}))
    header = to_header(found)
    assert list(header) == ["retina_kit.v1"]
    content = json.loads(header["retina_kit.v1"])
    assert header["retina_kit.v1"] == json.dumps(content, sort_keys=True)
    assert content["preprocessing"]["steps"][0]["mean"] is None  # written although it is the default
    assert from_header(header, "x") == found
    with pytest.raises(DataError, match="x does not describe its network"):
        from_header(None, "x")


def test_a_description_cannot_be_changed():
    found = described(small_arm("arm"))
    for settings, name in ((found, "steps"), (found.sources[0], "name")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(settings, name, 0)


def test_a_file_that_is_missing_a_folder_and_other_bytes_are_told_apart(tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"no tensors at all")
    with pytest.raises(DataError, match=r"missing.safetensors does not exist; give a run's folder"):
        read_metadata(tmp_path / "missing.safetensors")
    for path in (tmp_path, tmp_path / "other.safetensors"):
        with pytest.raises(DataError, match=f"{path} is not a readable safetensors file"):
            read_metadata(path)


def test_statistics_keep_all_their_digits():
    images = np.random.default_rng(0).integers(0, 255, (5, 1, 9, 7)).astype(np.uint8)
    fitted = fit_preprocessing(images, ["standardize"], np.array([0, 2, 3]))
    again = type(fitted)(tuple(FittedStep(**step) for step in to_json(fitted)["steps"]))
    assert again == fitted
    assert fitted.steps[0].mean == images[[0, 2, 3]].mean()


def test_a_single_image_is_preprocessed_as_among_others():
    images = np.random.default_rng(1).integers(0, 200, (4, 3, 32, 40)).astype(np.uint8)
    names, training = ["gray", "standardize", "equalize", "gamma"], np.array([0, 1, 3])
    together, fitted = preprocess(images, names, training), fit_preprocessing(images, names, training)
    for image, expected in zip(images, together, strict=True):
        assert (fitted.apply(image[None])[0] == expected).all()
    gray = to_gray(images)
    by_hand = standardize(gray, gray[training].mean(), gray[training].std())
    differences = np.abs(fit_preprocessing(images, names[:2], training).apply(images) - by_hand.astype(int))
    assert differences.max() <= 1 and (differences > 0).mean() < 0.01, "numpy's SD differs in its last digit"


def test_an_old_file_says_what_to_do(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "old.safetensors")
    with pytest.raises(DataError, match=r"old.safetensors does not describe its network.*--fresh"):
        read_metadata(tmp_path / "old.safetensors")


def test_a_newer_file_says_what_to_do(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "new.safetensors", {"retina_kit.v9": "{}"})
    with pytest.raises(DataError, match=r"newer retina-kit \(retina_kit.v9.*update"):
        read_metadata(tmp_path / "new.safetensors")


@pytest.mark.parametrize(
    ("text", "message"), [("{", "damaged"), ('{"arm": 3}', "description of the weights: .*arm"), ("[]", "weights")]
)
def test_a_damaged_description_is_named(tmp_path, text, message):
    save_file({"weight": torch.zeros(2)}, tmp_path / "w.safetensors", {KEY: text})
    with pytest.raises(DataError, match=message):
        read_metadata(tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [None, b"", b"no tensors at all"])
def test_a_file_that_is_none_is_named(tmp_path, content):
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"w\.safetensors"):
        read_metadata(path)
