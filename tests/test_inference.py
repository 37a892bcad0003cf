"""Windows: where they start, and that overlapping ones change nothing for a network that looks at one pixel."""

import pytest
import torch
from torch import nn

from retina_kit.training.inference import pad_to_multiple, predict_logits, predict_probability, resampled, window_starts
from retina_kit.training.normalization import Normalization


def test_the_source_windows_are_those_of_the_paper():
    """128 windows with stride 85 on a 496 x 768 scan are 6 x 9 = 54; 256 and 170 are 15 (Huang 2023)."""
    assert len(window_starts(496, 128, 85)) * len(window_starts(768, 128, 85)) == 54
    assert len(window_starts(496, 256, 170)) * len(window_starts(768, 256, 170)) == 15
    assert len(window_starts(496, 64, 42)) * len(window_starts(768, 64, 42)) == 216


def test_windows_end_at_the_border():
    assert window_starts(100, 32, 20) == [0, 20, 40, 60, 68]
    assert window_starts(32, 64, 42) == [0]


def test_windows_and_whole_images_agree_for_a_pointwise_network():
    model = nn.Conv2d(1, 2, 1)
    images = torch.randn(2, 1, 50, 70, generator=torch.Generator().manual_seed(0))
    whole = predict_logits(model, images, precision="float32")
    windowed = predict_logits(model, images, window=32, stride=20, batch_size=3, precision="float32")
    assert whole.shape == (2, 2, 50, 70)
    assert torch.allclose(whole, windowed, atol=1e-5)


class Doubling(nn.Module):
    """Gives each gray value twice, as logits, and counts the images it saw."""

    seen = 0

    def forward(self, images):
        self.seen += len(images)
        return 2 * images


def test_windows_lie_side_by_side_by_default():
    model, images = Doubling(), torch.rand(1, 1, 32, 64)
    assert torch.equal(predict_logits(model, images, window=32, precision="float32"), 2 * images)
    assert model.seen == 2


def test_probabilities_are_those_of_the_logits_of_every_image():
    images = torch.arange(10 * 16 * 16).reshape(10, 1, 16, 16).remainder(256).to(torch.uint8)
    gray_values = Normalization(100.0, 50.0, in_channels=1, device="cpu")
    settings = {"batch_size": 4, "precision": "float32"}
    probability = predict_probability(Doubling(), gray_values, images, **settings)
    assert torch.allclose(probability, torch.sigmoid(2 * (images[:, 0].float() - 100) / 50), atol=1e-6)
    classes = predict_probability(Doubling(), gray_values, images, classes=True, **settings)
    assert torch.equal(classes, probability[:, None])
    larger = predict_probability(Doubling(), gray_values, images, size=(32, 48), **settings)
    assert larger.shape == (10, 32, 48) and larger.mean().item() == pytest.approx(probability.mean().item(), abs=0.01)
    larger_classes = predict_probability(Doubling(), gray_values, images, size=(32, 48), classes=True, **settings)
    assert torch.equal(larger_classes, larger[:, None])


class Ones(nn.Module):
    """Says 1 of every pixel of its first window or image, 2 of the next, and so on; notes how many come at once."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, images):
        first = sum(self.sizes) + 1
        self.sizes.append(len(images))
        return (first + torch.arange(len(images)))[:, None, None, None] * torch.ones(1, 1, *images.shape[-2:])


def test_enlarged_probabilities_of_many_classes_stay_at_most_1():
    """Weights of bilinear interpolation add up to 1 + 1.2e-7 where all neighbors are 1."""
    sure = nn.Conv2d(1, 3, 1)
    nn.init.constant_(sure.weight, 0.0)
    nn.init.constant_(sure.bias, 20.0)
    images = torch.zeros(1, 1, 160, 160, dtype=torch.uint8)
    gray_values = Normalization(0.0, 1.0, in_channels=1, device="cpu")
    found = predict_probability(sure, gray_values, images, size=(605, 700), classes=True, precision="float32")
    assert found.max() == 1
    assert resampled(torch.ones(1, 3, 160, 160), (605, 700)).max() == 1


def test_overlapping_windows_are_averaged_where_they_overlap():
    model = Ones()
    logits = predict_logits(model, torch.zeros(1, 1, 16, 40), window=16, stride=16, batch_size=2, precision="float32")
    assert model.sizes == [2, 1]  # windows at 0, 16 and 24: 1, 2 and 3
    assert logits[0, 0, 0].tolist() == [1] * 16 + [2] * 8 + [2.5] * 8 + [3] * 8
    assert logits[0, 0, 15].tolist() == logits[0, 0, 0].tolist()


def test_a_window_larger_than_one_side_only_is_cut_to_it():
    model = Ones()
    logits = predict_logits(model, torch.zeros(2, 1, 16, 64), window=32, precision="float32")
    assert model.sizes == [2, 2] and logits.shape == (2, 1, 16, 64)
    assert logits[:, 0, 0, [0, 31, 32, 63]].tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]


def test_whole_images_come_eight_at_a_time_and_leave_the_network_in_evaluation_mode():
    model = Ones().train()
    assert predict_logits(model, torch.zeros(10, 1, 16, 16), precision="float32").shape == (10, 1, 16, 16)
    assert model.sizes == [8, 2] and not model.training
    assert predict_logits(Ones(), torch.zeros(1, 1, 10, 20), precision="float32").shape == (1, 1, 10, 20)


def test_padding_repeats_the_edge_at_the_right_and_bottom():
    padded = pad_to_multiple(torch.arange(6.0).reshape(1, 1, 2, 3), multiple=4)
    assert padded[0, 0].tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]


def test_padding_reaches_the_next_multiple():
    assert pad_to_multiple(torch.zeros(1, 1, 248, 384)).shape[-2:] == (256, 384)
