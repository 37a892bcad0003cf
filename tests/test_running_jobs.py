"""The book of a batch on a cluster: what is begun again is begun again, and only a user stops."""

import io
import types

import pytest
from small_arm import small_arm, small_jobs

from retina_kit.errors import Interrupted
from retina_kit.runs import dask_worker
from retina_kit.runs.progress import TrainingProgress
from retina_kit.runs.running_jobs import RunningJobs
from retina_kit.runs.scheduling import JobQueue
from retina_kit.runs.store import RunStore


class Future:
    """A task that has ended."""

    status = "finished"

    def __init__(self, outcome):
        self.outcome = outcome

    def exception(self):
        return None

    def result(self):
        return self.outcome


@pytest.fixture
def book(tmp_path):
    """The book of one job with a real progress, and the job."""
    jobs = small_jobs([small_arm("net")])
    progress = TrainingProgress(jobs, file=io.StringIO())
    cluster = types.SimpleNamespace(num_workers=1, say=print)
    queue = JobQueue(jobs, {})
    queue.ready.clear()
    return RunningJobs(cluster, queue, RunStore(tmp_path / "runs"), {}, None, progress), jobs[0]


def test_a_run_whose_worker_went_away_begins_again_and_counts_once(book):
    running, job = book
    for _ in range(2):
        running.running[job.key] = job, Future(Interrupted("its worker closes"))
        running.show(["start", job.key])
        running.finish(job.key)
        assert running.jobs.ready.pop() is job
    assert running.progress.num_done == 0
    running.running[job.key] = job, Future(RuntimeError("the outcome"))
    running.show(["start", job.key])
    running.show(["step", job.key, 1, 3, 0.5, {}])
    running.finish(job.key)
    assert running.progress.num_done == 1


def test_a_run_that_the_user_stopped_is_shown_as_stopped(book):
    running, job = book
    running.running[job.key] = job, Future(Interrupted("stopped"))
    running.show(["start", job.key])
    running.stop_file.create()
    running.finish(job.key)
    assert running.progress.num_done == 0
    assert running.progress.console.file.getvalue().splitlines() == ["[0/1] net (seed 0): stopped"]


def test_a_worker_that_is_short_of_memory_goes_on_with_its_run():
    assert {status.name for status in dask_worker.WORKS} == {"running", "paused"}
