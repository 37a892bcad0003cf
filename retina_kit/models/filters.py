"""What makes a filter respond most? Gradient ascent on the input, all filters of a layer at once."""

import torch
from torch import nn

from retina_kit.errors import UsageError


def convolutions(model):
    """Return a network's convolutions in the order of the network, transposed ones left out.

    Number k of Melinscak 2020, Figure 5, is entry k - 1: a U-Net of five levels has 1 to 8 in the encoder, 9 and
    10 in the bottleneck, 11 to 18 in the decoder and 19 as its head.
    """
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def maximize_filters(model, layer, *, num_filters=16, size=64, num_steps=40, step_size=1.0, offset=128.0, spread=20.0,
                     seed=0):  # fmt: skip
    """Return inputs (num_filters, C, size, size), float32, one for each of the first filters of a convolution.

    `layer` counts from 1 as `convolutions` does. Each input starts as uniform noise, offset .. offset + spread, and
    climbs the mean of its filter's response after ReLU; the gradient is divided by its root mean square + 1e-5
    (Melinscak 2020, code). The published start, 128 to 148, lies far outside the 0 .. 1 that the network was
    trained on. A filter that never responds keeps its noise.
    """
    found = convolutions(model)
    if not 1 <= layer <= len(found):
        raise UsageError(f"layer {layer} is not one of the {len(found)} convolutions of this network, counted from 1")
    conv = found[layer - 1]
    num_filters = min(num_filters, conv.out_channels)
    generator = torch.Generator().manual_seed(seed)
    channels = found[0].in_channels
    inputs = offset + spread * torch.rand(num_filters, channels, size, size, generator=generator)
    inputs = inputs.to(conv.weight.device).requires_grad_()
    responses = []
    hook = conv.register_forward_hook(lambda module, given, output: responses.append(output.relu()))
    was_training = model.training
    model.eval()
    try:
        for _ in range(num_steps):
            responses.clear()
            model(inputs)
            own = responses[0].flatten(2).mean(dim=2).diagonal()  # the response of filter k to input k
            (gradient,) = torch.autograd.grad(own.sum(), inputs)
            size_of_it = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            inputs = (inputs + step_size * gradient / (size_of_it + 1e-5)).detach().requires_grad_()
    finally:
        hook.remove()
        model.train(was_training)
    return inputs.detach()


def as_images(inputs):
    """Return maximized inputs as uint8 images (N, C, H, W): standardized one by one, contrast 0.1 around gray.

    Melinscak 2020's code: subtract the mean, divide by the deviation + 1e-5, times 0.1, plus 0.5, clip.
    """
    mean, deviation = inputs.mean(dim=(1, 2, 3), keepdim=True), inputs.std(dim=(1, 2, 3), keepdim=True)
    return ((inputs - mean) / (deviation + 1e-5) * 0.1 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
