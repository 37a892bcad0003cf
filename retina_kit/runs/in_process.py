"""Trains jobs in this process, one after another."""

import time
from typing import Any

from retina_kit.errors import Interrupted
from retina_kit.runs.scheduling import JobQueue, Progress, StepReporter, asks_to_stop, attempt, stopped
from retina_kit.runs.store import RunStore


def run_here(queue: JobQueue, store: RunStore, settings: dict[str, Any], progress: Progress | None) -> None:
    """Train the jobs of a queue and fill its outcomes; Interrupted if the user asks to stop."""
    while queue.num_left:
        if asks_to_stop(progress):
            raise stopped()
        job = queue.take_free(store)
        if job is None:  # other batches are training everything that is left
            time.sleep(0.2)
            continue
        watch = None
        if progress:
            watch = StepReporter(job.key, progress.step, should_stop=lambda: asks_to_stop(progress))
            progress.start(job)
        outcome = attempt(job, store, settings, watch)
        if progress:
            progress.done(job, outcome)
        if isinstance(outcome, Interrupted):
            raise outcome
        queue.finish(job, outcome)
