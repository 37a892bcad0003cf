"""Do the verdicts of a finished run change with its seeds? Every set of three of them judges on its own.

    python -m benchmarks.stability PAPER OUTPUT_ROOT --seeds 0,1,2,3,4 [--data synthetic] [--size 3]

The runs must be in the store below OUTPUT_ROOT (`retina-kit run PAPER --seeds ... --output-root OUTPUT_ROOT`); nothing
is trained. The sets are disjoint if the seeds suffice for two of them; otherwise all sets are taken, which overlap. A
verdict *flips* if one set supports the claim and another does not; it *wavers* if some sets decide and others are
inconclusive.
"""

import argparse
import itertools
import json
from pathlib import Path

import pandas as pd

from benchmarks.machine import describe_machine, write_json
from retina_kit.evaluation.claims import evaluate_claims
from retina_kit.evaluation.verdicts import NOT_SUPPORTED, SUPPORTED
from retina_kit.experiment import Experiment
from retina_kit.session import parse_seeds
from retina_kit.training.device import choose_device

RESULTS = Path(__file__).parent / "results" / "stability.json"
ENOUGH = 2  # disjoint sets


def sets_of(seeds, size):
    """Return disjoint sets of `size` seeds if there are ENOUGH of them, else all sets.

    >>> sets_of([0, 1, 2, 3], 3)
    [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]
    >>> len(sets_of(list(range(15)), 3))
    5
    """
    if len(seeds) >= ENOUGH * size:
        return [tuple(seeds[start : start + size]) for start in range(0, len(seeds) - size + 1, size)]
    return list(itertools.combinations(seeds, size))


def verdicts_of(experiment, seeds):
    """Return the verdict on each claim from some of the seeds, by claim."""
    scores = experiment.scores[experiment.scores["seed"].isin(seeds)]
    known = [name for arm in experiment.arms for name in arm.scored_names]
    named = {name for claim in experiment.definition.claims for name in claim.arm_names()}
    asked = (experiment.data == "synthetic", {*known, *named}, experiment.profile != "paper")
    claims = evaluate_claims(experiment.definition.claims, scores, *asked)
    return claims.set_index("claim")["verdict"]


def summary(verdicts):
    """Count claims (rows) whose verdicts (columns: sets of seeds) flip, waver, or agree.

    "decided" is the share of verdicts that are supported or not supported, "unlike the usual" the share of those that
    are not the most frequent one of their claim.
    """
    flips = verdicts.eq(SUPPORTED).any(axis=1) & verdicts.eq(NOT_SUPPORTED).any(axis=1)
    decided = verdicts.isin([SUPPORTED, NOT_SUPPORTED])
    wavers = decided.any(axis=1) & ~decided.all(axis=1)
    usual = verdicts.apply(lambda row: row.value_counts().iloc[0], axis=1).sum()
    return {
        "claims": len(verdicts),
        "sets": verdicts.shape[1],
        "decided": round(float(decided.to_numpy().mean()), 3),
        "unlike the usual": round(1 - int(usual) / verdicts.size, 3),
        "flips": sorted(verdicts.index[flips]),
        "wavers": sorted(verdicts.index[wavers]),
        "decided by every set": sorted(verdicts.index[decided.all(axis=1) & ~flips]),
    }


def main():
    """Print the summary and add it to results/stability.json."""
    parser = argparse.ArgumentParser(description="Do the verdicts of a finished run change with its seeds?")
    parser.add_argument("paper")
    parser.add_argument("output_root")
    parser.add_argument("--seeds", required=True)
    parser.add_argument("--size", type=int, default=3)
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--precision", default="auto")
    asked = parser.parse_args()
    experiment = Experiment(
        asked.paper, "lesson", asked.data, data_root=asked.data_root, output_root=asked.output_root,
        seeds=parse_seeds(asked.seeds), precision=asked.precision,
    )  # fmt: skip
    sets = sets_of(experiment.seeds, asked.size)
    verdicts = pd.DataFrame({str(seeds): verdicts_of(experiment, seeds) for seeds in sets})
    found = {"seeds": experiment.seeds, "size": asked.size, **summary(verdicts)}
    print(json.dumps(found, indent=1))
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    machine = describe_machine(choose_device("cpu"))
    name = f"{asked.paper} {asked.data}, {len(experiment.seeds)} seeds in sets of {asked.size}"
    write_json(RESULTS, kept | {name: found | {"machine": machine}})


if __name__ == "__main__":
    main()
