"""Trains jobs on the workers of a Dask cluster, all of them writing to one shared run store.

The queue in this process decides which runs are ready; Dask chooses the worker, notices one that dies and tries its
run again. Dask moves tasks as pickles: trust a scheduler's address like a shell on its machines
(see docs/cluster.md).
"""

import contextlib
import logging
import math
import queue
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import distributed

from retina_kit.errors import SetupError
from retina_kit.runs.dask_worker import examine_worker
from retina_kit.runs.deciding_code import code_version
from retina_kit.runs.running_jobs import PATIENCE, RunningJobs
from retina_kit.runs.scheduling import JobQueue, Progress
from retina_kit.runs.store import RunStore

# Dask logs each connection that closes, with a traceback; the batch itself reports what matters.
logging.getLogger("distributed").setLevel(logging.CRITICAL)

LOST_AFTER = 5.0  # seconds without a scheduler
LOOK_EVERY = 1.0  # seconds between two counts of the workers
PAUSE = 0.5  # seconds between two reports of a run: each goes through the scheduler


class Cluster:
    """A connection to a Dask scheduler, by its address or by a started cluster; a context manager."""

    def __init__(
        self,
        scheduler: Any,
        *,
        say: Callable[[str], object] | None = None,
        patience: float = PATIENCE,
        pause: float = PAUSE,
    ) -> None:
        """Connect and wait for the first worker; SetupError if there is no scheduler or no worker."""
        self.say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        self.name = scheduler if isinstance(scheduler, str) else scheduler.scheduler_address
        self.patience, self.pause = patience, pause
        self.looked, self.num_workers = -math.inf, 1
        self.last_alive = self.workers_seen = time.monotonic()
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.topic = f"retina-kit-{uuid.uuid4().hex[:12]}"
        try:
            self.client = distributed.Client(scheduler, timeout=min(10, patience), set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).split("\n")[0]
            raise SetupError(f"no Dask scheduler answers at {self.name}: {reason}") from error
        try:
            self._wait_for_first_worker()
            self.client.subscribe_topic(self.topic, lambda event: self.events.put(("told", event[1])))
        except BaseException:
            self.client.close()
            raise

    def __enter__(self) -> "Cluster":
        """Give the connection."""
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect; the cluster stays for others."""
        with contextlib.suppress(Exception):  # disconnecting from a scheduler that is gone fails in many ways
            self.client.close(timeout=2)

    def _wait_for_first_worker(self) -> None:
        try:
            self.client.wait_for_workers(1, timeout=self.patience)
        except TimeoutError as error:
            remedy = f"start one with: dask worker {self.name} --nthreads 1"
            raise SetupError(f"the scheduler at {self.name} has no worker; {remedy}") from error

    def check(self, store: RunStore) -> dict[str, dict[str, Any]]:
        """Ask every worker about itself; SetupError if one lacks the run store or has another version of the kit.

        A lock that a worker does not see is only reported: one batch alone is safe without, but two at once are not.
        """
        name = f"probe-{uuid.uuid4().hex[:12]}"
        probe = store.folder / ".locks" / f"{name}.txt"
        with store.lock(name):
            probe.write_text(name)
            try:
                answers = self.client.run(examine_worker, str(store.folder), name)
            except ModuleNotFoundError as error:
                text = f"a worker of {self.name} lacks a package: {error}; install the kit there"
                raise SetupError(text) from error
            finally:
                probe.unlink()
        (store.folder / ".locks" / name).unlink(missing_ok=True)  # Windows removes it on release
        self.say(f"cluster {self.name}, dashboard {self.client.dashboard_link}")
        for address, answer in answers.items():
            worker = f"worker {address} on {answer['host']}"
            if answer["problem"]:
                raise SetupError(
                    f"{worker} cannot use the run store {store.folder} ({answer['problem']}); put --output-root in a "
                    "folder that all machines share under the same path"
                )
            if answer["code"] != code_version():
                raise SetupError(f"{worker} has another version of the kit; install the same one there")
            if not answer["locked"]:
                self.say(f"{worker} does not see locks in {store.folder}; run one batch at a time on it")
            if answer["num_threads"] > 1:
                self.say(f"{worker} has {answer['num_threads']} threads, but trains one run at a time; --nthreads 1")
        return answers

    def resources_of(self, answers: dict[str, dict[str, Any]], device: str) -> dict[str, int] | None:
        """Decide what a run needs of a worker: one GPU if workers declare them, else nothing."""
        with_gpu = [answer for answer in answers.values() if answer["resources"].get("GPU")]
        if with_gpu and device != "cpu":
            return {"GPU": 1}
        if device.startswith("cuda"):
            remedy = f"start workers with: dask worker {self.name} --nthreads 1 --resources GPU=1"
            raise SetupError(f"no worker of {self.name} declares a GPU; {remedy}")
        return None

    def run(
        self,
        jobs: JobQueue,
        store: RunStore,
        settings: dict[str, Any],
        progress: Progress | None,
        tend: Callable[[int], object] | None = None,
    ) -> None:
        """Train the jobs of a queue on the workers, fill its outcomes, and pass every step to `progress`.

        `tend(num_left)` is called all the time and looks after workers of this machine; others are checked first.
        """
        store = RunStore(store.folder.resolve())
        resources = None if tend else self.resources_of(self.check(store), settings["device"])
        self.last_alive = time.monotonic()
        running = RunningJobs(self, jobs, store, settings, resources, progress)
        try:
            while jobs.num_left:
                if tend:
                    tend(jobs.num_left)
                running.submit_or_stop()
                kind, content = self._next_event()
                if kind == "told":
                    running.show(content)
                elif kind == "done":
                    running.finish(content)
        finally:
            running.close()

    def _next_event(self) -> tuple[str, Any]:
        """Wait a moment for an event; ("", None) without one. SetupError if the scheduler is gone."""
        self._look_for_workers()
        try:
            return self.events.get(timeout=0.1)
        except queue.Empty:
            if self.client.status == "running":
                self.last_alive = time.monotonic()
            elif time.monotonic() - self.last_alive > LOST_AFTER:
                raise self.scheduler_is_gone() from None
            return "", None

    def _look_for_workers(self) -> None:
        """Count the workers; report, once, that there has been none for a while. Some may be in a queue, so wait."""
        now = time.monotonic()
        if now - self.looked < LOOK_EVERY or self.client.status != "running":
            return
        self.looked = now
        with contextlib.suppress(OSError, TimeoutError):  # the scheduler has just been lost; _next_event notices
            self.num_workers = len(self.client.nthreads())
        if self.num_workers:
            self.workers_seen = now
        elif now - self.workers_seen > self.patience:
            self.workers_seen = math.inf  # reported; the next worker that is seen resets it
            remedy = f"start some (dask worker {self.name} --nthreads 1), or press Ctrl-C: nothing is lost"
            self.say(f"{self.name} has had no worker for {self.patience:.0f} s; waiting for one: {remedy}")

    def scheduler_is_gone(self) -> SetupError:
        """Make the error of a batch that lost its scheduler."""
        return SetupError(
            f"the scheduler at {self.name} is gone; finished runs are in the run store and the others have their "
            "checkpoints: start a scheduler and run again"
        )
