"""What a run would cost is measured, and planning very many runs stays small."""

import json
import os
import subprocess
import sys

import pytest
import torch
from small_arm import small_arm, small_jobs, train

from retina_kit.runs import in_process
from retina_kit.runs.estimate import cost_key, estimate_costs, summary
from retina_kit.runs.plan import run_jobs
from retina_kit.runs.reuse import explain_reuse, jobs_to_train
from retina_kit.runs.store import RunStore


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_a_probe_measures_what_the_store_does_not_know(tmp_path, monkeypatch):
    monkeypatch.setattr("retina_kit.runs.estimate.PROBE_SECONDS", 0.05)
    store, arms = RunStore(tmp_path / "runs"), [small_arm("short"), small_arm("long", recipe={"steps": 30})]
    rows = estimate_costs(small_jobs(arms, seeds=(0, 1)), store, "nowhere", "cpu")
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
    row = {"seconds": 1800.0, "memory_mb": 500, "disk_mb": 30.0, "checkpoint_mb": 90.0, "from": "past runs"}
    facts = summary([row] * 4, "cpu", 2)
    assert (facts["runs"], facts["cpu_hours"], facts["hours_to_wait"]) == (4, 2.0, 1.0)
    assert (facts["memory_mb_per_run"], facts["disk_mb"]) == (500, 4 * 30 + 2 * 90)
    assert "measured by past runs" in facts["text"][0]
    assert summary([], "cpu", 2)["runs"] == 0


def test_seed_and_length_do_not_change_the_cost_of_a_step_but_batch_and_network_do():
    def key(seed=0, **changes):
        (job,) = small_jobs([small_arm("fluid", **changes)], seeds=(seed,))
        return cost_key(job.description)

    assert key() == key(seed=1) == key(recipe={"steps": 50, "learning_rate": 0.5})
    assert len({key(), key(recipe={"batch_size": 1}), key(model={"norm": None}), key(data={"size": [16, 16]})}) == 4


def test_the_command_line_says_what_a_run_would_cost(tmp_path):
    command = [sys.executable, "-m", "retina_kit", "train", "--profile", "smoke", "--plan", "--json"]
    done = subprocess.run([*command, "huang2023"], cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"},
                          capture_output=True, text=True, check=False, timeout=300)  # fmt: skip
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
