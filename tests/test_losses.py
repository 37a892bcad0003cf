"""Losses that can be counted on paper."""

import inspect
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


def test_the_smaller_the_dice_the_larger_the_gradient_of_its_log():
    """One pixel of 99, p = 0.01: Dice is (2 x 0.01 + 1) / (0.99 + 1 + 1), so -log Dice is 2.9 times as steep."""
    targets = torch.zeros(1, 9, 11, dtype=torch.uint8)
    targets[0, 0, 0] = 1
    slopes = []
    for loss in (losses.cross_entropy, losses.soft_dice, losses.cross_entropy_and_log_dice):
        logits = torch.full((1, 1, 9, 11), math.log(0.01 / 0.99), requires_grad=True)
        loss(logits, targets).backward()
        slopes.append(logits.grad[0, 0, 0, 0].item())
    of_cross_entropy, of_dice, of_both = slopes
    assert (of_both - of_cross_entropy) / of_dice == pytest.approx((0.99 + 2) / 1.02, rel=1e-3)


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


@pytest.mark.parametrize("channels", [1, 2])
def test_an_ignored_pixel_has_no_loss_whatever_is_predicted_there(channels):
    targets = torch.tensor([[[1, IGNORE]]], dtype=torch.uint8)
    logits = torch.zeros(1, channels, 1, 2)
    logits[0, -1, 0, 1] = SURE
    assert losses.cross_entropy(logits, targets).item() == pytest.approx(math.log(2) / 2)
    # One undecided pixel is left: (2 x 0.5 + 1) / (0.5 + 1 + 1)
    assert losses.soft_dice(logits, targets).item() == pytest.approx(1 - 2 / 2.5)


def test_dice_over_all_classes_of_one_pixel():
    """1 - 2 overlap / (squared areas + 2 x 0.001), by hand; an ignored pixel has a predicted area, but no true one."""
    right = torch.tensor([-SURE, SURE])[None, :, None, None]
    one = torch.ones(1, 1, 1, dtype=torch.uint8)
    assert losses.dice_all_classes(right, one).item() == pytest.approx(1 - 2 / 2.002, rel=1e-4)
    both = torch.cat([right, -right], dim=3)
    ignored = torch.tensor([[[1, IGNORE]]], dtype=torch.uint8)
    assert losses.dice_all_classes(both, ignored).item() == pytest.approx(1 - 2 / 3.002, rel=1e-4)
    two_images = torch.cat([right, -right])  # right and wrong
    assert losses.dice_all_classes(two_images, one.expand(2, 1, 1)).item() == pytest.approx((1 - 2 / 2.002 + 1) / 2)


def test_one_logit_stands_for_background_and_foreground_in_dice_over_all_classes():
    logits, targets = torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, dtype=torch.uint8)
    inside, outside = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))
    dice = 2 * inside / (inside**2 + outside**2 + 1 + 0.002)
    assert losses.dice_all_classes(logits, targets).item() == pytest.approx(1 - dice, abs=1e-6)
    assert losses.hybrid(logits, targets).item() == pytest.approx(-math.log(inside) + 3 * (1 - dice), abs=1e-6)


def test_the_hybrid_takes_sigmoids_of_two_logits():
    logits, targets = torch.ones(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.uint8)
    inside = 1 / (1 + math.exp(-1))  # of both; a softmax would give 0.5
    dice = 2 * inside / (2 * inside**2 + 1 + 0.002)
    assert losses.hybrid(logits, targets).item() == pytest.approx(math.log(2) + 3 * (1 - dice), abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(losses.LOSSES) - {"mean_squared_error", "binary_cross_entropy"}))
def test_the_loss_of_two_classes_is_the_mean_of_both(name):
    loss = losses.LOSSES[name]
    logits = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(0, 2, (2, 2, 3, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    alone = [loss(logits[:, [k]], targets[:, k]).item() for k in range(2)]
    assert loss(logits, targets).item() == pytest.approx(sum(alone) / 2, rel=1e-5)
    assert inspect.unwrap(loss).__name__ == name  # the notebooks print its source


def test_probabilities_are_of_the_foreground_or_of_each_class():
    logits = torch.tensor([[[[0.0]], [[SURE]]]])
    assert losses.probabilities(logits).tolist() == [[[1.0]]]
    assert losses.probabilities(logits, classes=True).tolist() == [[[[0.5]], [[1.0]]]]
