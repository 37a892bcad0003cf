"""Two finished runs: what differs is named exactly, and the scores are paired."""

import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from retina_kit.cli import app
from retina_kit.comparison.differences import code_of
from retina_kit.comparison.two_runs import compare, compare_roots
from retina_kit.errors import DataError, UsageError
from retina_kit.experiment import Experiment
from retina_kit.runs.store import RunStore
from tests.small_paper import make_paper, run_paper, train_and_save


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """An output root with two settings of one paper, three seeds each, and their experiments."""
    folder = tmp_path_factory.mktemp("compare")
    paper, root = make_paper(folder), folder / "outputs"
    return paper, root, run_paper(paper, root), run_paper(paper, root, steps=3)


def interval_of_seeds(a, b):
    """Return the t-interval over seeds of the differences of the mean Dice: with few patients only seeds vary."""
    differences = b.groupby("seed")["dice"].mean() - a.groupby("seed")["dice"].mean()
    return stats.ttest_1samp(differences, 0).confidence_interval()


def test_only_what_differs_is_named(runs):
    _, _, first, second = runs
    found = compare(first.folder, second.folder)
    assert found.settings == ["steps"]
    assert found.differences.loc[0, ["kind", "a", "b"]].tolist() == ["settings", 2, 3]
    assert set(found.differences["kind"]) == {"settings"}
    assert found.arms[["arm", "setting"]].to_numpy().tolist() == [
        ["proposed", "recipe.steps"],
        ["baseline", "recipe.steps"],
    ]


def test_the_interval_is_over_seeds_if_there_are_few_patients(runs):
    _, _, first, second = runs
    found = compare(first.folder, second.folder).scores.set_index("arm")
    for arm in ("proposed", "baseline"):
        a, b = (e.scores[e.scores["arm"] == arm] for e in (first, second))
        assert found.loc[arm, ["ci_low", "ci_high"]].tolist() == pytest.approx(tuple(interval_of_seeds(a, b)))
        assert found.loc[arm, "difference"] == pytest.approx(b["dice"].mean() - a["dice"].mean(), abs=1e-12)
        assert found.loc[arm, ["n_images", "n_patients", "n_seeds"]].tolist() == [4, 4, 3]
    assert set(found["note"]) == {"these patients only: the interval is over seeds (4 patients, 3 seeds)"}


@pytest.mark.slow
def test_hu2018_with_other_steps_has_its_own_folder_and_shares_its_localizers(trained, tmp_path):
    shutil.copytree(trained / "outputs" / "runs", tmp_path / "runs")
    num_before = len(RunStore(tmp_path / "runs").runs())
    options = {"profile": "smoke", "output_root": tmp_path}
    first, second = (
        train_and_save(Experiment("hu2018", **options, overrides=overrides), "figure2a")
        for overrides in ({}, {"steps": 3})
    )
    found = compare(first.folder, second.folder)
    assert found.settings == ["steps"]
    localizers = {arm.name for arm in first.arms if arm.task == "localize"}
    assert set(found.same_runs) == localizers
    again = [job for job in second.jobs if job.arm.name not in localizers]
    assert (len(first.jobs), len(again)) == (40, 36)
    assert len(RunStore(tmp_path / "runs").runs()) == num_before + len(again)
    assert [one.folder.name for one in (first, second)] == ["smoke-synthetic", "smoke-synthetic-steps-3"]
    for row in found.scores.itertuples():
        a, b = (e.scores[e.scores["arm"] == row.arm] for e in (first, second))
        assert row.difference == pytest.approx(b["dice"].mean() - a["dice"].mean(), abs=1e-12), row.arm


def test_the_images_are_paired(runs):
    _, _, first, second = runs
    images = compare(first.folder, second.folder).images
    assert len(images) == 2 * 4
    assert images["difference"].to_numpy() == pytest.approx((images["b"] - images["a"]).to_numpy())


def test_a_run_is_the_same_as_itself(runs):
    found = compare(runs[2].folder, runs[2].folder)
    assert found.same_runs == ("proposed", "baseline")
    assert found.differences.empty
    assert found.scores.empty


def test_a_setting_is_found_by_its_name(runs):
    _, root, first, second = runs
    names = [f"smith2024/{experiment.folder.name}" for experiment in (first, second)]
    assert compare(*names, output_root=root).settings == ["steps"]
    with pytest.raises(UsageError, match=r"no finished run is called 'smith2024/smoke'\. Known: smith2024"):
        compare("smith2024/smoke", names[0], output_root=root)


def test_seeds_that_both_have_are_compared(runs):
    paper, root, first, _ = runs
    found = compare(first.folder, run_paper(paper, root, seeds=(2, 3), steps=3).folder)
    assert found.settings == ["seeds", "steps"]
    assert set(found.scores["n_seeds"]) == {1}
    assert set(found.scores["note"]) == {"no interval: 4 patients, 1 seed (at least 6 patients or 3 seeds needed)"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seeds": (7,)}, "no seed in common"),
        (
            {"target_options": {"num_patients": 12, "images_per_patient": 1, "size": [32, 32], "seed": 5}},
            "other images",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(runs, change, reason):
    paper, root, first, _ = runs
    other = run_paper(paper, root, **{"steps": 3, **change})
    with pytest.raises(UsageError, match=reason):
        compare(first.folder, other.folder)
    done = CliRunner().invoke(app, ["compare", str(first.folder), str(other.folder)])
    assert done.exception.exit_code == 2


def test_other_papers_and_damaged_runs_are_refused(runs, tmp_path):
    _, _, first, _ = runs
    other = run_paper(make_paper(tmp_path, "jones2024"), tmp_path / "outputs", seeds=(0,))
    with pytest.raises(UsageError, match="one is of paper smith2024, the other of jones2024"):
        compare(first.folder, other.folder)
    copy = shutil.copytree(first.folder, tmp_path / "outputs" / "smith2024" / first.folder.name)
    with pytest.raises(DataError, match="is not in the run store"):
        compare(copy, runs[3].folder)
    (copy / "results.json").write_text("{}")
    with pytest.raises(DataError, match=r"not a complete run \(results.json: it: paper is missing"):
        compare(first.folder, copy)


def test_two_output_roots_are_compared_setting_by_setting(runs, tmp_path):
    paper, root, first, _ = runs
    other = run_paper(paper, tmp_path / "outputs", seeds=(0, 1, 2))
    found = compare_roots(root, tmp_path / "outputs")
    assert list(found) == [f"smith2024/{first.folder.name}"]
    assert found[f"smith2024/{other.folder.name}"].same_runs == ("proposed", "baseline")
    done = CliRunner().invoke(app, ["compare", str(root), str(tmp_path / "outputs"), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["comparisons"][f"smith2024/{first.folder.name}"]["differences"] == []
    with pytest.raises(UsageError, match="no finished run in common"):
        compare_roots(root, tmp_path)


def test_a_comparison_is_saved(runs, tmp_path):
    found = compare(runs[2].folder, runs[3].folder)
    assert "steps: 2 -> 3" in str(found)
    found.save(tmp_path)
    assert pd.read_csv(tmp_path / "scores.csv")["arm"].tolist() == ["proposed", "baseline"]


def test_code_versions_of_a_damaged_run_are_compared_as_text():
    versions = {"proposed": 5, "baseline": "0a1b"}
    run = SimpleNamespace(arms=list(versions), description=lambda arm: {"code": versions[arm]}, results={})
    assert code_of(run)["code version"] == "0a1b, 5"


def test_a_damaged_run_costs_no_other_pair_of_two_output_roots(runs, tmp_path):
    _, root, first, second = runs
    copy = shutil.copytree(root, tmp_path / "outputs")
    shutil.rmtree(copy / "runs" / second.jobs[0].key)
    found = compare_roots(root, copy)
    names = [f"smith2024/{experiment.folder.name}" for experiment in (first, second)]
    assert found[names[0]].same_runs == ("proposed", "baseline")
    assert isinstance(found[names[1]], DataError)
    done = CliRunner().invoke(app, ["compare", str(root), str(copy), "--json"])
    assert done.exit_code == 3
    assert "error" in json.loads(done.stdout)["comparisons"][names[1]]
