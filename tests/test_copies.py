"""Moved copies: the image with its mask, the same for the same seed, beside their original's patient."""

import numpy as np
import pandas as pd

from retina_kit.data.collection import ImageSet
from retina_kit.data.copies import ImagesWithCopies, add_copies, moved, sample_moves, with_copies
from retina_kit.data.patches import patches_at
from retina_kit.data.splits import by_images, by_patients, shared_patients


def two_images():
    """Return two images with a square each, and the squares as masks."""
    masks = np.zeros((2, 40, 50), bool)
    masks[0, 10:20, 10:20] = masks[1, 20:30, 30:40] = True
    images = np.repeat(masks[:, None] * np.uint8(200), 3, axis=1)
    rows = pd.DataFrame({"id": ["a", "b"], "patient": ["p", "q"], "split": ""})
    return ImageSet(images, {"square": masks}, rows, "squares")


def both(image_set, num_copies, seed):
    """Return images and masks with their copies."""
    masks = with_copies(image_set.masks["square"], num_copies, seed, nearest=True)
    return with_copies(image_set.images, num_copies, seed), masks


def test_an_affine_map_of_pure_shift_moves_pixels_exactly():
    stack = np.arange(24, dtype=np.uint8).reshape(1, 1, 4, 6)
    shift = np.array([[[1.0, 0, 2], [0, 1.0, 1]]])  # two to the right, one down
    assert np.array_equal(moved(stack, shift)[0, 0, 1:, 2:], stack[0, 0, :-1, :-2])
    assert not moved(stack, shift)[0, 0, 0].any()


def test_moves_turn_zoom_and_shift_around_the_center():
    moves = sample_moves(200, (40, 60), np.random.default_rng(0))
    turn, zoom = np.degrees(np.arctan2(moves[:, 0, 1], moves[:, 0, 0])), np.hypot(moves[:, 0, 0], moves[:, 0, 1])
    assert -20 < turn.min() < -18 and 18 < turn.max() < 20
    assert 0.9 < zoom.min() < 0.91 and 1.09 < zoom.max() < 1.1
    shift = (moves @ [30, 20, 1] - [30, 20]) / [60, 40]  # of the center, as x and y in shares of a side
    assert (np.abs(shift) < 0.05).all() and (shift.min(axis=0) < -0.045).all() and (shift.max(axis=0) > 0.045).all()


def test_originals_come_first_and_masks_move_with_their_images():
    image_set = two_images()
    images, masks = both(image_set, 2, seed=3)
    assert images.shape == (6, 3, 40, 50)
    assert masks.dtype == bool
    assert np.array_equal(images[:2], image_set.images)
    assert not np.array_equal(images[2:4], image_set.images)
    assert (masks != (images[:, 0] > 100)).mean() < 0.01  # but for interpolated borders


def test_a_copy_is_made_when_it_is_read_and_is_the_same_as_in_the_array():
    images, together = two_images().images, with_copies(two_images().images, 2, seed=3)
    one_by_one = ImagesWithCopies(images, 2, seed=3)
    assert (len(one_by_one), one_by_one.shape, one_by_one.dtype) == (6, together.shape, together.dtype)
    assert all(np.array_equal(copy, expected) for copy, expected in zip(one_by_one, together, strict=True))
    assert np.array_equal(patches_at(one_by_one, 16, np.arange(3, 60)), patches_at(together, 16, np.arange(3, 60)))


def test_each_copy_has_moves_of_its_own_and_no_copies_leave_everything_as_it_is():
    image_set = two_images()
    images = with_copies(image_set.images, 2, seed=3)
    assert not np.array_equal(images[2:4], images[4:6])
    assert not np.array_equal(images, with_copies(image_set.images, 2, seed=4))
    images, masks = both(image_set, 0, seed=3)
    assert np.array_equal(images, image_set.images) and np.array_equal(masks, image_set.masks["square"])


def test_masks_are_moved_to_the_nearest_pixel_and_images_between_pixels():
    stack = np.zeros((1, 1, 3, 4), np.uint8)
    stack[0, 0, 1, 1] = 200
    quarter = np.array([[[1.0, 0, 0.25], [0, 1.0, 0]]])  # of a pixel to the right
    assert moved(stack, quarter)[0, 0, 1].tolist() == [0, 150, 50, 0]
    assert moved(stack[:, 0] > 0, quarter, nearest=True)[0, 1].tolist() == [False, True, False, False]


def test_an_image_set_has_its_masks_copied():
    image_set = two_images()
    copied = add_copies(image_set, 1, seed=3)
    images, masks = both(image_set, 1, seed=3)
    assert np.array_equal(copied.images, images) and np.array_equal(copied.masks["square"], masks)
    assert copied.rows["id"].tolist() == ["a", "b", "a_copy1", "b_copy1"] and copied.name == "squares"


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
