"""The paper in docs/examples was made with `paper new`: it must load, agree with itself, and run through."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from retina_kit.authoring.kept import experiment_hash
from retina_kit.data.manifest import has_pack
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import find_paper
from retina_kit.papers.audit import find_anomalies
from retina_kit.papers.published import read_published
from retina_kit.reporting.tables import results_markdown, with_results
from retina_kit.teaching.exercises import read_exercises
from tests.small_command import command_line

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "galdran2022"
RESULTS = EXAMPLE / "results"
KEPT = "galdran2022_lesson_public"
REAL_DATA = ROOT.parent / "shared" / "data"


def test_the_networks_have_the_sizes_that_the_arms_are_named_for():
    from retina_kit.authoring.training_compute import num_weights

    experiment = Experiment(EXAMPLE)
    weights = {arm.name: num_weights(arm) for arm in experiment.arms}
    assert (weights["small_chase"], weights["wnet_sized_chase"], weights["large_chase"]) == (29785, 66469, 1085737)
    assert weights["large_chase"] // weights["small_chase"] == 36
    steps = {arm.recipe.steps for arm in experiment.arms}
    assert len(steps) == 1  # equally many, whatever the size


def test_the_example_needs_nothing_of_the_library_but_the_experiment_file():
    imports = re.findall(r"^(?:from|import) (retina_kit\S*)", (EXAMPLE / "experiment.py").read_text(), re.MULTILINE)
    assert set(imports) == {"retina_kit.experiment_file"}


def test_the_published_values_are_possible_and_every_number_says_where_it_is_from():
    published = read_published(EXAMPLE / "published.toml")
    assert find_anomalies(published).empty
    assert published.numbers["where"].str.contains(r"bob\.ip\.binseg 1f06ce6, .*table").all()


def test_the_notebook_makes_what_the_experiment_promises():
    paper = find_paper(EXAMPLE)
    saved = set(re.findall(r'save_(?:table|figure)\(\s*"(\w+)"', paper.files.source.read_text()))
    assert saved == {*paper.artifacts.tables, *paper.artifacts.figures}
    assert all(
        f"check.{exercise.name}(" in paper.files.source.read_text()
        for exercise in read_exercises(paper.files.exercises)
    )


@pytest.mark.real_data
@pytest.mark.skipif(not has_pack("chase_db1", REAL_DATA), reason="the real data are not here")
def test_on_real_photographs_eight_images_are_trained_on_and_patients_are_separate():
    experiment = Experiment(EXAMPLE, "lesson", "public", data_root=REAL_DATA)
    for which, numbers in (("chase", (8, 20)), ("stare", (10, 10))):
        task = experiment.prepared(f"small_{which}")
        assert (len(task.train), len(task.test)) == numbers
        patients = [set(task.rows["patient"].iloc[index]) for index in (task.train, task.test)]
        assert not patients[0] & patients[1]


@pytest.mark.slow
def test_it_runs_through_in_a_folder_elsewhere(tmp_path):
    folder = shutil.copytree(EXAMPLE, tmp_path / "galdran2022", ignore=shutil.ignore_patterns("outputs", "*.ipynb"))
    for command in ("run", "paper report"):
        done = command_line(*command.split(), ".", "--profile", "smoke", cwd=folder)
        assert done.returncode == 0, done.stderr
    results = folder / "outputs" / "galdran2022" / "smoke-synthetic"
    assert pd.read_csv(results / "tables" / "chase.csv")["paper_value"].max() == pytest.approx(0.820)
    assert set(pd.read_csv(results / "claims.csv")["kind"]) == {"replication", "control"}
    assert json.loads((results / "results.json").read_text())["published"]["key"] == "galdran2022"
    assert "0.820" in (folder / "report.md").read_text() or "82.0" in (folder / "report.md").read_text()


def test_the_kept_results_are_of_the_experiment_as_it_is_now_and_the_readme_shows_them():
    facts = json.loads((RESULTS / f"{KEPT}_run.json").read_text())
    assert facts["experiment"] == experiment_hash(EXAMPLE, "lesson", "public"), "run it again and keep it"
    assert facts["processor"] and facts["precision"] and facts["seeds"] == [0, 1, 2]
    readme = (EXAMPLE / "README.md").read_text()
    assert with_results(readme, results_markdown([RESULTS / f"{KEPT}.csv"])) == readme
    claims = pd.read_csv(RESULTS / f"{KEPT}_claims.csv")
    assert set(claims["claim"]) == {claim.id for claim in find_paper(EXAMPLE).claims}
    for claim in claims.itertuples():
        found = f"{claim.estimate:+.3f} ({claim.ci_low:+.3f} to {claim.ci_high:+.3f})"
        assert f"| {claim.statement} | {claim.verdict} | {found} |" in readme
