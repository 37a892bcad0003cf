"""The README's first image shows the median difference, not a chosen one."""

from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image

from benchmarks.readme_image import SCRATCH, TRANSFER, WIDTH, median_image
from retina_kit.files import kit_root


def test_the_image_with_the_median_difference_is_shown():
    gains = {"a": 0.3, "b": -0.1, "c": 0.02, "d": 0.0, "e": 0.5}
    rows = [
        {"id": name, "fold": place, "seed": seed, "variant": "last", "arm": arm, "dice": 0.5 + gain * (arm == TRANSFER)}
        for place, (name, gain) in enumerate(gains.items())
        for arm in (SCRATCH, TRANSFER)
        for seed in (0, 1)
    ]
    name, fold, scratch, transfer = median_image(SimpleNamespace(scores=pd.DataFrame(rows), seeds=[0, 1]))
    assert (name, fold) == ("c", 2)
    assert (scratch, transfer) == (pytest.approx(0.5), pytest.approx(0.52))


def test_the_image_of_this_checkout_is_a_row_of_five():
    with Image.open(kit_root() / "docs" / "images" / "idrid_row.png") as image:
        assert image.width == 5 * WIDTH + 4 * 8
