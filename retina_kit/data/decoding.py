"""Decodes the images and masks of a data set in a pool of threads, each verified against its manifest."""

import concurrent.futures
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retina_kit.data.card import Card
from retina_kit.data.large_arrays import new_array
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.data.transforms import resize_images, resize_masks
from retina_kit.errors import DataError, UsageError

Decoded = tuple[np.ndarray, dict[str, np.ndarray]]


def decode_rows(
    rows: pd.DataFrame, card: Card, folder: Path, masks: Sequence[str], size: tuple[int, int] | None
) -> Decoded:
    """Decode the images (N, C, H, W) of all rows and their masks {name: (N, H, W)}; a derived mask is a union.

    `folder` holds the pack's files; `size` (H, W) resizes each image as soon as it is read. Raises DataError if a
    file is missing or its pixels are not those of the manifest, and UsageError if the images differ in size.
    """
    needed = needed_masks(card, masks)
    images, stacked = _decode(rows, lambda row: _read_row(row, card, folder, needed, size), card.name)
    for mask in masks:
        if mask in card.derived:
            stacked[mask] = _union([stacked[part] for part in card.derived[mask]])
    return images, stacked


def needed_masks(card: Card, masks: Sequence[str]) -> list[str]:
    """List the masks that have to be read for some masks, the parts of derived ones among them."""
    return [part for mask in masks for part in card.derived.get(mask, [mask])]


def _decode(rows: pd.DataFrame, read_row: Callable[[dict], Decoded], name: str) -> Decoded:
    """Put the image and the masks of each row in their place once they are read."""
    records = rows.to_dict("records")
    first, its_masks = read_row(records[0])
    images = new_array((len(records), *first.shape), np.uint8)
    stacked = {mask: new_array((len(records), *first.shape[1:]), bool) for mask in its_masks}

    def place(position: int, row: dict) -> None:
        image, masks = (first, its_masks) if position == 0 else read_row(row)
        if image.shape != first.shape:
            raise UsageError(f"the images of {name} differ in size; pass size=(H, W)")
        images[position] = image
        for mask, stack in stacked.items():
            stack[position] = masks[mask]

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for _ in pool.map(place, range(len(records)), records):
            continue  # an error in a thread is raised here
    return images, stacked


def _union(stacks: Sequence[np.ndarray]) -> np.ndarray:
    """Combine masks (N, H, W): set in a pixel if at least one of them is."""
    union = new_array(stacks[0].shape, bool)
    for out, *parts in zip(union, *stacks, strict=True):
        out[...] = np.logical_or.reduce(parts)
    return union


def _read_row(
    row: dict[str, Any], card: Card, folder: Path, masks: Sequence[str], size: tuple[int, int] | None
) -> Decoded:
    """Read one image (C, H, W) and its masks {name: (H, W)}, verified against the manifest."""
    path = folder / row["image"]
    image = read_image(path, card.channels)
    remedy = "fetch the pack again, or retina-kit data verify"
    if row["image_sha256"] and pixel_sha256(image) != row["image_sha256"]:
        raise DataError(f"{path}: the pixels are not those of the manifest; {remedy}")
    found = {}
    for mask in masks:
        path = folder / row[f"mask_{mask}"]
        found[mask] = read_mask(path, image.shape[:2])
        known = row[f"mask_{mask}_sha256"]
        if known and pixel_sha256(found[mask].astype(np.uint8)) != known:
            raise DataError(f"{path}: the mask is not that of the manifest; {remedy}")
    image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    if size is not None:
        image = resize_images(image[None], size)[0]
        found = {name: resize_masks(mask[None], size)[0] for name, mask in found.items()}
    return image, found
