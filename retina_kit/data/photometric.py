"""Random brightness, contrast, saturation and hue, batched on the device: MMSegmentation's PhotoMetricDistortion."""

import torch
from torch import Tensor

BRIGHTNESS = 32.0  # gray values added or subtracted at most
FACTORS = (0.5, 1.5)  # of contrast and of saturation
HUE = 36.0  # degrees; 18 of OpenCV's 180 steps


def distort_colors(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image, each with a probability of one half.

    `images` is float (N, C, H, W), gray values 0 to 255, RGB or gray; a gray image has neither saturation nor hue.
    Contrast comes before or after the colors, at random. Values stay in 0 to 255 and are not rounded. All numbers come
    from `generator` on the CPU. Ranges and order are those of MMSegmentation's PhotoMetricDistortion, in which the
    vessel networks of Huang 2023 were pretrained.

    >>> images = torch.full((2, 3, 1, 1), 100.0)
    >>> distorted = distort_colors(images, torch.Generator().manual_seed(0))
    >>> distorted.shape, bool((distorted >= 0).all() and (distorted <= 255).all())
    (torch.Size([2, 3, 1, 1]), True)
    """
    uniform = torch.rand(9, len(images), generator=generator).to(images.device)[..., None, None, None]
    brightness, contrast, saturation, hue = (uniform[k] < 0.5 for k in range(4))
    contrast_first = uniform[4] < 0.5
    low, high = FACTORS
    images = add(images, (2 * uniform[5] - 1) * BRIGHTNESS * brightness)
    factor = torch.where(contrast, low + (high - low) * uniform[6], 1.0)
    images = multiply(images, torch.where(contrast_first, factor, 1.0))
    if images.shape[1] == 3:
        saturation_factor = torch.where(saturation, low + (high - low) * uniform[7], 1.0)
        images = change_colors(images, saturation_factor, (2 * uniform[8] - 1) * HUE * hue)
    return multiply(images, torch.where(contrast_first, 1.0, factor))


def add(images: Tensor, shift: Tensor) -> Tensor:
    """Add to gray values and keep them within 0 to 255."""
    return (images + shift).clamp(0, 255)


def multiply(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply gray values and keep them within 0 to 255."""
    return (images * factor).clamp(0, 255)


def change_colors(images: Tensor, saturation: Tensor, degrees: Tensor) -> Tensor:
    """Multiply the saturation and turn the hue of RGB images (N, 3, H, W); the value, the largest channel, stays.

    `saturation` and `degrees` are (N, 1, 1, 1).

    >>> red = torch.tensor([255.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    >>> turn = torch.full((1, 1, 1, 1), 120.0)
    >>> change_colors(red, torch.ones(1, 1, 1, 1), turn).flatten().tolist()
    [0.0, 255.0, 0.0]
    >>> change_colors(red, torch.full((1, 1, 1, 1), 0.5), 0 * turn).flatten().tolist()
    [255.0, 127.5, 127.5]
    """
    value = images.amax(dim=1, keepdim=True)
    chroma = value - images.amin(dim=1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    safe = chroma.clamp(min=1e-6)
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = sixth + degrees / 60
    chroma = torch.minimum(chroma * saturation, value)
    offsets = torch.tensor([5.0, 3.0, 1.0], device=images.device).reshape(1, 3, 1, 1)
    k = (offsets + sixth) % 6  # how far each channel is from the hue, in sixths of the circle
    return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)
