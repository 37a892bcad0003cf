"""Saves the output files of a run: tables, figures, claims and results.json, each whole or not at all."""

import contextlib
import json
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from retina_kit import __version__
from retina_kit.errors import UsageError
from retina_kit.files import atomic_path, kit_root
from retina_kit.machine import peak_memory_mb
from retina_kit.papers.compare import TABLE_COLUMNS
from retina_kit.reporting.figures.plotted import plotted_data
from retina_kit.reporting.figures.rendering import write_figure
from retina_kit.reporting.tables import is_tidy
from retina_kit.schema import without_nan

PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "opencv-python", "papermill", "matplotlib")


class Report:
    """The folder of one paper, profile and data choice: tables/, figures/, claims.csv, results.json."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.began = time.perf_counter()
        self.tables: list[str] = []
        self.figures: dict[str, str] = {}  # what describes each; a cell that is run again replaces its own

    def save_table(self, name: str, table: pd.DataFrame, *, tidy: bool = True) -> pd.DataFrame:
        """Write tables/<name>.csv and return the table; a tidy one must have the columns TABLE_COLUMNS."""
        if tidy and not is_tidy(table):
            raise UsageError(f"table {name} must have the columns {', '.join(TABLE_COLUMNS)}")
        with atomic_path(self.folder / "tables" / f"{name}.csv") as path:
            table.to_csv(path, index=False)
        if name not in self.tables:
            self.tables.append(name)
        return table

    def save_figure(self, name: str, figure: Any, *, alt: str = "") -> Any:
        """Write figures/<name>.png and .svg of a figure or of its axes, and return the figure; `alt` describes it.

        What it plots is written to figures/<name>.csv; of a figure that consists of images, what its panels show.
        """
        figure = getattr(figure, "figure", figure)
        figure.set_label(alt or name)  # `show` reads it: the figure keeps its description in a notebook, too
        write_figure(figure, self.folder / "figures", name)
        data = plotted_data(figure)
        if len(data):
            with atomic_path(self.folder / "figures" / f"{name}.csv") as path:
                data.to_csv(path, index=False)
        self.figures[name] = alt or name
        return figure

    def save_claims(self, claims: pd.DataFrame) -> pd.DataFrame:
        """Write claims.csv and return it."""
        with atomic_path(self.folder / "claims.csv") as path:
            claims.to_csv(path, index=False)
        return claims

    def finish(self, description: Mapping[str, Any]) -> Path:
        """Write results.json and return its path: the run's description, versions, machine, time and memory."""
        results = {
            **description,
            "tables": self.tables,
            "figures": [{"id": name, "alt": alt} for name, alt in self.figures.items()],
            "versions": versions(),
            "git_commit": git_commit(),
            "machine": f"{platform.system()} {platform.machine()}",
            "notebook_seconds": round(time.perf_counter() - self.began, 1),
            "peak_memory_mb": peak_memory_mb(),
        }
        target = self.folder / "results.json"
        with atomic_path(target) as path:
            path.write_text(json.dumps(without_nan(results), indent=1, allow_nan=False, default=str), encoding="utf-8")
        return target


def git_commit() -> str:
    """Return the commit of the kit's checkout, "" outside a checkout."""
    command = ["git", "-C", str(kit_root()), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def versions() -> dict[str, str]:
    """Return the versions of the kit, of Python and of the packages that it computes and plots with, if installed.

    A checkout that is not installed has no metadata, OpenCV has two names, and torchvision may be absent.
    """
    found = {"retina-kit": __version__}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {"python": platform.python_version()}
