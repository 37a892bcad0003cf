"""What runs on a Dask worker: the examination of the worker, and one training run at a time."""

import contextlib
import platform
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distributed

from retina_kit.errors import KitError, SetupError
from retina_kit.runs.deciding_code import code_version
from retina_kit.runs.scheduling import LinesTo, RunFailed, Scores, StepReporter, StopFile, attempt, stopped
from retina_kit.runs.store import RunStore, canonical_hash

if TYPE_CHECKING:
    from retina_kit.runs.plan import Job

_one_at_a_time = threading.Lock()  # a process has one generator of random numbers
WORKS = (distributed.Status.running, distributed.Status.paused)  # paused: short of memory, it takes no further task


def examine_worker(folder: str, name: str, dask_worker: distributed.Worker | None = None) -> dict[str, Any]:
    """Report the host, the code version and the resources of a worker, and whether it shares a run store.

    `name` is a file in the store's lock folder that contains its own name, and a lock that the front end holds.
    Dask passes the worker itself as `dask_worker`.
    """
    assert dask_worker is not None
    store, problem, locked = RunStore(folder), "", False
    try:
        if (store.folder / ".locks" / f"{name}.txt").read_text() != name:
            problem = "the folder of that name on the worker is another one"
        own = store.folder / ".locks" / f"{name}-{uuid.uuid4().hex[:8]}"
        own.touch()
        own.unlink()
        locked = store.is_locked(name)
    except OSError as error:
        problem = error.strerror or str(error)
    return {
        "host": platform.node(),
        "problem": problem,
        "locked": locked,
        "code": code_version(),
        "num_threads": dask_worker.state.nthreads,
        "resources": dict(dask_worker.state.total_resources),
    }


def run_on_worker(
    job: "Job", folder: str, settings: dict[str, Any], stop_path: str, topic: str, pause: float
) -> KitError | None:
    """Train one job into the store: None if that worked, else the KitError that stopped it.

    Raises errors that another machine may not have, so that Dask tries again. The worker saves and stops when the
    stop file appears or its scheduler is gone.
    """
    worker, store, stop_file = distributed.get_worker(), RunStore(folder), StopFile(Path(stop_path))

    def tell(kind: str, *content: Any) -> None:
        worker.log_event(topic, [kind, job.key, *content])

    def report(key: str, step: int, num_steps: int, loss: float, scores: Scores) -> bool:
        tell("step", step, num_steps, loss, {name: float(value) for name, value in scores.items()})
        return False

    def should_stop() -> bool:
        return stop_file() or worker.status not in WORKS

    with _one_at_a_time:
        while store.is_locked(job.key) and not should_stop():  # another batch is training it
            time.sleep(0.5)
        if should_stop():
            return stopped()
        if canonical_hash(job.description) != job.key:
            return SetupError(f"{platform.node()} has another version of the kit; install the same one")
        tell("start")
        with contextlib.redirect_stderr(LinesTo(lambda line: tell("line", f"{job.title} on {worker.name}", line))):
            outcome = attempt(job, store, settings, StepReporter(job.key, report, pause=pause, should_stop=should_stop))
    if not isinstance(outcome, Exception):
        return None
    plain = type(outcome)(str(outcome))  # without its traceback and its cause, which may not be picklable
    assert isinstance(plain, KitError)
    if isinstance(plain, RunFailed | SetupError):
        raise plain
    return plain
