"""The version of the code that decides a result, derived from the imports of training and scoring."""

import ast
import functools
import hashlib
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
ENTRY = "training/arm_training.py"  # trains and scores an arm: whatever it imports may change a score
DECIDING_PACKAGES = ("data", "models", "training", "evaluation")  # errors, files and the run store change no score


@functools.cache
def code_version() -> str:
    """Return 16 hex digits that change whenever code that decides a result changes.

    Comments, docstrings and layout do not count.
    """
    return hash_of_modules(PACKAGE)


def hash_of_modules(package: Path) -> str:
    """Hash the meaning of every module of a package that decides a result."""
    digest = hashlib.sha256()
    for path in modules_that_decide(package):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(meaning_of(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def modules_that_decide(package: Path = PACKAGE) -> list[Path]:
    """Return every module of the deciding packages that training and scoring import, directly or not.

    Imports inside functions count too.
    """
    found: set[Path] = set()
    queue = [package / ENTRY]
    while queue:
        path = queue.pop()
        if path not in found:
            found.add(path)
            queue += imported_modules(path, package)
    return sorted(found)


def imported_modules(path: Path, package: Path) -> list[Path]:
    """Return the modules of the deciding packages that a module imports, with the packages that hold them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    found = []
    for name in names:
        first, *parts = name.split(".")
        if first != package.name or not parts or parts[0] not in DECIDING_PACKAGES:
            continue
        for depth in range(1, len(parts) + 1):
            place = package.joinpath(*parts[:depth])
            found += [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    return found


def meaning_of(source: str) -> str:
    """Return Python source without docstrings, comments and layout.

    >>> meaning_of('def f(x):  # half\\n    "Halve."\\n    return (x / 2)')
    'def f(x):\\n    pass\\n    return x / 2'
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body: Any = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            body[0] = ast.Pass()
    return ast.unparse(tree)  # steadier than ast.dump between Python versions
