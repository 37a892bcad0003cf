"""Trains some arms of a lesson, with other settings if asked, and keeps their scores together with the settings.

    python -m benchmarks.some_arms hu2018 gray_100 window_100 --set steps=800 --data-root data --output-root outputs

Profile `lesson`, public data, three seeds, one process. The arms that the named ones start from are trained as well. A
row for each arm, way of scoring (last or best step, windows or whole images) and metric goes to results/some_arms.csv,
in place of the row that the same arm with the same settings had. --folds trains and scores some folds only: fold 4 of
huang2023's left-out arms tests subjects 09 and 10, as the paper. The run store below --output-root is that of
`retina-kit run`: nothing is trained twice, and two of these commands may share it.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.command import run
from retina_kit.evaluation.summary import summarize
from retina_kit.experiment import Experiment
from retina_kit.machine import processor_name
from retina_kit.papers.compare import TIME
from retina_kit.session import parse_seeds, parse_settings

RESULTS = Path(__file__).parent / "results" / "some_arms.csv"
WHICH = ["paper", "data", "settings", "arm", "variant", "metric"]
SCORES = ["arm", "metric", "ours_mean", "ours_sd", "ours_ci_low", "ours_ci_high", "n_images", "n_patients", "n_seeds"]


class OfFolds(Experiment):
    """An experiment of which only some folds are trained and scored, all of them without `only_folds`."""

    only_folds = None

    @property
    def jobs(self):
        """The runs of these folds, and those of arms without folds."""
        return [job for job in super().jobs if not self.only_folds or job.fold in (None, *self.only_folds)]


def leave_only(experiment, names):
    """Leave the named arms in an experiment, and those that they start from; UsageError for an unknown name."""
    needed, arms = [], [experiment.arm(name) for name in names]
    while arms:
        arm = arms.pop()
        needed.append(arm.name)
        arms += [experiment.arm(arm.parent)] if arm.parent else []
    experiment.arms = [arm for arm in experiment.arms if arm.name in needed]


def facts_of(experiment):
    """Return how the runs of an experiment were made, to stand in every row."""
    runs = [experiment.store.find(job.key).settings for job in experiment.jobs]
    one = {key: " and ".join(sorted({run[key] for run in runs})) for key in ("device", "precision", "torch")}
    return {"processor": processor_name()} | one


def scored(experiment, names):
    """Return a row for each of the named arms, way of scoring and metric of the first table that has it."""
    seconds = experiment.training_times().groupby("arm")["seconds"].median().round(1)
    parts = []
    for name in names:
        table = next(table for table in experiment.definition.tables if name in table.rows)
        metrics = [metric for metric in table.metrics if metric != TIME]
        rows = experiment.scores[experiment.scores["arm"] == name]
        for variant, scores in rows.groupby("variant", sort=False):
            part = summarize(scores, metrics, pooled=table.pooled)[SCORES].assign(variant=variant)
            parts.append(part.assign(steps=experiment.arm(name).recipe.steps, seconds_per_run=seconds[name]))
    changed = [f"{name}={value}" for name, value in experiment.changed_settings().items()] or ["the lesson's"]
    changed += [f"(folds {', '.join(map(str, experiment.only_folds))})"] if experiment.only_folds else []
    which = {"paper": experiment.paper, "data": experiment.data, "settings": " ".join(changed)}
    return pd.concat(parts, ignore_index=True).assign(**which, **facts_of(experiment))


def keep(rows, path=RESULTS):
    """Write rows into the table, in place of those of the same arm, settings and metric."""
    old = pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.is_file() else rows.iloc[:0]
    rows = pd.concat([old, rows]).drop_duplicates(WHICH, keep="last").sort_values(WHICH, kind="stable")
    rows.set_index(WHICH).round(4).to_csv(path, lineterminator="\n")


def main():
    """Train, score and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paper")
    parser.add_argument("arms", nargs="+")
    parser.add_argument("--set", nargs="*", default=[], dest="settings")
    parser.add_argument("--folds", nargs="*", type=int, default=[], help="only these folds; otherwise all")
    parser.add_argument("--data", default="public")
    parser.add_argument("--profile", default="lesson")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--output-root", default="outputs")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    experiment = OfFolds(
        asked.paper, asked.profile, asked.data, data_root=asked.data_root, output_root=asked.output_root,
        seeds=parse_seeds(asked.seeds), overrides=parse_settings(asked.settings),
    )  # fmt: skip
    leave_only(experiment, asked.arms)
    experiment.only_folds = asked.folds
    experiment.train(progress=False)
    rows = scored(experiment, asked.arms)
    keep(rows, asked.results)
    print(rows[["arm", "variant", *SCORES[1:]]].to_string(index=False), flush=True)


if __name__ == "__main__":
    run(main)
