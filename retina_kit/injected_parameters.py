"""Parameters that papermill injects into a notebook: a mistyped name is an error, not a variable that nobody reads."""

import ast
import itertools
import sys
from collections.abc import Sequence

from retina_kit.errors import unknown_name

INJECTED = "# Parameters\n"  # how papermill begins its cell, which follows the notebook's own parameters


def check_injected(cells: Sequence[str]) -> None:
    """Raise UsageError for a parameter that was injected but that the cell before it does not have.

    `cells` are the sources that a kernel has executed, in their order.

    >>> check_injected(["profile = 'lesson'", "# Parameters\\nprofile = 'smoke'"])
    """
    for before, cell in itertools.pairwise(cells):
        if cell.startswith(INJECTED):
            known = _assigned(before)
            for name in _assigned(cell):
                if name not in known:
                    raise unknown_name("parameter", name, known)


def _assigned(cell: str) -> list[str]:
    """List the names to which a cell of `name = value` lines assigns."""
    targets = (node.targets[0] for node in ast.parse(cell).body if isinstance(node, ast.Assign))
    return [target.id for target in targets if isinstance(target, ast.Name)]


def executed_cells() -> list[str]:
    """List the sources that this kernel has executed; empty outside a notebook."""
    if "IPython" not in sys.modules:
        return []
    shell = sys.modules["IPython"].get_ipython()
    return list(shell.user_ns.get("In", [])) if shell else []
