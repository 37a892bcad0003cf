"""Two local workers compared with this process: many tiny single-threaded arms, the same scores, and the speed-up.

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
from retina_kit.runs.workers import LocalWorkers


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
    fingerprints = {arm.name: fingerprint("synthetic_oct", masks=["fluid"], **arm.data.options) for arm in tiny}
    plan = lambda seeds: plan_jobs(tiny, seeds, lambda arm: fingerprints[arm.name], "float32")  # noqa: E731
    jobs, warm = plan(range(options.seeds)), plan([1000, 1001])
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        timed(warm, folder / "warm here")
        alone, expected = timed(jobs, folder / "here")
        with LocalWorkers(2) as workers:
            timed(warm, folder / "warm there", cluster=workers)
            spread, spread_found = timed(jobs, folder / "there", cluster=workers)
        started, started_found = timed(jobs, folder / "started", workers=2)
    found = {
        "runs": len(jobs),
        "in_process_s": round(alone, 1),
        "two_workers_s": round(spread, 1),
        "ratio": round(alone / spread, 2),
        "two_workers_s_with_start": round(started, 1),
        "ratio_with_start": round(alone / started, 2),
        "equal": spread_found == expected == started_found,
    }
    print(found)
    write_json(
        kit_root() / "benchmarks/results/scale_out.json", {"machine": describe_machine(torch.device("cpu"))} | found
    )


if __name__ == "__main__":
    main()
