"""Batched augmentation: what it leaves alone, and that masks follow their images."""

import pytest
import torch

from retina_kit.data.augment import IGNORE, Augmentation, augment_images, augment_points
from retina_kit.errors import UsageError


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
