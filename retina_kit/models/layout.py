"""In which memory layout a network computes fastest: channels last, or plain."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
WIDE = 32  # channels of the first convolution, whose images are the largest


def memory_format_of(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Return the layout in which a network trains fastest on a device; its weights take it, its images need not.

    That is channels_last, except for a wide network on a CPU that has AVX2 and nothing newer. Seconds of an Adam step
    in channels_last, divided by those in the contiguous layout (one thread, float32, 128x128 pixels unless given):

                     first convolution:    8            16           24            32            64
        unet                               0.89         1.00         0.96          1.14          1.16
        unet, 256x256                                   1.08         1.29          1.41
        unet, BatchNorm                    0.88         0.87                       1.16
        unet_s5_d16                        0.89         0.86         0.94          1.01          1.24
        vgg_like, segmenting               0.83         0.90                       1.09          1.11
        resnet_like, segmenting            1.01         1.04                       1.04          1.26
        efficientnet_lite0 (depthwise)                                             0.71 to 0.90

    >>> from retina_kit.models.unet import UNet
    >>> memory_format_of(UNet(widths=[8, 16, 32]), torch.device("cpu"))
    torch.channels_last
    """
    if device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2" and is_wide(model):
        return torch.contiguous_format
    return torch.channels_last


def to_device(model: Network, device: torch.device) -> Network:
    """Move a network to a device, in the memory layout in which it computes fastest there, and return it."""
    model.to(device=device, memory_format=memory_format_of(model, device))  # type: ignore[call-overload]
    return model


def is_wide(model: nn.Module) -> bool:
    """Report whether a network's first convolution has at least WIDE output channels, and none is depthwise."""
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    is_dense = all(convolution.groups == 1 for convolution in convolutions)
    return bool(convolutions) and is_dense and convolutions[0].out_channels >= WIDE


def layout_of(features: Tensor) -> torch.memory_format:
    """Return the layout that features (N, C, H, W) have."""
    is_last = features.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format
