"""Which runs a batch would reuse, resume or train, and why."""

import json
from collections.abc import Iterable

from retina_kit.runs.plan import Job
from retina_kit.runs.store import UNREADABLE, RunStore

FINISHED = "finished: will be loaded"
INTERRUPTED = "interrupted: will resume from its checkpoint"
TO_TRAIN = "to be trained"
RETRAIN = "to be trained (--fresh)"
CHANGED = "to be trained (the code or the settings changed)"
SAME = "the same run as "


def explain_reuse(jobs: Iterable[Job], store: RunStore, *, fresh: bool = False) -> list[tuple[Job, str]]:
    """Tell for each job whether the store has its run, a checkpoint of it, an outdated run, or nothing.

    Of several jobs that are one run, all but the first refer to the first.
    """
    states = []
    first: dict[str, Job] = {}
    outdated = identities(store)
    for job in jobs:
        if job.key in first:
            state = SAME + first[job.key].title
        elif fresh:
            state = RETRAIN
        elif store.find(job.key):
            state = FINISHED
        elif (store.unfinished(job.key) / "checkpoint.safetensors").is_file():
            state = INTERRUPTED
        else:
            state = CHANGED if (job.arm.name, job.seed, job.fold) in outdated else TO_TRAIN
        first.setdefault(job.key, job)
        states.append((job, state))
    return states


def jobs_to_train(states: Iterable[tuple[Job, str]]) -> list[Job]:
    """Select the jobs that will be trained or resumed, each run once."""
    return [job for job, state in states if state != FINISHED and not state.startswith(SAME)]


def identities(store: RunStore) -> set[tuple[str, int, int | None]]:
    """Collect (arm, seed, fold) of every entry of a store, without reading more than its settings."""
    found = set()
    for key in store.hashes():
        try:
            settings = json.loads((store.folder / key / "settings.json").read_text(encoding="utf-8"))
            found.add((settings["arm"], settings["description"]["seed"], settings["description"]["fold"]))
        except (*UNREADABLE, OSError):
            continue  # `find` reports damaged entries
    return found
