"""Which images step k sees, and how they are augmented: a pure function of the seed and of k."""

import torch
import torch.nn.functional as F

from retina_kit.data.augment import IGNORE, augment


class Batches:
    """The training images, resident on the device as uint8, cut into batches that depend only on seed and step.

    `images` is uint8 (N, C, H, W); `targets` is uint8 (N, H, W) for masks or float (N, D) for coordinates and
    labels. A batch is normalized as (gray value - mean) / std, gray values in 0..255, and repeated to
    `in_channels` where a gray image meets a color network. Because nothing is carried from step to step, a run
    that was killed at step k goes on at step k with the very batch it would have had.
    """

    def __init__(self, images, targets, recipe, *, seed, device, mean=0.0, std=255.0, in_channels=None):
        self.images = images.to(device)
        self.targets = targets.to(device)
        self.recipe = recipe
        self.seed = seed
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device).reshape(1, -1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32, device=device).reshape(1, -1, 1, 1)
        self.in_channels = in_channels or images.shape[1]
        self._shuffled = (None, None)

    def __len__(self):
        """Return the number of steps in all."""
        return self.recipe.num_steps(len(self.images))

    def sample(self, step):
        """Return the images, float (B, C, h, w) channels last, and the targets of one step."""
        index = self.index_of(step)
        images = self.normalize(self.images[index])
        targets = self.targets[index]
        if targets.dim() == 3:
            generator = torch.Generator().manual_seed(mix(self.seed, step, 1))
            images, targets = augment(images, targets, self.recipe.augmentation, generator)
            images, targets = pad_to_fit(images, targets)
        images = images.expand(-1, self.in_channels, -1, -1)
        return images.contiguous(memory_format=torch.channels_last), targets

    def normalize(self, images):
        """Return uint8 images as float32 (gray value - mean) / std."""
        return (images.to(torch.float32) - self.mean) / self.std

    def index_of(self, step):
        """Return which images a step sees, as a tensor of at most `batch_size` positions."""
        size, num_images = self.recipe.batch_size, len(self.images)
        if self.recipe.epochs:
            epoch, step = divmod(step, self.recipe.steps_per_epoch(num_images))
            return self.shuffled(epoch)[step * size : (step + 1) * size]
        position = torch.arange(step * size, (step + 1) * size)
        return torch.stack([self.shuffled(p // num_images)[p % num_images] for p in position.tolist()])

    def shuffled(self, epoch):
        """Return the order of the images in one pass."""
        if self._shuffled[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch, 0))
            order = torch.randperm(len(self.images), generator=generator)
            self._shuffled = (epoch, order.to(self.images.device))
        return self._shuffled[1]


def pad_to_fit(images, targets, multiple=16):
    """Return images and targets padded at the right and bottom to sides that a five-level U-Net takes.

    The padding is 0 after normalization and ignored by the losses, as in Huang 2023's pipeline.
    """
    padding = (0, -images.shape[-1] % multiple, 0, -images.shape[-2] % multiple)
    if not any(padding):
        return images, targets
    return F.pad(images, padding), F.pad(targets, padding, value=IGNORE)


def mix(seed, step, stream):
    """Return one integer below 2**63 for a seed, a step and a stream, spread so that neighbors share nothing."""
    value = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + stream * 0x94D049BB133111EB) % 2**64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    return (value ^ (value >> 31)) >> 1
