"""What a training step costs: operations by torch's own counter, bytes at least, seconds, memory."""

import itertools
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from retina_kit.models.build import build_model, count_parameters
from retina_kit.training.loop import fit

FLOAT = 4  # bytes


def work_of_a_step(model_settings, shape, auxiliary=False):
    """Return the weights, the floating-point operations and the least bytes of one forward and backward pass.

    Counted on the meta device, so nothing is computed. The bytes are a lower bound in float32: what is kept for
    the backward pass is written and read once; weights are read twice, their gradients written and read, and
    Adam reads and writes weight and two moments.
    """
    kept = []

    def note(tensor):
        kept.append((tensor.numel() * tensor.element_size()) if not isinstance(tensor, torch.nn.Parameter) else 0)
        return tensor

    with torch.device("meta"):
        model = build_model(model_settings).train()
        predict = model.forward_with_auxiliary if auxiliary else model
        images = torch.zeros(*shape)
        with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            outputs = predict(images)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            sum(output.sum() for output in outputs).backward()
    weights = count_parameters(model)
    return {"weights": weights, "flops": counter.get_total_flops(), "bytes": 2 * sum(kept) + (4 + 6) * FLOAT * weights}


def seconds_of_steps(model, batches, recipe, *, device, num_steps, precision="auto"):
    """Return the seconds of each of `num_steps` updates after one that warms up, in the kit's loop."""
    marks = []

    def watch(step, total, losses, scores):
        losses[-1].item()
        marks.append(time.perf_counter())
        return len(marks) > num_steps

    fit(model, batches, recipe, device=device, precision=precision, watch=watch)
    return [later - earlier for earlier, later in itertools.pairwise(marks)]
