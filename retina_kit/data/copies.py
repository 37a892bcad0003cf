"""Augmented copies of images, made once before training: rotated, shifted and zoomed (Ortiz 2022, preprocessing).

The paper reports that there are two copies of each image and what is done to them, not how much; the ranges are
ours. Copies belong to the side of the split on which their original is: made before a split by image, they
put the same photograph on both sides.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.collection import ImageSet
from retina_kit.data.large_arrays import new_array

MAX_TURN = 20.0  # degrees
MAX_SHIFT = 0.05  # of a side
ZOOM = (0.9, 1.1)


def sample_moves(count: int, size: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Sample `count` affine maps (count, 2, 3) in pixels for images of `size` (H, W): rotation, zoom, shift."""
    height, width = size
    moves = []
    for _ in range(count):
        turn, zoom = rng.uniform(-MAX_TURN, MAX_TURN), rng.uniform(*ZOOM)
        move: np.ndarray = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
        move[:, 2] += rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * (width, height)
        moves.append(move)
    return np.stack(moves)


def moved(stack: np.ndarray, moves: np.ndarray, *, nearest: bool = False) -> np.ndarray:
    """Apply one affine map each to images (N, C, H, W) or masks (N, H, W), uint8 or bool; outside is 0."""
    result = np.empty_like(stack)
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    height, width = stack.shape[-2:]
    for item, move, into in zip(stack.view(np.uint8), moves, result.view(np.uint8), strict=True):
        for plane, target in zip(np.atleast_3d(item.T).T, np.atleast_3d(into.T).T, strict=True):
            target[:] = cv2.warpAffine(np.ascontiguousarray(plane), move, (width, height), flags=how)
    return result


class ImagesWithCopies:
    """Images (N, C, H, W) followed by moved copies of all, each of which is made when it is read.

    Image k has its copies at k + N, k + 2 N and so on. Masks (N, H, W) or (N, K, H, W), read with `nearest`, move with
    the images of the same number, size and seed.

    >>> ImagesWithCopies(np.zeros((4, 1, 16, 16), np.uint8), num_copies=2, seed=0).shape
    (12, 1, 16, 16)
    """

    def __init__(self, stack: np.ndarray, num_copies: int, seed: int, *, nearest: bool = False) -> None:
        rng = np.random.default_rng([seed, 7])
        self.stack, self.nearest = stack, nearest
        self.moves = [sample_moves(len(stack), stack.shape[-2:], rng) for _ in range(num_copies)]
        self.shape, self.dtype = (len(stack) * (1 + num_copies), *stack.shape[1:]), stack.dtype

    def __len__(self) -> int:
        """Count the images and their copies."""
        return self.shape[0]

    def __getitem__(self, position: int) -> np.ndarray:
        """Return an image (C, H, W), or make a copy of one."""
        copy, k = divmod(position, len(self.stack))
        if not copy:
            return self.stack[k]
        return moved(self.stack[k : k + 1], self.moves[copy - 1][k : k + 1], nearest=self.nearest)[0]


def with_copies(stack: np.ndarray, num_copies: int, seed: int, *, nearest: bool = False) -> np.ndarray:
    """Return all of `ImagesWithCopies` as one array."""
    images = ImagesWithCopies(stack, num_copies, seed, nearest=nearest)
    together = new_array(images.shape, images.dtype)
    for k in range(len(images)):
        together[k] = images[k]
    return together


def add_copies(image_set: ImageSet, num_copies: int, seed: int = 0) -> ImageSet:
    """Repeat every image 1 + `num_copies` times, its copies moved and named <id>_copy1 and so on.

    A copy keeps its patient: a split by patient keeps it with its original, a split by image does not.
    """
    images = with_copies(image_set.images, num_copies, seed)
    masks = {name: with_copies(mask, num_copies, seed, nearest=True) for name, mask in image_set.masks.items()}
    return ImageSet(images, masks, rows_with_copies(image_set.rows, num_copies), image_set.name)


def rows_with_copies(rows: pd.DataFrame, num_copies: int) -> pd.DataFrame:
    """Append the rows of `num_copies` copies of all images, which keep everything but their id.

    >>> rows_with_copies(pd.DataFrame({"id": ["a", "b"]}), 1)["id"].tolist()
    ['a', 'b', 'a_copy1', 'b_copy1']
    """
    copies = [rows.assign(id=rows["id"] + f"_copy{k + 1}") for k in range(num_copies)]
    return pd.concat([rows, *copies], ignore_index=True)
