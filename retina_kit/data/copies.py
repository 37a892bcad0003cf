"""Augmented copies of images, made once before training: turned, shifted and zoomed (Ortiz 2022, preprocessing).

The paper prints that there are two copies of each image and what is done to them, not how much; the ranges are
ours. Copies belong to the side of the split on which their original stands: made before a split by image, they
put the same photograph on both sides.
"""

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.collection import ImageSet

MAX_TURN = 20.0  # degrees
MAX_SHIFT = 0.05  # of a side
ZOOM = (0.9, 1.1)


def draw_moves(count, size, rng):
    """Return `count` affine maps (count, 2, 3) in pixels: turn, zoom about the center, shift."""
    height, width = size
    moves = []
    for _ in range(count):
        turn, zoom = rng.uniform(-MAX_TURN, MAX_TURN), rng.uniform(*ZOOM)
        move = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
        move[:, 2] += rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * (width, height)
        moves.append(move)
    return np.stack(moves)


def moved(stack, moves, *, nearest=False):
    """Return images (N, C, H, W) or masks (N, H, W), uint8 or bool, after one affine map each; outside is 0."""
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    height, width = stack.shape[-2:]
    result = np.zeros(stack.shape, np.uint8)
    for item, move, out in zip(stack.view(np.uint8), moves, result, strict=True):
        for plane, target in zip(np.atleast_3d(item.T).T, np.atleast_3d(out.T).T, strict=True):
            target[:] = cv2.warpAffine(np.ascontiguousarray(plane), move, (width, height), flags=how)
    return result.astype(stack.dtype)


def with_copies(images, masks, num_copies, seed):
    """Return images (N, C, H, W) and masks (N, H, W), or None, followed by `num_copies` moved copies of all.

    Image k has its copies at k + N, k + 2 N and so on. An image and its mask move together.
    """
    rng = np.random.default_rng([seed, 7])
    all_images, all_masks = [images], [masks]
    for _ in range(num_copies):
        moves = draw_moves(len(images), images.shape[-2:], rng)
        all_images.append(moved(images, moves))
        all_masks.append(None if masks is None else moved(masks, moves, nearest=True))
    return np.concatenate(all_images), None if masks is None else np.concatenate(all_masks)


def add_copies(image_set, num_copies, seed=0):
    """Return Images in which every image stands 1 + `num_copies` times, its copies named <id>_copy1 and so on.

    A copy keeps its patient: a split by patient keeps it with its original, a split by image does not.
    """
    masks = {name: with_copies(image_set.images, mask, num_copies, seed)[1] for name, mask in image_set.masks.items()}
    rows = [image_set.rows]
    rows += [image_set.rows.assign(id=image_set.rows["id"] + f"_copy{k + 1}") for k in range(num_copies)]
    images, _ = with_copies(image_set.images, None, num_copies, seed)
    return ImageSet(images, masks, pd.concat(rows, ignore_index=True), image_set.name)
