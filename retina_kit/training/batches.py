"""Deterministic batching: the batch at step k depends only on the seed and k."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from retina_kit.data.augment import IGNORE, augment_images
from retina_kit.data.photometric import distort_colors
from retina_kit.training.normalization import Normalization
from retina_kit.training.recipe import Recipe


class Batches:
    """The training images, resident on the device as uint8, cut into batches that depend only on seed and step.

    `images` is uint8 (N, C, H, W); `targets` is uint8 (N, H, W) for masks, (N, K, H, W) for a mask per class, or float
    (N, D) for coordinates and labels. A batch is normalized as (gray value - mean) / std, gray values in 0..255, and
    repeated to `in_channels` where a gray image meets a color network. Nothing is carried from step to step, so a run
    that was killed at step k resumes at step k with the very batch it would have had.
    """

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device | str,
        mean: Sequence[float] | float = 0.0,
        std: Sequence[float] | float = 255.0,
        in_channels: int | None = None,
    ) -> None:
        self.images = images.to(device)
        self.targets = targets.to(device)
        self.recipe = recipe
        self.seed = seed
        channels = in_channels or images.shape[1]
        self.normalization = Normalization(mean, std, in_channels=channels, device=device)
        self.mean, self.std = self.normalization.mean, self.normalization.std
        self._shuffled: tuple[int, Tensor] = (-1, torch.empty(0))

    def __len__(self) -> int:
        """Return the number of steps in all."""
        return self.recipe.num_steps(len(self.images))

    def sample(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the images, float (B, C, h, w), and the targets of one step."""
        index = self.index_of(step)
        images, targets = self.normalized(index, step), self.targets[index]
        if targets.dim() >= 3:
            generator = torch.Generator().manual_seed(mix(self.seed, step, 1))
            images, targets = augment_images(images, targets, self.recipe.augmentation, generator)
            images, targets = pad_to_fit(images, targets)
        return self.normalization.repeat_gray(images), targets

    def normalized(self, index: Tensor, step: int) -> Tensor:
        """Return the images at `index`, normalized; their colors are distorted first if the recipe asks for it."""
        images = self.images[index]
        if self.recipe.augmentation.photometric:
            images = distort_colors(images.float(), torch.Generator().manual_seed(mix(self.seed, step, 2)))
        return self.normalization.normalize(images)

    def inputs(self, images: Tensor) -> Tensor:
        """Turn uint8 images (N, C, h, w) into what the network takes: on the device, normalized."""
        return self.normalization.inputs(images)

    def index_of(self, step: int) -> Tensor:
        """Return which images a step sees, as a tensor of at most `batch_size` positions."""
        size, num_images = self.recipe.batch_size, len(self.images)
        if self.recipe.epochs:
            epoch, step = divmod(step, self.recipe.steps_per_epoch(num_images))
            return self.shuffled(epoch)[step * size : (step + 1) * size]
        position = torch.arange(step * size, (step + 1) * size)
        return torch.stack([self.shuffled(p // num_images)[p % num_images] for p in position.tolist()])

    def shuffled(self, epoch: int) -> Tensor:
        """Return the order of the images in one pass."""
        if self._shuffled[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch, 0))
            order = torch.randperm(len(self.images), generator=generator)
            self._shuffled = (epoch, order.to(self.images.device))
        return self._shuffled[1]


def pad_to_fit(images: Tensor, targets: Tensor, multiple: int = 16) -> tuple[Tensor, Tensor]:
    """Return images and targets padded at the right and bottom to sides that a five-level U-Net takes.

    The padding is 0 after normalization and has the label IGNORE, as in Huang 2023's pipeline.
    """
    padding = (0, -images.shape[-1] % multiple, 0, -images.shape[-2] % multiple)
    if not any(padding):
        return images, targets
    return F.pad(images, padding), F.pad(targets, padding, value=IGNORE)


def mix(seed: int, step: int, stream: int) -> int:
    """Return one integer below 2**63 for a seed, a step and a stream, spread so that neighbors share nothing."""
    value = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + stream * 0x94D049BB133111EB) % 2**64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    return (value ^ (value >> 31)) >> 1
