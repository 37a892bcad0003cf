"""Synthetic OCT scans: exact masks, seeds, and how near they are to the real ones of Chiu 2015."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from retina_kit.data.manifest import has_pack
from retina_kit.data.synthetic.oct import generate_oct, mix_devices
from retina_kit.errors import UsageError

DATA_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data"
real_data = pytest.mark.skipif(
    not has_pack("oct_dme_chiu2015", DATA_ROOT), reason="the data pack oct_dme_chiu2015 is not in ../shared/data"
)


@pytest.fixture(scope="module")
def synthetic():
    """Twenty synthetic eyes of eleven scans, like the real pack at half its size."""
    return generate_oct(20, 11, (248, 384), annotators=True, seed=1)


@pytest.fixture(scope="module")
def real():
    """The real pack at half its size."""
    from retina_kit.data.dataset import load_images

    return load_images("oct_dme_chiu2015", DATA_ROOT, masks=["union"], size=(248, 384))


def dice(first, second):
    """Return the pooled Dice of two stacks of masks."""
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_the_same_seed_gives_the_same_scans():
    first, second, other = (generate_oct(2, 3, (64, 96), seed=seed) for seed in (5, 5, 6))
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()


def test_scans_come_in_any_size_as_uint8():
    for size in ((64, 64), (200, 130), (496, 768)):
        image_set = generate_oct(1, 2, size, seed=0)
        assert image_set.images.shape == (2, 1, *size)
        assert image_set.images.dtype == np.uint8


def test_fluid_is_its_three_kinds_and_lies_in_the_retina(synthetic):
    masks = synthetic.masks
    assert np.array_equal(masks["fluid"], masks["irf"] | masks["srf"] | masks["ped"])
    assert not (masks["irf"] & masks["srf"]).any()
    assert (masks["fluid"] & ~masks["retina"]).sum() == 0
    assert all(masks[kind].any() for kind in ("irf", "srf", "ped"))


def test_scans_of_one_eye_resemble_one_another(synthetic):
    small = np.stack([cv2.resize(image[0], (48, 31), interpolation=cv2.INTER_AREA) for image in synthetic.images])
    small = np.where(small > 200, 0, small).reshape(20, 11, -1).astype(float)
    same = np.mean([np.corrcoef(small[p, 4], small[p, 5])[0, 1] for p in range(20)])
    other = np.mean([np.corrcoef(small[p, 4], small[(p + 1) % 20, 5])[0, 1] for p in range(20)])
    assert same > other + 0.1


def test_annotators_differ_as_people_do(synthetic):
    """Melinscak 2020 prints 0.889 for one expert twice and 0.822 for two experts."""
    again = dice(synthetic.masks["annotator1"], synthetic.masks["annotator1_again"])
    other = dice(synthetic.masks["annotator1"], synthetic.masks["annotator2"])
    assert 0.80 < other < again < 0.95


def test_the_gap_moves_from_one_device_to_the_other():
    assert mix_devices("spectralis", 0.0) == mix_devices("cirrus", 1.0)
    near, far = (generate_oct(4, 2, (128, 128), gap=gap, seed=2) for gap in (0.1, 1.0))
    own = generate_oct(4, 2, (128, 128), seed=2)
    distance = [abs(p.images.astype(float).mean() - own.images.mean()) for p in (near, far)]
    assert distance[0] < distance[1]
    assert np.array_equal(near.masks["irf"].any(), own.masks["irf"].any())


def test_an_unknown_device_and_a_gap_beyond_one_are_errors():
    with pytest.raises(UsageError, match="topcon"):
        generate_oct(1, device="topcon")
    with pytest.raises(UsageError, match="gap"):
        generate_oct(1, gap=1.5)


def gray_quantiles(images):
    """Return nine quantiles of the gray values, white wedges left out."""
    return np.percentile(images[images < 255], [1, 5, 10, 25, 50, 75, 90, 95, 99])


def profile_of(image_set):
    """Return mean gray value against depth below the brightest row of the retina, wedges left out, columns aligned."""
    images = np.where(image_set.images[:, 0] == 255, 0, image_set.images[:, 0]).astype(float)
    smooth = np.stack([image.reshape(248, 48, 8).mean(axis=2) for image in images])
    profiles = []
    for scan in smooth:
        brightest = np.convolve(scan.mean(axis=1), np.ones(5) / 5, mode="same")
        for column in scan.T:
            top = int(column[40:-40].argmax()) + 40
            profiles.append(column[top - 35 : top + 36])
        assert brightest.max() > 0
    return np.mean([profile for profile in profiles if len(profile) == 71], axis=0)


@real_data
def test_the_gray_values_are_those_of_real_scans(synthetic, real):
    """Mean absolute difference of nine quantiles, in gray values (0 to 255)."""
    difference = np.abs(gray_quantiles(synthetic.images) - gray_quantiles(real.images))
    assert difference.mean() < 8


@real_data
def test_the_white_wedges_are_as_large_as_real_ones(synthetic, real):
    share = [(image_set.images == 255).mean() for image_set in (synthetic, real)]
    assert abs(share[0] - share[1]) < 0.02


@real_data
def test_there_is_as_much_fluid_as_in_real_eyes(synthetic, real):
    """Real eyes hold 0.19 to 2.84 % of fluid, 1.19 % on the whole."""
    fluid, union = synthetic.masks["fluid"], real.masks["union"]
    assert 0.6 < fluid.mean() / union.mean() < 1.6
    per_eye = fluid.reshape(20, -1).mean(axis=1)
    assert per_eye.min() < 0.007
    assert per_eye.max() > 0.015


@real_data
def test_speckle_is_as_strong_as_in_real_scans(synthetic, real):
    """In the vitreous, at full size, slow changes taken off: SD over mean, and correlation with the next pixel."""
    from retina_kit.data.dataset import load_images

    found = []
    for image_set in (generate_oct(6, 8, (496, 768), seed=1), load_images("oct_dme_chiu2015", DATA_ROOT, masks=[])):
        rows = image_set.images[:, 0, 60:80].astype(np.float32)
        rows = rows[(rows < 250).all(axis=(1, 2)) & (rows.mean(axis=(1, 2)) < 30)]
        residual = np.stack([row - cv2.blur(row, (9, 9)) for row in rows])
        spread = np.mean(residual.std(axis=(1, 2)) / rows.mean(axis=(1, 2)))
        near = np.mean([np.corrcoef(r[:, :-1].ravel(), r[:, 1:].ravel())[0, 1] for r in residual])
        found.append((spread, near))
    print("SD over mean and correlation, synthetic and real:", found)
    assert abs(found[0][0] - found[1][0]) < 0.25
    assert abs(found[0][1] - found[1][1]) < 0.25


@real_data
def test_layers_stand_out_as_in_real_scans(synthetic, real):
    """The mean profile round the brightest layer, both scaled to their peak, correlates and hardly differs."""
    ours, theirs = (profile_of(image_set) for image_set in (synthetic, real))
    ours, theirs = ours / ours.max(), theirs / theirs.max()
    assert np.corrcoef(ours, theirs)[0, 1] > 0.85
    assert np.abs(ours - theirs).mean() < 0.15
