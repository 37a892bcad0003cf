"""Windows: where they start, and that overlapping ones change nothing for a network that looks at one pixel."""

import torch
from torch import nn

from retina_kit.training.inference import pad_to_multiple, predict_logits, window_starts


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


def test_padding_reaches_the_next_multiple():
    assert pad_to_multiple(torch.zeros(1, 1, 248, 384)).shape[-2:] == (256, 384)
