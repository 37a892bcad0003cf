"""Plans many runs and trains them, parents before children: in this process, on local workers or on a cluster."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retina_kit.errors import UsageError
from retina_kit.runs.execute import identity_of
from retina_kit.runs.in_process import run_here
from retina_kit.runs.scheduling import JobQueue, Outcomes, Progress
from retina_kit.runs.store import RunStore, canonical_hash
from retina_kit.runs.workers import LocalWorkers
from retina_kit.training.arm import Arm
from retina_kit.training.prepare import check_network

if TYPE_CHECKING:
    from retina_kit.runs.dask_engine import Cluster


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be trained, and the run that it starts from."""

    arm: Arm
    seed: int
    fold: int | None
    fingerprint: str  # of the data
    parent: str | None  # the parent's key
    precision: str
    key: str  # the hash of the description

    @property
    def description(self) -> dict[str, Any]:
        """Everything that decides the result; made on demand, so that a plan of very many jobs stays small."""
        return identity_of(self.arm, self.seed, self.fold, self.fingerprint, self.parent, self.precision)

    @property
    def title(self) -> str:
        """The arm, its seed and its fold, as shown to people."""
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{self.arm.name} (seed {self.seed}{fold})"

    @property
    def source(self) -> str:
        """What the images are, however they are cropped or chosen: the data set, and the seed of a synthetic one."""
        data = self.arm.data
        return " ".join(str(name) for name in (data.dataset, data.options.get("seed")) if name is not None)


def plan_jobs(
    arms: Iterable[Arm],
    seeds: Iterable[int],
    fingerprint_of: Callable[[Arm], str],
    precision: str = "auto",
) -> list[Job]:
    """Plan the jobs of all arms and seeds, parents first, each checked; nothing is read or trained.

    `fingerprint_of(arm)` gives the hash of the arm's data. An arm's own `seeds` replace the experiment's; a child
    whose parent was not trained with its seed (or fold) starts from the parent's first.
    """
    jobs: dict[str, dict[tuple[int, int | None], Job]] = {}  # {arm: {(seed, fold): job}}
    for arm in in_order(arms):
        check_network(arm)
        parents = jobs.get(arm.parent or "")
        fingerprint, own = fingerprint_of(arm), jobs.setdefault(arm.name, {})
        for seed in arm.seeds or seeds:
            for fold in range(arm.folds) if arm.folds else [None]:
                parent = find_parent(parents, seed, fold).key if parents else None
                key = canonical_hash(identity_of(arm, seed, fold, fingerprint, parent, precision))
                own[seed, fold] = Job(arm, seed, fold, fingerprint, parent, precision, key)
    return [job for own in jobs.values() for job in own.values()]


def find_parent(jobs: dict[tuple[int, int | None], Job], seed: int, fold: int | None) -> Job:
    """Choose the parent's job with this seed and fold if there is one, else with its first."""
    if (seed, fold) in jobs:
        return jobs[seed, fold]
    same_fold = [job for job in jobs.values() if job.fold == fold] or list(jobs.values())
    return next((job for job in same_fold if job.seed == seed), same_fold[0])


def in_order(arms: Iterable[Arm]) -> list[Arm]:
    """Sort the arms so that every parent precedes its children; a circle or an unknown parent is a UsageError."""
    by_name = {arm.name: arm for arm in arms}
    ordered: dict[str, Arm] = {}

    def visit(arm: Arm, children: list[str]) -> None:
        name, parent = arm.name, arm.parent
        if name in children:
            raise UsageError(f"arms start from one another in a circle: {' -> '.join([*children, name])}")
        if parent is not None and parent not in by_name:
            raise UsageError(f"arm {name} starts from {parent!r}, which is not an arm of this profile")
        if parent is not None:
            visit(by_name[parent], [*children, name])
        ordered.setdefault(name, arm)

    for arm in by_name.values():
        visit(arm, [])
    return list(ordered.values())


def run_jobs(
    jobs: Iterable[Job],
    store: RunStore,
    *,
    data_root: str | Path,
    device: str = "auto",
    workers: int = 1,
    cluster: "Cluster | LocalWorkers | None" = None,
    progress: Progress | None = None,
) -> Outcomes:
    """Train what the store does not have yet: {job key: finished run or the error that stopped it}.

    One failed job does not stop the others, but its children cannot run and carry its error. A job that another
    batch is training is waited for, after all others. With several `workers` that many processes of this machine
    train side by side; a `cluster` is used instead. Raises Interrupted if `progress` asks to stop, once everything
    that runs has been saved.
    """
    jobs, outcomes = list(jobs), Outcomes()
    for job in jobs:
        if job.key not in outcomes and (run := store.find(job.key)):
            outcomes[job.key] = run
    queue = JobQueue(jobs, outcomes)
    settings = {"data_root": str(data_root), "device": device}
    if queue.num_left == 0:
        return outcomes
    if cluster:
        cluster.run(queue, store, settings, progress)
    elif workers > 1:
        with LocalWorkers(workers) as local:
            local.run(queue, store, settings, progress)
    else:
        run_here(queue, store, settings, progress)
    return outcomes
