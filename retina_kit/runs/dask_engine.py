"""Trains on a Dask cluster: replicates as tasks, parents as their dependencies, all in one shared run store.

A worker runs one replicate at a time, since a process has one generator of random numbers; start workers with
`--nthreads 1`, several a GPU where the networks are small. Only this module imports distributed. Dask moves tasks as
pickles: a scheduler's address is to be trusted like a shell on its machines (see notebooks/docs/cluster.md).
"""

import contextlib
import math
import queue
import socket
import sys
import threading
import time
import uuid
from pathlib import Path

import distributed

from retina_kit.errors import Interrupted, KitError, SetupError
from retina_kit.runs.code_version import code_version
from retina_kit.runs.scheduling import (
    LinesTo,
    ReplicateFailed,
    StepReporter,
    StopSign,
    asks_to_stop,
    attempt,
    stopped,
)
from retina_kit.runs.store import RunStore, canonical_hash

RETRIES = 2  # of a replicate that fails for a reason of its machine
PATIENCE = 30.0  # seconds: for the first worker, for a lost scheduler, for a shared folder to show what was written
LOST_AFTER = 5.0  # seconds without a scheduler
PAUSE = 0.5  # seconds between two reports of a replicate: each goes through the scheduler

_one_at_a_time = threading.Lock()


class Cluster:
    """A connection to a Dask scheduler, by its address or by a started cluster; a context manager."""

    def __init__(self, scheduler, *, say=None, patience=PATIENCE):
        """Connect and wait for the first worker; SetupError where there is no scheduler or no worker."""
        self.say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        self.name = scheduler if isinstance(scheduler, str) else scheduler.scheduler_address
        self.patience, self.looked = patience, -math.inf
        self.last_alive = self.workers_seen = time.monotonic()
        self.events, self.topic = queue.Queue(), f"retina-kit-{uuid.uuid4().hex[:12]}"
        try:
            self.client = distributed.Client(scheduler, timeout=min(10, patience), set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).split("\n")[0]
            raise SetupError(f"no Dask scheduler answers at {self.name}: {reason}") from error
        try:
            self.client.wait_for_workers(1, timeout=patience)
        except TimeoutError as error:
            self.client.close()
            remedy = f"start one with: dask worker {self.name} --nthreads 1"
            raise SetupError(f"the scheduler at {self.name} has no worker; {remedy}") from error
        self.client.subscribe_topic(self.topic, lambda event: self.events.put(("told", event[1])))
        self.say(f"cluster {self.name}, dashboard {self.client.dashboard_link}")

    def __enter__(self):
        """Give the connection."""
        return self

    def __exit__(self, *error):
        """Leave the cluster; it goes on for others."""
        with contextlib.suppress(Exception):  # a scheduler that is gone cannot be left politely
            self.client.close(timeout=2)

    def check(self, store):
        """Raise SetupError where a worker does not share the run store or has another version of the kit.

        Returns what each worker said of itself. A lock that a worker does not see is no error: one batch alone is
        safe without, but two at once are not, which is said.
        """
        name = f"probe-{uuid.uuid4().hex[:12]}"
        with store.lock(name):
            (store.folder / ".locks" / name).write_text(name)
            try:
                answers = self.client.run(examine_worker, str(store.folder), name)
            except ModuleNotFoundError as error:
                text = f"a worker of {self.name} lacks a package: {error}; install the kit there"
                raise SetupError(text) from error
        (store.folder / ".locks" / name).unlink()
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
                self.say(
                    f"{worker} has {answer['num_threads']} threads, but trains one replicate at a time; --nthreads 1"
                )
        return answers

    def resources_of(self, answers, device):
        """Return what a replicate needs of a worker: one GPU where workers declare them, else nothing."""
        with_gpu = [answer for answer in answers.values() if answer["resources"].get("GPU")]
        if with_gpu and device != "cpu":
            return {"GPU": 1}
        if device.startswith("cuda"):
            remedy = f"start workers with: dask worker {self.name} --nthreads 1 --resources GPU=1"
            raise SetupError(f"no worker of {self.name} declares a GPU; {remedy}")
        return None

    def run(self, frontier, store, settings, progress):
        """Train the jobs of a frontier on the workers, fill its outcomes, and hand every step to `progress`."""
        store = RunStore(store.folder.resolve())
        if not frontier.num_left:
            return
        resources = self.resources_of(self.check(store), settings["device"])
        sign, jobs, started = StopSign.of(store), {job.key: job for job in frontier.jobs}, set()
        self.last_alive = time.monotonic()
        futures, finished = self._submit(frontier.jobs, store, settings, sign, resources), False
        try:
            while frontier.num_left:
                if asks_to_stop(progress) and not sign():
                    sign.put_up()
                    self.client.cancel([future for key, future in futures.items() if key not in started])
                kind, content = self._next_event()
                if kind == "told":
                    self._show(content, jobs, started, progress)
                elif kind == "done" and content not in frontier.outcomes:
                    outcome = self._outcome_of(futures[content], jobs[content], store, sign)
                    if progress and content in started:
                        progress.done(jobs[content], outcome)
                    frontier.finish(jobs[content], outcome)
            finished = not sign()
        finally:
            if not finished:
                sign.put_up()  # it stays: workers that still run have to see it; `store clean` removes it
        if any(isinstance(outcome, Interrupted) for outcome in frontier.outcomes.values()):
            raise stopped()

    def _submit(self, jobs, store, settings, sign, resources):
        """Return {key: future} of all jobs, each with its parent's future as its dependency."""
        futures = {}
        batch = sign.path.name  # so that Dask never takes a task of an earlier batch for one of this
        for job in jobs:
            futures[job.key] = self.client.submit(
                run_on_worker, job, str(store.folder), settings, str(sign.path), self.topic, futures.get(job.parent),
                key=f"replicate-{job.key}-{batch}", retries=RETRIES, resources=resources, pure=False,
            )  # fmt: skip
        for key, future in futures.items():
            future.add_done_callback(lambda _, key=key: self.events.put(("done", key)))
        return futures

    def _next_event(self):
        """Return the next (kind, content), (None, None) after a moment without; raise where the scheduler is gone."""
        try:
            return self.events.get(timeout=0.2)
        except queue.Empty:
            if self.client.status == "running":
                self.last_alive = time.monotonic()
                self._look_for_workers()
            elif time.monotonic() - self.last_alive > LOST_AFTER:
                raise self._scheduler_is_gone() from None
            return None, None

    def _look_for_workers(self):
        """Say, once, that no worker has been there for a while; the batch waits, for some may be in a queue."""
        now = time.monotonic()
        if now - self.looked < LOST_AFTER:
            return
        self.looked = now
        if self.client.scheduler_info()["workers"]:
            self.workers_seen = now
        elif now - self.workers_seen > self.patience:
            self.workers_seen = math.inf  # said; the next worker that is seen sets it back
            remedy = f"start some (dask worker {self.name} --nthreads 1), or press Ctrl-C: what was begun is saved"
            self.say(f"{self.name} has had no worker for {self.patience:.0f} s; waiting for one: {remedy}")

    def _scheduler_is_gone(self):
        return SetupError(
            f"the scheduler at {self.name} is gone; what is finished is in the run store, what was begun has its "
            "checkpoint: start a scheduler and run again"
        )

    def _outcome_of(self, future, job, store, sign):
        """Return the run of a finished task, or the error that it ended with."""
        if future.status in ("cancelled", "lost"):
            if sign():
                return stopped()
            raise self._scheduler_is_gone()
        error = future.exception()
        if isinstance(error, distributed.KilledWorker):
            return KitError(f"{job.title}: its worker died again and again; run again to go on from its checkpoint")
        if error is not None:
            return error if isinstance(error, KitError) else ReplicateFailed(f"{job.title}: {error}")
        return future.result() or wait_for_run(store, job)

    def _show(self, told, jobs, started, progress):
        """Show what a worker told of a job."""
        kind, key, *rest = told
        if kind == "line":
            (progress.say if hasattr(progress, "say") else self.say)(f"{rest[0]}: {rest[1]}")
        elif progress and kind == "start" and key not in started:
            progress.start(jobs[key])
        elif progress and kind == "step" and key in started:
            progress.step(key, *rest)
        if kind == "start":
            started.add(key)


def wait_for_run(store, job, patience=PATIENCE):
    """Return a run that a worker says it has written, as soon as this machine sees it."""
    end = time.monotonic() + patience
    while True:
        run = store.find(job.key)
        if run:
            return run
        if time.monotonic() > end:
            return SetupError(f"{job.title} was trained, but {store.folder / job.key} is not seen here")
        time.sleep(0.2)


def examine_worker(folder, name, dask_worker=None):
    """Say what a worker is: called on every worker at the start, by Dask with the worker itself."""
    store, problem, locked = RunStore(folder), "", False
    try:
        if (store.folder / ".locks" / name).read_text() != name:
            problem = "another folder lies there"
        own = store.folder / ".locks" / f"{name}-{uuid.uuid4().hex[:8]}"
        own.touch()
        own.unlink()
        locked = store.is_locked(name)
    except OSError as error:
        problem = error.strerror or str(error)
    return {
        "host": socket.gethostname(),
        "problem": problem,
        "locked": locked,
        "code": code_version(),
        "num_threads": dask_worker.state.nthreads,
        "resources": dict(dask_worker.state.total_resources),
    }


def run_on_worker(job, folder, settings, sign, topic, parent):
    """Run one job on a worker: None where it is now in the store, else the KitError that stopped it.

    `parent` is what the parent's task returned. What may go better on another machine is raised, so that Dask tries
    again.
    """
    worker, store, sign = distributed.get_worker(), RunStore(folder), StopSign(Path(sign))
    if parent is not None:
        return parent

    def tell(kind, *content):
        worker.log_event(topic, [kind, job.key, *content])

    def report(key, step, num_steps, loss, scores):
        tell("step", step, num_steps, loss, {name: float(value) for name, value in scores.items()})
        return False

    with _one_at_a_time:
        while store.is_locked(job.key) and not sign():  # another batch is training it
            time.sleep(0.5)
        if sign():
            return stopped()
        if canonical_hash(job.description) != job.key:
            return SetupError(f"{socket.gethostname()} has another version of the kit; install the same one")
        tell("start")
        with contextlib.redirect_stderr(LinesTo(lambda line: tell("line", f"{job.title} on {worker.name}", line))):
            outcome = attempt(job, store, settings, StepReporter(job.key, report, pause=PAUSE, should_stop=sign))
    if not isinstance(outcome, Exception):
        return None
    plain = type(outcome)(str(outcome))  # without its traceback and its cause, which may not travel
    if isinstance(plain, ReplicateFailed | SetupError):
        raise plain
    return plain
