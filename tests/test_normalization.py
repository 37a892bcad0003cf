"""From gray values to what a network sees, by hand."""

import pytest
import torch

from retina_kit.training.normalization import Normalization


def test_gray_values_become_0_to_1_by_default():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1)
    found = Normalization(in_channels=1, device="cpu").inputs(images)
    assert found.flatten().tolist() == pytest.approx([0, 0.2, 1])
    assert found.dtype == torch.float32


def test_each_channel_has_its_own_mean_and_deviation():
    normalization = Normalization([10.0, 20.0, 30.0], [1.0, 2.0, 5.0], in_channels=3, device="cpu")
    images = torch.full((2, 3, 4, 5), 40, dtype=torch.uint8)
    images[1, :, 3, 4] = torch.tensor([10, 10, 10])
    found = normalization.inputs(images)
    assert found.shape == (2, 3, 4, 5)
    assert found[0, :, 0, 0].tolist() == [30, 10, 2]
    assert found[1, :, 3, 4].tolist() == [0, -5, -4]
    assert normalization.mean.shape == normalization.std.shape == (1, 3, 1, 1)


def test_gray_images_of_any_number_and_side_are_repeated_for_a_color_network():
    images = torch.arange(2 * 3 * 4, dtype=torch.uint8).reshape(2, 1, 3, 4)
    found = Normalization(0.0, 1.0, in_channels=3, device="cpu").inputs(images)
    assert found.shape == (2, 3, 3, 4)
    assert torch.equal(found, images.float().repeat(1, 3, 1, 1))
