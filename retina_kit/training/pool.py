"""Trains on a pool of processes on this machine; one that dies is replaced, and its replicate goes on."""

import collections
import concurrent.futures
import multiprocessing
import os
import queue
import signal
from concurrent.futures.process import BrokenProcessPool

import torch

from retina_kit.errors import KitError
from retina_kit.training.attempt import StepReporter, StopSign, asks_to_stop, attempt, stopped
from retina_kit.training.store import RunStore

MOST_DEATHS = 3  # a replicate whose worker died so often is given up

_messages, _front_end = None, None  # in a worker: the queue to report on, and the process that started it


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
    with multiprocessing.get_context("spawn").Manager() as manager:
        pool = Pool(manager.Queue(), workers)
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


class Pool:
    """A pool of processes that is built anew when one of them dies."""

    def __init__(self, messages, workers):
        self.messages, self.workers = messages, workers
        self.running, self.known, self.pool = {}, set(), None

    def submit(self, job, folder, settings, sign):
        """Start a job on an idle worker."""
        self.known.add(job.key)
        if self.pool is None:
            threads = max(1, torch.get_num_threads() // self.workers)
            self.pool = concurrent.futures.ProcessPoolExecutor(
                self.workers, mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker, initargs=(self.messages, threads, os.getpid()),
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
        _pass_on(self.messages, progress)
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


def _start_worker(messages, num_threads, front_end):
    """Set up a worker process: the queue to report on, and its share of the cores. Ctrl-C is the front end's."""
    global _messages, _front_end
    _messages, _front_end = messages, front_end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(num_threads)


def _report_to_front(key, step, num_steps, loss, scores):
    """Send a worker's step to the front end."""
    _messages.put((key, step, num_steps, loss, scores))
    return False


def _run_in_worker(job, folder, settings, sign):
    """Run one job in a worker process; it saves and stops where the sign goes up or the front end is gone."""
    sign = StopSign(sign)

    def should_stop():
        return sign() or os.getppid() != _front_end

    return attempt(job, RunStore(folder), settings, StepReporter(job.key, _report_to_front, should_stop=should_stop))


def worker_died(job):
    """Return the error of a job whose worker was killed again and again, by the system where memory ran out."""
    return KitError(f"{job.title}: a worker process died; run again, with fewer --workers, to go on from checkpoints")


def _pass_on(messages, progress):
    """Hand the workers' steps to the progress display."""
    while True:
        try:
            message = messages.get_nowait()
        except queue.Empty:
            return
        if progress:
            progress.step(*message)
