"""Writes what a run leaves: tables, figures, claims and results.json, each whole or not at all."""

import json
import math
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from retina_kit.errors import UsageError
from retina_kit.files import atomic_path, kit_root
from retina_kit.machine import peak_memory_mb
from retina_kit.papers.compare import TABLE_COLUMNS

PACKAGES = ("retina-kit", "torch", "torchvision", "numpy", "opencv-python-headless", "papermill", "matplotlib")


class Report:
    """The folder of one paper, profile and data choice: tables/, figures/, claims.csv, results.json."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.began = time.perf_counter()
        self.tables, self.figures = [], []

    def save_table(self, name, table, *, tidy=True):
        """Write tables/<name>.csv and return the table; a tidy one must have the contract's columns."""
        if tidy and list(table.columns) != list(TABLE_COLUMNS):
            raise UsageError(f"table {name} must have the columns {', '.join(TABLE_COLUMNS)}")
        with atomic_path(self.folder / "tables" / f"{name}.csv") as path:
            table.to_csv(path, index=False)
        self.tables.append(name)
        return table

    def save_figure(self, name, figure, *, alt=""):
        """Write figures/<name>.png and .svg and return the figure; `alt` says in words what is seen."""
        figure = getattr(figure, "figure", figure)
        for kind in ("png", "svg"):
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            with atomic_path(self.folder / "figures" / f"{name}.{kind}") as path:
                figure.savefig(path, format=kind, dpi=120, bbox_inches="tight", metadata=metadata)
        self.figures.append({"id": name, "alt": alt or name})
        return figure

    def save_claims(self, claims):
        """Write claims.csv and return it."""
        with atomic_path(self.folder / "claims.csv") as path:
            claims.to_csv(path, index=False)
        return claims

    def finish(self, description):
        """Write results.json: the run's description, versions, machine, time and memory; return its path."""
        results = {
            **description,
            "tables": self.tables,
            "figures": self.figures,
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "git_commit": git_commit(),
            "machine": f"{platform.system()} {platform.machine()}",
            "notebook_seconds": round(time.perf_counter() - self.began, 1),
            "peak_memory_mb": peak_memory_mb(),
        }
        target = self.folder / "results.json"
        with atomic_path(target) as path:
            path.write_text(json.dumps(without_nan(results), indent=1, allow_nan=False, default=str), encoding="utf-8")
        return target


def without_nan(value):
    """Return a copy in which numbers that JSON has no word for are None."""
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def git_commit():
    """Return the commit of the kit's checkout, "" outside a checkout."""
    command = ["git", "-C", str(kit_root()), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
