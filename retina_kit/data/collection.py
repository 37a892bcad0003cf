"""A collection of images with their masks and rows: what every data set, real or synthetic, becomes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retina_kit.data.large_arrays import take_rows
from retina_kit.errors import UsageError


@dataclass(frozen=True)
class ImageSet:
    """Images of one size, their masks, and one row each.

    `images` is uint8 (N, C, H, W), C = 1 for OCT and 3 (RGB) for fundus photographs; `masks` maps a name to bool
    (N, H, W); `rows` has a RangeIndex and at least the columns id, patient and split.
    """

    images: np.ndarray
    masks: dict[str, np.ndarray]
    rows: pd.DataFrame
    name: str

    def __post_init__(self) -> None:
        """Raise UsageError if images, masks and rows do not belong together."""
        count, _, height, width = self.images.shape
        if len(self.rows) != count:
            raise UsageError(f"{self.name}: {count} images but {len(self.rows)} rows")
        for name, mask in self.masks.items():
            if mask.shape != (count, height, width):
                raise UsageError(f"{self.name}: mask {name} is {mask.shape}, expected {(count, height, width)}")

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    @property
    def num_bytes(self) -> int:
        """The memory that images and masks take."""
        return self.images.nbytes + sum(mask.nbytes for mask in self.masks.values())

    def subset(self, index: Sequence[int] | np.ndarray) -> "ImageSet":
        """Take the images at these positions, in this order."""
        index = np.asarray(index)
        masks = {name: take_rows(mask, index) for name, mask in self.masks.items()}
        return ImageSet(take_rows(self.images, index), masks, self.rows.iloc[index].reset_index(drop=True), self.name)

    def fingerprint(self) -> str:
        """Hash pixels, masks and ids (sha256)."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes())
        for name in sorted(self.masks):
            digest.update(name.encode() + np.packbits(self.masks[name]).tobytes())
        digest.update("\n".join(self.rows["id"].astype(str)).encode())
        return digest.hexdigest()
