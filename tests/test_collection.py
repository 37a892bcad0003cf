"""A collection keeps images, masks and rows together."""

import numpy as np
import pandas as pd
import pytest

from retina_kit.data.collection import ImageSet
from retina_kit.errors import UsageError


def three_images():
    """Return images that are 0, 1 and 2 all over; the mask of number k has k pixels."""
    images = np.broadcast_to(np.arange(3, dtype=np.uint8)[:, None, None, None], (3, 1, 2, 4)).copy()
    masks = np.zeros((3, 2, 4), bool)
    for number in range(3):
        masks[number].ravel()[:number] = True
    rows = pd.DataFrame({"id": list("abc"), "patient": ["p", "p", "q"], "split": ["train", "train", "test"]})
    return ImageSet(images, {"fluid": masks}, rows, "three")


def test_a_subset_keeps_the_order_asked_for():
    some = three_images().subset([2, 0])
    assert len(some) == 2
    assert some.images[:, 0, 0, 0].tolist() == [2, 0]
    assert some.masks["fluid"].sum(axis=(1, 2)).tolist() == [2, 0]
    assert some.rows["id"].tolist() == ["c", "a"]
    assert some.rows.index.tolist() == [0, 1]


def test_the_fingerprint_follows_pixels_masks_and_ids():
    prints = [three_images().fingerprint()]
    pixel, mask, name = three_images(), three_images(), three_images()
    pixel.images[0, 0, 0, 0] = 9
    mask.masks["fluid"][0, 1, 3] = True
    name.rows.loc[0, "id"] = "z"
    prints += [changed.fingerprint() for changed in (pixel, mask, name)]
    assert len(set(prints)) == 4
    assert three_images().fingerprint() == prints[0]


@pytest.mark.parametrize("wrong", ["rows", "mask"])
def test_parts_that_do_not_belong_together_are_refused(wrong):
    good = three_images()
    rows = good.rows.iloc[:2] if wrong == "rows" else good.rows
    masks = {"fluid": good.masks["fluid"][:, :, :3]} if wrong == "mask" else good.masks
    with pytest.raises(UsageError, match="three"):
        ImageSet(good.images, masks, rows, "three")
