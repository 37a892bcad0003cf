"""Plans, hashes and books very many runs without training one: milliseconds and bytes per run.

    python -m benchmarks.many_runs --runs 100000 [--workers 5000]

Half of the arms start from another; the store is empty, so each run is looked for, locked and noted. With --workers
that many also go through the scheduler and two workers of this machine.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

from benchmarks.faults import arms
from retina_kit.machine import peak_memory_mb
from retina_kit.runs import in_process
from retina_kit.runs.plan import plan_jobs, run_jobs
from retina_kit.runs.store import RunStore
from retina_kit.training.arm import Start


def many_arms(number):
    """Return arms, every second one the child of the one before."""
    small, made = arms()[0], []
    for k in range(number):
        recipe = dataclasses.replace(small.recipe, learning_rate=(k + 1) * 1e-6)
        start = Start(f"arm {k - 1}", parts=("encoder",)) if k % 2 else None
        made.append(dataclasses.replace(small, name=f"arm {k}", start=start, recipe=recipe))
    return made


def simulate(num_runs, num_arms=100):
    """Return milliseconds per run for the plan and for the booking, and the memory before and after each."""
    seeds, before, began = range(num_runs // num_arms), peak_memory_mb(), time.perf_counter()
    jobs = plan_jobs(many_arms(num_arms), seeds, lambda arm: "0" * 16)
    planned, after_plan = time.perf_counter(), peak_memory_mb()
    booked = []
    real, in_process.attempt = in_process.attempt, lambda job, *rest: booked.append(None) or "finished"
    try:
        with tempfile.TemporaryDirectory() as folder:
            outcomes = run_jobs(jobs, RunStore(folder), data_root="none", device="cpu")
    finally:
        in_process.attempt = real
    assert len(booked) == len(outcomes) == len(jobs)
    each = 1000 / len(jobs)
    return {
        "runs": len(jobs),
        "plan_and_hash_ms": round((planned - began) * each, 4),
        "find_lock_book_ms": round((time.perf_counter() - planned) * each, 4),
        "memory_mb": [round(before), round(after_plan), round(peak_memory_mb())],
        "bytes_per_run": round((peak_memory_mb() - before) * 2**20 / len(jobs)),
    }


def nothing(job, *rest):
    """Stand for a run in a worker: do nothing."""


def simulate_on_workers(num_runs, num_arms=100):
    """Return milliseconds per run from submission to the last outcome, with two workers."""
    from retina_kit.runs import running_jobs
    from retina_kit.runs.workers import LocalWorkers

    jobs = plan_jobs(many_arms(num_arms), range(num_runs // num_arms), lambda arm: "0" * 16)
    real = running_jobs.run_on_worker, running_jobs.wait_for_run
    running_jobs.run_on_worker, running_jobs.wait_for_run = nothing, lambda store, job: "finished"
    try:
        with tempfile.TemporaryDirectory() as folder, LocalWorkers(2) as workers:
            workers._start(2)
            began = time.perf_counter()
            run_jobs(jobs, RunStore(Path(folder)), data_root="none", device="cpu", cluster=workers)
            return {"runs": len(jobs), "workers_ms": round(1000 * (time.perf_counter() - began) / len(jobs), 4)}
    finally:
        running_jobs.run_on_worker, running_jobs.wait_for_run = real


def main():
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    print(json.dumps(simulate(options.runs)))
    if options.workers:
        print(json.dumps(simulate_on_workers(options.workers)))


if __name__ == "__main__":
    main()
