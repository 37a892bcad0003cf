"""Square patches without overlap, and which of them a network is trained on (Ortiz 2022, preprocessing)."""

import itertools
from collections.abc import Sequence

import numpy as np

from retina_kit.data.augment import IGNORE
from retina_kit.data.copies import ImagesWithCopies
from retina_kit.data.large_arrays import new_array


def padded_size(size: Sequence[int], side: int) -> tuple[int, int]:
    """Round a size (H, W) up to multiples of `side`.

    >>> padded_size((100, 160), side=64)
    (128, 192)
    """
    height, width = size
    return -(-height // side) * side, -(-width // side) * side


def cut_patches(stack: np.ndarray, side: int, fill: int = 0) -> np.ndarray:
    """Cut images (N, ..., H, W) into patches (N * rows * columns, ..., side, side), row by row.

    Patches do not overlap. What hangs over the right and bottom borders is `fill`: nothing is stretched, unlike in
    the published code, which resizes the remainders to a whole patch.

    >>> cut_patches(np.array([[[1, 2, 3], [4, 5, 6]]]), side=2).tolist()
    [[[1, 2], [4, 5]], [[3, 0], [6, 0]]]
    """
    height, width = stack.shape[-2:]
    tall, wide = padded_size((height, width), side)
    border = [(0, 0)] * (stack.ndim - 2) + [(0, tall - height), (0, wide - width)]
    padded = np.pad(stack, border, constant_values=fill)
    grid = padded.reshape(*stack.shape[:-2], tall // side, side, wide // side, side)
    grid = np.moveaxis(grid, (-4, -2), (1, 2))
    return np.ascontiguousarray(grid.reshape(-1, *stack.shape[1:-2], side, side))


def join_patches(patches: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Reassemble the images (N, ..., H, W) of `size` (H, W) from their patches: the inverse of `cut_patches`.

    >>> join_patches(np.array([[[1, 2], [4, 5]], [[3, 0], [6, 0]]]), size=(2, 3)).tolist()
    [[[1, 2, 3], [4, 5, 6]]]
    """
    side = patches.shape[-1]
    tall, wide = padded_size(size, side)
    grid = patches.reshape(-1, tall // side, wide // side, *patches.shape[1:])
    grid = np.moveaxis(grid, (1, 2), (-4, -2))
    whole = grid.reshape(*grid.shape[:-4], tall, wide)
    return np.ascontiguousarray(whole[..., : size[0], : size[1]])


def balanced_index(targets: np.ndarray, per_lesion: float, seed: int) -> np.ndarray:
    """Choose the positions of all patches with a lesion and of `per_lesion` times as many without, in order.

    `targets` is (N, side, side) with 1 for lesion, or (N, K, side, side) with a mask per class. On a retina 99 of 100
    pixels are healthy and most patches have no lesion: trained on all of them, a network learns to predict "healthy"
    everywhere and is right 99 times of 100. Those without a lesion are sampled with `seed`. With
    `per_lesion` 0 all patches are kept.
    """
    has_lesion = (targets == 1).reshape(len(targets), -1).any(axis=1)
    diseased, healthy = np.flatnonzero(has_lesion), np.flatnonzero(~has_lesion)
    if not per_lesion or not len(diseased):
        return np.arange(len(targets))
    num_healthy = min(len(healthy), round(per_lesion * len(diseased)))
    chosen = np.random.default_rng([seed, 11]).permutation(healthy)[:num_healthy]
    return np.sort(np.concatenate([diseased, chosen]))


def training_patches(
    images: np.ndarray | ImagesWithCopies, masks: np.ndarray, side: int, per_lesion: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut images and bool masks into balanced (images (M, C, side, side), targets (M, side, side) uint8).

    Masks (N, K, H, W) give targets (M, K, side, side). Targets are 0, 1 and `IGNORE` beyond the image's border.
    """
    tall, wide = padded_size(masks.shape[-2:], side)
    everywhere = np.arange(len(masks) * (tall // side) * (wide // side))
    targets = patches_at(masks.view(np.uint8), side, everywhere, fill=IGNORE)
    chosen = balanced_index(targets, per_lesion, seed)
    return patches_at(images, side, chosen), targets[chosen]


def patches_at(images: np.ndarray | ImagesWithCopies, side: int, index: np.ndarray, fill: int = 0) -> np.ndarray:
    """Return the patches at ascending positions of `cut_patches(images, side, fill)`, cut from one image at a time.

    >>> images = np.arange(16).reshape(1, 1, 4, 4)
    >>> patches_at(images, 2, np.array([1, 3])).tolist()
    [[[[2, 3], [6, 7]]], [[[10, 11], [14, 15]]]]
    """
    tall, wide = padded_size(images.shape[-2:], side)
    per_image = (tall // side) * (wide // side)
    taken = new_array((len(index), *images.shape[1:-2], side, side), images.dtype)
    ends = np.searchsorted(index, per_image * np.arange(len(images) + 1))
    for k, (begin, end) in enumerate(itertools.pairwise(ends)):
        taken[begin:end] = cut_patches(images[k][None], side, fill)[index[begin:end] - k * per_image]
    return taken
