"""Put this folder on PYTHONPATH, and no Python process has for retina_kit what only POSIX systems have.

Other packages keep what they need: the Linux builds of psutil, ipykernel and torch could not run without. On Windows
they have builds of their own; what has to be shown here is that the kit itself asks for nothing of the kind.
"""

import builtins
import ctypes
import os
import platform
import sys

MODULES = {"fcntl", "resource", "pwd", "grp", "termios"}
FUNCTIONS = ("sysconf", "mkfifo", "getppid", "sched_getaffinity", "fork", "kill", "getuid", "geteuid")
KIT = "retina_kit"


def asked_by_the_kit(depth=2):
    """Return whether the code that called our replacement belongs to the kit."""
    return sys._getframe(depth).f_globals.get("__name__", "").split(".")[0] == KIT


def replace(module, name):
    """Make a function of a module fail for the kit as an attribute that is not there."""
    real = getattr(module, name)

    def replacement(*args, **settings):
        if asked_by_the_kit():
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return real(*args, **settings)

    setattr(module, name, replacement)


def import_for_others(name, globals=None, *rest, _real=builtins.__import__, **settings):
    """Import a module, unless the kit asks for one that only POSIX systems have."""
    if name in MODULES and (globals or {}).get("__name__", "").split(".")[0] == KIT:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _real(name, globals, *rest, **settings)


class WindowsCDLL(ctypes.CDLL):
    """A CDLL that, as on Windows, needs the name of a library."""

    def __init__(self, name, *args, **settings):
        if name is None and asked_by_the_kit():
            raise TypeError("bad argument type for built-in operation")
        super().__init__(name, *args, **settings)


builtins.__import__ = import_for_others
ctypes.CDLL = WindowsCDLL
for function in FUNCTIONS:
    replace(os, function)
platform.libc_ver = lambda *args, **settings: ("", "")  # Windows has none
