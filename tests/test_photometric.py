"""Photometric distortion: against colorsys, within its ranges, and repeatable."""

import colorsys

import numpy as np
import pytest
import torch

from retina_kit.data import photometric
from retina_kit.data.augment import Augmentation
from retina_kit.data.photometric import change_colors, distort_colors
from retina_kit.training.batches import Batches
from retina_kit.training.recipe import Recipe


def one(value):
    """Return a number of one image."""
    return torch.full((1, 1, 1, 1), value)


@pytest.mark.parametrize(("factor", "degrees"), [(1.0, 0.0), (0.5, 0.0), (1.5, 0.0), (1.0, 36.0), (0.7, -36.0)])
def test_colors_change_as_in_the_hsv_space(factor, degrees):
    rgb = np.random.default_rng(0).uniform(0, 255, (1, 3, 4, 5)).astype(np.float32)
    rgb[0, :, 0, 0] = 90  # a gray pixel has no hue
    changed = change_colors(torch.from_numpy(rgb), one(factor), one(degrees))[0].permute(1, 2, 0).reshape(-1, 3)
    for before, after in zip(rgb[0].transpose(1, 2, 0).reshape(-1, 3), changed.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255))
        expected = colorsys.hsv_to_rgb((hue + degrees / 360) % 1, min(1.0, saturation * factor), value)
        assert after == pytest.approx([255 * part for part in expected], abs=1e-2)


def test_gray_images_get_brightness_and_contrast_only():
    gray = torch.full((2000, 1, 1, 1), 100.0)
    distorted = distort_colors(gray, torch.Generator().manual_seed(0)).flatten()
    assert float(distorted.min()) >= 68 * 0.5 and float(distorted.max()) <= 132 * 1.5
    assert float((distorted == 100).float().mean()) == pytest.approx(0.25, abs=0.03)  # neither of the two
    color = distort_colors(gray.expand(-1, 3, -1, -1), torch.Generator().manual_seed(0))
    assert torch.allclose(color[:, 0].flatten(), distorted, atol=1e-3)
    assert torch.allclose(color[:, 0], color[:, 2], atol=1e-3)


def test_brightness_changes_by_up_to_32_gray_values_in_half_of_the_images(monkeypatch):
    monkeypatch.setattr(photometric, "FACTORS", (1.0, 1.0))
    distorted = distort_colors(torch.full((2000, 1, 1, 1), 100.0), torch.Generator().manual_seed(0))
    assert 68 <= float(distorted.min()) < 68.3 and 131.7 < float(distorted.max()) <= 132
    assert float((distorted == 100).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_contrast_and_saturation_change_by_half_either_way(monkeypatch):
    monkeypatch.setattr(photometric, "BRIGHTNESS", 0.0)
    gray = distort_colors(torch.full((2000, 1, 1, 1), 100.0), torch.Generator().manual_seed(0))
    assert 50 <= float(gray.min()) < 50.3 and 149.7 < float(gray.max()) <= 150
    assert float((gray == 100).float().mean()) == pytest.approx(0.5, abs=0.03)
    monkeypatch.setattr(photometric, "HUE", 0.0)
    colors = torch.tensor([100.0, 80.0, 50.0]).reshape(1, 3, 1, 1).expand(2000, -1, -1, -1)
    distorted = distort_colors(colors, torch.Generator().manual_seed(0))
    saturation = 1 - distorted.amin(dim=1) / distorted.amax(dim=1)  # 0.5 before, whatever the contrast
    assert 0.25 <= float(saturation.min()) < 0.252 and 0.748 < float(saturation.max()) <= 0.7501
    assert float(((saturation - 0.5).abs() < 1e-4).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_contrast_comes_before_or_after_the_colors(monkeypatch):
    monkeypatch.setattr(photometric, "BRIGHTNESS", 0.0)
    monkeypatch.setattr(photometric, "HUE", 0.0)
    colors = torch.tensor([200.0, 100.0, 100.0]).reshape(1, 3, 1, 1).expand(2000, -1, -1, -1)
    red, green = distort_colors(colors, torch.Generator().manual_seed(0))[:, :2, 0, 0].T
    clipped = red == 255
    # clipped before the saturation changes or after it: green is then below or above half of red by other amounts
    assert 0.05 < float(clipped.float().mean()) < 0.4
    assert float(green[clipped].min()) < 80 and float(green[clipped].max()) > 190


def test_values_stay_within_their_range():
    assert photometric.add(torch.tensor([250.0, 5.0, 100.0]), torch.tensor([10.0, -10.0, 1.0])).tolist() == [
        255,
        0,
        101,
    ]
    assert photometric.multiply(torch.tensor([200.0, 100.0]), torch.tensor([1.5, 0.5])).tolist() == [255, 50]


def test_hues_turn_by_up_to_36_degrees_either_way_in_half_of_the_images():
    colors = torch.tensor([120.0, 60.0, 60.0]).reshape(1, 3, 1, 1).expand(1000, -1, -1, -1)  # never clipped
    distorted = distort_colors(colors, torch.Generator().manual_seed(0)).flatten(1).tolist()
    degrees = np.array([(360 * colorsys.rgb_to_hsv(*color)[0] + 180) % 360 - 180 for color in distorted])
    assert -36.01 < degrees.min() < -33 and 33 < degrees.max() < 36.01
    assert (np.abs(degrees) < 1e-3).mean() == pytest.approx(0.5, abs=0.05)


def test_a_step_has_the_same_colors_whenever_it_is_sampled():
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(4, 1)  # labels: no pixel moves
    recipe = Recipe(steps=3, batch_size=4, augmentation=Augmentation(photometric=True))
    plain = Batches(images, targets, Recipe(steps=3, batch_size=4), seed=5, device="cpu")
    first, again = (Batches(images, targets, recipe, seed=5, device="cpu") for _ in range(2))
    assert torch.equal(first.sample(2)[0], again.sample(2)[0])
    assert not torch.equal(first.sample(2)[0], plain.sample(2)[0])
    assert not torch.equal(first.sample(1)[0], first.sample(2)[0])
