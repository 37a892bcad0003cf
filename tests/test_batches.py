"""Which images a step sees: nothing but the seed and the step decides."""

import torch

from retina_kit.data.augment import IGNORE, Augmentation
from retina_kit.schema import parse
from retina_kit.training import batches as batching
from retina_kit.training.batches import Batches, mix, pad_to_fit
from retina_kit.training.recipe import Recipe


def batches_of(num_images, **recipe):
    """Return batches over images that are filled with their own number."""
    images = torch.arange(num_images, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 16, 16).contiguous()
    targets = torch.zeros(num_images, 16, 16, dtype=torch.uint8)
    recipe = parse(Recipe, recipe, "recipe")
    return Batches(images, targets, recipe, seed=0, device=torch.device("cpu"), mean=0.0, std=1.0)


def seen(batches, step):
    """Return the numbers of the images of a step."""
    return batches.sample(step)[0][:, 0, 0, 0].int().tolist()


def test_an_epoch_sees_every_image_once_and_ends_with_a_smaller_batch():
    batches = batches_of(10, epochs=2, batch_size=4)
    assert len(batches) == 6
    sizes = [len(seen(batches, step)) for step in range(3)]
    assert sizes == [4, 4, 2]
    assert sorted([k for step in range(3) for k in seen(batches, step)]) == list(range(10))


def test_steps_run_on_with_full_batches():
    batches = batches_of(10, steps=5, batch_size=4)
    everything = [k for step in range(5) for k in seen(batches, step)]
    assert len(everything) == 20
    assert sorted(everything[:10]) == list(range(10))
    assert sorted(everything[10:]) == list(range(10))


def test_a_step_is_the_same_whatever_came_before():
    batches = batches_of(10, steps=9, batch_size=4)
    straight = [seen(batches, step) for step in range(9)]
    assert seen(batches_of(10, steps=9, batch_size=4), 7) == straight[7]


def test_gray_images_are_normalized_and_repeated():
    images = torch.full((2, 1, 16, 16), 100, dtype=torch.uint8)
    targets = torch.zeros(2, 16, 16, dtype=torch.uint8)
    batches = Batches(images, targets, Recipe(steps=1), seed=0, device="cpu", mean=[50.0], std=[25.0], in_channels=3)
    drawn, _ = batches.sample(0)
    assert drawn.shape[1:] == (3, 16, 16)
    assert (drawn == 2).all()


def test_images_keep_their_channels_by_default():
    assert batches_of(3, steps=1, batch_size=2).sample(0)[0].shape == (2, 1, 16, 16)


def test_masks_are_padded_to_multiples_of_16_at_the_right_and_bottom():
    images, targets = torch.full((1, 1, 16, 20), 9, dtype=torch.uint8), torch.ones(1, 16, 20, dtype=torch.uint8)
    padded, masks = Batches(images, targets, Recipe(steps=1, batch_size=1), seed=0, device="cpu", std=9.0).sample(0)
    assert padded.shape == (1, 1, 16, 32) and masks.shape == (1, 16, 32)
    assert (padded[..., :20] == 1).all() and (padded[..., 20:] == 0).all()
    assert (masks[..., :20] == 1).all() and (masks[..., 20:] == IGNORE).all()


def test_order_moves_and_colors_have_random_numbers_of_their_own(monkeypatch):
    """The streams keep their numbers, or a kept run would resume with other batches than it began with."""
    asked = []
    monkeypatch.setattr(batching, "mix", lambda *numbers: asked.append(numbers) or 1)
    images, targets = torch.zeros(4, 3, 16, 16, dtype=torch.uint8), torch.zeros(4, 16, 16, dtype=torch.uint8)
    recipe = Recipe(steps=9, batch_size=4, augmentation=Augmentation(flip=0.5, photometric=True))
    Batches(images, targets, recipe, seed=5, device="cpu").sample(3)
    assert sorted(asked) == [(5, 3, 0), (5, 3, 1), (5, 3, 2)]  # four images a batch: step 3 is pass 3


def test_labels_and_coordinates_are_neither_moved_nor_padded():
    images, targets = torch.full((2, 1, 20, 20), 255, dtype=torch.uint8), torch.tensor([[0.25], [0.75]])
    batches = Batches(images, targets, Recipe(steps=1, batch_size=2), seed=0, device="cpu")
    found, labels = batches.sample(0)
    assert found.shape == (2, 1, 20, 20) and sorted(labels.flatten().tolist()) == [0.25, 0.75]
    assert batches.inputs(images).max() == found.max() == 1  # gray values are divided by 255 by default


def test_padding_is_only_as_much_as_is_needed():
    images, targets = torch.ones(1, 1, 32, 16), torch.ones(1, 32, 16, dtype=torch.uint8)
    assert pad_to_fit(images, targets)[0] is images
    padded, masks = pad_to_fit(images, targets, multiple=20)
    assert padded.shape == (1, 1, 40, 20) and (masks[:, 32:] == IGNORE).all() and (masks[..., 16:] == IGNORE).all()


def test_mixed_seeds_do_not_collide():
    numbers = {mix(seed, step, stream) for seed in range(5) for step in range(200) for stream in range(2)}
    assert len(numbers) == 2000
    assert min(numbers) >= 0 and 2**62 < max(numbers) < 2**63  # what a generator takes as a seed
