"""The field of view: found, cropped without stretching, the masks with their images."""

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.collection import ImageSet
from retina_kit.data.field_of_view import crop_to_field, field_box


def disc_image(center, radius, size=(120, 200)):
    """Return an image (3, H, W) with a bright disc on black."""
    image_ = np.zeros((*size, 3), np.uint8)
    cv2.circle(image_, center, radius, (180, 90, 40), -1)
    return image_.transpose(2, 0, 1).copy()


def test_the_box_lies_around_the_field():
    top, left, bottom, right = field_box(disc_image((90, 60), 50))
    assert abs(top - 10) <= 4
    assert abs(left - 40) <= 4
    assert abs(bottom - 111) <= 4
    assert abs(right - 141) <= 4


def test_a_dark_image_is_its_own_box():
    assert field_box(np.zeros((3, 40, 60), np.uint8)) == (0, 0, 40, 60)


def test_images_are_cropped_to_one_size_and_nothing_of_a_field_is_lost():
    images = np.stack([disc_image((60, 60), 50), disc_image((130, 50), 40)])
    mask = images[:, 0] > 0
    rows = pd.DataFrame({"id": ["a", "b"], "patient": ["a", "b"], "split": ""})
    cropped = crop_to_field(ImageSet(images, {"bright": mask}, rows, "discs"))
    assert cropped.images.shape[-1] < 120
    assert cropped.images.shape[-2:] == cropped.masks["bright"].shape[-2:]
    assert np.array_equal(cropped.masks["bright"], cropped.images[:, 0] > 0)  # mask and image move together
    assert np.array_equal(cropped.masks["bright"].sum(axis=(1, 2)), mask.sum(axis=(1, 2)))


def test_fields_that_touch_the_border_keep_their_border():
    images = np.stack([disc_image((10, 10), 20), disc_image((100, 60), 40), disc_image((190, 110), 20)])
    rows = pd.DataFrame({"id": list("abc"), "patient": list("abc"), "split": ""})
    cropped = crop_to_field(ImageSet(images, {}, rows, "discs")).images
    assert cropped.shape[-2:] < images.shape[-2:]
    assert np.array_equal(cropped.sum(axis=(1, 2, 3)), images.sum(axis=(1, 2, 3)))


def test_crops_are_centered_on_their_fields():
    images = np.zeros((2, 3, 90, 120), np.uint8)
    images[0, :, 20:70, 30:90] = images[1, :, 40:60, 20:60] = 200  # boxes (17, 27, 73, 93) and (37, 17, 63, 63)
    assert [field_box(image) for image in images] == [(17, 27, 73, 93), (37, 17, 63, 63)]
    rows = pd.DataFrame({"id": list("ab"), "patient": list("ab"), "split": ""})
    cropped = crop_to_field(ImageSet(images, {}, rows, "boxes")).images
    assert cropped.shape == (2, 3, 56, 66)
    # the second is centered on row 50 and column 40: rows 22 to 78 and columns 7 to 73
    assert np.array_equal(cropped[0], images[0, :, 17:73, 27:93])
    assert np.array_equal(cropped[1], images[1, :, 22:78, 7:73])


def test_the_largest_bright_part_is_the_field():
    image = np.zeros((3, 90, 120), np.uint8)
    image[:, 20:70, 30:90] = image[:, 80:84, 2:6] = 200  # and a label in the corner
    assert field_box(image) == (17, 27, 73, 93)


def test_a_gray_image_has_a_field_too():
    gray = disc_image((90, 60), 50).max(axis=0, keepdims=True)
    top, left, bottom, right = field_box(gray)
    assert abs(top - 10) <= 4 and abs(left - 40) <= 4 and abs(bottom - 111) <= 4 and abs(right - 141) <= 4
