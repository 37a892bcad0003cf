"""What the machine says of this process."""

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
