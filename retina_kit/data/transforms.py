"""Preprocessing of whole images with OpenCV, before they become a resident tensor."""

import cv2
import numpy as np

from retina_kit.data.large_arrays import new_array
from retina_kit.errors import UsageError


def scaled_size(size, scale):
    """Return (H, W) times `scale`, rounded, at least 16 pixels a side."""
    return tuple(max(16, round(side * scale)) for side in size)


def resize_images(images, size):
    """Return uint8 images (N, C, H, W) at `size` (h, w): averaged where they shrink, bilinear where they grow."""
    height, width = size
    if images.shape[-2:] == (height, width):
        return images
    how = cv2.INTER_AREA if height <= images.shape[-2] and width <= images.shape[-1] else cv2.INTER_LINEAR
    resized = new_array((*images.shape[:2], height, width), np.uint8)
    for image, result in zip(images, resized, strict=True):
        for channel, out in zip(image, result, strict=True):
            cv2.resize(channel, (width, height), dst=out, interpolation=how)
    return resized


def resize_masks(masks, size):
    """Return bool masks (N, H, W) at `size` (h, w), each pixel the nearest one."""
    height, width = size
    if masks.shape[-2:] == (height, width):
        return masks
    resized = new_array((len(masks), height, width), bool)
    for mask, out in zip(masks.view(np.uint8), resized.view(np.uint8), strict=True):
        cv2.resize(mask, (width, height), dst=out, interpolation=cv2.INTER_NEAREST_EXACT)
    return resized


def to_gray(images):
    """Return luminance (N, 1, H, W) of RGB images (N, 3, H, W), 0.299 R + 0.587 G + 0.114 B; gray ones pass."""
    if images.shape[1] == 1:
        return images
    gray = new_array((len(images), 1, *images.shape[2:]), np.uint8)
    for image, out in zip(images, gray, strict=True):
        out[0] = cv2.cvtColor(image.transpose(1, 2, 0), cv2.COLOR_RGB2GRAY)
    return gray


def standardize(images, mean, std):
    """Return gray images after (x - mean) / std, then stretched image by image to 0..255 (Hu 2018's lab).

    `mean` and `std` are the training images' own.
    """
    standard = (images.astype(np.float32) - mean) / std
    low = standard.min(axis=(1, 2, 3), keepdims=True)
    high = standard.max(axis=(1, 2, 3), keepdims=True)
    return np.rint((standard - low) / np.maximum(high - low, 1e-6) * 255).astype(np.uint8)


def equalize(images, clip_limit=2.0, tiles=8):
    """Return images after contrast-limited adaptive histogram equalization, each channel by itself."""
    clahe = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles))
    return np.stack([np.stack([clahe.apply(channel) for channel in image]) for image in images])


def gamma(images, value=1.2):
    """Return images raised to 1 / `value`, through a table of 256 entries."""
    table = np.rint((np.arange(256) / 255) ** (1 / value) * 255).astype(np.uint8)
    return table[images]


STEPS = {
    "gray": lambda images, training: to_gray(images),
    "standardize": lambda images, training: standardize(images, images[training].mean(), images[training].std()),
    "equalize": lambda images, training: equalize(images),
    "equalize_weakly": lambda images, training: equalize(images, clip_limit=1.5),
    "gamma": lambda images, training: gamma(images),
}


def preprocess(images, steps, training):
    """Return uint8 images (N, C, H, W) after the named steps; `training` (indices) gives the statistics."""
    for step in steps:
        if step not in STEPS:
            raise UsageError(f"no preprocessing step is called {step!r}; there are {', '.join(STEPS)}")
        images = STEPS[step](images, training)
    return images
