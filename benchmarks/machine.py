"""The machine that measures: what it is, and the two ceilings that no training step can pass."""

import json
import os
import platform
import sys
import time
from pathlib import Path

from retina_kit.machine import processor_name


def describe_machine(device):
    """Return what computes, as JSON-able data: processor or GPU, cores, threads, memory, versions of what matters."""
    import torch

    from retina_kit.training.device import has_fast_bfloat16

    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "bfloat16 in hardware": bool(has_fast_bfloat16(device)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def peak_gpu_memory_mb():
    """Return the peak of this process's tensors on the GPU in MiB, None where torch is not used or sees no GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return round(torch.cuda.max_memory_allocated() / 2**20)


def ceilings(device, repeats=5):
    """Return the best of some tries of a large matrix product (GFLOP/s) and of a copy (GB/s, read and written).

    On a CPU the product is the better of `matmul` and of a 1x1 convolution: PyTorch computes them with different
    libraries, and on some processors one of them reaches only half of what the other does. Both are given. A product in
    bfloat16 is left out on a device without it: in software it takes minutes and is no ceiling of anything.
    """
    import torch

    from retina_kit.training.device import has_fast_bfloat16

    found = {}
    kinds = {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if has_fast_bfloat16(device) else {})
    for name, dtype in kinds.items():
        product = matrix_speed(device, dtype, repeats)
        convolution = convolution_speed(dtype, repeats) if device.type == "cpu" else 0
        found[f"{name}_gflops"] = round(max(product, convolution) / 1e9, 1)
        found[f"{name}_matmul_gflops"] = round(product / 1e9, 1)
    return found | {"copy_gb_per_s": round(copy_speed(device, repeats) / 1e9, 1)}


def share_of_ceiling(flops_per_second, ceilings):
    """Return {"share of the ... ceiling": share} of the product in the fastest precision that the device has.

    >>> share_of_ceiling(3e11, {"float32_gflops": 400.0})
    {'share of the float32 ceiling': 0.75}
    """
    precision = "bfloat16" if "bfloat16_gflops" in ceilings else "float32"
    return {f"share of the {precision} ceiling": round(flops_per_second / ceilings[f"{precision}_gflops"] / 1e9, 3)}


def best_time(work, device, repeats):
    """Return the shortest of some durations of a piece of work in seconds; the first, which warms up, is left out."""
    import torch

    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def matrix_speed(device, dtype, repeats):
    """Return the floating-point operations a second of a large matrix product."""
    import torch

    side = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / best_time(lambda: torch.matmul(a, b), device, repeats)


def convolution_speed(dtype, repeats):
    """Return the floating-point operations a second of a matrix product on the CPU that is written as a convolution."""
    import torch

    pixels = torch.randn(1, 1024, 64, 64).to(dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(1024, 1024, 1, 1).to(dtype)
    seconds = best_time(lambda: torch.conv2d(pixels, weight), pixels.device, repeats)
    return 2 * 1024**2 * 64**2 / seconds


def copy_speed(device, repeats):
    """Return the bytes a second that a copy of a large tensor reads and writes."""
    import torch

    source = torch.ones(2**26 if device.type == "cpu" else 2**30, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / best_time(lambda: target.copy_(source), device, repeats)


def higher(first, second):
    """Return the higher of two measured ceilings, name by name: a ceiling is what was reached once."""
    return {name: max(first[name], second[name]) for name in first}


def write_json(path, data):
    """Write JSON-able data as a file with a line a value."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1, default=str) + "\n", encoding="utf-8")
    return path
