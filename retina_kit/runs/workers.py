"""Worker processes on this machine: how many are sensible, and a Dask cluster of them."""

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from retina_kit.errors import SetupError
from retina_kit.machine import total_memory, usable_cores
from retina_kit.runs.in_process import run_here
from retina_kit.runs.scheduling import JobQueue, Progress
from retina_kit.runs.store import RunStore

MOST_WORKERS, BYTES_PER_WORKER = 16, 3 * 2**30
GPU_BYTES_PER_WORKER = 20 * 2**30  # the largest arms of profile `paper` take 15 GiB
MOST_DEATHS = 3  # a run whose worker died this often is given up
PAUSE = 0.05  # seconds between two reports of a run
KIT = Path(__file__).resolve().parents[2]  # the folder from which workers import the kit


def sensible_workers(device: torch.device) -> int:
    """Choose how many processes train best side by side: one per core on a CPU, several on a large CUDA device.

    Small networks leave most of a core's time to waiting when several cores share one of them, and most of a GPU's to
    the launching of kernels: on an H200 six processes finished 20 runs of huang2023's lesson in 40 s, one finished 7.
    As many are chosen as memory allows. Other accelerators get one, because nobody has measured more.

    >>> sensible_workers(torch.device("mps"))
    1
    """
    most = min(usable_cores(), MOST_WORKERS, int(total_memory() // BYTES_PER_WORKER))
    if device.type == "cuda":
        most = min(most, torch.cuda.get_device_properties(device).total_memory // GPU_BYTES_PER_WORKER)
    elif device.type != "cpu":
        most = 1
    return max(1, most)


class LocalWorkers:
    """Dask workers on this machine, started when the first runs need them; a context manager.

    Each is a process of one task thread and its share of the cores. One that dies is replaced, and its run resumes
    from its checkpoint; after MOST_DEATHS deaths the run is given up. Workers lose their scheduler when this process
    ends, however it ends: then they save what they train and end as well.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.threads = max(1, torch.get_num_threads() // number)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.num_replaced, self.num_left = 0, -1
        self.local: Any = None  # the scheduler, a distributed.LocalCluster
        self.cluster: Any = None  # the connection to it, a dask_engine.Cluster

    def __enter__(self) -> "LocalWorkers":
        """Give the workers; none is started yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the workers at once; whatever they finished or saved is in the run store."""
        if self.local is None:
            return
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        if self.cluster:
            self.cluster.__exit__()
        self.local.close()
        self.folder.cleanup()

    def run(self, jobs: JobQueue, store: RunStore, settings: dict[str, Any], progress: Progress | None) -> None:
        """Train the jobs of a queue, side by side if there are several; see `Cluster.run`."""
        if jobs.num_left == 1:
            run_here(jobs, store, settings, progress)
            return
        self._start(min(self.number, jobs.num_left))
        self.cluster.run(jobs, store, settings, progress, tend=self._replace_dead)

    def _start(self, number: int) -> None:
        """Start a scheduler, unless there is one, and as many workers as are missing."""
        import dask
        import distributed

        from retina_kit.runs.dask_engine import Cluster

        if self.local is None:
            self.folder = tempfile.TemporaryDirectory(prefix="retina-kit-", ignore_cleanup_errors=True)
            self.log = Path(self.folder.name) / "workers.log"
            with dask.config.set({"distributed.scheduler.allowed-failures": MOST_DEATHS - 1}):
                self.local = distributed.LocalCluster(
                    n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
                )
        self.processes += [self._start_worker() for _ in range(number - len(self.processes))]
        while not self.local.scheduler.workers:
            self._replace_dead(-1)
            time.sleep(0.02)
        self.cluster = self.cluster or Cluster(self.local, pause=PAUSE)

    def _start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker process in a group of its own, because Ctrl-C is for this process only."""
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.local.scheduler_address]
        command += ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--host", "127.0.0.1"]
        command += ["--local-directory", self.folder.name, "--death-timeout", "30"]
        command += ["--preload", "retina_kit.runs.dask_worker"]
        group: dict[str, Any] = {"process_group": 0}
        if sys.platform == "win32":
            group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                env=worker_environment(self.threads),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **group,
            )

    def _replace_dead(self, num_left: int) -> None:
        """Start a new worker for each that has died; SetupError if they die without ever finishing a run."""
        if num_left != self.num_left:
            self.num_left, self.num_replaced = num_left, 0
        for index, process in enumerate(self.processes):
            if process.poll() is not None:
                self.num_replaced += 1
                if self.num_replaced > MOST_DEATHS * len(self.processes):
                    lines = self.log.read_text(errors="replace").strip().splitlines() or ["no message"]
                    raise SetupError(f"worker processes die repeatedly ({lines[-1]}); try --workers 1")
                self.processes[index] = self._start_worker()


def worker_environment(num_threads: int) -> dict[str, str]:
    """Make the environment of a worker, which imports the kit wherever this process found it."""
    environment = os.environ | {name: str(num_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"  # it would interrupt every run all the time
    if sysconfig.get_path("purelib") != str(KIT):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(KIT), os.environ.get("PYTHONPATH")]))
    return environment
