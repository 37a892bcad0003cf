"""Run a command that no other one like it in this clone overlaps, such as a make that fills .venv.

The command and what it starts inherit the lock, so it is free when the last of them ends, even if all are killed.
(macOS has no command `flock`.)
"""

import fcntl
import os
import signal
import sys

WAITS = "Another make installs packages in this folder; this one waits until it has finished."


def lock(path: str) -> None:
    """Lock a file until this process and all its children have ended; wait for whoever has it."""
    file = os.open(path, os.O_RDWR)
    os.set_inheritable(file, True)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(WAITS, file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:  # a file system without locks: install as if alone
        return


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl+C ends the wait without a traceback
    lock("Makefile")
    os.execvp(sys.argv[1], sys.argv[1:])
