"""Plans many replicates and runs them: parents before children, here, on a pool of processes or on a cluster."""

import time
from dataclasses import dataclass

from retina_kit.errors import Interrupted, UsageError
from retina_kit.runs.execute import describe
from retina_kit.runs.pool import run_on_pool
from retina_kit.runs.scheduling import Frontier, StepReporter, asks_to_stop, attempt, stopped
from retina_kit.runs.store import canonical_hash
from retina_kit.training.arm import Arm
from retina_kit.training.prepare import check_network


@dataclass(frozen=True, slots=True)
class Job:
    """One replicate to be trained, and the replicate that it starts from."""

    arm: Arm
    seed: int
    fold: int | None
    fingerprint: str  # of the data
    parent: str | None  # the parent's key
    precision: str
    key: str  # the hash of the description

    @property
    def description(self):
        """All that decides the result; made when asked for, so that a plan of very many jobs stays small."""
        return describe(self.arm, self.seed, self.fold, self.fingerprint, self.parent, self.precision)

    @property
    def title(self):
        """The arm, its seed and its fold, for people."""
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.arm.name} (seed {self.seed}{fold})"


def plan_jobs(arms, seeds, fingerprint_of, precision="auto"):
    """Return the jobs of all arms and seeds, parents first, each checked; nothing is read or trained.

    `fingerprint_of(arm)` gives the hash of the arm's data. An arm's own `seeds` come before the experiment's; a
    child whose parent was not trained with its seed (or fold) starts from the parent's first.
    """
    jobs = {}  # {arm: {(seed, fold): job}}
    for arm in in_order(arms):
        check_network(arm)
        parents = jobs.get(arm.parent)
        fingerprint, own = fingerprint_of(arm), jobs.setdefault(arm.name, {})
        for seed in arm.seeds or seeds:
            for fold in range(arm.folds) if arm.folds else [None]:
                parent = find_parent(parents, seed, fold).key if parents else None
                key = canonical_hash(describe(arm, seed, fold, fingerprint, parent, precision))
                own[seed, fold] = Job(arm, seed, fold, fingerprint, parent, precision, key)
    return [job for own in jobs.values() for job in own.values()]


def find_parent(jobs, seed, fold):
    """Return the parent's job with this seed and fold where there is one, else with its first."""
    if (seed, fold) in jobs:
        return jobs[seed, fold]
    same_fold = [job for job in jobs.values() if job.fold == fold] or list(jobs.values())
    return next((job for job in same_fold if job.seed == seed), same_fold[0])


def in_order(arms):
    """Return the arms with every parent before its children; a circle or an unknown parent is an error."""
    by_name, ordered = {arm.name: arm for arm in arms}, {}

    def visit(arm, children):
        name, parent = arm.name, arm.parent
        if name in children:
            raise UsageError(f"arms start from one another in a circle: {' -> '.join([*children, name])}")
        if parent is not None and parent not in by_name:
            raise UsageError(f"arm {name} starts from {parent!r}, which is not an arm of this profile")
        if parent is not None:
            visit(by_name[parent], [*children, name])
        ordered.setdefault(name, arm)

    for arm in arms:
        visit(arm, [])
    return list(ordered.values())


def run_jobs(jobs, store, *, data_root, device="auto", workers=1, cluster=None, progress=None):
    """Train what the store does not have yet and return {job key: finished run or the error that stopped it}.

    One failed job does not stop the others, but its children cannot run and carry its error. A job that another
    batch is training just now is waited for, after all others. `cluster` is a `training.cluster.Cluster`. `progress`
    has the methods start(job), step(key, step, num_steps, loss, scores) -> stop?, done(job, outcome), and may have
    a flag `stop_requested`, which raises Interrupted once what is running has been saved.
    """
    outcomes = {}
    for job in jobs:
        if job.key not in outcomes and (run := store.find(job.key)):
            outcomes[job.key] = run
    frontier = Frontier(jobs, outcomes)
    settings = {"data_root": str(data_root), "device": device}
    if cluster:
        cluster.run(frontier, store, settings, progress)
    elif workers > 1 and frontier.num_left > 1:
        run_on_pool(frontier, store, settings, workers, progress)
    else:
        _run_here(frontier, store, settings, progress)
    return outcomes


def _run_here(frontier, store, settings, progress):
    """Run the jobs of a frontier in this process, one after another."""
    while frontier.num_left:
        if asks_to_stop(progress):
            raise stopped()
        job = frontier.take_free(store)
        if job is None:  # other batches train all that is left
            time.sleep(0.2)
            continue
        watch = progress and StepReporter(job.key, progress.step, should_stop=lambda: asks_to_stop(progress))
        if progress:
            progress.start(job)
        outcome = attempt(job, store, settings, watch)
        if progress:
            progress.done(job, outcome)
        if isinstance(outcome, Interrupted):
            raise outcome
        frontier.finish(job, outcome)
