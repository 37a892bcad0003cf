"""Arrays that may not fit into memory: a large one is mapped from a temporary file."""

import errno
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import IO, TypeVar

import numpy as np
import torch
from numpy.typing import DTypeLike

from retina_kit.machine import free_memory

SHARE_OF_FREE_MEMORY = 0.25  # a data set is held about four times: as read, resized, its training part, predicted

Rows = TypeVar("Rows", np.ndarray, torch.Tensor)


def new_array(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Allocate an array with undefined values: in memory, or mapped from a file if it is large.

    Large means more than `SHARE_OF_FREE_MEMORY`. The file is in the system's folder of temporary files (TMPDIR) and is
    deleted with the array. Raises OSError if the disk is too full for it.

    >>> new_array((2, 3), np.uint8).shape
    (2, 3)
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= SHARE_OF_FREE_MEMORY * free_memory():
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        _reserve(file, size)
        return np.frombuffer(mmap.mmap(file.fileno(), size), dtype).reshape(shape)


def _reserve(file: IO[bytes], size: int) -> None:
    """Reserve disk space now: a full disk is an OSError here, but would be a crash in the middle of training."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    elif size > shutil.disk_usage(tempfile.gettempdir()).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:
        file.truncate(size)


def take_rows(values: Rows, index: Sequence[int] | np.ndarray) -> Rows:
    """Copy the rows of an array, or of a tensor on the CPU, at these positions.

    >>> take_rows(np.array([[1, 2], [3, 4], [5, 6]]), [2, 0]).tolist()
    [[5, 6], [1, 2]]
    """
    if isinstance(values, torch.Tensor):
        return torch.from_numpy(take_rows(values.numpy(), index))
    taken = new_array((len(index), *values.shape[1:]), values.dtype)
    for row, position in zip(taken, index, strict=True):
        row[...] = values[position]
    return taken
