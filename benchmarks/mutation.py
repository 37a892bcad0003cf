"""Mutation testing: do the tests notice if a sign, a number or a condition of a module is wrong?

    pip install cosmic-ray
    python -m benchmarks.mutation --save               (evaluation, training, data, papers; about an hour on one core)
    python -m benchmarks.mutation evaluation/metrics data --at-most 20

Each module runs its doctests and the fast tests named in `TESTS`, by default `test_<module>.py`; a test that computes
for more than one second is left out. A mutant is killed if a test fails or takes far too long. Each one runs in a
process forked from one that has imported everything, so that it costs only the tests; no file is changed. Modules with
more than `--at-most` mutants are sampled at random with a fixed seed, except where every mutant counts (`ALL_MUTANTS`).

`results/equivalent_mutants.csv` names mutants that no test can or should notice, each with the reason.
`--save` writes one row for each module to `results/mutation.csv`.
"""

import argparse
import csv
import gc
import importlib.metadata
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from benchmarks.command import run
from benchmarks.mutants import Mutant, MutantFinder, change_in_place, loaded_functions, mutants_of
from retina_kit.errors import UsageError, did_you_mean

ROOT = Path(__file__).resolve().parents[1]
RESULTS, EQUIVALENT = (ROOT / "benchmarks" / "results" / name for name in ("mutation.csv", "equivalent_mutants.csv"))
COLUMNS = ["module", "mutants", "tested", "killed", "equivalent", "survived", "tool"]
PACKAGES = ("evaluation", "training", "data", "papers")
ALL_MUTANTS = ("evaluation/metrics", "data/splits")
TESTS = {  # where the fast tests of a module are not those of test_<module>.py
    "evaluation/calibration": ("calibration", "beyond_dice"),
    "evaluation/evidence": ("claims", "paired", "summary"),
    "evaluation/patients": ("patients", "paired", "summary"),
    "evaluation/summary": ("summary", "patients"),
    "evaluation/verdicts": ("verdicts", "claims"),
    "training/arm_training": ("prepare",),
    "training/batches": ("batches", "normalization", "photometric"),
    "training/inference": ("inference", "patches"),
    "training/loop": ("loop", "recipe"),
    "training/losses": ("losses", "classes"),
    "training/metadata": ("describe_weights",),
    "training/transfer": ("transfer", "prepare"),
    "data/decoding": ("dataset",),
    "papers/audit": ("audit", "anomalies"),
    "papers/entries": ("entries", "published"),
}
SLOWEST_TEST, LONGEST_WAIT, MEMORY = 1.0, 900, 6 * 2**30  # seconds of processor, seconds of the clock, bytes
PYTEST = ["-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:cov", "-o", "addopts=", "-m",
          "not slow and not real_data and not browser"]  # fmt: skip


class ForkedTests:
    """A pytest plugin that runs the collected tests for each mutant in a process of its own, the fastest test first."""

    def __init__(self, path: Path, mutants: Sequence[Mutant], times: Path) -> None:
        self.path, self.mutants, self.times, self.failure = path, mutants, times, times.with_suffix(".txt")
        self.killed: dict[Mutant, bool] = {}  # without those outside functions, which need a new import
        self.names: list[str] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Time each test without a mutant, then run the fast ones for each mutant."""
        gc.freeze()  # or the garbage collection of each fork would copy the memory of this process
        for item in session.items:
            self.time_test(item)
        seconds = pd.read_csv(self.times, header=None, index_col=0)[1].sort_values()
        seconds = seconds[seconds <= SLOWEST_TEST]
        self.names, by_name = list(seconds.index), {item.nodeid: item for item in session.items}
        items, limit = [by_name[name] for name in self.names], limit_of(seconds)
        functions = loaded_functions(self.path)
        for mutant in self.mutants:
            change = change_in_place(mutant, functions)
            if change is not None:
                self.killed[mutant] = in_fork(lambda change=change: run_items(items, change), limit) != 0  # type: ignore[misc]
        return True

    def time_test(self, item: pytest.Item) -> None:
        """Add a test's processor seconds to `times`, unless it is ended as slow; UsageError if it fails."""

        def work() -> None:
            before = sum(os.times()[:4])
            run_items([item])
            with self.times.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerow([item.nodeid, sum(os.times()[:4]) - before])

        status = in_fork(work, limit=int(SLOWEST_TEST) + 1)
        if os.WIFEXITED(status) and status:  # it fails, perhaps because a process that it starts was ended
            status = in_fork(work, limit=3600)
            if status:
                failure = self.failure.read_text(encoding="utf-8") if self.failure.is_file() else item.nodeid
                raise UsageError(f"a test fails without a mutant: {failure}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """End the forked process at the first failure."""
        if report.failed:
            self.failure.write_text(f"{report.nodeid}\n{report.longreprtext}", encoding="utf-8")
            os._exit(1)


def run_items(items: Sequence[pytest.Item], before: Callable[[], None] = lambda: None) -> None:
    """Run tests one after the other, after a call of `before`."""
    before()
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def limit_of(seconds: pd.Series) -> int:
    """Return the processor seconds after which tests that take `seconds` are thought to run for ever."""
    return 10 + 5 * int(seconds.sum())


def in_fork(work: Callable[[], Any], limit: int) -> int:
    """Run a function in a forked process and return 0 if it came to its end; `limit` is in processor seconds."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        memory = psutil.Process().memory_info().vms + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST_WAIT)
        work()
        status = 0
    finally:
        os._exit(status)


def run_with_new_imports(mutant: Mutant, module: str, names: Sequence[str], folder: Path) -> None:
    """Run tests in this process after importing the kit again, with a mutant in place of a module."""
    own = ("retina_kit", "tests", "test_", "small_", "conftest")
    for name in [name for name in sys.modules if name.startswith(own)]:
        del sys.modules[name]
    finder = MutantFinder(f"retina_kit.{module.replace('/', '.')}", mutant)
    arguments = [*PYTEST, "-x", "--doctest-modules", f"--basetemp={folder / 'new'}", *names]
    if pytest.main(arguments, plugins=[finder]):
        raise SystemExit(1)


def run_mutants(module: str, at_most: int, seed: int) -> tuple[list[Mutant], list[Mutant], int]:
    """Return (killed, not killed, number of all mutants) of a module such as "evaluation/metrics"."""
    path = ROOT / "retina_kit" / f"{module}.py"
    mutants, num_all = mutants_of(path, 0 if module in ALL_MUTANTS else at_most, seed)
    files = [f"tests/test_{name}.py" for name in TESTS.get(module, (path.stem,))]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plugin = ForkedTests(path, mutants, folder / "times.csv")
        arguments = [*PYTEST, "--doctest-modules", f"--basetemp={folder / 'warm'}", *files, str(path.relative_to(ROOT))]
        if pytest.main(arguments, plugins=[plugin]) or not plugin.names:
            raise UsageError(f"the tests of {module} could not be run: {arguments}")
        limit = limit_of(pd.read_csv(plugin.times, header=None)[1].clip(upper=SLOWEST_TEST)) + 10
        for mutant in mutants:
            if mutant not in plugin.killed:
                work = lambda mutant=mutant: run_with_new_imports(mutant, module, plugin.names, folder)  # noqa: E731
                plugin.killed[mutant] = in_fork(work, limit) != 0
    killed = [mutant for mutant in mutants if plugin.killed[mutant]]
    return killed, [mutant for mutant in mutants if not plugin.killed[mutant]], num_all


def modules_named(names: Sequence[str]) -> list[str]:
    """Return the modules of packages, or modules, that are named as "data" or "data/splits"."""
    known = [
        f"{package}/{path.stem}"
        for package in PACKAGES
        for path in sorted((ROOT / "retina_kit" / package).glob("*.py"))
    ]
    known = [name for name in known if not name.endswith("__init__")]
    for name in names:
        if name not in (*PACKAGES, *known):
            raise UsageError(f"there is no {name!r}{did_you_mean(name, (*PACKAGES, *known))}")
    return [module for module in known if module in names or module.split("/")[0] in names]


def is_equivalent(mutant: Mutant, module: str) -> bool:
    """Tell whether a mutant is listed as equivalent."""
    listed = pd.read_csv(EQUIVALENT, dtype=str, keep_default_na=False)
    return bool((listed[["module", "before", "after"]] == [module, mutant.before, mutant.after]).all(axis=1).any())


def save(row: list[Any]) -> None:
    """Put a module's row into the results, in place of its last one."""
    rows = pd.read_csv(RESULTS) if RESULTS.is_file() else pd.DataFrame(columns=COLUMNS)
    rows = pd.concat([rows[rows["module"] != row[0]], pd.DataFrame([row], columns=COLUMNS)])
    rows.sort_values("module").to_csv(RESULTS, index=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Test each module's mutants, and print a line for each module and each mutant that survives."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", default=PACKAGES, metavar="PACKAGE[/MODULE]", help=", ".join(PACKAGES))
    parser.add_argument("--at-most", type=int, default=40, help="mutants of a module, sampled at random; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, by the tests of modules that need it
    tool = f"cosmic-ray {importlib.metadata.version('cosmic-ray')}"
    for module in modules_named(options.names):
        killed, others, num_all = run_mutants(module, options.at_most, options.seed)
        survivors = [mutant for mutant in others if not is_equivalent(mutant, module)]
        equal = len(others) - len(survivors)
        row = [module, num_all, len(killed) + len(others), len(killed), equal, len(survivors), tool]
        print(
            ", ".join(f"{value} {name}" for name, value in zip(COLUMNS[1:-1], row[1:-1], strict=True)),
            module,
            flush=True,
        )
        for mutant in survivors:
            print(f"  {module}.py:{mutant.line} {mutant.operator}\n    {mutant.before}\n    {mutant.after}", flush=True)
        if options.save:
            save(row)


if __name__ == "__main__":
    run(main)
