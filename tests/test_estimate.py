"""What a run would cost is measured, and planning very many runs stays small."""

import functools
import json
import os

import pytest
import torch
from small_arm import small_arm, small_jobs, train

from retina_kit.experiment_file import list_papers
from retina_kit.runs import in_process
from retina_kit.runs.estimate import by_arm, cost_key, estimate_costs, probe, summary
from retina_kit.runs.plan import run_jobs
from retina_kit.runs.reuse import explain_reuse, jobs_to_train
from retina_kit.runs.store import RunStore
from retina_kit.session import RunOptions, Session
from retina_kit.training.batches import Batches
from tests.small_command import command_line


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_a_probe_measures_what_the_store_does_not_know(tmp_path, monkeypatch):
    monkeypatch.setattr("retina_kit.runs.estimate.PROBE_SECONDS", 0.05)
    store, arms = RunStore(tmp_path / "runs"), [small_arm("short"), small_arm("long", recipe={"steps": 30})]
    rows = estimate_costs(small_jobs(arms, seeds=(0, 1)), store, "nowhere", "cpu")
    assert all(row["evaluation_seconds"] > 0 and row["gflop_a_step"] > 0 for row in rows)
    assert [(row["run"], row["steps"], row["from"]) for row in rows] == [
        ("short (seed 0)", 3, "a probe"), ("short (seed 1)", 3, "a probe"),
        ("long (seed 0)", 30, "a probe"), ("long (seed 1)", 30, "a probe"),
    ]  # fmt: skip
    assert rows[2]["seconds"] > rows[0]["seconds"] > 0
    run = train(arms[:1], store)["short", 0]
    jobs = jobs_to_train(explain_reuse(small_jobs(arms, seeds=(0, 1)), store))
    rows = estimate_costs(jobs, store, "nowhere", "cpu")
    assert [row["from"] for row in rows] == ["past runs"] * 3, "what is in the store costs nothing and teaches the rest"
    each_step = run.settings["seconds"] / 3
    assert rows[-1]["seconds"] == pytest.approx(30 * each_step)
    assert rows[-1]["disk_mb"] == pytest.approx((run.folder / "weights.safetensors").stat().st_size / 2**20)


def test_hours_are_added_and_shared_among_workers():
    row = {
        "paper": "hu2018", "arm": "scratch", "steps": 9, "gflop_a_step": None, "training_seconds": 1800.0,
        "evaluation_seconds": None, "seconds": 1800.0, "memory_mb": 500, "disk_mb": 30.0, "checkpoint_mb": 90.0,
        "from": "past runs",
    }  # fmt: skip
    facts = summary([row] * 4, "cpu", 2)
    assert (facts["runs"], facts["cpu_hours"], facts["hours_to_wait"]) == (4, 2.0, 1.0)
    assert (facts["memory_mb_per_run"], facts["disk_mb"]) == (500, 4 * 30 + 2 * 90)
    assert "measured by past runs" in facts["text"][0]
    assert summary([], "cpu", 2)["runs"] == 0


def test_an_arm_without_steps_costs_only_its_evaluation(tmp_path):
    jobs = small_jobs([small_arm("parent"), small_arm("untrained", start={"parent": "parent"}, recipe={"steps": 0})])
    row = estimate_costs(jobs, RunStore(tmp_path / "runs"), "nowhere", "cpu")[-1]
    assert (row["steps"], row["training_seconds"], row["gflop_a_step"]) == (0, 0.0, 0.0)
    assert row["seconds"] == row["evaluation_seconds"] > 0


def test_the_most_expensive_arm_of_each_paper_comes_first():
    def row(paper, arm, training, evaluation):
        costs = {"training_seconds": training, "evaluation_seconds": evaluation, "seconds": training + evaluation}
        return {"paper": paper, "arm": arm, "steps": 5, "gflop_a_step": 1.0, "memory_mb": 7, **costs}

    rows = [row("a", "small", 1.0, 0.5), row("b", "only", 9.0, 0.0), row("a", "large", 1.0, 1.0)]
    table = by_arm([*rows, rows[0]])
    assert table[["paper", "arm", "runs", "seconds"]].to_numpy().tolist() == [
        ["a", "small", 2, 3.0], ["a", "large", 1, 2.0], ["b", "only", 1, 9.0],
    ]  # fmt: skip


def test_seed_and_length_do_not_change_the_cost_of_a_step_but_batch_and_network_do():
    def key(seed=0, precision="float32", **changes):
        (job,) = small_jobs([small_arm("fluid", **changes)], seeds=(seed,))
        return cost_key(job.description, precision)

    assert key() == key(seed=1) == key(recipe={"steps": 50, "learning_rate": 0.5})
    assert len({key(), key(recipe={"batch_size": 1}), key(model={"norm": None}), key(data={"size": [16, 16]})}) == 4
    assert key() != key(precision="bfloat16")
    assert key() != key(recipe={"steps": 0, "epochs": 3})  # past runs of steps tell nothing about the length of epochs


def test_past_epochs_are_scaled_and_the_newest_run_counts(tmp_path):
    """Eight images in batches of two, three of four patients in training: 3 steps an epoch."""
    store = RunStore(tmp_path / "runs")
    arms = [small_arm("ten", recipe={"steps": 0, "epochs": 2})]
    train(arms, store)
    train(arms, store, seeds=(1,))
    (job,) = small_jobs([small_arm("ten", recipe={"steps": 0, "epochs": 14})])
    newest = store.runs()[0].folder / "settings.json"
    facts = json.loads(newest.read_text())
    newest.write_text(json.dumps(facts | {"seconds": 600.0}))
    os.utime(newest, (newest.stat().st_mtime + 100,) * 2)
    (row,) = estimate_costs([job], store, "nowhere", "cpu")
    assert (row["steps"], row["from"]) == (7 * facts["steps"], "past runs")
    assert row["seconds"] == pytest.approx(7 * 600)


@pytest.mark.parametrize("paper", list_papers())
def test_the_lesson_of_every_paper_can_be_planned(paper, tmp_path, monkeypatch):
    """A probe costs the same whatever it finds, so it is replaced; every job goes through all else."""
    cost = {"seconds_a_step": 0.5, "gflop_a_step": 2.0, "steps": 10, "length": 10, "memory_mb": 3}
    cost |= {"scoring_seconds": 1.0, "validation_seconds": 0.1}
    monkeypatch.setattr("retina_kit.runs.estimate.probe", lambda *_: cost | {"weights_mb": 1.0, "from": "a probe"})
    plan = Session([paper], RunOptions(output_root=tmp_path, device="cpu", workers=2)).plan()
    assert sum(arm["runs"] for arm in plan["arms"]) == plan["runs"] > 20
    assert sum(arm["seconds"] for arm in plan["arms"]) == pytest.approx(sum(row["seconds"] for row in plan["rows"]))
    json.dumps(plan)


def test_the_command_line_says_what_a_run_would_cost(tmp_path):
    done = command_line("train", "huang2023", "--profile", "smoke", "--plan", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["runs"] == len(facts["rows"]) > 5
    assert facts["measured_by"] == ["a probe"]
    assert not list(tmp_path.rglob("settings.json"))


def test_twenty_thousand_runs_are_planned_and_booked(tmp_path, monkeypatch):
    """How long it takes is measured by benchmarks/many_runs.py; here only that nothing is lost or doubled."""
    arms = [small_arm("parent")] + [
        small_arm(f"child {k}", start={"parent": "parent"}, recipe={"learning_rate": k * 1e-5}) for k in range(1, 20)
    ]
    jobs = small_jobs(arms, seeds=range(1000))
    assert len({job.key for job in jobs}) == len(jobs) == 20_000
    seen = []
    monkeypatch.setattr(in_process, "attempt", lambda job, *rest: seen.append(job.key) or "finished")
    outcomes = run_jobs(jobs, RunStore(tmp_path / "runs"), data_root="nowhere", device="cpu")
    assert sorted(seen) == sorted(outcomes)
    place = {key: position for position, key in enumerate(seen)}
    assert all(place[job.parent] < place[job.key] for job in jobs if job.parent)


@pytest.mark.parametrize("recipe", [{"batch_size": 4}, {"batch_size": 4, "steps": 0, "epochs": 5}])
def test_a_large_step_is_measured_on_two_images_of_its_batch(recipe, tmp_path, monkeypatch):
    """Its GFLOP and the memory that it keeps grow with the batch, so they are known without making it in full."""
    (job,) = small_jobs([small_arm("fluid", recipe=recipe)], seeds=(0,))
    monkeypatch.setattr("retina_kit.runs.estimate.PROBE_SECONDS", 0.05)
    full = probe(job, tmp_path, torch.device("cpu"))
    monkeypatch.setattr("retina_kit.runs.estimate.LARGE_STEP", 0.0)
    sizes = []
    monkeypatch.setattr(Batches, "sample", functools.partialmethod(_noting_sizes, sizes, Batches.sample))
    part = probe(job, tmp_path, torch.device("cpu"))
    assert set(sizes) == {2}
    assert part["gflop_a_step"] == pytest.approx(full["gflop_a_step"])
    assert part["steps"] == full["steps"] and part["seconds_a_step"] > 0
    assert part["memory_mb"] >= full["memory_mb"]  # a process keeps its peak


def _noting_sizes(batches, sizes, sample, step):
    images, targets = sample(batches, step)
    sizes.append(len(images))
    return images, targets
