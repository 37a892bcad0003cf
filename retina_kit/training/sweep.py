"""Runs many replicates: parents before children, one after another or on a pool of processes."""

import concurrent.futures
import multiprocessing
import queue
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import torch

from retina_kit.errors import KitError, UsageError
from retina_kit.training.replicate import Interrupted, check_arm, describe, run_replicate
from retina_kit.training.store import RunStore, canonical_hash


@dataclass(frozen=True)
class Job:
    """One replicate to be trained, and the replicate that it starts from."""

    arm: dict
    seed: int
    fold: int | None
    description: dict
    key: str
    parent: str | None  # the parent's key

    @property
    def title(self):
        """The arm, its seed and its fold, for people."""
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.arm['name']} (seed {self.seed}{fold})"


def plan_jobs(arms, seeds, fingerprint_of):
    """Return the jobs of all arms and seeds, parents first, each checked; nothing is read or trained.

    `fingerprint_of(arm)` gives the hash of the arm's data. An arm's own `seeds` come before the experiment's; a
    child whose parent was not trained with its seed (or fold) starts from the parent's first.
    """
    by_name = {arm["name"]: arm for arm in arms}
    jobs = {}
    for arm in in_order(arms):
        check_arm(arm)
        parent = by_name.get(arm["start"].get("from"))
        fingerprint = fingerprint_of(arm)
        for seed in arm.get("seeds") or seeds:
            for fold in range(arm["folds"]) if arm["folds"] else [None]:
                parent_job = parent and find_parent(jobs, parent["name"], seed, fold)
                description = describe(arm, seed, fold, fingerprint, parent_job and parent_job.key)
                key = canonical_hash(description)
                jobs[arm["name"], seed, fold] = Job(arm, seed, fold, description, key, parent_job and parent_job.key)
    return list(jobs.values())


def find_parent(jobs, name, seed, fold):
    """Return the parent's job with this seed and fold where there is one, else with its first."""
    own = [job for (arm, _, _), job in jobs.items() if arm == name]
    same_fold = [job for job in own if job.fold == fold] or own
    return next((job for job in same_fold if job.seed == seed), same_fold[0])


def in_order(arms):
    """Return the arms with every parent before its children; a circle or an unknown parent is an error."""
    by_name, ordered = {arm["name"]: arm for arm in arms}, []

    def visit(arm, children):
        name, parent = arm["name"], arm["start"].get("from")
        if name in children:
            raise UsageError(f"arms start from one another in a circle: {' -> '.join([*children, name])}")
        if parent is not None and parent not in by_name:
            raise UsageError(f"arm {name} starts from {parent!r}, which is not an arm of this profile")
        if parent is not None:
            visit(by_name[parent], [*children, name])
        if arm not in ordered:
            ordered.append(arm)

    for arm in arms:
        visit(arm, [])
    return ordered


def run_jobs(jobs, store, *, data_root, device="auto", precision="auto", workers=1, progress=None):
    """Train what the store does not have yet and return {job key: finished run or the error that stopped it}.

    One failed job does not stop the others, but its children cannot run and carry its error. `progress` has the
    methods start(job), step(key, step, num_steps, loss, scores) -> stop?, done(job, seconds, error).
    """
    outcomes = {job.key: run for job in jobs if (run := store.find(job.key))}
    missing = [job for job in jobs if job.key not in outcomes]
    settings = {"data_root": str(data_root), "device": device, "precision": precision}
    if workers > 1 and len(missing) > 1:
        return _run_on_pool(missing, store, outcomes, settings, workers, progress)
    for job in missing:
        if job.key in outcomes:  # two arms with the same description are one run
            continue
        failed_parent = outcomes.get(job.parent)
        if isinstance(failed_parent, Exception):
            outcomes[job.key] = failed_parent
            continue
        outcomes[job.key] = _run_here(job, store, failed_parent, settings, progress)
        if isinstance(outcomes[job.key], Interrupted):
            raise outcomes[job.key]
    return outcomes


def _run_here(job, store, parent, settings, progress):
    """Run one job in this process and return its run or its error."""
    if progress:
        progress.start(job)
    outcome = attempt(job, store, parent, settings, progress and StepReporter(job.key, progress.step))
    if progress:
        progress.done(job, outcome)
    return outcome


def attempt(job, store, parent, settings, watch):
    """Return the finished run of a job, or the KitError that stopped it."""
    try:
        return run_replicate(
            store, job.arm, job.seed, job.fold, job.description, parent=parent, watch=watch, **settings
        )
    except KitError as error:
        return error


class StepReporter:
    """A `watch` that passes a step's loss on, at most so many times, since reading a loss waits for the device."""

    def __init__(self, key, report, times=100):
        self.key, self.report, self.times = key, report, times

    def __call__(self, step, num_steps, losses, scores):
        """Report now and then; True stops the training."""
        if scores or step % max(1, num_steps // self.times) == 0 or step + 1 == num_steps:
            return self.report(self.key, step + 1, num_steps, losses[-1].item(), scores)
        return False


_messages = None  # the queue on which a worker process reports its steps


def _start_worker(messages, num_threads):
    """Set up a worker process: its share of the cores, and the queue to report on."""
    global _messages
    _messages = messages
    torch.set_num_threads(num_threads)


def _report_to_front(key, step, num_steps, loss, scores):
    """Send a worker's step to the front end."""
    _messages.put((key, step, num_steps, loss, scores))
    return False


def _run_in_worker(job, folder, parent_key, settings):
    """Run one job in a worker process."""
    store = RunStore(folder)
    parent = store.find(parent_key) if parent_key else None
    return attempt(job, store, parent, settings, StepReporter(job.key, _report_to_front))


def _run_on_pool(missing, store, outcomes, settings, workers, progress):
    """Run jobs on a pool of processes, each as soon as its parent is finished."""
    context = multiprocessing.get_context("spawn")
    messages = context.Manager().Queue()
    threads = max(1, torch.get_num_threads() // workers)
    waiting, running = {job.key: job for job in missing}, {}
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(messages, threads)
    ) as pool:
        while waiting or running:
            for job in [job for job in waiting.values() if job.parent is None or job.parent in outcomes]:
                del waiting[job.key]
                if isinstance(outcomes.get(job.parent), Exception):
                    outcomes[job.key] = outcomes[job.parent]
                    continue
                try:
                    future = pool.submit(_run_in_worker, job, store.folder, job.parent, settings)
                except BrokenProcessPool:  # a worker died before this job's turn came
                    outcomes[job.key] = worker_died(job)
                    continue
                running[future] = job
                if progress:
                    progress.start(job)
            done, _ = concurrent.futures.wait(running, timeout=0.2, return_when=concurrent.futures.FIRST_COMPLETED)
            _pass_on(messages, progress)
            for future in done:
                job = running.pop(future)
                outcomes[job.key] = _outcome_of(future, job)
                if progress:
                    progress.done(job, outcomes[job.key])
    return outcomes


def _outcome_of(future, job):
    """Return a worker's result; a worker that died is an error of its job."""
    try:
        return future.result()
    except BrokenProcessPool:
        return worker_died(job)


def worker_died(job):
    """Return the error of a job whose worker was killed, by the system where memory ran out."""
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
