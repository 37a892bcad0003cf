"""Which device trains, in which precision, and how the process is set up for it."""

import contextlib
import ctypes
import functools
import platform

import torch

from retina_kit.errors import SetupError, UsageError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of mallopt (malloc.h)
PRECISIONS = ("auto", "float32", "bfloat16")


def choose_device(name: str = "auto") -> torch.device:
    """Choose the torch device for "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu", and set up the process for it.

    auto takes the accelerator that torch offers, the CPU if there is none. Raises UsageError for a name that torch
    does not know and SetupError for a device that this machine does not have.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        device = found or torch.device("cpu")
    else:
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise UsageError(f"device {name!r} is not one of auto, cpu, cuda, cuda:N, mps, xpu") from error
        if device.type != "cpu" and (found is None or device.type != found.type):
            what = "no accelerator" if found is None else f"only {found.type}"
            raise SetupError(f"device {name!r} was asked for, but torch finds {what} here; use --device auto")
        if device.type != "cpu" and (device.index or 0) >= torch.accelerator.device_count():
            raise SetupError(f"device {name!r}: this machine has only {torch.accelerator.device_count()}")
    if device.type == "cpu":
        _keep_freed_memory()
    return device


def device_name(device: torch.device) -> str:
    """Name the hardware behind a device, such as "NVIDIA H100" or "CPU (2 threads)"."""
    if device.type == "cpu":
        number = torch.get_num_threads()
        return f"CPU ({number} thread{'s' if number > 1 else ''})"
    name = getattr(getattr(torch, device.type, None), "get_device_name", None)
    if name:
        return name(device)
    return f"{platform.processor() or platform.machine()} ({device.type})"


def seed_generator(device: torch.device, seed: int) -> None:
    """Seed the random numbers that a device generates, such as those of dropout.

    For the CPU this equals torch.manual_seed, which also records a stack trace for each kind of accelerator that is
    missing: 0.3 of the 12 ms that a step of a small network takes.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Report whether bfloat16 is computed in hardware: CUDA compute capability 8, or a CPU with avx512_bf16 or amx.

    Other accelerators count as not: float32 is the safe choice where nobody has measured.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, check, bool)() for check in checks)
    return False


def resolve_precision(device: torch.device, precision: str = "auto") -> str:
    """Resolve "auto" to "bfloat16" if the device computes it in hardware, else to "float32"."""
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        return "bfloat16" if has_fast_bfloat16(device) else "float32"
    return precision


def autocast(device: torch.device, precision: str = "auto") -> contextlib.AbstractContextManager:
    """Return the context in which the network computes, in bfloat16 or float32."""
    if resolve_precision(device, precision) == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@functools.cache
def _keep_freed_memory() -> None:
    """Make this process keep the memory it frees, because the next step will allocate the same amount.

    The GNU C library returns tensors above 32 MiB to the system at once, and new ones are then filled with zeros page
    by page: 8 ms per tensor, several per step. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Return memory that this process keeps but does not use to the system, as far as the C library can."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
