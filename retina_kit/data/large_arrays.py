"""Arrays that may not fit into memory: a large one is mapped from a file of its own."""

import math
import mmap
import os
import tempfile

import numpy as np
import torch

from retina_kit.machine import free_memory

SHARE = 0.25  # of the free memory: a data set is held about four times (as read, resized, its training part, predicted)


def new_array(shape, dtype):
    """Return an array of this shape, its values undefined: in memory, or mapped from a file where it is large.

    Large is what takes more than `SHARE` of the memory that is free. The file lies where the system has its temporary
    files (TMPDIR), has no name and goes with the array. Raises OSError where the disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= SHARE * free_memory():
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, size)  # a full disk is an error here, not a signal later on
        return np.frombuffer(mmap.mmap(file.fileno(), size), dtype).reshape(shape)


def take(values, index):
    """Return the rows of an array, or of a tensor on the CPU, at these positions as a new one."""
    if isinstance(values, torch.Tensor):
        return torch.from_numpy(take(values.numpy(), index))
    taken = new_array((len(index), *values.shape[1:]), values.dtype)
    for row, position in zip(taken, index, strict=True):
        row[...] = values[position]
    return taken
