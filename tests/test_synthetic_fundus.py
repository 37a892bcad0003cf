"""Synthetic fundus photographs: exact masks, grades, seeds, and how near they are to real ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from retina_kit.data.manifest import has_pack
from retina_kit.data.synthetic.fundus import LESIONS, generate_fundus
from retina_kit.errors import UsageError

DATA_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data"


def needs(pack):
    """Return a mark that skips a test where a data pack is not there."""
    return pytest.mark.skipif(not has_pack(pack, DATA_ROOT), reason=f"the data pack {pack} is not in ../shared/data")


def load(pack, masks, size):
    """Return a real pack at a given size."""
    from retina_kit.data.dataset import load_images

    return load_images(pack, DATA_ROOT, masks=masks, size=size)


@pytest.fixture(scope="module")
def synthetic():
    """Twenty-four synthetic eyes, two photographs each."""
    return generate_fundus(24, 2, (302, 350), seed=1)


def test_the_same_seed_gives_the_same_photographs():
    first, second, other = (generate_fundus(2, 1, (64, 64), seed=seed) for seed in (5, 5, 6))
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()


def test_photographs_come_in_any_size_as_rgb():
    for size in ((128, 128), (170, 256)):
        image_set = generate_fundus(1, 2, size, seed=0)
        assert image_set.images.shape == (2, 3, *size)
        assert image_set.images.dtype == np.uint8


def test_everything_lies_in_the_field_of_view(synthetic):
    outside = ~synthetic.masks["fov"]
    assert all(not (mask & outside).any() for name, mask in synthetic.masks.items() if name != "fov")


def test_the_center_is_that_of_the_disc_mask(synthetic):
    for k, row in synthetic.rows.iterrows():
        y, x = np.nonzero(synthetic.masks["disc"][k])
        assert abs(x.mean() - row["disc_x"]) < 1.5
        assert abs(y.mean() - row["disc_y"]) < 1.5


def test_grade_0_has_no_lesion_and_higher_grades_have_some(synthetic):
    lesions = np.stack([synthetic.masks[name].any(axis=(1, 2)) for name in LESIONS]).any(axis=0)
    healthy = synthetic.rows["grade"] == 0
    assert not lesions[healthy].any()
    assert lesions[~healthy].all()
    assert np.array_equal(lesions, synthetic.rows["has_lesion"] == 1)
    assert synthetic.rows["grade"].nunique() >= 3


def test_two_photographs_of_one_eye_resemble_each_other(synthetic):
    small = np.stack([cv2.resize(image[1], (40, 40), interpolation=cv2.INTER_AREA) for image in synthetic.images])
    small = small.reshape(24, 2, -1).astype(float)
    small -= small.mean(axis=(0, 1))  # what all photographs share says nothing
    same = np.mean([np.corrcoef(*small[p])[0, 1] for p in range(24)])
    other = np.mean([np.corrcoef(small[p, 0], small[(p + 1) % 24, 1])[0, 1] for p in range(24)])
    assert same > other


def test_an_unknown_camera_is_an_error():
    with pytest.raises(UsageError, match="phone"):
        generate_fundus(1, camera="phone")


def vessel_contrast(image_set):
    """Return the mean relative darkness of vessels against their surroundings in green."""
    found = []
    for image, vessels in zip(image_set.images[:, 1].astype(float), image_set.masks["vessels"], strict=True):
        around = cv2.blur(image, (21, 21))
        found.append(((image - around) / np.maximum(around, 1))[vessels].mean())
    return float(np.mean(found))


@needs("stare")
@needs("chase_db1")
def test_vessels_are_as_many_and_as_dark_as_real_ones(synthetic):
    real = [load("stare", ["vessels", "fov"], (302, 350)), load("chase_db1", ["vessels", "fov"], (336, 350))]
    share = [p.masks["vessels"].sum() / p.masks["fov"].sum() for p in real]
    contrast = [vessel_contrast(p) for p in real]
    ours = synthetic.masks["vessels"].sum() / synthetic.masks["fov"].sum()
    assert 0.6 * min(share) < ours < 1.6 * max(share)
    assert abs(vessel_contrast(synthetic) - np.mean(contrast)) < 0.06


@needs("stare")
@needs("chase_db1")
def test_colors_lie_between_those_of_two_real_cameras(synthetic):
    means = []
    for image_set in (load("chase_db1", ["fov"], (336, 350)), load("stare", ["fov"], (302, 350)), synthetic):
        means.append([image_set.images[:, c][image_set.masks["fov"]].mean() for c in range(3)])
    low, high = np.minimum(means[0], means[1]) - 25, np.maximum(means[0], means[1]) + 25
    assert (low < means[2]).all()
    assert (means[2] < high).all()


@needs("idrid_seg_1024")
def test_disc_and_lesions_are_as_large_as_real_ones(synthetic):
    real = load("idrid_seg_1024", ["disc", "he", "ma"], None)
    for name, factor in (("disc", 2.0), ("he", 3.0), ("ma", 3.0)):
        share = [p.masks[name][p.masks[name].any(axis=(1, 2))].mean() for p in (synthetic, real)]
        assert 1 / factor < share[0] / share[1] < factor, name
