"""One setting of a paper swept over several values: one table and one figure, over one run store.

What a value does not change, such as a shared parent, is trained once. A sweep that was interrupted resumes.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from retina_kit.errors import Interrupted, KitError, UsageError
from retina_kit.evaluation.summary import summarize
from retina_kit.experiment import Experiment
from retina_kit.files import atomic_path
from retina_kit.papers.compare import TIME
from retina_kit.setting_names import values_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"ours_mean": "mean", "ours_sd": "sd_over_seeds", "ours_ci_low": "ci_low", "ours_ci_high": "ci_high"}
COLUMNS = (
    *("setting", "value", "arm", "metric", "mean", "sd_over_seeds", "ci_low", "ci_high"),
    *("n_images", "n_patients", "n_seeds", "note", "same_as"),
)


@dataclass(frozen=True, eq=False)
class Sweep:
    """A finished sweep: `table` has one row per value, arm and metric, with its 95 % interval.

    `experiments` and `table` are those of the values that could be trained; `failures` maps the other ones of `values`,
    as text, to what went wrong.
    """

    paper: str
    setting: str
    values: list[Any]
    experiments: list[Experiment]
    table: pd.DataFrame
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the table and the figure are written: below the paper, next to its settings."""
        first = self.experiments[0]
        fixed = {name: value for name, value in first.overrides.items() if name != self.setting}
        unswept = experiment_like(first, fixed)
        swept = values_name({self.setting: self.values})
        return unswept.folder.with_name(f"sweep-{swept}-{unswept.folder.name}")

    def figure(self, metric: str = "") -> "Axes":
        """Plot the scores of each arm over the values, with their intervals; by default the first metric."""
        from retina_kit.reporting.figures import plot_sweep

        metric = metric or self.table["metric"].iloc[0]
        return plot_sweep(self.table[self.table["metric"] == metric], self.setting)

    def save(self) -> Path:
        """Write sweep.csv, sweep.png, sweep.svg and sweep.json to the sweep's folder, and return it."""
        from retina_kit.reporting.figures.rendering import write_figure

        figure = self.figure().get_figure(root=True)
        if figure is None:
            raise UsageError("the figure of this sweep was closed")
        with atomic_path(self.folder / "sweep.csv") as path:
            self.table.to_csv(path, index=False)
        write_figure(figure, self.folder, "sweep")
        runs = [sorted(job.key for job in experiment.jobs) for experiment in self.experiments]
        facts: dict[str, Any] = {"paper": self.paper, "setting": self.setting, "values": self.values, "runs": runs}
        facts |= {"failures": dict(self.failures)} if self.failures else {}
        with atomic_path(self.folder / "sweep.json") as path:
            path.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        return self.folder

    def __str__(self) -> str:
        """The table as text."""
        return self.table.drop(columns=["setting"]).round(4).to_string(index=False)

    def _repr_html_(self) -> str:
        """The table, for a notebook."""
        return self.table.round(4).to_html(index=False)


def sweep(
    paper: str | Path,
    setting: str,
    values: Iterable[Any],
    *,
    workers: int = 1,
    overrides: Mapping[str, Any] | None = None,
    **options: Any,
) -> Sweep:
    """Train a paper's arms with each value of a setting, and return the scores of all of them.

    `overrides` and the other `options` are those of `Experiment`; `workers` is a number of processes. Every value is
    checked before training starts; one whose training fails does not stop the others. Raises UsageError for fewer than
    two values, or for two that mean the same, and the first error if no value could be trained.
    """
    experiments = plan_sweep(paper, setting, values, overrides=overrides, **options)
    found = [experiment.parameters[setting] for experiment in experiments]
    finished, failures = list[Experiment](), dict[str, KitError]()
    for value, experiment in zip(found, experiments, strict=True):
        missing, number = len(experiment.missing()), len(experiment.jobs)
        print(f"{setting} = {value}: {missing} of {number} runs to train", file=sys.stderr)
        try:
            experiment.train(workers=workers)
        except Interrupted:
            raise
        except KitError as error:
            failures[str(value)] = error
            print(f"{setting} = {value} failed: {error}", file=sys.stderr)
        else:
            finished.append(experiment)
    if not finished:
        raise next(iter(failures.values()))
    reasons = {value: str(error) for value, error in failures.items()}
    return Sweep(finished[0].paper, setting, found, finished, sweep_table(setting, finished), reasons)


def plan_sweep(
    paper: str | Path,
    setting: str,
    values: Iterable[Any],
    *,
    overrides: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[Experiment]:
    """Return one experiment per value, each resolved and checked; nothing is trained."""
    fixed = dict(overrides or {})
    if setting == "seeds" or setting in fixed:
        raise UsageError(f"--set {setting}: give one list of values for a setting, and --seeds for the seeds")
    experiments = [Experiment(paper, overrides=fixed | {setting: value}, **options) for value in values]
    found = [experiment.parameters[setting] for experiment in experiments]
    if len(found) < 2:
        raise UsageError(f"a sweep needs at least two values, such as --set {setting}=1,2")
    for value in found:
        if found.count(value) > 1:
            raise UsageError(f"--set {setting}: the value {value!r} is given twice")
    for experiment in experiments:
        experiment.jobs  # noqa: B018  resolves every arm, so that a mistake stops here
    return experiments


def experiment_like(experiment: Experiment, overrides: Mapping[str, Any]) -> Experiment:
    """Return the same experiment with other overrides."""
    source = experiment.definition.files.folder if experiment.definition.files.is_own else experiment.paper
    return Experiment(
        source,
        experiment.profile,
        experiment.data,
        data_root=experiment.data_root,
        output_root=experiment.output_root,
        seeds=experiment.seeds,
        overrides=overrides,
    )


def sweep_table(setting: str, experiments: Sequence[Experiment]) -> pd.DataFrame:
    """Return one row per value, arm and metric (COLUMNS), from the finished runs of some experiments.

    Arms and metrics are those of the paper's tables. `same_as` is the first value with the very same runs, if the
    setting does not concern an arm.
    """
    rows, first = [], dict[frozenset, Any]()
    for experiment in experiments:
        value = experiment.parameters[setting]
        last = experiment.scores[experiment.scores["variant"] == "last"]
        for arm, metric, pooled in _table_cells(experiment):
            runs = frozenset(job.key for job in experiment.jobs if arm in job.arm.scored_names)
            earlier = first.setdefault(runs, value)
            summary = summarize(last[last["arm"] == arm], [metric], pooled=pooled).iloc[0]
            same_as = "" if earlier == value else str(earlier)
            rows.append(summary.rename(NAMES).to_dict() | {"setting": setting, "value": value, "same_as": same_as})
    return pd.DataFrame(rows, columns=COLUMNS)


def _table_cells(experiment: Experiment) -> list[tuple[str, str, bool]]:
    """Return (arm, metric, pooled) for each trained arm and metric of the paper's tables, once each."""
    trained = list(experiment.labels)
    cells = {
        (arm, metric): table.pooled
        for table in reversed(experiment.definition.tables)  # the first table that has a cell decides
        for arm in table.rows
        for metric in table.metrics
        if arm in trained and metric != TIME
    }
    return [(*cell, pooled) for cell, pooled in sorted(cells.items(), key=lambda item: trained.index(item[0][0]))]
