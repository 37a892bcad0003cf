"""Kept results belong to the experiments as they are now, and state how they were made."""

import json

import pandas as pd
import pytest

from retina_kit.authoring.kept import experiment_hash
from retina_kit.evaluation.claims import COLUMNS
from retina_kit.evaluation.evidence import MIN_ARMS
from retina_kit.experiment_file import find_paper, list_papers
from retina_kit.files import kit_root

EXAMPLES = kit_root() / "docs" / "examples"
FOLDERS = [kit_root() / "notebooks" / "results", *sorted(EXAMPLES.glob("*/results"))]
RUNS = sorted(path for folder in FOLDERS for path in folder.glob("*_run.json"))
REMEDY = "run it again and keep it: python -m retina_kit.authoring.kept"


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_kept_run_is_of_the_experiment_as_it_is_now(path):
    paper, profile, data, _ = path.stem.rsplit("_", 3)
    paper = path.parents[1] if EXAMPLES in path.parents else paper
    facts = json.loads(path.read_text())
    assert facts["experiment"] == experiment_hash(paper, profile, data), REMEDY
    assert facts["processor"] and facts["precision"] and facts["seeds"]
    claims = pd.read_csv(path.with_name(path.name.replace("_run.json", "_claims.csv")))
    assert list(claims) == list(COLUMNS)
    assert set(claims["claim"]) == {claim.id for claim in find_paper(paper).claims}


def test_every_kept_table_states_how_it_was_made():
    tables = (path for folder in FOLDERS for path in folder.glob("*_lesson_*.csv"))
    names = {path.stem.removesuffix("_claims") for path in tables}
    assert names == {path.stem.removesuffix("_run") for path in RUNS}, REMEDY


@pytest.mark.parametrize("data", ["synthetic", "public"])
@pytest.mark.parametrize("paper", list_papers())
def test_the_rules_name_every_arm_whose_seeds_vary_twice_as_much_as_the_others(paper, data):
    rules = " ".join((kit_root() / "docs" / "verdicts.md").read_text().split())
    scores = pd.read_csv(FOLDERS[0] / f"{paper}_lesson_{data}.csv")
    scores = scores[scores["ours_sd"] > 0].drop_duplicates(["arm", "metric"])  # of more than one seed
    arms = {}
    for claim in find_paper(paper).claims:
        arms.setdefault(claim.metric, set()).update(claim.arm_names())
    for metric, names in arms.items():
        sd = scores[(scores["metric"] == metric) & scores["arm"].isin(names)].set_index("arm")["ours_sd"]
        if len(sd) < MIN_ARMS:
            continue
        of_others = ((sd.pow(2).sum() - sd.pow(2)) / (len(sd) - 1)).pow(0.5)
        for arm, times in (sd / of_others)[lambda ratio: ratio >= 2].items():
            assert f"`{arm}` (`{paper}`, {times:.1f} times)" in rules
