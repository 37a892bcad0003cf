"""Patches: without overlap, exact when joined again, balanced; and windows that put a full-size image together."""

import numpy as np
import pytest
import torch

from retina_kit.data.augment import IGNORE
from retina_kit.data.patches import balanced_index, cut_patches, join_patches, training_patches
from retina_kit.training.inference import predict_logits


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (2, 2), (1, 3)])
def test_patches_joined_again_are_the_image(size):
    stack = np.arange(2 * 3 * size[0] * size[1]).reshape(2, 3, *size)
    patches = cut_patches(stack, 2, fill=-1)
    assert patches.shape[1:] == (3, 2, 2)
    assert np.array_equal(join_patches(patches, size), stack)


def test_patches_come_row_by_row_and_do_not_overlap():
    mask = np.arange(16).reshape(1, 4, 4)
    patches = cut_patches(mask, 2)
    assert patches[:, 0, 0].tolist() == [0, 2, 8, 10]
    assert sorted(patches.ravel().tolist()) == list(range(16))


def test_a_full_size_photograph_keeps_its_geometry():
    photograph = np.random.default_rng(0).integers(0, 256, (1, 3, 2848, 4288), dtype=np.uint8)
    patches = cut_patches(photograph, 160)
    assert len(patches) == 18 * 27
    assert np.array_equal(join_patches(patches, (2848, 4288)), photograph)


@pytest.mark.parametrize("stride", [160, 80])
def test_blended_windows_of_a_full_size_photograph_have_exact_geometry(stride):
    """A network that gives back its input: what comes out of 160 x 160 windows must be the image itself."""
    image_ = torch.rand(1, 1, 2848, 4288)
    windows = {"window": 160, "stride": stride, "batch_size": 64}
    rebuilt = predict_logits(torch.nn.Identity(), image_, precision="float32", **windows)
    assert rebuilt.shape == image_.shape
    assert torch.allclose(rebuilt, image_, atol=1e-6)


def test_as_many_healthy_patches_as_asked_for():
    targets = np.zeros((10, 2, 2), np.uint8)
    targets[[3, 7], 0, 0] = 1
    targets[5] = IGNORE  # beyond the border is no lesion
    chosen = balanced_index(targets, 1.5, seed=0)
    assert {3, 7} <= set(chosen)
    assert len(chosen) == 2 + 3
    assert np.array_equal(chosen, balanced_index(targets, 1.5, seed=0))
    assert len(balanced_index(targets, 0, seed=0)) == 10
    assert len(balanced_index(np.zeros((4, 2, 2)), 1.0, seed=0)) == 4  # no lesion at all: nothing to balance


def test_training_patches_know_where_the_image_ends():
    images = np.full((1, 3, 3, 3), 9, np.uint8)
    masks = np.ones((1, 3, 3), bool)
    cut, targets = training_patches(images, masks, 2, 0, seed=0)
    assert cut.shape == (4, 3, 2, 2)
    assert (targets == 1).sum() == 9
    assert (targets == IGNORE).sum() == 7
