"""Memory and processors of this machine, as far as this process may use them."""

import os
import platform
from pathlib import Path

import psutil

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container
STATUS = Path("/proc/self/status")


def peak_memory_mb() -> int:
    """Measure the peak resident memory of this process in MiB.

    Linux and Windows keep the peak; on other systems, and in a sandbox that leaves it out of /proc, the memory in use
    now is reported.

    >>> peak_memory_mb() > 10
    True
    """
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    peak = next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:")), None)
    if peak is not None:
        return peak
    info = psutil.Process().memory_info()
    return round(getattr(info, "peak_wset", info.rss) / 2**20)


def free_memory() -> float:
    """Report how many bytes of memory processes may still take; in a container at most the container's limit."""
    return _within_container(psutil.virtual_memory().available)


def total_memory() -> float:
    """Report how many bytes of memory this machine has; in a container at most the container's limit."""
    return _within_container(psutil.virtual_memory().total)


def usable_cores() -> int:
    """Count the processor cores that this process may use."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        return len(process.cpu_affinity() or [0])
    return os.cpu_count() or 1


def _within_container(num_bytes: float) -> float:
    allowed = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.is_file() else "max"
    return num_bytes if allowed == "max" else min(num_bytes, int(allowed))


def processor_name() -> str:
    """Name the processor as the system does.

    >>> isinstance(processor_name(), str)
    True
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
