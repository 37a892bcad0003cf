"""Which device trains, and in which precision."""

import contextlib
import ctypes

import torch

from retina_kit.errors import SetupError, UsageError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # names of mallopt, malloc.h


def choose_device(name="auto"):
    """Return the torch device for "auto", "cpu", "cuda" or "cuda:N"; auto takes the first GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r} is not one of auto, cpu, cuda, cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SetupError(f"device {name!r} was asked for, but torch sees no GPU; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SetupError(f"device {name!r}: there are only {torch.cuda.device_count()} GPUs")
    return device


def keep_freed_memory():
    """Let this process keep the memory that it frees, for the next step asks for just as much.

    The GNU C library gives tensors above 32 MiB back to the system at once, and new ones are then filled with zeros
    page by page: 8 ms a tensor, several a step. Other C libraries are left as they are.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory():
    """Give the system back what this process keeps but does not use, as far as the C library can."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def has_fast_bfloat16(device):
    """Say whether bfloat16 is computed in hardware: GPU with compute capability 8, CPU with avx512_bf16 or amx."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(device, precision="auto"):
    """Return the context in which the network computes: "bfloat16", "float32", or "auto" for what is fast here."""
    if precision not in ("auto", "bfloat16", "float32"):
        raise UsageError(f"precision {precision!r} is not one of auto, bfloat16, float32")
    if precision == "float32" or (precision == "auto" and not has_fast_bfloat16(device)):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
