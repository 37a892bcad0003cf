"""Derive the lock without CUDA and the developers' additions from two full locks of uv.

    python .ci/derive_locks.py requirements.lock FULL_DEV_LOCK

writes requirements-cpu.lock and requirements-dev.lock beside requirements.lock. `make lock` calls it.
"""

import re
import sys
from pathlib import Path

CUDA = re.compile(r"(nvidia|cuda)-|(pytorch-)?triton\b")
FROM_PYTORCH = {"torch", "torchvision"}
CPU_HEADER = """\
# requirements.lock without CUDA: make setup TORCH=cpu, or uv pip install --torch-backend cpu -r requirements-cpu.lock
# torch and torchvision have no hashes because PyTorch's own index serves them, not PyPI. pip alone would take the
# builds of PyPI, which do not start without CUDA on Linux.
"""
DEV_HEADER = "# What developers need on top of either of the other locks; install it with --no-deps.\n"


def read_lock(text: str) -> dict[str, str]:
    """Split a lock into its entries, hashes included, by package name; a package may have several, for several Pythons.

    >>> read_lock("scipy==1 ; python_version < '3.12'\\nscipy==2 ; python_version >= '3.12'\\n")["scipy"].count("scipy")
    2
    """
    entries: dict[str, str] = {}
    for entry in re.findall(r"^[A-Za-z0-9].*\n(?:    --hash.*\n?)*", text, flags=re.MULTILINE):
        name = re.split(r"[=\[ ]", entry)[0]
        entries[name] = entries.get(name, "") + entry
    return entries


def without_cuda(users: dict[str, str]) -> str:
    """Write the entries that a machine without CUDA needs; those of PyTorch's own index without hashes."""
    kept = {name: entry for name, entry in users.items() if not CUDA.match(name)}
    kept |= {name: kept[name].partition(" \\\n")[0].rstrip("\n") + "\n" for name in FROM_PYTORCH}
    return CPU_HEADER + "".join(kept.values())


def only_developers(users: dict[str, str], developers: dict[str, str]) -> str:
    """Write the developers' entries that users do not have; raise ValueError if a version differs."""
    differing = [name for name, entry in users.items() if developers.get(name) != entry]
    if differing:
        raise ValueError(f"the two locks differ in {', '.join(differing)}")
    return DEV_HEADER + "".join(entry for name, entry in developers.items() if name not in users)


def main(users_path: str, developers_path: str) -> None:
    """Write both files beside the users' lock."""
    users, developers = (read_lock(Path(path).read_text()) for path in (users_path, developers_path))
    folder = Path(users_path).parent
    (folder / "requirements-cpu.lock").write_text(without_cuda(users))
    (folder / "requirements-dev.lock").write_text(only_developers(users, developers))


if __name__ == "__main__":
    main(*sys.argv[1:])
