"""Finished runs as they are on the disk: a results folder, and the entries of the run store that it was made from."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from retina_kit.errors import DataError, UsageError, did_you_mean
from retina_kit.reporting.saved_run import RESULTS, read_results
from retina_kit.runs.store import Run, RunStore


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """One results folder, <output root>/<paper>/<setting>/, and the runs behind it."""

    folder: Path
    results: dict[str, Any]

    @property
    def name(self) -> str:
        """The paper and the setting, such as "hu2018/lesson-synthetic"."""
        return "/".join(self.folder.resolve().parts[-2:])

    @property
    def arms(self) -> list[str]:
        """The arms that were trained, in the order of the experiment."""
        return list(dict.fromkeys(entry["arm"] for entry in self.results["arms"]))

    def entries(self, arm: str) -> list[dict[str, Any]]:
        """Return what results.json has about the runs of an arm: seed, fold, hash, seconds and others."""
        return [entry for entry in self.results["arms"] if entry["arm"] == arm]

    def hashes(self, arm: str) -> set[str]:
        """Return the hashes of an arm's runs."""
        return {entry["hash"] for entry in self.entries(arm)}

    @functools.lru_cache  # noqa: B019  as many entries as runs, for as long as the comparison lives
    def stored(self, key: str) -> Run:
        """Return a run from the store; raise DataError if it is no longer there."""
        run = RunStore(self.folder.resolve().parents[1] / "runs").find(key)
        if run is None:
            raise DataError(f"{self.folder}: run {key} is not in the run store; rerun it with retina-kit run")
        return run

    def description(self, arm: str) -> dict[str, Any]:
        """Return all that decided the result of an arm's first run."""
        return self.stored(self.entries(arm)[0]["hash"]).settings["description"]

    def scores(self, arm: str, variant: str = "last") -> pd.DataFrame:
        """Return one scored row per test image, seed and fold of an arm."""
        parts = [self.stored(e["hash"]).scores.assign(seed=e["seed"], fold=e["fold"]) for e in self.entries(arm)]
        scores = pd.concat(parts, ignore_index=True)
        return scores[scores["variant"] == variant] if "variant" in scores else scores


def read_finished(folder: Path) -> FinishedRun:
    """Read a results folder; raise UsageError if it is none, DataError if its results.json is damaged."""
    path = folder / RESULTS
    if not path.is_file():
        raise UsageError(f"{folder} is not the folder of a finished run: it has no {RESULTS}")
    return FinishedRun(folder, read_results(folder))


def list_finished(output_root: Path) -> Iterator[Path]:
    """Yield the results folders below an output root, sorted."""
    yield from sorted(path.parent for path in output_root.glob(f"*/*/{RESULTS}"))


def is_output_root(folder: Path) -> bool:
    """Tell whether a folder holds finished runs, rather than being one."""
    return folder.is_dir() and not (folder / RESULTS).is_file() and any(list_finished(folder))


def find_finished(name: str | Path, output_root: str | Path = "outputs") -> FinishedRun:
    """Find a finished run by its folder, or by <paper>/<setting> below the output root."""
    for folder in (Path(name), Path(output_root) / name):
        if (folder / RESULTS).is_file():
            return read_finished(folder)
    known = [path.relative_to(output_root).as_posix() for path in list_finished(Path(output_root))]
    raise UsageError(f"no finished run is called {str(name)!r}{did_you_mean(Path(name).as_posix(), known)}")
