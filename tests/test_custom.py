"""Your own images become a data pack, and a notebook runs on it; what is wrong with files is said by name."""

import functools
import shutil
from pathlib import PureWindowsPath

import cv2
import numpy as np
import pytest

from retina_kit.data.card import list_cards, read_card
from retina_kit.data.dataset import load_images
from retina_kit.data.manifest import has_pack, verify_pack
from retina_kit.errors import DataError, UsageError
from retina_kit.experiment import Experiment
from retina_kit.packs import pairing
from retina_kit.packs.custom import ImportOptions, new_pack
from tests.small_command import command_line

HEIGHT, WIDTH = 64, 96


@pytest.fixture
def files(tmp_path):
    """Twelve small gray images of six patients, each with a mask of one bright blob."""
    random = np.random.default_rng(3)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for patient in range(6):
        for eye in "LR":
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            cv2.circle(mask, (int(random.integers(20, 76)), int(random.integers(20, 44))), 12, 255, -1)
            image = (random.integers(0, 60, (HEIGHT, WIDTH)) + 0.6 * mask).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "images" / f"p{patient}_{eye}.png"), image)
            cv2.imwrite(str(tmp_path / "masks" / f"p{patient}_{eye}_mask.png"), mask)
    return tmp_path


def make(files, name="my_eyes", regex=r"^p(\d+)_", **options):
    """Make the pack."""
    return new_pack(name, files / "images", files / "masks", regex, files / "data", **options).rows


def test_the_pack_holds_what_was_given(files):
    rows = make(files)
    assert len(rows) == 12
    assert sorted(rows["patient"].unique()) == list("012345")
    assert "my_eyes" in list_cards(files / "data")
    assert "my_eyes" not in list_cards()
    assert has_pack("my_eyes", files / "data")
    assert verify_pack("my_eyes", files / "data") == []
    card = read_card("my_eyes", files / "data")
    assert (card.name, card.channels, card.size, card.access) == ("my_eyes", 1, (HEIGHT, WIDTH), "own")
    image_set = load_images("my_eyes", files / "data", masks=["target"])
    original = cv2.imread(str(files / "images" / "p0_L.png"), cv2.IMREAD_GRAYSCALE)
    assert (image_set.images[0, 0] == original).all()
    assert image_set.masks["target"].any(axis=(1, 2)).all()


def test_color_images_keep_their_colors(files):
    for number, path in enumerate((files / "images").iterdir()):
        image = np.full((HEIGHT, WIDTH, 3), (10, 20, 200), np.uint8)
        image[-1, -1] = number  # no two images are the same
        cv2.imwrite(str(path), image)
    make(files, "in_color")
    image_set = load_images("in_color", files / "data", masks=["target"])
    assert tuple(image_set.images[0, :, 0, 0]) == (200, 20, 10)
    assert read_card("in_color", files / "data").modality == "fundus"


def spoil(files, how):
    """Do one thing wrong."""
    images, masks = files / "images", files / "masks"
    if how == "no mask":
        (masks / "p0_L_mask.png").unlink()
    elif how == "stray mask":
        (masks / "p9_L_mask.png").write_bytes((masks / "p0_L_mask.png").read_bytes())
    elif how == "two masks":
        (masks / "p0_L-second.png").write_bytes((masks / "p0_L_mask.png").read_bytes())
    elif how == "gray mask":
        cv2.imwrite(str(masks / "p0_L_mask.png"), np.uint8([[0, 17, 90]] * HEIGHT))
    elif how == "small mask":
        cv2.imwrite(str(masks / "p0_L_mask.png"), np.zeros((8, 8), np.uint8))
    elif how == "other size":
        cv2.imwrite(str(images / "p0_L.png"), np.zeros((320, 320), np.uint8))
        cv2.imwrite(str(masks / "p0_L_mask.png"), np.zeros((320, 320), np.uint8))
    elif how == "no image":
        (images / "p0_L.png").write_text("hello")
    elif how == "twice":
        (images / "p0_L.jpg").write_bytes((images / "p0_L.png").read_bytes())


@pytest.mark.parametrize(
    "how, message",
    [
        ("no mask", "p0_L.png has no mask"),
        ("stray mask", "p9_L_mask.png belongs to no image"),
        ("two masks", "p0_L-second.png belongs to no image"),
        ("gray mask", r"p0_L_mask.png holds 3 different colors"),
        ("small mask", "p0_L_mask.png is 8x8"),
        ("other size", "differ much in size"),
        ("no image", "p0_L.png is not an image of a known format"),
        ("twice", "'p0_L' with more than one suffix"),
    ],
)
def test_what_is_wrong_with_files_is_named_and_nothing_is_written(files, how, message):
    spoil(files, how)
    with pytest.raises(DataError, match=message):
        make(files)
    assert not (files / "data" / "my_eyes").exists()


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"regex": "^x"}, DataError, "finds no patient in the name 'p0_L'"),
        ({"regex": "^p"}, DataError, "all images are of patient 'p'"),
        ({"regex": "("}, UsageError, "not a regular expression"),
        ({"name": "stare"}, UsageError, "a data set of the kit"),
        ({"name": "synthetic_oct"}, UsageError, "a data set of the kit"),
        ({"name": "../eyes"}, UsageError, "lowercase letters"),
        ({"mask_name": "My Mask"}, UsageError, "lowercase letters"),
    ],
)
def test_bad_names_and_patterns(files, options, error, message):
    with pytest.raises(error, match=message):
        make(files, **options)


def test_a_patient_may_be_called_na(files):
    for folder in ("images", "masks"):
        for path in (files / folder).glob("p0_*"):
            path.rename(path.with_name(path.name.replace("p0_", "NA_")))
    make(files, regex="^([A-Za-z0-9]+)_")
    rows = load_images("my_eyes", files / "data", masks=["target"]).rows
    assert rows["patient"].tolist()[:2] == ["NA", "NA"]
    assert rows["patient"].nunique() == 6


def test_an_existing_pack_is_left_alone(files):
    make(files)
    with pytest.raises(UsageError, match="exists already"):
        make(files)


def test_an_experiment_takes_the_pack_for_its_target(files):
    make(files)
    overrides = {"target": "my_eyes"}
    experiment = Experiment(
        "huang2023", "smoke", data_root=files / "data", output_root=files / "out", overrides=overrides
    )
    data = experiment.arm("fcn_stare").data
    assert (data.dataset, data.mask, data.options) == ("my_eyes", "target", {})
    assert experiment.folder.name == "smoke-synthetic-my_eyes"
    prepared = experiment.prepared("fcn_stare")
    assert {len(prepared.train), len(prepared.test)} == {8, 4}
    assert not set(prepared.rows["patient"].iloc[prepared.train]) & set(prepared.rows["patient"].iloc[prepared.test])


@pytest.mark.slow
def test_a_notebook_runs_on_images_of_your_own(files):
    kit = functools.partial(command_line, cwd=files)
    made = kit("data", "new", "my_eyes", "--images", "images", "--masks", "masks", "--patient-regex", r"^p(\d+)_")
    assert made.returncode == 0, made.stderr
    assert "12 images of 6 patients" in made.stdout
    assert "--set target=my_eyes" in made.stdout
    listed = kit("data", "list")
    assert "my_eyes" in listed.stdout
    done = kit("run", "huang2023", "--profile", "smoke", "--set", "target=my_eyes")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (files / "outputs" / "huang2023" / "smoke-synthetic-my_eyes" / "notebook.html").is_file()
    assert "your own data set, my_eyes" in (files / "outputs" / "index.html").read_text()


def with_masks_among_the_images(files):
    """Put masks next to their images, as CHASE_DB1 has them, and return the folder."""
    for path in (files / "masks").iterdir():
        path.rename(files / "images" / path.name)
    return files / "images"


def test_masks_in_the_folder_of_the_images_are_no_images(files):
    folder = with_masks_among_the_images(files)
    options = ImportOptions(mask_suffixes={"target": "_mask"})
    rows = new_pack("my_eyes", folder, folder, r"^p(\d+)_", files / "data", options=options).rows
    assert len(rows) == 12 and not rows["id"].str.endswith("_mask").any()
    assert load_images("my_eyes", files / "data", masks=["target"]).masks["target"].any(axis=(1, 2)).all()


def test_masks_in_the_folder_of_the_images_need_an_ending(files):
    folder = with_masks_among_the_images(files)
    with pytest.raises(
        DataError, match="holds images and masks; give the ending of the masks, such as --mask-suffix _mask"
    ):
        new_pack("my_eyes", folder, folder, r"^p(\d+)_", files / "data", options=ImportOptions(missing_is_empty=True))


def test_a_folder_of_masks_inside_that_of_the_images_holds_no_images(files):
    (files / "masks").rename(files / "images" / "masks")
    rows = new_pack("my_eyes", files / "images", files / "images" / "masks", r"^p(\d+)_", files / "data").rows
    assert len(rows) == 12 and not rows["id"].str.contains("mask").any()


def test_a_folder_that_holds_only_masks_has_no_images(files):
    with pytest.raises(DataError, match=f"no image found in {files / 'masks'}, only masks"):
        new_pack("my_eyes", files / "masks", files / "masks", r"^p", files / "data",
                 options=ImportOptions(mask_suffixes={"target": "_mask"}))  # fmt: skip
    (files / "masks").rename(files / "rest")
    (files / "above").mkdir()
    (files / "rest").rename(files / "above" / "masks")
    with pytest.raises(DataError, match=r"no image found in .*above, only masks"):
        new_pack("my_eyes", files / "above", files / "above" / "masks", r"^p", files / "data")


def test_a_pack_that_is_made_again_is_read_again(files):
    make(files)
    assert len(load_images("my_eyes", files / "data", masks=["target"]).rows) == 12
    shutil.rmtree(files / "data" / "my_eyes")
    for folder in ("images", "masks"):
        for path in (files / folder).glob("p5_*"):
            path.unlink()
    make(files)
    assert len(load_images("my_eyes", files / "data", masks=["target"]).rows) == 10


def test_an_absolute_path_of_windows_becomes_a_name_without_its_drive(monkeypatch):
    monkeypatch.setattr(pairing, "PurePath", PureWindowsPath)
    names = [pairing._as_id(path) for path in ("C:/eyes/1", r"C:\eyes\1", "eyes/1", r"\\host\share\eyes\1")]
    assert names == ["eyes__1"] * 4
