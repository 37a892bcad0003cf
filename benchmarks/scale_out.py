"""Two Dask workers and two pool workers beside this process: many tiny single-threaded arms, same scores, ratios.

python -m benchmarks.scale_out [--seeds 12]
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.faults import arms, results_of
from benchmarks.machine import describe_machine, write_json
from retina_kit.data.dataset import fingerprint
from retina_kit.files import kit_root
from retina_kit.runs.plan import plan_jobs, run_jobs
from retina_kit.runs.store import RunStore


def timed(jobs, folder, **settings):
    """Train jobs into an empty store and return (seconds, {file: bytes})."""
    began = time.perf_counter()
    outcomes = run_jobs(jobs, RunStore(folder), data_root="none", device="cpu", **settings)
    errors = [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
    assert not errors, errors
    return time.perf_counter() - began, results_of(folder)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tiny = arms()
    fingerprints = {
        arm["name"]: fingerprint("synthetic_oct", masks=["fluid"], **arm["data"]["options"]) for arm in tiny
    }
    plan = lambda seeds: plan_jobs(tiny, seeds, lambda arm: fingerprints[arm["name"]], "float32")  # noqa: E731
    jobs, warm = plan(range(options.seeds)), plan([1000, 1001])
    import distributed

    from retina_kit.runs.dask_engine import Cluster

    with tempfile.TemporaryDirectory() as folder, distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as local, Cluster(local.scheduler_address) as cluster:  # fmt: skip
        folder = Path(folder)
        timed(warm, folder / "warm here")
        timed(warm, folder / "warm there", cluster=cluster)
        alone, expected = timed(jobs, folder / "here")
        spread, found = timed(jobs, folder / "there", cluster=cluster)
        pooled, pool_found = timed(jobs, folder / "pool", workers=2)
    found = {
        "replicates": len(jobs),
        "in_process_s": round(alone, 1),
        "dask_two_workers_s": round(spread, 1),
        "dask_ratio": round(alone / spread, 2),
        "pool_of_two_s_with_start": round(pooled, 1),
        "pool_ratio": round(alone / pooled, 2),
        "dask_equal": found == expected,
        "pool_equal": pool_found == expected,
    }
    print(found)
    write_json(
        kit_root() / "benchmarks/results/scale_out.json", {"machine": describe_machine(torch.device("cpu"))} | found
    )


if __name__ == "__main__":
    main()
