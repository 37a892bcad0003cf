"""What makes a filter respond most? Gradient ascent on the input, all filters of a layer at once."""

import copy

import torch
from torch import Tensor, nn

from retina_kit.errors import UsageError
from retina_kit.models.layout import to_device


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """List a network's convolutions in the order of the network, transposed ones left out.

    Number k of Melinscak 2020, Figure 5, is entry k - 1: a U-Net of five levels has 1 to 8 in the encoder, 9 and
    10 in the bottleneck, 11 to 18 in the decoder and 19 as its head.

    >>> from retina_kit.models.unet import UNet
    >>> len(convolutions(UNet(widths=(4, 4, 4, 4, 4))))
    19
    """
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def maximize_filters(
    model: nn.Module,
    layer: int,
    *,
    num_filters: int = 9,
    size: int = 64,
    num_steps: int = 40,
    step_size: float = 1.0,
    offset: float = 128.0,
    spread: float = 20.0,
    seed: int = 0,
) -> Tensor:
    """Find inputs (num_filters, C, size, size), float32, one for each of the first filters of a convolution.

    `layer` counts from 1 as `convolutions` does. Each input starts as uniform noise, offset .. offset + spread, and
    climbs the mean of its filter's response after ReLU; the gradient is divided by its root mean square + 1e-5
    (Melinscak 2020, code). The published start, 128 to 148, is far outside the 0 .. 1 that the network was
    trained on. A filter that never responds keeps its noise.

    >>> from retina_kit.models.unet import UNet
    >>> maximize_filters(UNet(widths=(4, 4)), layer=1, num_filters=2, size=8, num_steps=1).shape
    torch.Size([2, 1, 8, 8])
    """
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    to_device(frozen, next(frozen.parameters()).device)
    found = convolutions(frozen)
    if not 1 <= layer <= len(found):
        raise UsageError(f"layer {layer} is not one of the {len(found)} convolutions of this network, counted from 1")
    conv = found[layer - 1]
    conv.register_forward_hook(_stop_here)
    num_filters = min(num_filters, conv.out_channels)
    generator = torch.Generator().manual_seed(seed)
    inputs = offset + spread * torch.rand(num_filters, found[0].in_channels, size, size, generator=generator)
    inputs = inputs.to(conv.weight.device)
    for _ in range(num_steps):
        response = _response_of(frozen, inputs.requires_grad_())
        own = response.flatten(2).mean(dim=2).diagonal()  # the response of filter k to input k
        (gradient,) = torch.autograd.grad(own.sum(), inputs)
        root_mean_square = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        inputs = (inputs + step_size * gradient / (root_mean_square + 1e-5)).detach()
    return inputs


class _Reached(Exception):
    """The layer was reached; what comes behind it is not needed."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


def _stop_here(module: nn.Module, given: object, output: Tensor) -> None:
    """End the pass through the network with the output of a layer, as a forward hook."""
    raise _Reached(output)


def _response_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Compute the responses, after ReLU, of the layer that has the hook `_stop_here`."""
    try:
        model(inputs)
    except _Reached as reached:
        return reached.output.relu()
    raise UsageError("this network does not use that convolution")


def as_images(inputs: Tensor) -> Tensor:
    """Turn maximized inputs into uint8 images (N, C, H, W): standardized one by one, contrast 0.1 around gray.

    Melinscak 2020's code: subtract the mean, divide by the deviation + 1e-5, times 0.1, plus 0.5, clip.

    >>> as_images(torch.tensor([[[[100.0, 140.0]]]])).tolist()  # one deviation is sqrt(2) * 20
    [[[[109, 146]]]]
    """
    mean, deviation = inputs.mean(dim=(1, 2, 3), keepdim=True), inputs.std(dim=(1, 2, 3), keepdim=True)
    return ((inputs - mean) / (deviation + 1e-5) * 0.1 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
