"""The jobs that a batch has submitted to a Dask cluster: which have begun, and what came out."""

import math
import time
import uuid
from typing import TYPE_CHECKING, Any

import distributed

from retina_kit.errors import Interrupted, KitError, SetupError
from retina_kit.runs.dask_worker import run_on_worker
from retina_kit.runs.plan import Job
from retina_kit.runs.scheduling import JobQueue, Outcome, Progress, RunFailed, StopFile, asks_to_stop, stopped
from retina_kit.runs.store import RunStore

if TYPE_CHECKING:
    from retina_kit.runs.dask_engine import Cluster

RETRIES = 2  # of a run that fails for a reason of its machine
PATIENCE = 30.0  # seconds: for the first worker, for a lost scheduler, for a shared folder to show what was written


class RunningJobs:
    """The jobs of one call of `Cluster.run`: what is submitted, what has begun, what came out."""

    def __init__(
        self,
        cluster: "Cluster",
        jobs: JobQueue,
        store: RunStore,
        settings: dict[str, Any],
        resources: dict[str, int] | None,
        progress: Progress | None,
    ) -> None:
        self.cluster, self.jobs, self.store, self.progress = cluster, jobs, store, progress
        self.settings, self.resources = settings, resources
        self.stop_file = StopFile.of(store)
        self.running: dict[str, tuple[Job, distributed.Future]] = {}
        self.begun: set[str] = set()
        self.rest_until = -math.inf  # after all ready jobs were found locked by other batches

    def submit_or_stop(self) -> None:
        """Give each free worker a job; if the user asks to stop, wait for those that run, then raise Interrupted."""
        if asks_to_stop(self.progress):
            if not self.stop_file():
                self.stop_file.create()
                waiting = [future for key, (_, future) in self.running.items() if key not in self.begun]
                self.cluster.client.cancel(waiting)
            if not self.running:
                raise stopped()
            return
        while len(self.running) < self.cluster.num_workers and time.monotonic() > self.rest_until:
            job = self.jobs.take_free(self.store)
            if job is None:
                self.rest_until = time.monotonic() + (0.2 if self.jobs.ready else 0)
                return
            self._submit(job)

    def _submit(self, job: Job) -> None:
        future = self.cluster.client.submit(
            run_on_worker, job, str(self.store.folder), self.settings, str(self.stop_file.path), self.cluster.topic,
            self.cluster.pause, key=f"run-{job.key}-{uuid.uuid4().hex[:12]}", retries=RETRIES,
            resources=self.resources, pure=False,
        )  # fmt: skip
        self.running[job.key] = job, future
        future.add_done_callback(lambda _: self.cluster.events.put(("done", job.key)))

    def show(self, told: list[Any]) -> None:
        """Show what a worker reported about a job."""
        kind, key, *content = told
        if kind == "line":
            say = getattr(self.progress, "say", self.cluster.say)
            say(f"{content[0]}: {content[1]}")
        elif key in self.running:  # not what arrives late, or from an earlier batch
            self._begin(key)
            if kind == "step" and self.progress:
                self.progress.step(key, *content)

    def _begin(self, key: str) -> None:
        if key not in self.begun and self.progress:
            self.progress.start(self.running[key][0])
        self.begun.add(key)

    def finish(self, key: str) -> None:
        """Note the outcome of a job whose task has ended; one whose worker goes away is submitted again."""
        if key not in self.running:
            return
        job, future = self.running[key]
        outcome = self._outcome_of(job, future)
        again = isinstance(outcome, Interrupted)
        if not again or (key in self.begun and self.stop_file()):
            self._begin(key)
            if self.progress:
                self.progress.done(job, outcome)
        del self.running[key]
        self.begun.discard(key)
        if again:
            self.jobs.ready.append(job)
        else:
            self.jobs.finish(job, outcome)

    def _outcome_of(self, job: Job, future: distributed.Future) -> Outcome:
        if future.status in ("cancelled", "lost"):
            if self.stop_file():
                return stopped()
            raise self.cluster.scheduler_is_gone()
        error = future.exception()
        if isinstance(error, distributed.KilledWorker):
            return KitError(f"{job.title}: its worker died repeatedly; run again, with fewer workers, to resume it")
        if error is not None:
            return error if isinstance(error, KitError) else RunFailed(f"{job.title}: {error}")
        return future.result() or wait_for_run(self.store, job)

    def close(self) -> None:
        """Leave a stop file for tasks that may still run; `retina-kit store clean` removes it."""
        if self.running:
            self.stop_file.create()
        else:
            self.stop_file.remove()


def wait_for_run(store: RunStore, job: Job, patience: float = PATIENCE) -> Outcome:
    """Find a run that a worker has written, as soon as this machine sees it."""
    end = time.monotonic() + patience
    while True:
        run = store.find(job.key)
        if run:
            return run
        if time.monotonic() > end:
            return SetupError(f"{job.title} was trained, but {store.folder / job.key} is not visible on this machine")
        time.sleep(0.2)
