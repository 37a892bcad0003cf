"""Batched augmentation: what it leaves alone, and that masks follow their pictures."""

import torch

from retina_kit.data.augment import IGNORE, Augmentation, augment


def batch(height=40, width=60):
    """Return two pictures whose every pixel is its own number, and targets that are its parity."""
    images = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width).repeat(2, 1, 1, 1)
    return images, (images[:, 0].long() % 2).to(torch.uint8)


def test_the_default_changes_nothing():
    images, targets = batch()
    same_images, same_targets = augment(images, targets, Augmentation(), torch.Generator().manual_seed(0))
    assert same_images is images
    assert same_targets is targets


def test_a_mirror_is_a_mirror():
    images, targets = batch()
    flipped, flipped_targets = augment(images, targets, Augmentation(flip=1.0), torch.Generator().manual_seed(0))
    assert torch.allclose(flipped, images.flip(-1), atol=1e-2)
    assert torch.equal(flipped_targets, targets.flip(-1))


def test_a_crop_at_scale_one_keeps_target_and_picture_together():
    images, _ = batch()
    targets = (images[:, 0] > 1200).to(torch.uint8)
    crops, labels = augment(images, targets, Augmentation(crop=32), torch.Generator().manual_seed(3))
    assert crops.shape == (2, 1, 32, 32)
    agree = (crops[:, 0] > 1200).to(torch.uint8) == labels
    assert agree.float().mean() > 0.97  # crops start between pixels, so the border may differ


def test_pixels_outside_the_picture_are_zero_and_ignored():
    images, targets = batch()
    settings = Augmentation(crop=64, ratio=(0.5, 0.5))
    crops, labels = augment(images + 1, targets, settings, torch.Generator().manual_seed(0))
    assert (labels[:, :20, :30] != IGNORE).all()
    assert (labels[:, 20:] == IGNORE).all()
    assert (labels[:, :, 30:] == IGNORE).all()
    assert (crops[:, 0][labels == IGNORE] == 0).all()


def test_the_same_generator_gives_the_same_crops():
    images, targets = batch()
    settings = Augmentation(crop=32, ratio=(0.5, 2.0), flip=0.5)
    first = augment(images, targets, settings, torch.Generator().manual_seed(7))
    second = augment(images, targets, settings, torch.Generator().manual_seed(7))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
