"""Plans, hashes and books very many replicates without training one: milliseconds and bytes a replicate.

    python -m benchmarks.many_replicates --replicates 100000 [--dask 5000]

Half of the arms start from another; the store is empty, so each replicate is looked for, locked and noted. With
--dask that many go through a Dask scheduler and two workers on this machine as well.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks.faults import arms
from retina_kit.machine import peak_memory_mb
from retina_kit.runs import plan as sweep
from retina_kit.runs.store import RunStore


def many_arms(number):
    """Return arms, every second one the child of the one before."""
    small = arms()[0]
    made = []
    for k in range(number):
        start = {"from": f"arm {k - 1}", "parts": ["encoder"]} if k % 2 else {}
        recipe = small["recipe"] | {"learning_rate": (k + 1) * 1e-6}
        made.append(small | {"name": f"arm {k}", "label": f"arm {k}", "start": start, "recipe": recipe})
    return made


def simulate(num_replicates, num_arms=100):
    """Return milliseconds a replicate for the plan and for the run, and the memory before and after each."""
    seeds, before, began = range(num_replicates // num_arms), peak_memory_mb(), time.perf_counter()
    jobs = sweep.plan_jobs(many_arms(num_arms), seeds, lambda arm: "0" * 16)
    planned, after_plan = time.perf_counter(), peak_memory_mb()
    booked = []
    real, sweep.attempt = sweep.attempt, lambda job, *rest: booked.append(None) or "finished"
    try:
        with tempfile.TemporaryDirectory() as folder:
            outcomes = sweep.run_jobs(jobs, RunStore(folder), data_root="none", device="cpu")
    finally:
        sweep.attempt = real
    assert len(booked) == len(outcomes) == len(jobs)
    each = 1000 / len(jobs)
    return {
        "replicates": len(jobs),
        "plan_and_hash_ms": round((planned - began) * each, 4),
        "find_lock_book_ms": round((time.perf_counter() - planned) * each, 4),
        "memory_mb": [round(before), round(after_plan), round(peak_memory_mb())],
        "bytes_a_replicate": round((peak_memory_mb() - before) * 2**20 / len(jobs)),
    }


def nothing(job, *rest):
    """Stand for a replicate in a Dask worker: do nothing."""


def simulate_on_dask(num_replicates, num_arms=100):
    """Return milliseconds a replicate from submission to the last outcome, over a scheduler and two workers."""
    import distributed

    from retina_kit.runs import dask_engine as module

    jobs = sweep.plan_jobs(many_arms(num_arms), range(num_replicates // num_arms), lambda arm: "0" * 16)
    real = module.run_on_worker, module.wait_for_run
    module.run_on_worker, module.wait_for_run = nothing, lambda store, job: "finished"
    try:
        with tempfile.TemporaryDirectory() as folder, distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as local, module.Cluster(local.scheduler_address, say=print) as cluster:  # fmt: skip
            began = time.perf_counter()
            sweep.run_jobs(jobs, RunStore(Path(folder)), data_root="none", device="cpu", cluster=cluster)
            return {"replicates": len(jobs), "dask_ms": round(1000 * (time.perf_counter() - began) / len(jobs), 4)}
    finally:
        module.run_on_worker, module.wait_for_run = real


def main():
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=100_000)
    parser.add_argument("--dask", type=int, default=0)
    options = parser.parse_args()
    print(json.dumps(simulate(options.replicates)))
    if options.dask:
        print(json.dumps(simulate_on_dask(options.dask)))


if __name__ == "__main__":
    main()
