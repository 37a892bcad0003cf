"""Batched augmentation: one resampling per batch, on the device where the images already are."""

from collections.abc import Sequence
from typing import Annotated, Self, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from retina_kit.errors import UsageError
from retina_kit.schema import STRICT, Count, Range

IGNORE = 255  # the label of pixels outside the image; losses leave them out, see training/losses.py
NUM_REDRAWS = 10  # of a crop that one class fills, as in MMSegmentation
Geometry: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]  # scale, top, left, mirrored; (N,) each


@dataclass(frozen=True, config=STRICT)
class Augmentation:
    """What changes at random in each image of a batch.

    `crop` is the side of the square that is cut out, in pixels (0: whole images, no crop); `ratio` bounds
    the scale at which the image is resampled first; `flip` is the probability of a horizontal mirror.
    A crop in which one class fills `cat_max_ratio` of the pixels or more is moved, up to ten times (1: never), as in
    MMSegmentation's RandomCrop. The share `foreground` of the crops is centered on a random foreground pixel, if the
    image has any. `photometric` changes brightness, contrast, saturation and hue (see `distort_colors`).
    The defaults change nothing. Huang 2023, section 3.3.2, uses crop 256, ratio 0.5 to 2, flip 0.5.

    >>> Augmentation(crop=256, ratio=(0.5, 2.0), flip=0.5).keeps_geometry
    False
    """

    crop: Count = 0
    ratio: Range = (1.0, 1.0)
    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    cat_max_ratio: Annotated[float, Field(gt=0, le=1)] = 1.0
    foreground: Annotated[float, Field(ge=0, le=1)] = 0.0
    photometric: bool = False

    @model_validator(mode="after")
    def check_ratio(self) -> Self:
        """Raise ValueError if the range of scales is empty or reaches 0, or if what is about crops has no crop."""
        low, high = self.ratio
        if not 0 < low <= high:
            raise ValueError(f"ratio is {low} to {high}; it needs 0 < low <= high")
        if not self.crop and (self.cat_max_ratio < 1 or self.foreground):
            raise ValueError("cat_max_ratio and foreground are about crops; set crop to the side of the crops")
        return self

    @property
    def keeps_geometry(self) -> bool:
        """Whether every pixel stays where it is."""
        return self.crop == 0 and self.ratio == (1.0, 1.0) and self.flip == 0


def sample_geometry(
    settings: Augmentation, num_images: int, height: int, width: int, generator: torch.Generator
) -> Geometry:
    """Sample the scale, the corner (y, x) in resampled pixels and the mirror of each image, as (N,) tensors.

    All numbers come from `generator` on the CPU, so that a step's augmentation depends on nothing but its seed.
    """
    uniform = torch.rand(4, num_images, generator=generator)
    low, high = settings.ratio
    scale = low + (high - low) * uniform[0]
    crop_height, crop_width = (settings.crop, settings.crop) if settings.crop else (height, width)
    room_y = (height * scale - crop_height).clamp(min=0)
    room_x = (width * scale - crop_width).clamp(min=0)
    return scale, room_y * uniform[1], room_x * uniform[2], uniform[3] < settings.flip


def choose_corners(geometry: Geometry, targets: Tensor, settings: Augmentation, generator: torch.Generator) -> Geometry:
    """Move the crops that `cat_max_ratio` rejects, and center some on the foreground; `targets` is (N, H, W).

    With a mask per class, (N, K, H, W), what belongs to any class fills a crop, and the centered pixel is one of a
    class that is chosen first, each that the image has being equally likely: small lesions are seen as often as large.
    """
    scale, top, left, mirror = geometry
    num_images, (height, width) = len(targets), targets.shape[-2:]
    room = torch.stack([height * scale - settings.crop, width * scale - settings.crop]).clamp(min=0)
    corners = torch.stack([top, left])
    if settings.cat_max_ratio < 1:
        further = room[None] * torch.rand(NUM_REDRAWS, 2, num_images, generator=generator)
        corners = first_mixed(torch.cat([corners[None], further]), scale, any_class(targets), settings)
    if settings.foreground:
        uniform = torch.rand(2, num_images, generator=generator).to(targets.device)
        if targets.dim() == 4:
            targets = one_class(targets, torch.rand(num_images, generator=generator).to(targets.device))
        center, found = random_foreground(targets, uniform[0])
        centered = (center * scale.to(targets.device) - settings.crop / 2).clamp(min=0)
        centered = torch.minimum(centered, room.to(targets.device))
        chosen = found & (uniform[1] < settings.foreground)
        corners = torch.where(chosen, centered, corners.to(targets.device))
    return scale, corners[0], corners[1], mirror


def any_class(targets: Tensor) -> Tensor:
    """Reduce a mask per class, (N, K, H, W), to one that is 1 where any class is, (N, H, W); one mask passes.

    >>> any_class(torch.tensor([[[[1, 0, 255]], [[1, 0, 255]]]])).tolist()
    [[[1, 0, 255]]]
    """
    return targets.amax(dim=1) if targets.dim() == 4 else targets


def one_class(targets: Tensor, uniform: Tensor) -> Tensor:
    """Choose for each image the mask (H, W) of one class that it has, from masks (N, K, H, W): (N, H, W).

    `uniform` holds a random number in 0..1 per image. An image without any class gives an empty mask.

    >>> one_class(torch.tensor([[[[0, 0]], [[1, 0]], [[1, 1]]]]), torch.tensor([0.9])).tolist()
    [[[1, 1]]]
    """
    ranks = (targets == 1).flatten(2).any(dim=2).long().cumsum(1)
    wanted = (uniform * ranks[:, -1]).long() + 1
    chosen = torch.searchsorted(ranks, wanted[:, None])[:, 0].clamp(max=targets.shape[1] - 1)
    return targets[torch.arange(len(targets), device=targets.device), chosen]


def first_mixed(corners: Tensor, scale: Tensor, targets: Tensor, settings: Augmentation) -> Tensor:
    """Choose for each image the first corner of (K, 2, N) whose crop no class fills, the last if there is none.

    Pixels are counted in the original image, whatever the scale.
    """
    corners, scale = corners.to(targets.device), scale.to(targets.device)
    sides = torch.tensor(targets.shape[1:], device=targets.device).reshape(1, 2, 1)
    first = (corners / scale).round().long().minimum(sides)
    last = ((corners + settings.crop) / scale).round().long().minimum(sides)
    foreground = count_in_boxes(targets == 1, first, last)
    valid = count_in_boxes(targets != IGNORE, first, last)
    largest = torch.maximum(foreground, valid - foreground)
    fits = largest < settings.cat_max_ratio * valid
    fits[-1] = True
    chosen = fits.to(torch.uint8).argmax(dim=0)
    return corners.gather(0, chosen.expand(1, 2, -1))[0]


def count_in_boxes(mask: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Count the pixels of bool masks (N, H, W) in boxes from `first` to before `last`, (K, 2, N) each: (K, N).

    >>> mask = torch.tensor([[[True, False], [True, True]]])
    >>> count_in_boxes(mask, torch.zeros(1, 2, 1).long(), torch.tensor([2, 1]).reshape(1, 2, 1)).tolist()
    [[2]]
    """
    sums = F.pad(mask.long().cumsum(1).cumsum(2), (1, 0, 1, 0))
    which = torch.arange(len(mask), device=mask.device)
    (top, left), (bottom, right) = first.unbind(1), last.unbind(1)
    upper = sums[which, top, right] - sums[which, top, left]
    return sums[which, bottom, right] - sums[which, bottom, left] - upper


def random_foreground(targets: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Pick one foreground pixel of each target (N, H, W): its center (2, N) as y and x, and whether there is one."""
    ranks = (targets == 1).flatten(1).long().cumsum(1)
    wanted = (uniform * ranks[:, -1]).long() + 1
    at = torch.searchsorted(ranks, wanted[:, None])[:, 0]
    width = targets.shape[-1]
    return torch.stack([at // width, at % width]) + 0.5, ranks[:, -1] > 0


def augment_images(
    images: Tensor, targets: Tensor, settings: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Resize, crop and mirror each image at random: images (N, C, h, w) and targets (N, h, w).

    `images` is float (N, C, H, W), already normalized; `targets` is uint8 (N, H, W), or (N, K, H, W) with a mask per
    class. Images are resampled bilinearly and padded with 0, targets take the nearest pixel and are padded with
    `IGNORE`: what the resize-crop-flip pipeline of Huang 2023 does image by image, here in one `grid_sample` per batch.

    >>> images, targets = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[[1, 0], [1, 0]]])
    >>> mirrored, labels = augment_images(images, targets.byte(), Augmentation(flip=1.0), torch.Generator())
    >>> mirrored.tolist(), labels.tolist()
    ([[[[2.0, 1.0], [4.0, 3.0]]]], [[[0, 1], [0, 1]]])
    """
    if settings.keeps_geometry:
        return images, targets
    num_images, _, height, width = images.shape
    out_height, out_width = (settings.crop, settings.crop) if settings.crop else (height, width)
    geometry = sample_geometry(settings, num_images, height, width, generator)
    geometry = choose_corners(geometry, targets, settings, generator)
    images, grid, inside = resample(images, geometry, (out_height, out_width))
    planes = targets if targets.dim() == 4 else targets[:, None]
    labels = F.grid_sample(planes.float(), grid, mode="nearest", align_corners=False)
    labels = torch.where(inside[:, None], labels.to(torch.uint8), IGNORE)
    return images, labels if targets.dim() == 4 else labels[:, 0]


def augment_points(
    images: Tensor, points: Tensor, settings: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Resize, shift and mirror each image at random: images (N, C, H, W) and points (N, 2).

    Points are x and y as fractions of width and height. The size stays, so `crop` must be 0: an image that
    was enlarged is cut at a random place, one that was reduced is padded with 0 at its right and bottom.
    """
    if settings.crop:
        raise UsageError("images with points are not cropped; set the augmentation's crop to 0")
    if settings.keeps_geometry:
        return images, points
    num_images, _, height, width = images.shape
    geometry = sample_geometry(settings, num_images, height, width, generator)
    images, _, _ = resample(images, geometry, (height, width))
    scale, top, left, mirror = (value.to(points.device, non_blocking=True) for value in geometry)
    x = points[:, 0] * scale - left / width
    y = points[:, 1] * scale - top / height
    return images, torch.stack([torch.where(mirror, 1 - x, x), y], dim=1)


def resample(images: Tensor, geometry: Geometry, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Read images (N, C, h, w) of `size` (h, w) at a sampled geometry.

    Also gives the grid (N, h, w, 2) that they were read at, and which pixels (N, h, w) come from inside the image;
    the others are 0.
    """
    num_images, _, height, width = images.shape
    out_height, out_width = size
    scale, top, left, mirror = (value.to(images.device, non_blocking=True) for value in geometry)
    y = torch.arange(out_height, device=images.device) + 0.5
    x = torch.arange(out_width, device=images.device) + 0.5
    x = torch.where(mirror[:, None], out_width - x, x.expand(num_images, -1))
    source_y = (y + top[:, None]) / scale[:, None] * (2 / height) - 1  # -1 .. 1 spans the image
    source_x = (x + left[:, None]) / scale[:, None] * (2 / width) - 1
    grid = torch.stack(torch.broadcast_tensors(source_x[:, None, :], source_y[:, :, None]), dim=-1)
    inside = (grid.abs() <= 1).all(dim=-1)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return images * inside[:, None], grid, inside
