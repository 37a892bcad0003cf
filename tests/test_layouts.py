"""Releases that the kit has no manifest of: indexed from a user's copy, then packs like any other."""

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
import small_pack

from retina_kit.data import manifest
from retina_kit.data.card import folder_of_cards
from retina_kit.data.dataset import load_images
from retina_kit.errors import DataError, UsageError
from retina_kit.packs.importing import import_pack


@pytest.fixture(autouse=True)
def cards(tmp_path, monkeypatch):
    """The kit's own cards in a folder of the test, without manifests."""
    folder = tmp_path / "cards"
    folder.mkdir()
    for name in ("eyepacs", "messidor", "e_ophtha", "idrid"):
        shutil.copy(folder_of_cards() / f"{name}.toml", folder)
    small_pack.use_cards(monkeypatch, folder)
    yield folder
    small_pack.forget_cards()


def write_image(path, value=90, mask=False):
    """Write a small photograph, or a mask with four lesion pixels in red."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[4:6, 4:6] = (0, 0, 255) if mask else (value, value, value)
    assert cv2.imwrite(str(path), pixels)


def test_eyepacs_has_two_eyes_a_patient(tmp_path):
    for name in ("10_left", "10_right", "13_left"):
        write_image(tmp_path / "in" / "train" / f"{name}.jpeg")
    pd.DataFrame({"image": ["10_left", "10_right", "13_left", "15_left"], "level": [0, 3, 1, 0]}).to_csv(
        tmp_path / "in" / "trainLabels.csv", index=False
    )
    assert import_pack("eyepacs", tmp_path / "in", tmp_path / "data", progress=False) == 3
    rows = load_images("eyepacs", tmp_path / "data", masks=[]).rows
    assert rows["patient"].tolist() == ["10", "10", "13"]
    assert rows["has_lesion"].tolist() == [0, 1, 1]
    assert manifest.verify_pack("eyepacs", tmp_path / "data") == []


def test_messidor_becomes_png_with_its_grades(tmp_path):
    write_image(tmp_path / "in" / "Base11" / "20051019_38557_0100_PP.tif")
    (tmp_path / "in" / "Annotation_Base11.csv").write_text(
        "Image name;Ophthalmologic department;Retinopathy grade\n20051019_38557_0100_PP.tif;X;2\n"
    )
    import_pack("messidor", tmp_path / "in", tmp_path / "data", progress=False)
    rows = load_images("messidor", tmp_path / "data", masks=[]).rows
    assert rows["image"].tolist() == ["images/20051019_38557_0100_PP.png"]
    assert rows["grade"].tolist() == [2]


def test_a_mask_of_e_ophtha_that_was_never_annotated_is_not_an_empty_one(tmp_path):
    parts = tmp_path / "in"
    write_image(parts / "e_optha_EX" / "EX" / "E0001" / "C1.jpg")
    write_image(parts / "e_optha_EX" / "Annotation_EX" / "E0001" / "C1_EX.png", mask=True)
    write_image(parts / "e_optha_EX" / "healthy" / "E0002" / "C2.jpg")
    write_image(parts / "e_optha_MA" / "MA" / "E0003" / "C3.jpg")
    write_image(parts / "e_optha_MA" / "Annotation_MA" / "E0003" / "C3.png", mask=True)
    import_pack("e_ophtha", parts, tmp_path / "data", progress=False)
    with pytest.raises(UsageError, match="for some images only"):
        load_images("e_ophtha", tmp_path / "data", masks=["ex"])
    exudates = load_images("e_ophtha", tmp_path / "data", masks=["ex"], annotated_only=True)
    assert exudates.rows["id"].tolist() == ["ex_C1", "ex_C2"]
    assert exudates.masks["ex"].sum(axis=(1, 2)).tolist() == [4, 0]


def write_idrid(folder, lesions=("MA", "HE", "EX", "SE")):
    """Write a photograph of each split with masks of some lesions in the test split, and return part A's folder."""
    part = folder / "A. Segmentation"
    for side, name, found in (
        ("a. Training Set", "IDRiD_01", ("MA", "HE", "EX", "SE")),
        ("b. Testing Set", "IDRiD_55", lesions),
    ):
        write_image(part / "1. Original Images" / side / f"{name}.jpg")
        for lesion in found:
            truths = part / "2. All Segmentation Groundtruths" / side / lesion
            write_image(truths / f"{name}_{lesion}.tif", mask=True)
    return part


def test_a_lesion_of_idrid_without_a_file_is_absent(tmp_path):
    part = write_idrid(tmp_path / "in")
    write_image(part / "1. Original Images" / "a. Training Set" / "IDRiD_02.jpg")
    import_pack("idrid", tmp_path / "in", tmp_path / "data", progress=False)
    image_set = load_images("idrid", tmp_path / "data", masks=["ex", "se"])
    assert image_set.rows["split"].tolist() == ["train", "train", "test"]
    assert (
        image_set.masks["ex"].sum(axis=(1, 2)).tolist() == image_set.masks["se"].sum(axis=(1, 2)).tolist() == [4, 0, 4]
    )


def test_a_card_has_what_the_import_of_its_release_makes(tmp_path, cards):
    text = (cards / "e_ophtha.toml").read_text()
    (cards / "e_ophtha.toml").write_text(text.replace("has_lesion = ", "has_lesions = "))
    small_pack.forget_cards()
    with pytest.raises(DataError, match=r"e_ophtha\.toml: label 'has_lesion' is missing"):
        import_pack("e_ophtha", tmp_path, tmp_path / "data", progress=False)


def test_a_folder_of_something_else_is_refused(tmp_path):
    write_image(tmp_path / "in" / "holiday.jpg")
    with pytest.raises(DataError, match="holds no image of idrid"):
        import_pack("idrid", tmp_path / "in", tmp_path / "data", progress=False)
    with pytest.raises(DataError, match=r"no file trainLabels.* with the columns image, level"):
        import_pack("eyepacs", tmp_path / "in", tmp_path / "data", progress=False)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


def test_an_image_that_cannot_be_read_is_named_and_a_folder_is_no_image(tmp_path):
    labels = pd.DataFrame({"image": ["10_left", "10_right"], "level": [0, 3]})
    write_image(tmp_path / "in" / "10_left.jpeg")
    (tmp_path / "in" / "10_right.jpeg").mkdir()
    labels.to_csv(tmp_path / "in" / "trainLabels.csv", index=False)
    assert import_pack("eyepacs", tmp_path / "in", tmp_path / "data", progress=False) == 1
    (tmp_path / "in" / "10_right.jpeg").rmdir()
    (tmp_path / "in" / "10_right.jpeg").symlink_to("/proc/self/mem")  # a file that nobody reads from its beginning
    with pytest.raises(DataError, match=r"10_right\.jpeg cannot be read: Input/output error"):
        import_pack("eyepacs", tmp_path / "in", tmp_path / "other", progress=False)
    assert not list((tmp_path / "other").iterdir())


def test_ground_truths_of_idrid_that_were_not_unpacked_are_no_healthy_eyes(tmp_path):
    write_idrid(tmp_path / "in", lesions=("MA", "HE", "EX"))
    with pytest.raises(DataError, match="no ground truth IDRiD_NN_SE of the test images; unpack all archives"):
        import_pack("idrid", tmp_path / "in", tmp_path / "data", progress=False)


def test_a_mask_of_another_size_and_a_second_file_of_one_name_are_refused(tmp_path):
    part = write_idrid(tmp_path / "in")
    large = part / "2. All Segmentation Groundtruths" / "b. Testing Set" / "EX" / "IDRiD_55_EX.tif"
    assert cv2.imwrite(str(large), np.full((32, 24), 255, np.uint8))
    with pytest.raises(DataError, match=r"IDRiD_55_EX.tif is 32x24, but its image is 24x32 \(H x W\)"):
        import_pack("idrid", tmp_path / "in", tmp_path / "data", progress=False)
    write_image(tmp_path / "in" / "thumbs" / "IDRiD_01.png")
    with pytest.raises(DataError, match=r"IDRiD_01.* have one name; leave one of them out"):
        import_pack("idrid", tmp_path / "in", tmp_path / "data", progress=False)


def test_healthy_eyes_of_e_ophtha_are_of_the_part_whose_folder_they_are_in(tmp_path):
    part = tmp_path / "e_optha_EX"
    write_image(part / "EX" / "E0001" / "C1.jpg")
    write_image(part / "Annotation_EX" / "E0001" / "C1_EX.png", mask=True)
    write_image(part / "healthy" / "E0002" / "C2.jpg")
    assert import_pack("e_ophtha", part, tmp_path / "data", progress=False) == 4  # two images, two masks
    assert load_images("e_ophtha", tmp_path / "data", masks=["ex"]).rows["id"].tolist() == ["ex_C1", "ex_C2"]
    write_image(tmp_path / "alone" / "healthy" / "E0002" / "C2.jpg")
    with pytest.raises(DataError, match="of neither part of e-ophtha"):
        import_pack("e_ophtha", tmp_path / "alone", tmp_path / "other", progress=False)


def test_a_sample_submission_grades_no_eye(tmp_path):
    for name in ("1_left", "2_left"):
        write_image(tmp_path / "in" / f"{name}.jpeg")
    (tmp_path / "in" / "trainLabels.csv").write_text("image,level\n1_left,2\n")
    (tmp_path / "in" / "sampleSubmission.csv").write_text("image,level\n2_left,0\n")
    import_pack("eyepacs", tmp_path / "in", tmp_path / "data", progress=False)
    assert load_images("eyepacs", tmp_path / "data", masks=[]).rows["id"].tolist() == ["1_left"]
