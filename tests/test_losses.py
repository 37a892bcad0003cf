"""Losses that can be counted on paper."""

import math

import pytest
import torch

from retina_kit.data.augment import IGNORE
from retina_kit.training import losses

SURE = 20.0  # a logit so large that its probability is 1


def logits_of(probability_map):
    """Return one-channel logits that are sure of a 0/1 map (N, H, W)."""
    return (torch.tensor(probability_map, dtype=torch.float32) * 2 - 1)[:, None] * SURE


def test_soft_dice_of_half_an_overlap():
    targets = torch.tensor([[[1, 1, 0, 0]]], dtype=torch.uint8)
    predicted = logits_of([[[1, 0, 0, 0]]])
    # (2 * 1 + 1) / (1 + 2 + 1) = 0.75
    assert losses.soft_dice(predicted, targets).item() == pytest.approx(0.25, abs=1e-6)


def test_negative_log_dice_is_the_log_of_the_same():
    targets = torch.tensor([[[1, 1, 0, 0]]], dtype=torch.uint8)
    predicted = logits_of([[[1, 0, 0, 0]]])
    assert losses.negative_log_dice(predicted, targets).item() == pytest.approx(-math.log(0.75), abs=1e-6)


def test_an_undecided_network_starts_near_the_published_loss():
    """Sigmoids of 0.5 at 1.8 % fluid: 1 - 2 * 0.5 f / (0.5 + f) = 0.965 (Melinscak 2020's log starts at 0.96)."""
    targets = torch.zeros(4, 100, 100, dtype=torch.uint8)
    targets[:, 0, :] = 1
    targets[:, 1, :80] = 1  # 1.8 %
    assert losses.soft_dice(torch.zeros(4, 1, 100, 100), targets).item() == pytest.approx(0.965, abs=0.001)


def test_dice_over_all_classes_hardly_minds_an_empty_prediction():
    """With 1 % of fluid, predicting none costs about 0.01; Dice of the fluid alone costs nearly 1."""
    targets = torch.zeros(1, 100, 100, dtype=torch.uint8)
    targets[0, 0] = 1
    logits = torch.zeros(1, 2, 100, 100)
    logits[:, 0] = SURE
    assert losses.dice_all_classes(logits, targets).item() == pytest.approx(0.01, abs=1e-4)
    assert losses.soft_dice(logits, targets).item() > 0.98


def test_ignored_pixels_count_zero_but_stay_in_the_mean():
    logits = torch.zeros(1, 2, 1, 2)
    both = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    one = torch.tensor([[[1, IGNORE]]], dtype=torch.uint8)
    assert losses.cross_entropy(logits, both).item() == pytest.approx(math.log(2))
    assert losses.cross_entropy(logits, one).item() == pytest.approx(math.log(2) / 2)


def test_one_and_two_logits_mean_the_same():
    two = torch.randn(2, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    one = two[:, 1:] - two[:, :1]
    targets = torch.randint(0, 2, (2, 5, 5), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    assert torch.allclose(losses.cross_entropy(two, targets), losses.cross_entropy(one, targets), atol=1e-6)
    assert torch.allclose(losses.soft_dice(two, targets), losses.soft_dice(one, targets), atol=1e-6)


def test_the_auxiliary_loss_is_added_with_its_weight():
    loss = losses.with_auxiliary(losses.cross_entropy, losses.cross_entropy, 0.4)
    logits, targets = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8)
    assert loss((logits, logits), targets).item() == pytest.approx(1.4 * math.log(2))
