"""What the machine says of this process."""

import math
import resource
from pathlib import Path


def peak_memory_mb() -> int:
    """Return the peak resident memory of this process in MiB.

    On Linux it is read from /proc: `ru_maxrss` would start with what the parent process held.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) // 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def free_memory() -> float:
    """Return how many bytes of memory processes may still take; infinite where the system does not say.

    Within a container that is at most what the container may take.
    """
    info, limit = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    lines = info.read_text().splitlines() if info.is_file() else []
    free = next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), math.inf)
    allowed = limit.read_text().strip() if limit.is_file() else "max"
    return min(free, math.inf if allowed == "max" else int(allowed))
