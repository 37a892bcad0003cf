"""One network for four lesions, next to one for each: names, tables, claims and predictions of each class."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from retina_kit.comparison.finished_runs import read_finished
from retina_kit.comparison.two_runs import compare
from retina_kit.data.manifest import has_pack
from retina_kit.errors import UsageError
from retina_kit.evaluation.claims import Claim, evaluate_claims
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import find_paper
from retina_kit.papers.audit import find_anomalies
from retina_kit.papers.published import read_published
from retina_kit.predictions import predict
from retina_kit.reporting.report import Report
from retina_kit.teaching.exercises import read_exercises
from tests.small_command import command_line

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "idrid_four_lesions"
REAL_DATA = ROOT.parent / "shared" / "data"
LESIONS = ("ma", "he", "ex", "se")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Return the example after a smoke run."""
    torch.set_num_threads(1)
    experiment = Experiment(EXAMPLE, "smoke", output_root=tmp_path_factory.mktemp("out"))
    experiment.train(progress=False)
    report = Report(experiment.folder)
    report.save_claims(experiment.claims())
    report.finish(experiment.description())
    return experiment


def test_every_class_is_scored_under_its_own_name(experiment):
    shared = [f"together_{length}:{lesion}" for length in ("short", "long") for lesion in LESIONS]
    assert set(experiment.scores["arm"]) == {*(f"alone_{lesion}" for lesion in LESIONS), *shared}
    assert experiment.labels["together_short:he"] == "one network, the steps of one: he"
    table = experiment.table("soft_exudates")
    assert table["arm"].unique().tolist() == ["alone_se", "together_short:se", "together_long:se"]
    assert (table["n_images"] > 0).all()
    own = experiment.scores[experiment.scores["arm"] == "together_long:se"]
    dice = 2 * own["tp"].sum() / (2 * own["tp"] + own["fp"] + own["fn"]).sum()
    found = table[(table["arm"] == "together_long:se") & (table["metric"] == "dice")]["ours_mean"]
    assert found.item() == pytest.approx(dice)
    times = experiment.training_times()
    assert times[times["arm"].str.startswith("together_long:")]["seconds"].nunique() == 1


def test_one_class_is_predicted_like_one_arm(experiment):
    examples = experiment.predictions(["alone_he", "together_long:he"], num_images=2, pick="largest")
    probability, task, index = predict(experiment, "together_long")
    found = experiment.probabilities("together_long:he")
    assert np.array_equal(found.probability, probability[:, 1])
    assert np.array_equal(found.ground_truth, task.masks[index][:, 1])
    place = [found.ids.index(name) for name in examples.ids]
    assert np.array_equal(examples.predicted["together_long:he"], found.probability[place] > 0.5)
    assert np.array_equal(examples.ground_truth, found.ground_truth[place])


@pytest.mark.parametrize("ask", ["probabilities", "arm", "run_of"])
def test_a_misspelled_class_is_refused(experiment, ask):
    with pytest.raises(UsageError, match="together_long has no class 'hee'; did you mean 'he'"):
        getattr(experiment, ask)("together_long:hee")


def test_a_class_must_be_named_where_there_are_several(experiment):
    for ask in (experiment.probabilities, lambda name: experiment.predictions([name])):
        with pytest.raises(UsageError, match="several classes; name one of them: together_long:ma, "):
            ask("together_long")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'f"together_long:{lesion}"), "")',
            'f"together_logn:{lesion}"), "")',
            "'together_logn:ma'.*did you mean 'together_long:ma'",
        ),
        ('pairs("together_long")', 'pairs("together_lnog")', "'together_lnog:ma'.*did you mean 'together_long:ma'"),
        ('{"ma": "micro', '{"maa": "micro', "no mask 'maa'; did you mean 'ma'"),
        ("num_classes=len(classes)", "num_classes=2", "its network num_classes=2; set num_classes=4"),
        ('{"masks": classes}', '{"maskes": classes}', "no setting 'maskes'; did you mean 'masks'"),
    ],
)
def test_a_mistake_in_the_experiment_is_refused_by_name(tmp_path, old, new, message):
    source = (EXAMPLE / "experiment.py").read_text()
    assert old in source
    shutil.copy(EXAMPLE / "published.toml", tmp_path)
    (tmp_path / "experiment.py").write_text(source.replace(old, new))
    with pytest.raises(UsageError, match=message):
        find_paper(tmp_path)


def test_two_runs_are_compared_class_by_class(experiment, tmp_path):
    other = Experiment(EXAMPLE, "smoke", output_root=tmp_path, overrides={"learning_rate": 0.02})
    other.train(progress=False)
    report = Report(other.folder)
    report.save_claims(other.claims())
    report.finish(other.description())
    found = compare(experiment.folder, other.folder)
    assert set(found.scores["arm"]) == set(experiment.scores["arm"])
    row = found.scores.set_index("arm").loc["together_short:ex"]
    own = read_finished(other.folder).scores("together_short")
    own = own[own["class"] == "ex"]
    assert row["b"] == pytest.approx(own["dice"].mean())


def test_a_gain_on_average_is_the_mean_of_the_gains():
    """Gains of 0.3 and -0.1 in all patients and seeds: 0.1 on average, but not in both."""
    rows = pd.concat([pd.DataFrame({"id": range(6), "patient": range(6), "seed": seed}) for seed in range(3)])
    levels = {"all:a": 0.6, "a": 0.3, "all:b": 0.4, "b": 0.5}
    scores = pd.concat([rows.assign(arm=arm, dice=dice) for arm, dice in levels.items()])
    pairs = [["all:a", "a"], ["all:b", "b"]]
    claims = [Claim(test, "", "control", test, pairs, pooled=False) for test in ("greater_on_average", "all_greater")]
    found = evaluate_claims(claims, scores, synthetic=False).set_index("claim")
    assert found.loc["greater_on_average", "estimate"] == pytest.approx(0.1)
    assert found["verdict"].to_dict() == {"greater_on_average": "supported", "all_greater": "not supported"}
    within = Claim("c", "", "control", "greater_on_average", pairs, pooled=False, margin=0.15)
    assert evaluate_claims([within], scores, synthetic=False).iloc[0]["verdict"] == "supported"  # above 0 counts first
    swapped = Claim("c", "", "control", "greater_on_average", [pair[::-1] for pair in pairs], pooled=False)
    assert evaluate_claims([swapped], scores, synthetic=False).iloc[0]["verdict"] == "not supported"


def test_the_budgets_are_those_of_one_and_of_all_four():
    for profile in ("smoke", "lesson", "paper"):
        arms = {arm.name: arm for arm in Experiment(EXAMPLE, profile).arms}
        alone = [arms[f"alone_{lesion}"] for lesion in LESIONS]
        assert arms["together_short"].recipe == alone[0].recipe
        assert arms["together_long"].recipe.steps == sum(arm.recipe.steps for arm in alone)
        assert len({(arm.split, arm.data.size, arm.data.scale) for arm in arms.values()}) == 1


def test_the_notebook_makes_what_the_experiment_promises():
    paper = find_paper(EXAMPLE)
    notebook = paper.files.source.read_text()
    saved = set(re.findall(r'save_(?:table|figure)\(\s*"(\w+)"', notebook))
    assert saved == {*paper.artifacts.tables, *paper.artifacts.figures}
    assert all(f"check.{exercise.name}(" in notebook for exercise in read_exercises(paper.files.exercises))
    assert find_anomalies(read_published(paper.files.published)).empty


@pytest.mark.real_data
@pytest.mark.skipif(not has_pack("idrid_seg_1024", REAL_DATA), reason="the real data are not here")
def test_lesions_of_real_photographs_overlap():
    experiment = Experiment(EXAMPLE, "lesson", "public", data_root=REAL_DATA)
    task = experiment.prepared("together_long")
    assert (len(task.train), len(task.test)) == (54, 26)
    assert (task.masks.sum(axis=1) > 1).any()


@pytest.mark.slow
def test_it_runs_through_in_a_folder_elsewhere(tmp_path):
    folder = shutil.copytree(EXAMPLE, tmp_path / "lesions", ignore=shutil.ignore_patterns("outputs", "*.ipynb"))
    done = command_line("run", ".", "--profile", "smoke", cwd=folder)
    assert done.returncode == 0, done.stderr
