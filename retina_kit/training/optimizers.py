"""Torch's optimizers without the import of its compiler: 2 s and 145 MB per process, for nothing that is used here."""

import functools
import inspect
from typing import Any

import torch
from torch.optim import Optimizer

DECORATED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


@functools.cache
def without_compiler(kind: type[Optimizer]) -> type[Any]:
    """Derive from a class of optimizers the same one, whose methods lack the decorators that import torch._dynamo.

    The decorators tell torch.compile what to leave alone, and `step` not to record gradients, which is put back here.
    Torch itself is not changed. Methods that a version of torch does not decorate stay what they are.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = without_compiler(torch.optim.SGD)([weight], lr=0.5)
    >>> weight.grad = torch.ones(1)
    >>> optimizer.step()
    >>> weight.item(), type(optimizer).__name__
    (0.5, 'SGD')
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in DECORATED}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**methods, "step": step})
