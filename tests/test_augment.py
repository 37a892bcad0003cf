"""Batched augmentation: what it leaves alone, and that masks follow their images."""

import dataclasses

import pytest
import torch

from retina_kit.data.augment import (
    IGNORE,
    Augmentation,
    augment_images,
    augment_points,
    choose_corners,
    first_mixed,
    sample_geometry,
)
from retina_kit.errors import UsageError
from retina_kit.schema import parse


def batch(height=40, width=60):
    """Return two images whose every pixel is its own number, and targets that are its parity."""
    images = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width).repeat(2, 1, 1, 1)
    return images, (images[:, 0].long() % 2).to(torch.uint8)


def test_the_default_changes_nothing():
    images, targets = batch()
    same_images, same_targets = augment_images(images, targets, Augmentation(), torch.Generator().manual_seed(0))
    assert same_images is images
    assert same_targets is targets


def test_a_mirror_is_a_mirror():
    images, targets = batch()
    flipped, flipped_targets = augment_images(images, targets, Augmentation(flip=1.0), torch.Generator().manual_seed(0))
    assert torch.allclose(flipped, images.flip(-1), atol=1e-2)
    assert torch.equal(flipped_targets, targets.flip(-1))


def test_a_crop_at_scale_one_keeps_target_and_image_together():
    images, _ = batch()
    targets = (images[:, 0] > 1200).to(torch.uint8)
    crops, labels = augment_images(images, targets, Augmentation(crop=32), torch.Generator().manual_seed(3))
    assert crops.shape == (2, 1, 32, 32)
    agree = (crops[:, 0] > 1200).to(torch.uint8) == labels
    assert agree.float().mean() > 0.97  # crops start between pixels, so the border may differ


def test_pixels_outside_the_image_are_zero_and_ignored():
    images, targets = batch()
    settings = Augmentation(crop=64, ratio=(0.5, 0.5))
    crops, labels = augment_images(images + 1, targets, settings, torch.Generator().manual_seed(0))
    assert (labels[:, :20, :30] != IGNORE).all()
    assert (labels[:, 20:] == IGNORE).all()
    assert (labels[:, :, 30:] == IGNORE).all()
    assert (crops[:, 0][labels == IGNORE] == 0).all()


def test_the_same_generator_gives_the_same_crops():
    images, targets = batch()
    settings = Augmentation(crop=32, ratio=(0.5, 2.0), flip=0.5)
    first = augment_images(images, targets, settings, torch.Generator().manual_seed(7))
    second = augment_images(images, targets, settings, torch.Generator().manual_seed(7))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_points_follow_their_images():
    images = torch.zeros(6, 1, 40, 60)
    points = torch.tensor([[0.25, 0.4], [0.5, 0.5], [0.7, 0.3]]).repeat(2, 1)
    for image, (x, y) in zip(images, points, strict=True):
        image[0, int(y * 40) - 1 : int(y * 40) + 1, int(x * 60) - 1 : int(x * 60) + 1] = 1.0
    settings = Augmentation(ratio=(0.9, 1.1), flip=0.5)
    moved, new_points = augment_points(images, points, settings, torch.Generator().manual_seed(2))
    assert not torch.equal(new_points, points)
    for image, (x, y) in zip(moved, new_points, strict=True):
        weight = image[0] / image[0].sum()
        assert (weight.sum(0) * (torch.arange(60) + 0.5)).sum() == pytest.approx(float(x) * 60, abs=0.7)
        assert (weight.sum(1) * (torch.arange(40) + 0.5)).sum() == pytest.approx(float(y) * 40, abs=0.7)


def test_a_mirrored_point_is_on_the_other_side():
    points = torch.tensor([[0.25, 0.4]])
    _, mirrored = augment_points(torch.zeros(1, 1, 8, 8), points, Augmentation(flip=1.0), torch.Generator())
    assert torch.allclose(mirrored, torch.tensor([[0.75, 0.4]]))


def test_images_with_points_are_not_cropped():
    with pytest.raises(UsageError, match="crop"):
        augment_points(torch.zeros(1, 1, 8, 8), torch.zeros(1, 2), Augmentation(crop=4), torch.Generator())


def test_a_crop_that_one_class_fills_is_moved():
    targets = torch.zeros(64, 40, 200, dtype=torch.uint8)
    targets[:, :, 100:104] = 1
    images, generator = targets[:, None].float(), torch.Generator()
    shares = {}
    for ratio in (1.0, 0.95):
        settings = Augmentation(crop=20, cat_max_ratio=ratio)
        _, labels = augment_images(images, targets, settings, generator.manual_seed(0))
        shares[ratio] = float((labels == 1).any(dim=(1, 2)).float().mean())
    # one of 180 corners in 23 touches the stripe; eleven tries find it with 1 - (1 - 0.11 or so) ** 11 = 0.7
    assert shares[1.0] < 0.25 and shares[0.95] > 0.55


def test_a_crop_of_two_classes_stays_where_it_was():
    targets = torch.zeros(8, 40, 40, dtype=torch.uint8)
    targets[:, ::2] = 1
    images = torch.arange(1600.0).reshape(1, 1, 40, 40).repeat(8, 1, 1, 1)
    crops = [
        augment_images(images, targets, Augmentation(crop=20, cat_max_ratio=r), torch.Generator().manual_seed(0))[0]
        for r in (1.0, 0.75)
    ]
    assert torch.equal(*crops)


def test_the_first_corner_that_fits_is_chosen_and_the_last_if_none_does():
    targets = torch.zeros(2, 8, 8, dtype=torch.uint8)
    targets[0, 4:, 4:] = 1
    corners = torch.tensor([[0, 0], [2, 4], [4, 4], [3, 3]]).float()[:, :, None].expand(-1, -1, 2)
    chosen = first_mixed(corners, torch.ones(2), targets, Augmentation(crop=4, cat_max_ratio=0.75))
    assert chosen.T.tolist() == [[2, 4], [3, 3]]  # half of it; nothing is in the second image


def test_crops_are_centered_on_the_foreground():
    targets = torch.zeros(3, 40, 60, dtype=torch.uint8)
    targets[0, 20, 30] = targets[1, 0, 59] = 1  # in the middle, in a corner, nowhere
    images = targets[:, None].float()
    settings = Augmentation(crop=11, foreground=1.0)
    crops, labels = augment_images(images, targets, settings, torch.Generator().manual_seed(0))
    assert (labels[0] == 1).nonzero().tolist() == [[5, 5]]
    assert (labels[1] == 1).nonzero().tolist() == [[0, 10]]
    assert not (labels[2] == 1).any()
    assert torch.allclose(crops[0, 0, 5, 5], torch.tensor(1.0), atol=1e-4)


def test_half_of_the_crops_are_centered_on_the_foreground():
    targets = torch.zeros(400, 8, 80, dtype=torch.uint8)
    targets[:, 4, 40] = 1
    settings = Augmentation(crop=5, foreground=0.5)
    _, labels = augment_images(targets[:, None].float(), targets, settings, torch.Generator().manual_seed(0))
    assert float((labels[:, 2, 2] == 1).float().mean()) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("option", [{"cat_max_ratio": 0.75}, {"foreground": 0.5}])
def test_what_is_about_crops_needs_a_crop(option):
    with pytest.raises(ValueError, match="set crop"):
        Augmentation(**option)


def test_photometric_changes_keep_the_geometry_but_are_not_nothing():
    assert Augmentation().keeps_geometry
    photometric = Augmentation(photometric=True)
    assert photometric.keeps_geometry
    with pytest.raises(dataclasses.FrozenInstanceError):
        photometric.flip = 0.5


@pytest.mark.parametrize(
    "settings", [{"cat_max_ratio": 0.0}, {"cat_max_ratio": 1.5}, {"foreground": -0.5}, {"flip": 2}]
)
def test_shares_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        parse(Augmentation, {"crop": 16, **settings}, "augmentation")


def test_height_and_width_of_a_corner_are_independent():
    scale, top, left, _ = sample_geometry(Augmentation(crop=10), 500, 30, 50, torch.Generator().manual_seed(0))
    assert (scale == 1).all() and 19 < top.max() < 20 and 38 < left.max() < 40
    assert abs(torch.corrcoef(torch.stack([top, left]))[0, 1]) < 0.15


def test_half_of_the_crops_are_centered_on_any_foreground_pixel():
    targets = torch.zeros(400, 60, 60, dtype=torch.uint8)
    targets[:, 30, 10], targets[:, 30, 50] = 1, 1
    corner = torch.full((400,), 20.0)
    geometry = (torch.ones(400), corner, corner, torch.zeros(400, dtype=torch.bool))
    settings = Augmentation(crop=8, foreground=0.5)
    _, _, left, _ = choose_corners(geometry, targets, settings, torch.Generator().manual_seed(0))
    counts = [int((left == place).sum()) for place in (20.0, 10.5 - 4, 50.5 - 4)]
    assert sum(counts) == 400
    assert counts == pytest.approx([200, 100, 100], abs=30)
