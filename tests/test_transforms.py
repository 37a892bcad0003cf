"""Preprocessing, each step beside numbers that can be counted by hand."""

import tracemalloc

import cv2
import numpy as np
import pytest

from retina_kit.data.transforms import (
    Preprocessing,
    equalize,
    fit_preprocessing,
    gamma,
    preprocess,
    resize_images,
    resize_masks,
    scaled_size,
    standardize,
    to_gray,
)
from retina_kit.errors import UsageError


def test_a_scale_gives_a_size_of_at_least_16():
    assert scaled_size((496, 768), 0.5) == (248, 384)
    assert scaled_size((496, 768), 1 / 3) == (165, 256)
    assert scaled_size((20, 400), 0.1) == (16, 40) and scaled_size((400, 20), 0.1) == (40, 16)


def test_an_image_that_shrinks_is_averaged_by_area():
    image = np.array([[0, 100, 10, 10], [0, 100, 10, 30]], np.uint8)[None, None]
    assert resize_images(image, (1, 2)).tolist() == [[[[50, 15]]]]


def test_an_image_that_keeps_a_side_is_averaged_along_the_other():
    row = np.array([[0, 0, 90, 10, 10, 40]], np.uint8)
    assert resize_images(row[None, None], (1, 2)).tolist() == [[[[30, 20]]]]
    assert resize_images(row.T[None, None], (2, 1)).tolist() == [[[[30], [20]]]]


def test_an_image_of_that_size_is_the_same_image():
    image = np.zeros((1, 3, 4, 6), np.uint8)
    assert resize_images(image, (4, 6)) is image


def test_channels_are_resized_each_by_itself():
    image = np.stack([np.full((1, 8, 8), value, np.uint8) for value in (10, 20, 30)], axis=1)
    assert resize_images(image, (4, 5))[0].mean(axis=(1, 2)).tolist() == [10, 20, 30]
    assert resize_images(image, (16, 5)).shape == (1, 3, 16, 5)


def test_masks_stay_masks_and_keep_their_area():
    mask = np.zeros((1, 90, 120), bool)
    mask[0, 30:60, 40:80] = True
    small = resize_masks(mask, (30, 40))
    assert small.dtype == bool
    assert small.mean() == pytest.approx(mask.mean(), rel=0.1)
    assert resize_masks(np.zeros((0, 90, 120), bool), (30, 40)).shape == (0, 30, 40)
    assert resize_masks(mask, (90, 120)) is mask
    classes = np.stack([mask, ~mask], axis=1)
    assert (resize_masks(classes, (30, 40)) == np.stack([small, ~small], axis=1)).all()


def test_luminance_weighs_the_colors():
    image = np.zeros((1, 3, 1, 3), np.uint8)
    for channel in range(3):
        image[0, channel, 0, channel] = 100
    assert to_gray(image).tolist() == [[[[30, 59, 11]]]]
    gray = np.zeros((2, 1, 4, 4), np.uint8)
    assert to_gray(gray) is gray


def test_standardized_images_span_all_gray_values():
    images = np.array([[[[10, 20, 30]]], [[[100, 100, 200]]]], np.uint8)
    assert standardize(images, images.mean(), images.std()).tolist() == [[[[0, 128, 255]]], [[[0, 0, 255]]]]


def test_a_flat_image_can_be_standardized():
    with np.errstate(all="raise"):
        assert (standardize(np.full((1, 1, 4, 4), 7, np.uint8), 7.0, 1.0) == 0).all()


def test_equalization_raises_contrast():
    image = np.random.default_rng(0).integers(100, 120, (1, 1, 256, 256)).astype(np.uint8)
    strong, weak = equalize(image, clip_limit=2.0), equalize(image, clip_limit=1.5)
    assert strong.std() > weak.std() > image.std()


def test_equalization_is_that_of_opencv_in_8_by_8_tiles():
    image = np.random.default_rng(0).integers(0, 200, (1, 2, 64, 64)).astype(np.uint8)
    for name, clip_limit in (("equalize", 2.0), ("equalize_weakly", 1.5)):
        clahe = cv2.createCLAHE(clip_limit, (8, 8))
        assert (preprocess(image, [name], np.array([0]))[0] == [clahe.apply(channel) for channel in image[0]]).all()


def test_gamma_above_1_brightens_and_keeps_the_ends():
    values = gamma(np.array([0, 64, 255], np.uint8), value=1.2)
    assert values.tolist() == [0, round((64 / 255) ** (1 / 1.2) * 255), 255]
    assert values[1] == 81


def test_steps_follow_one_another_in_their_order():
    images = np.random.default_rng(1).integers(0, 200, (3, 3, 32, 32)).astype(np.uint8)
    result = preprocess(images, ["gray", "standardize", "gamma"], np.array([0, 1]))
    gray = to_gray(images)
    assert (result == gamma(standardize(gray, gray[:2].mean(), gray[:2].std()))).all()
    assert preprocess(images, [], np.array([0])) is images


def test_an_unknown_step_is_named():
    with pytest.raises(UsageError, match=r"sharpen.*equalize"):
        preprocess(np.zeros((1, 1, 4, 4), np.uint8), ["sharpen"], np.array([0]))


def test_images_are_treated_one_by_one_as_they_would_be_together():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 3, 40, 60), dtype=np.uint8)
    steps = fit_preprocessing(images, ["gray", "standardize", "equalize"], np.array([0, 3]))
    together = images
    for step in steps.steps:
        together = step(together)
    assert np.array_equal(steps.apply(images), together)
    assert np.array_equal(steps.apply(images, (20, 30)), resize_images(together, (20, 30)))
    assert np.array_equal(Preprocessing().apply(images, (20, 30)), resize_images(images, (20, 30)))


def test_fitted_statistics_are_those_of_all_pixels_of_the_training_images():
    images = np.random.default_rng(1).integers(0, 256, (6, 1, 50, 70), dtype=np.uint8)
    (fitted,) = fit_preprocessing(images, ["standardize"], np.array([1, 4])).steps
    assert (fitted.mean, fitted.std) == (images[[1, 4]].mean(), images[[1, 4]].std())


def test_a_large_data_set_is_prepared_in_the_memory_of_its_result():
    """100 images of 1 MB: what lies between two steps is that of one image, not of all."""
    images = np.random.default_rng(2).integers(0, 256, (100, 1, 1000, 1000), dtype=np.uint8)
    steps = fit_preprocessing(images, ["standardize", "equalize"], np.arange(50))
    tracemalloc.start()
    try:
        prepared = steps.apply(images, (100, 100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert prepared.shape == (100, 1, 100, 100)
    assert peak < 40 * 2**20, "standardized all at once they take 800 MB"


def test_statistics_are_those_of_numpy_without_a_second_copy_of_the_images():
    images = np.random.default_rng(3).integers(0, 256, (40, 1, 128, 160), dtype=np.uint8)
    tracemalloc.start()
    (fitted,) = fit_preprocessing(images, ["standardize"], np.arange(1, 40)).steps
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (fitted.mean, fitted.std) == (
        pytest.approx(images[1:].mean(), rel=1e-12),
        pytest.approx(images[1:].std(), rel=1e-12),
    )
    assert peak < 500_000, "one image of 20 kB as int64; numpy's own SD takes 8 bytes a pixel of all, 6.4 MB"
