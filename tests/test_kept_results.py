"""Kept results belong to the experiments as they are now, and state how they were made."""

import json

import pandas as pd
import pytest

from retina_kit.authoring.kept import experiment_hash
from retina_kit.evaluation.claims import COLUMNS
from retina_kit.experiment_file import find_paper
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
