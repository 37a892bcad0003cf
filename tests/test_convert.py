"""Conversions of original files, on images small enough to count."""

import zlib
from typing import get_args

import cv2
import numpy as np
import pytest

from retina_kit.data.card import Conversion, kit_cards, read_card
from retina_kit.data.pixels import read_image, read_mask
from retina_kit.errors import DataError
from retina_kit.packs.convert import CONVERSIONS, Original, convert_original, largest_closed, without_metadata


def png(pixels):
    """Return pixels as a PNG file's bytes."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def mask_from(content, how, size=(6, 8), **settings):
    """Return the bool mask that a conversion gives."""
    return read_mask("made.png", size, convert_original(how, Original("original", content, size=size, **settings)))


def test_every_conversion_that_a_card_may_name_exists():
    assert set(CONVERSIONS) == set(get_args(Conversion))
    used = {source.convert for name in kit_cards() for source in read_card(name).sources}
    assert used <= set(CONVERSIONS)
    assert len(used) > 5


def test_a_mask_is_luminance_above_127():
    gray = np.array([[0, 127, 128, 255]], np.uint8)
    assert mask_from(png(gray), "mask", (1, 4)).tolist() == [[False, False, True, True]]


def test_a_label_in_red_on_blue_is_its_red():
    label = np.zeros((2, 3, 3), np.uint8)
    label[..., 0] = 255
    label[1, 2] = (0, 0, 255)
    assert np.argwhere(mask_from(png(label), "red_mask", (2, 3))).tolist() == [[1, 2]]


def test_a_shrunk_mask_needs_half_of_a_pixel():
    mask = np.zeros((8, 8), np.uint8)
    mask[0:2, 0:1] = 255  # half of pixel (0, 0)
    mask[2:4, 2:4] = 255  # all of pixel (1, 1)
    mask[2, 4] = 255  # joined to it, a quarter of pixel (1, 2)
    assert np.argwhere(mask_from(png(mask), "shrunk_mask", (4, 4))).tolist() == [[0, 0], [1, 1]]


def test_a_lesion_that_would_vanish_keeps_its_best_pixels():
    mask = np.zeros((8, 8), np.uint8)
    mask[0, 0] = 255  # a quarter of pixel (0, 0)
    mask[6, 5:7] = 255  # a quarter of pixels (3, 2) and (3, 3)
    assert np.argwhere(mask_from(png(mask), "shrunk_mask", (4, 4))).tolist() == [[0, 0], [3, 2], [3, 3]]


def test_an_opaque_four_channel_label_covers_everything():
    label = np.zeros((8, 8, 4), np.uint8)
    label[..., 3] = 255
    assert mask_from(png(label), "shrunk_mask", (4, 4)).all()


def test_the_field_of_view_is_the_largest_part_without_holes():
    mask = np.zeros((30, 40), bool)
    mask[8:22, 8:22] = True
    mask[14, 14] = False
    mask[14, 33] = True
    field = largest_closed(mask)
    assert field[14, 14]
    assert not field[14, 33]
    assert field.sum() == 14 * 14
    assert not largest_closed(np.zeros((5, 5), bool)).any()


def test_the_field_of_a_photograph_is_where_it_is_bright():
    photograph = np.zeros((20, 20, 3), np.uint8)
    photograph[5:15, 5:15] = (10, 20, 26)
    assert mask_from(png(photograph), "bright_field", (20, 20)).sum() == 100
    photograph[5:15, 5:15] = (25, 25, 25)
    assert mask_from(png(photograph), "bright_field", (20, 20)).sum() == 0


def test_an_empty_mask_needs_no_original():
    assert mask_from(b"", "empty_mask", (3, 4)).sum() == 0


def test_a_jpeg_shrinks_by_area():
    image_ = np.full((8, 8, 3), 100, np.uint8)
    image_[:, 4:] = 200
    content = convert_original("jpeg", Original("a", png(image_), size=(4, 4), quality=100))
    small = read_image("a.jpg", 3, content)
    assert small.shape == (4, 4, 3)
    assert np.abs(small[:, :2].astype(int) - 100).max() <= 1
    assert np.abs(small[:, 2:].astype(int) - 200).max() <= 1


def test_metadata_goes_and_pixels_stay():
    content = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))[1].tobytes()
    secret = b"Exif\0\0Jane Doe"
    loud = content[:2] + b"\xff\xe1" + (len(secret) + 2).to_bytes(2, "big") + secret + content[2:]
    quiet = without_metadata(loud)
    assert b"Jane Doe" in loud
    assert b"Jane Doe" not in quiet
    assert quiet == content


def test_the_text_of_a_png_goes():
    content = png(np.eye(4, dtype=np.uint8))
    text = b"tEXtComment\0Jane Doe"
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    assert b"Jane Doe" not in without_metadata(content[:33] + chunk + content[33:])


def volume(**changes):
    """Return the arrays of a .mat file with two B-scans of 2 x 3; B-scan 1 is not annotated."""
    fluid = np.zeros((2, 3, 2))
    fluid[0, :, 0] = (0, 3, 7)
    fluid[:, :, 1] = np.nan
    return {"images": np.arange(12, dtype=np.uint8).reshape(2, 3, 2), "manualFluid1": fluid} | changes


def test_a_scan_of_a_volume_and_its_fluid():
    image_ = convert_original("matlab_scan", Original("s.mat", arrays=volume(), variable="images", scan=0))
    assert read_image("a", 1, image_).tolist() == [[0, 2, 4], [6, 8, 10]]
    fluid = mask_from(b"", "matlab_mask", (2, 3), arrays=volume(), variable="manualFluid1", scan=0)
    assert fluid.tolist() == [[False, True, True], [False, False, False]]


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ({"variable": "manualFluid1", "scan": 1}, {}, "not annotated"),
        ({"variable": "manualFluid2", "scan": 0}, {}, "manualFluid2 is missing"),
        ({"variable": "manualFluid1", "scan": 2}, {}, "with scan 2"),
        ({"variable": "manualFluid1", "scan": 0}, {"manualFluid1": np.zeros((2, 3))}, "of shape"),
    ],
)
def test_a_volume_without_the_scan_is_refused(source, changes, message):
    with pytest.raises(DataError, match=rf"s\.mat.*{message}"):
        convert_original("matlab_mask", Original("s.mat", arrays=volume(**changes), **source))


def test_a_volume_of_the_wrong_type_is_refused():
    with pytest.raises(DataError, match="expected uint8"):
        convert_original("matlab_scan", Original("s.mat", arrays=volume(images=np.zeros((2, 3, 2))), variable="images"))
