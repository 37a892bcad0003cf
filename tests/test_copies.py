"""Moved copies: the image with its mask, the same for the same seed, beside their original's patient."""

import numpy as np
import pandas as pd

from retina_kit.data.collection import ImageSet
from retina_kit.data.copies import add_copies, moved, with_copies
from retina_kit.data.splits import by_images, by_patients, shared_patients


def two_images():
    """Return two images with a square each, and the squares as masks."""
    masks = np.zeros((2, 40, 50), bool)
    masks[0, 10:20, 10:20] = masks[1, 20:30, 30:40] = True
    images = np.repeat(masks[:, None] * np.uint8(200), 3, axis=1)
    rows = pd.DataFrame({"id": ["a", "b"], "patient": ["p", "q"], "split": ""})
    return ImageSet(images, {"square": masks}, rows, "squares")


def test_an_affine_map_of_pure_shift_moves_pixels_exactly():
    stack = np.arange(24, dtype=np.uint8).reshape(1, 1, 4, 6)
    shift = np.array([[[1.0, 0, 2], [0, 1.0, 1]]])  # two to the right, one down
    assert np.array_equal(moved(stack, shift)[0, 0, 1:, 2:], stack[0, 0, :-1, :-2])
    assert not moved(stack, shift)[0, 0, 0].any()


def test_originals_come_first_and_masks_move_with_their_images():
    image_set = two_images()
    images, masks = with_copies(image_set.images, image_set.masks["square"], 2, seed=3)
    assert images.shape == (6, 3, 40, 50)
    assert masks.dtype == bool
    assert np.array_equal(images[:2], image_set.images)
    assert not np.array_equal(images[2:4], image_set.images)
    assert (masks != (images[:, 0] > 100)).mean() < 0.01  # but for interpolated borders
    assert np.array_equal(images, with_copies(image_set.images, None, 2, seed=3)[0])


def test_copies_before_a_split_by_image_stand_on_both_sides():
    image_set = two_images()
    many = ImageSet(
        np.repeat(image_set.images, 10, axis=0),
        {},
        pd.DataFrame({"id": [f"{k}" for k in range(20)], "patient": [f"p{k}" for k in range(20)], "split": ""}),
        "many",
    )
    rows = add_copies(many, 2).rows
    assert len(rows) == 60
    assert rows["id"].is_unique
    assert rows["id"].iloc[20] == "0_copy1"
    assert shared_patients(rows, *by_images(rows, 0.2, 0))
    assert not shared_patients(rows, *by_patients(rows, 0.2, 0))
