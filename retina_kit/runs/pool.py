"""Trains on a pool of processes on this machine; one that dies is replaced, and its replicate goes on."""

import collections
import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from retina_kit.errors import KitError
from retina_kit.runs.scheduling import StepReporter, StopSign, asks_to_stop, attempt, stopped
from retina_kit.runs.store import RunStore

MOST_DEATHS = 3  # a replicate whose worker died so often is given up

_pipe, _front_end = None, None  # in a worker: the pipe to report on, and the process that started it
_busy = threading.Lock()  # in a worker: held while it trains


MOST_WORKERS, GIGABYTES_A_WORKER = 16, 3


def sensible_workers(device):
    """Return how many processes train best side by side: one for a GPU; on a CPU one a core that memory allows.

    Small networks leave most of a core's time to waiting when several cores share one of them.
    """
    if device.type != "cpu":
        return 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(max(1, min(cores, MOST_WORKERS, memory // GIGABYTES_A_WORKER)))


def run_on_pool(frontier, store, settings, workers, progress):
    """Train the jobs of a frontier on `workers` processes, each as soon as its parent is finished.

    A worker that is killed is replaced and its replicate goes on from its checkpoint, up to MOST_DEATHS times.
    When `progress.stop_requested` turns true, every worker finishes its step and saves, and Interrupted is raised.
    """
    sign, deaths = StopSign.of(store), collections.Counter()
    with Mailbox() as mailbox:
        pool = Pool(mailbox, workers)
        try:
            while frontier.num_left or pool.running:
                if asks_to_stop(progress):
                    sign.put_up()
                    if not pool.running:
                        raise stopped()
                else:
                    _fill(pool, frontier, store, settings, sign, progress)
                for job, outcome in pool.collect(progress):
                    if outcome is None:  # the worker died
                        deaths[job.key] += 1
                        outcome = worker_died(job) if deaths[job.key] >= MOST_DEATHS else None
                    if outcome is None:
                        frontier.later(job)
                        continue
                    frontier.finish(job, outcome)
                    if progress:
                        progress.done(job, outcome)
        finally:
            pool.end()
            sign.take_down()


def _fill(pool, frontier, store, settings, sign, progress):
    """Give every idle worker a job."""
    while len(pool.running) < pool.workers:
        job = frontier.take_free(store)
        if job is None:
            return
        if progress and job.key not in pool.known:
            progress.start(job)
        pool.submit(job, store.folder, settings, sign.path)


class Mailbox:
    """A named pipe on which workers write lines: no lock that a killed worker could keep, no process of its own."""

    def __enter__(self):
        """Make the pipe."""
        self.folder = tempfile.TemporaryDirectory(prefix="retina-kit-")
        self.path = Path(self.folder.name) / "steps"
        os.mkfifo(self.path)
        self.pipe, self.rest = os.open(self.path, os.O_RDWR | os.O_NONBLOCK), b""
        return self

    def __exit__(self, *error):
        """Remove it."""
        os.close(self.pipe)
        self.folder.cleanup()

    def take(self):
        """Return the messages that have come."""
        while True:
            try:
                self.rest += os.read(self.pipe, 2**16)
            except BlockingIOError:
                *lines, self.rest = self.rest.split(b"\n")
                return [json.loads(line) for line in lines]


class Pool:
    """A pool of processes that is built anew when one of them dies."""

    def __init__(self, mailbox, workers):
        self.mailbox, self.workers = mailbox, workers
        self.running, self.known, self.pool = {}, set(), None

    def submit(self, job, folder, settings, sign):
        """Start a job on an idle worker."""
        self.known.add(job.key)
        if self.pool is None:
            threads = max(1, torch.get_num_threads() // self.workers)
            self.pool = concurrent.futures.ProcessPoolExecutor(
                self.workers, mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker, initargs=(str(self.mailbox.path), threads, os.getpid()),
            )  # fmt: skip
        try:
            self.running[self.pool.submit(_run_in_worker, job, folder, settings, sign)] = job
        except BrokenProcessPool as error:
            future = concurrent.futures.Future()
            future.set_exception(error)
            self.running[future] = job

    def collect(self, progress):
        """Wait a moment, pass the workers' steps on, and return [(job, outcome)]; None where the worker died."""
        done, _ = concurrent.futures.wait(self.running, timeout=0.2, return_when=concurrent.futures.FIRST_COMPLETED)
        for message in self.mailbox.take():
            if progress:
                progress.step(*message)
        outcomes = []
        if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
            self.pool.shutdown()  # one dead worker breaks the whole pool: the others were ended with it
            done, self.pool = list(self.running), None
        for future in done:
            job, error = self.running.pop(future), future.exception()
            broken = isinstance(error, BrokenProcessPool)
            outcomes.append((job, None if broken else error or future.result()))
        return outcomes

    def end(self):
        """End the workers: at once where something is still running."""
        if self.pool is None:
            return
        if self.running:
            for worker in multiprocessing.active_children():
                if worker.name.startswith("SpawnProcess"):
                    worker.kill()
        self.pool.shutdown(cancel_futures=True)


def _start_worker(mailbox, num_threads, front_end):
    """Set up a worker process: the pipe to report on, and its share of the cores. Ctrl-C is the front end's."""
    global _pipe, _front_end
    _pipe, _front_end = os.open(mailbox, os.O_WRONLY | os.O_NONBLOCK), front_end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(num_threads)
    threading.Thread(target=_leave_with_front_end, daemon=True).start()


def _leave_with_front_end():
    """End this worker when its front end was killed, once what it trains is saved: nobody else would end it."""
    while os.getppid() == _front_end:
        time.sleep(0.5)
    with _busy:
        os._exit(1)


def _report_to_front(key, step, num_steps, loss, scores):
    """Send a worker's step to the front end; a line this short is written whole or, into a full pipe, not at all."""
    scores = {name: float(value) for name, value in scores.items()}
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        os.write(_pipe, json.dumps([key, step, num_steps, loss, scores]).encode() + b"\n")
    return False


def _run_in_worker(job, folder, settings, sign):
    """Run one job in a worker process; it saves and stops where the sign goes up or the front end is gone."""
    sign = StopSign(sign)

    def should_stop():
        return sign() or os.getppid() != _front_end

    with _busy:
        watch = StepReporter(job.key, _report_to_front, should_stop=should_stop)
        return attempt(job, RunStore(folder), settings, watch)


def worker_died(job):
    """Return the error of a job whose worker was killed again and again, by the system where memory ran out."""
    return KitError(f"{job.title}: a worker process died; run again, with fewer --workers, to go on from checkpoints")
