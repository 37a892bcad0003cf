"""Kills a small batch again and again, at random, and compares what comes out with an unbroken one, byte by byte.

    python -m benchmarks.faults --kills 200

Batches are forked from this process, which has torch loaded, and killed with SIGKILL after a random time; so are
local workers, front ends of local workers, one of two batches on one store, workers of a Dask cluster with nannies, and
whole jobs of a Slurm on this machine (root, slurm-wlm and munge; skipped with the reason where it cannot run).
The table shows the fault, how often, finished runs lost (must be 0), steps repeated, and the time from the start of
the next batch (from the kill, for workers) to its first step. That time does not include the start of Python and torch
for batches.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
import traceback
from pathlib import Path

import dask
import distributed
import psutil
import torch

from benchmarks.small_slurm import NoSlurmError, running_slurm
from retina_kit.data.dataset import fingerprint
from retina_kit.runs.checkpoint import Checkpoint
from retina_kit.runs.dask_engine import Cluster
from retina_kit.runs.plan import plan_jobs, run_jobs
from retina_kit.runs.store import RunStore
from retina_kit.runs.workers import LocalWorkers
from retina_kit.schema import parse
from retina_kit.training.arm import Arm

OPTIONS = {"num_patients": 4, "scans_per_patient": 2, "size": [32, 48], "seed": 1}
STEPS, SECONDS_BETWEEN_CHECKPOINTS = 60, 0.1
STILL_IN_THE_PIPE = 0.3  # seconds for which steps from before a kill may still arrive; a new worker takes longer
NUM_BATCHES_SIDE_BY_SIDE = 2
STARTS = {
    "parent": {},
    "child": {"start": {"parent": "parent", "parts": ["encoder"]}},
    "frozen child": {"start": {"parent": "parent", "parts": ["encoder"]}, "freeze": ["encoder"]},
    "grandchild": {"start": {"parent": "child", "parts": ["encoder"]}},
    "alone": {},
    "validated": {"evaluation": {"variants": ["last", "best"]}},
}


def arms():
    """Return six small arms: a parent, two children, a grandchild and two alone; one with a best variant."""
    recipe = {"steps": STEPS, "batch_size": 2, "augmentation": {"crop": 16, "ratio": [0.8, 1.2], "flip": 0.5}}
    small = {
        "role": "control",
        "data": {"dataset": "synthetic_oct", "mask": "fluid", "options": OPTIONS},
        "split": {"kind": "patients", "test_fraction": 0.25, "seed": 0},
        "model": {"name": "unet", "widths": [4, 4, 4, 4, 4], "norm": "batch"},
    }
    made = []
    for rate, (name, changes) in enumerate(STARTS.items(), start=1):
        own = recipe | {"learning_rate": rate * 1e-3, "validate_every": 10 if name == "validated" else 0}
        made.append(parse(Arm, {**small, "name": name, "recipe": own, **changes}, name))
    return made


def jobs():
    """Return the runs of the batch: six arms, two seeds."""
    return plan_jobs(arms(), [0, 1], lambda arm: fingerprint("synthetic_oct", masks=["fluid"], **OPTIONS), "float32")


class Diary:
    """A progress display that writes when each step was done."""

    stop_requested = False

    def __init__(self, path):
        self.file = path.open("w", buffering=1)

    def start(self, job):
        """Note nothing."""

    def step(self, key, step, num_steps, loss, scores):
        """Note a step."""
        self.file.write(f"{time.monotonic()} {key} {step}\n")
        return False

    def done(self, job, outcome):
        """Note an error."""
        if isinstance(outcome, Exception):
            self.file.write(f"{time.monotonic()} failed {outcome}\n")


def read_diary(path):
    """Return [(time, key, step)] of a diary, and the last step of each key."""
    lines = [line.split(" ", 2) for line in path.read_text().splitlines()] if path.exists() else []
    rows = [(float(at), key, int(step)) for at, key, step in lines if key != "failed"]
    return rows, {key: step for _, key, step in rows}


def results_of(folder):
    """Return {hash/file: bytes} of all that a batch has trained, except what was measured on the way."""
    paths = [path for path in folder.glob("[!.]*/*") if path.suffix in (".csv", ".safetensors")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def start_batch(folder, diary, workers=1):
    """Fork a process that runs the batch; it has the torch of this process."""
    pid = os.fork()
    if pid:
        return pid
    try:
        with local_workers(workers) as cluster:
            outcomes = run_jobs(jobs(), RunStore(folder), data_root="none", device="cpu", cluster=cluster,
                                progress=Diary(diary))  # fmt: skip
        os._exit(int(any(isinstance(outcome, Exception) for outcome in outcomes.values())))
    except BaseException:  # a fork must never continue as a second campaign
        traceback.print_exc()
        os._exit(2)


@contextlib.contextmanager
def local_workers(number):
    """Give local workers that save often and report every step; None for one."""
    if number == 1:
        yield None
        return
    with LocalWorkers(number) as workers:
        workers._start(number)
        workers.cluster.client.register_plugin(SaveOften())
        workers.cluster.pause = 0.0
        yield workers


class SaveOften(distributed.WorkerPlugin):
    """Lets every worker, also one that starts later, save often."""

    def setup(self, worker):
        """Set up a worker."""
        Checkpoint.__init__.__kwdefaults__["every_seconds"] = SECONDS_BETWEEN_CHECKPOINTS


def ended(pid):
    """Return a process's exit code, None while it runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def kill_process(pid):
    """Kill one process."""
    os.kill(pid, signal.SIGKILL)


def running_jobs():
    """Return the numbers of the Slurm jobs that run."""
    shown = subprocess.run(["squeue", "-h", "-t", "RUNNING", "-o", "%i"], capture_output=True, text=True, check=True)
    return shown.stdout.split()


def kill_job(job_id):
    """Kill all processes of a Slurm job, its shell included."""
    subprocess.run(["scancel", "--full", "--signal=KILL", str(job_id)], check=True)


class Campaign:
    """Counts, for each kind of fault, what happened."""

    def __init__(self, folder, unbroken, random_generator):
        self.folder, self.unbroken, self.random = folder, unbroken, random_generator
        self.rows = collections.defaultdict(lambda: collections.defaultdict(list))
        self.batches_compared = 0

    def note(self, fault, *, lost, again, recovery):
        """Note one kill."""
        for name, value in (("lost", lost), ("again", again), ("recovery", recovery)):
            self.rows[fault][name].append(value)

    def compare(self, store):
        """Compare a finished batch with the unbroken one, and make room for the next."""
        assert results_of(store) == self.unbroken, "the scores, histories or weights differ from the unbroken batch"
        left = [path for path in store.glob(".unfinished/*/*") if path.parent.name not in finished_keys(store)]
        assert not left, f"checkpoints of runs that are not finished: {left}"
        self.batches_compared += 1
        shutil.rmtree(store)

    def kill_batches(self, number, side_by_side=1, workers=1):
        """Kill one of `side_by_side` batches on one store, `number` times, each at a random moment."""
        fault = "SIGKILL of the batch" if side_by_side == 1 else "SIGKILL of one of two batches on one store"
        fault = fault if workers == 1 else "SIGKILL of the front end of two workers"
        store, killed, before, before_finished = self.folder / f"killed-{side_by_side}-{workers}", 0, None, set()
        while killed < number or store.exists():
            diaries = [self.folder / f"diary-{time.monotonic_ns()}-{k}" for k in range(side_by_side)]
            began, finished = time.monotonic(), finished_keys(store)
            pids = [start_batch(store, diary, workers) for diary in diaries]
            delay = self.random.uniform(0.05, 2.5) if killed < number else float("inf")
            kill_at = began + delay if workers == 1 else float("inf")
            codes, victim = {}, None
            while len(codes) < len(pids):
                codes |= {pid: code for pid in pids if pid not in codes and (code := ended(pid)) is not None}
                if kill_at == float("inf") and read_diary(diaries[0])[0]:  # the workers have started
                    kill_at = time.monotonic() + delay
                if victim is None and time.monotonic() > kill_at and pids[0] not in codes:
                    os.kill(victim := pids[0], signal.SIGKILL)
                    killed_at, finished_then = time.monotonic(), finished_keys(store)
                time.sleep(0.003)
            rows, last = read_diary(diaries[0])
            if before is not None:
                again = sum(
                    max(0, before[key] - first + 1) for key, first in first_steps(rows).items() if key in before
                )
                self.note(fault, lost=len(before_finished - finished), again=again,
                          recovery=rows[0][0] - began if rows else None)  # fmt: skip
                before = None
            if victim is not None and side_by_side > 1:
                self._note_takeover(
                    fault, last, read_diary(diaries[1])[0], killed_at, finished_then - finished_keys(store)
                )
            if victim is not None:
                killed += 1
                before, before_finished = last, finished_keys(store)
            elif any(codes.values()):
                raise AssertionError(f"a batch that was not killed ended with {codes}: {diaries[0].read_text()[-300:]}")
            if (victim is None or side_by_side > 1) and all(job.key in finished_keys(store) for job in jobs()):
                self.compare(store)
                before = None

    def _note_takeover(self, fault, last, rows, killed_at, lost):
        """Note how the other batch resumed what the killed one was training."""
        half_done = {key: step for key, step in last.items() if step < STEPS}
        taken = {}
        for at, key, step in rows:
            if at > killed_at and key in half_done:
                taken.setdefault(key, (at - killed_at, half_done[key] - step + 1))
        again = sum(max(0, steps) for _, steps in taken.values())
        recovery = min((seconds for seconds, _ in taken.values()), default=None)
        self.note(fault, lost=len(lost), again=again, recovery=recovery)

    def kill_workers(self, number):
        """Kill a random one of two local workers, `number` times; the batch continues by itself."""
        with local_workers(2) as workers:
            self._kill_workers_of("SIGKILL of one of two workers", number, workers, worker_pids)

    def kill_dask_workers(self, number):
        """Kill a random worker of a Dask cluster of two, `number` times; its nanny starts another."""
        again = lambda text: local.scale(2)  # noqa: E731  a nanny whose worker dies while it starts gives up
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local, \
                Cluster(local.scheduler_address, say=again, pause=0.0, patience=20) as cluster:  # fmt: skip
            cluster.client.register_plugin(SaveOften())
            workers = lambda: list(cluster.client.run(os.getpid).values())  # noqa: E731
            self._kill_workers_of("SIGKILL of a Dask worker with a nanny", number, cluster, workers)

    def kill_slurm_jobs(self, number):
        """Kill a random one of two Slurm jobs, `number` times, as a failing node does; a new job is asked for."""
        from dask_jobqueue import SLURMCluster

        folder = self.folder / "slurm"
        folder.mkdir()
        with running_slurm(folder) as conf:
            os.environ["SLURM_CONF"] = str(conf)
            dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"})
            one_thread = ["export OMP_NUM_THREADS=1", "export MKL_NUM_THREADS=1"]
            settings = {"queue": "small", "cores": 1, "processes": 1, "memory": "1500MB", "walltime": "00:50:00"}
            with SLURMCluster(**settings, job_cpu=1, interface="lo", log_directory=str(folder),
                              job_script_prologue=one_thread) as jobs:  # fmt: skip
                jobs.scale(jobs=2)
                again = lambda text: jobs.scale(jobs=2)  # noqa: E731  a job that is gone is asked for again
                with Cluster(jobs.scheduler_address, say=again, pause=0.0, patience=120) as cluster:
                    cluster.client.register_plugin(SaveOften())
                    self._kill_workers_of("SIGKILL of a Slurm job", number, cluster, running_jobs, kill_worker=kill_job)

    def _kill_workers_of(self, fault, number, cluster, workers, kill_worker=kill_process):
        killed = 0
        while killed < number:
            path = self.folder / f"diary-{time.monotonic_ns()}"
            diary = KillingDiary(path, self.random, workers, kill_worker, number - killed)
            store = RunStore(self.folder / "killed-workers")
            outcomes = run_jobs(jobs(), store, data_root="none", device="cpu", progress=diary, cluster=cluster)
            errors = [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
            assert not errors, errors
            killed += len(diary.kills)
            for kill in diary.kills:
                self.note(fault, lost=0, again=kill["again"], recovery=kill["recovery"])
            self.compare(store.folder)

    def table(self):
        """Return the lines of the table."""
        lines = ["fault | how often | finished runs lost | steps repeated (median, most) | recovery s (median, most)"]
        for fault, row in self.rows.items():
            recovery = [seconds for seconds in row["recovery"] if seconds is not None] or [float("nan")]
            lines.append(
                f"{fault} | {len(row['lost'])} | {sum(row['lost'])} | {statistics.median(row['again']):.0f}, "
                f"{max(row['again'])} | {statistics.median(recovery):.2f}, {max(recovery):.2f}"
            )
        return lines


def first_steps(rows):
    """Return the first step that was reported of each key."""
    first = {}
    for _, key, step in rows:
        first.setdefault(key, step)
    return first


def finished_keys(store):
    """Return the hashes that lie finished in a store."""
    return {path.parent.name for path in store.glob("[!.]*/settings.json")}


def worker_pids():
    """Return the pids of the local workers of this process."""
    return [child.pid for child in psutil.Process().children() if "distributed.cli.dask_worker" in child.cmdline()]


class KillingDiary(Diary):
    """A progress display that kills a random worker at random steps, a few times per batch."""

    def __init__(self, path, random_generator, workers, kill_worker, most):
        super().__init__(path)
        self.random, self.workers, self.kill_worker = random_generator, workers, kill_worker
        self.most = min(most, 2)  # three deaths give up
        self.kills, self.last, self.waiting = [], {}, {}

    def step(self, key, step, num_steps, loss, scores):
        """Note a step; now and then kill a worker."""
        now = time.monotonic()
        in_the_pipe = [kill for kill in self.waiting.get(key, []) if now - kill["at"] < STILL_IN_THE_PIPE]
        for kill in self.waiting.pop(key, []) if not in_the_pipe else []:
            kill |= {"again": kill["again"] + max(0, self.last[key] - step + 1)}
            kill["recovery"] = kill["recovery"] or now - kill["at"]
        self.last[key] = step
        alone = not any(self.waiting.values())
        due = alone and len(self.kills) < self.most and step < num_steps and self.random.random() < 0.03
        if due and (workers := self.workers()):
            kill = {"at": time.monotonic(), "again": 0, "recovery": None}
            self.kill_worker(self.random.choice(workers))
            self.kills.append(kill)
            self.waiting = {running: [kill] for running, last in self.last.items() if last < STEPS}
        return False


def main():
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of batches; others come on top")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", choices=("batches", "pairs", "front ends", "workers", "dask", "slurm"), action="append"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    Checkpoint.__init__.__kwdefaults__["every_seconds"] = SECONDS_BETWEEN_CHECKPOINTS
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        folder = Path(folder)
        began = time.monotonic()
        run_jobs(jobs(), RunStore(folder / "unbroken"), data_root="none", device="cpu", progress=Diary(folder / "d"))
        print(f"the unbroken batch: {len(jobs())} runs in {time.monotonic() - began:.1f} s", flush=True)
        campaign = Campaign(folder, results_of(folder / "unbroken"), random.Random(options.seed))
        few = max(1, options.kills // 10)
        parts = {
            "batches": lambda: campaign.kill_batches(options.kills),
            "pairs": lambda: campaign.kill_batches(few, side_by_side=NUM_BATCHES_SIDE_BY_SIDE),
            "front ends": lambda: campaign.kill_batches(few, workers=2),
            "workers": lambda: campaign.kill_workers(few),
            "dask": lambda: campaign.kill_dask_workers(few),
            "slurm": lambda: campaign.kill_slurm_jobs(few),
        }
        try:
            for part in options.only or parts:
                began_part = time.monotonic()
                try:
                    parts[part]()
                except NoSlurmError as error:
                    print(f"{part}: skipped, {error}", flush=True)
                    continue
                print(f"{part}: {time.monotonic() - began_part:.0f} s", flush=True)
        finally:  # what was measured before a part that failed
            print("\n".join(campaign.table()))
        print(json.dumps({"batches_equal_to_the_unbroken_one": campaign.batches_compared,
                          "seconds": round(time.monotonic() - began)}))  # fmt: skip


if __name__ == "__main__":
    main()
