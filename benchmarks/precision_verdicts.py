"""Do the verdicts change with the precision? Compares two finished outputs, claim by claim.

    python -m benchmarks.precision_verdicts OUTPUTS_IN_FLOAT32 OUTPUTS_IN_BFLOAT16 [--setting lesson-synthetic]

Both hold the same papers with the same arms and seeds; whatever else differs is an error. A verdict *flips* if one
precision supports the claim and the other does not; it *wavers* if one decides and the other is inconclusive. A row for
each claim goes to results/precision_verdicts.csv, the counts are reported.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from benchmarks.command import run
from retina_kit.errors import UsageError
from retina_kit.evaluation.verdicts import NOT_SUPPORTED, SUPPORTED
from retina_kit.experiment_file import list_papers

RESULTS = Path(__file__).parent / "results" / "precision_verdicts.csv"
MAY_DIFFER = ("precision", "parent")  # a parent is named by its hash, which covers the precision


def runs_of(outputs, folder):
    """Return what was run, {(arm, seed, fold): description without the precision}, and the precision of it all."""
    found, precisions = {}, set()
    for arm in json.loads((folder / "results.json").read_text(encoding="utf-8"))["arms"]:
        settings = json.loads((outputs / "runs" / arm["hash"] / "settings.json").read_text(encoding="utf-8"))
        kept = {key: value for key, value in settings["description"].items() if key not in MAY_DIFFER}
        found[arm["arm"], arm["seed"], arm["fold"]] = kept
        precisions.add(arm["precision"])
    return found, " and ".join(sorted(precisions))


def compare_verdicts(paper, setting, first, second):
    """Return a row for each claim: its verdict and estimate in each precision; UsageError if the runs differ."""
    folders = [outputs / paper / setting for outputs in (first, second)]
    runs, one = runs_of(first, folders[0])
    others, other = runs_of(second, folders[1])
    if runs != others:
        raise UsageError(
            f"{paper}: {first} and {second} differ in more than the precision; train both with one version"
        )
    columns = ["claim", "estimate", "verdict"]
    tables = [pd.read_csv(folder / "claims.csv")[columns].set_index("claim") for folder in folders]
    rows = tables[0].add_suffix(f"_{one}").join(tables[1].add_suffix(f"_{other}"))
    verdicts = [rows[f"verdict_{name}"] for name in (one, other)]
    rows.insert(0, "change", [change_of(*pair) for pair in zip(*verdicts, strict=True)])
    return rows.round(4).reset_index().assign(paper=paper, seeds=len({seed for _, seed, _ in runs}))


def change_of(first, second):
    """Name what happens to a verdict.

    >>> change_of("supported", "not supported"), change_of("supported", "inconclusive")
    ('flips', 'wavers')
    """
    if first == second:
        return ""
    return "flips" if {first, second} == {SUPPORTED, NOT_SUPPORTED} else "wavers"


def main():
    """Compare all papers that both outputs have, print the counts and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--setting", default="lesson-synthetic")
    asked = parser.parse_args()
    papers = [paper for paper in list_papers() if (asked.first / paper / asked.setting).is_dir()]
    if not papers:
        raise UsageError(f"{asked.first} holds no paper with the setting {asked.setting}")
    rows = pd.concat(compare_verdicts(paper, asked.setting, asked.first, asked.second) for paper in papers)
    rows.set_index(["paper", "claim"]).to_csv(RESULTS, lineterminator="\n")
    counts = rows.groupby("paper", sort=False)["change"].agg(
        claims="size", flips=lambda c: (c == "flips").sum(), wavers=lambda c: (c == "wavers").sum()
    )
    print(counts.to_string())


if __name__ == "__main__":
    run(main)
