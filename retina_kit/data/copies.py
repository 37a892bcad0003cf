"""Augmented copies of images, made once before training: rotated, shifted and zoomed (Ortiz 2022, preprocessing).

The paper reports that there are two copies of each image and what is done to them, not how much; the ranges are
ours. Copies belong to the side of the split on which their original is: made before a split by image, they
put the same photograph on both sides.
"""

from collections.abc import Sequence
from typing import overload

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


def moved(stack: np.ndarray, moves: np.ndarray, *, nearest: bool = False, out: np.ndarray | None = None) -> np.ndarray:
    """Apply one affine map each to images (N, C, H, W) or masks (N, H, W), uint8 or bool; outside is 0.

    The result is written to `out`, an array like `stack`, if it is given.
    """
    result = np.empty_like(stack) if out is None else out
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    height, width = stack.shape[-2:]
    for item, move, into in zip(stack.view(np.uint8), moves, result.view(np.uint8), strict=True):
        for plane, target in zip(np.atleast_3d(item.T).T, np.atleast_3d(into.T).T, strict=True):
            target[:] = cv2.warpAffine(np.ascontiguousarray(plane), move, (width, height), flags=how)
    return result


@overload
def with_copies(images: np.ndarray, masks: np.ndarray, num_copies: int, seed: int) -> tuple[np.ndarray, np.ndarray]: ...
@overload
def with_copies(images: np.ndarray, masks: None, num_copies: int, seed: int) -> tuple[np.ndarray, None]: ...
def with_copies(
    images: np.ndarray, masks: np.ndarray | None, num_copies: int, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Append `num_copies` moved copies of all to images (N, C, H, W) and, if there are any, masks (N, H, W).

    Image k has its copies at k + N, k + 2 N and so on. An image and its mask move together.

    >>> images, masks = with_copies(np.zeros((4, 1, 16, 16), np.uint8), None, num_copies=2, seed=0)
    >>> images.shape, masks
    ((12, 1, 16, 16), None)
    """
    moves = _moves_of_copies(images, num_copies, seed)
    return _repeated(images, moves), None if masks is None else _repeated(masks, moves, nearest=True)


def _moves_of_copies(images: np.ndarray, num_copies: int, seed: int) -> list[np.ndarray]:
    """Sample the affine maps of all copies of images (N, C, H, W): (N, 2, 3) for each."""
    rng = np.random.default_rng([seed, 7])
    return [sample_moves(len(images), images.shape[-2:], rng) for _ in range(num_copies)]


def _repeated(stack: np.ndarray, moves: Sequence[np.ndarray], *, nearest: bool = False) -> np.ndarray:
    """Return a stack followed by a copy of it for each set of moves."""
    repeated = new_array((len(stack) * (1 + len(moves)), *stack.shape[1:]), stack.dtype)
    first, *copies = np.split(repeated, 1 + len(moves))
    first[...] = stack
    for copy, of_copy in zip(copies, moves, strict=True):
        moved(stack, of_copy, nearest=nearest, out=copy)
    return repeated


def add_copies(image_set: ImageSet, num_copies: int, seed: int = 0) -> ImageSet:
    """Repeat every image 1 + `num_copies` times, its copies moved and named <id>_copy1 and so on.

    A copy keeps its patient: a split by patient keeps it with its original, a split by image does not.
    """
    moves = _moves_of_copies(image_set.images, num_copies, seed)
    images = _repeated(image_set.images, moves)
    masks = {name: _repeated(mask, moves, nearest=True) for name, mask in image_set.masks.items()}
    return ImageSet(images, masks, rows_with_copies(image_set.rows, num_copies), image_set.name)


def rows_with_copies(rows: pd.DataFrame, num_copies: int) -> pd.DataFrame:
    """Append the rows of `num_copies` copies of all images, which keep everything but their id.

    >>> rows_with_copies(pd.DataFrame({"id": ["a", "b"]}), 1)["id"].tolist()
    ['a', 'b', 'a_copy1', 'b_copy1']
    """
    copies = [rows.assign(id=rows["id"] + f"_copy{k + 1}") for k in range(num_copies)]
    return pd.concat([rows, *copies], ignore_index=True)
