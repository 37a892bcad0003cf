"""Scheduling and error capture shared by the in-process and the Dask engine."""

import collections
import errno
import io
import math
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from retina_kit.errors import Interrupted, KitError, SetupError
from retina_kit.runs.execute import execute_run
from retina_kit.runs.store import Run, RunStore
from retina_kit.training.loop import stop_if_diverged

if TYPE_CHECKING:
    from retina_kit.runs.plan import Job

Outcome = Run | Exception
Outcomes = dict[str, Outcome]  # job key -> finished run, or the error that stopped it
Scores = dict[str, float]
Report = Callable[[str, int, int, float, Scores], bool]  # (key, step, num_steps, loss, scores) -> stop?


class RunFailed(KitError):
    """An unexpected exception in one run; the others continue."""


class Progress(Protocol):
    """What shows the progress of a batch; `stop_requested` and `say(text)` are optional."""

    def start(self, job: "Job") -> None:
        """Show a run that begins."""

    def step(self, key: str, step: int, num_steps: int, loss: float, scores: Scores) -> bool:
        """Show a step; True asks to stop."""

    def done(self, job: "Job", outcome: Outcome) -> None:
        """Show a run that has ended."""


def attempt(job: "Job", store: RunStore, settings: dict[str, Any], watch: Callable[..., bool] | None) -> Outcome:
    """Train a job and hand back its finished run, or the KitError that stopped it; never raises an Exception."""
    try:
        parent = store.find(job.parent) if job.parent else None
        if job.parent and parent is None:
            raise KitError(f"{job.title}: its parent {job.parent} is no longer in the run store; rerun the command")
        return execute_run(
            store, job.arm, job.seed, job.fold, job.description, parent=parent, watch=watch, precision=job.precision,
            **settings,
        )  # fmt: skip
    except KitError as error:
        return error
    except Exception as error:
        return as_kit_error(job, error)


def as_kit_error(job: "Job", error: Exception) -> KitError:
    """Wrap an unexpected exception in a KitError that reports where it happened; a full disk is a SetupError."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        return SetupError(f"{job.title}: {error}; free some space or choose another --output-root")
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.name} in {Path(place.filename).name}, line {place.lineno}"
    text = str(error).strip().split("\n")[0]
    return RunFailed(f"{job.title}: {type(error).__name__}: {text} ({where})")


class JobQueue:
    """The jobs still to be done; each becomes ready once its parent is finished, parents first.

    `outcomes` is filled by `finish`; the children of a failed job carry its error.
    """

    def __init__(self, jobs: "Iterable[Job]", outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self.jobs: list[Job] = []
        self.ready: collections.deque[Job] = collections.deque()
        self.children: dict[str, list[Job]] = collections.defaultdict(list)
        known = set(outcomes)
        for job in jobs:
            if job.key in known:  # two arms with one description are one run
                continue
            known.add(job.key)
            self.jobs.append(job)
            if job.parent is None or job.parent in outcomes:
                self.ready.append(job)
            else:
                self.children[job.parent].append(job)
        self.num_left = len(self.jobs)

    def take_free(self, store: RunStore) -> "Job | None":
        """Take the next ready job that no other batch is training; None if there is none right now."""
        for _ in range(len(self.ready)):
            job = self.ready.popleft()
            if not store.is_locked(job.key):
                return job
            self.ready.append(job)
        return None

    def finish(self, job: "Job", outcome: Outcome) -> None:
        """Note a job's run or error and release its children; of two outcomes of one job the first counts."""
        if job.key in self.outcomes:
            return
        self.outcomes[job.key] = outcome
        self.num_left -= 1
        for child in self.children.pop(job.key, []):
            if isinstance(outcome, Exception):
                self.finish(child, outcome)
            else:
                self.ready.append(child)


class StepReporter:
    """A `watch` for `fit` that reports a step's loss, but rarely, because reading a loss waits for the device.

    It reports at most about `times` steps, at least `pause` seconds apart; scores and the last step are always
    reported. `report` and `should_stop` may both ask to stop by answering True; the latter is asked at every step.
    A loss that is not finite stops the arm where it is read.
    """

    def __init__(
        self,
        key: str,
        report: Report,
        times: int = 100,
        pause: float = 0.0,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.key, self.report, self.times, self.should_stop = key, report, times, should_stop
        self.pause, self.reported = pause, -math.inf

    def __call__(self, step: int, num_steps: int, losses: list[torch.Tensor], scores: Scores) -> bool:
        """Report now and then; True stops the training."""
        stop = self.should_stop() if self.should_stop else False
        due = step % max(1, num_steps // self.times) == 0 and time.monotonic() - self.reported >= self.pause
        if due or scores or step + 1 == num_steps:
            self.reported = time.monotonic()
            loss = losses[-1].item()
            if not math.isfinite(loss):
                stop_if_diverged(losses)
            return self.report(self.key, step + 1, num_steps, loss, scores) or stop
        return stop


class StopFile:
    """A file whose existence asks the workers of one batch, on whatever machine, to save and stop."""

    def __init__(self, path: Path, look_every: float = 0.2) -> None:
        self.path, self.look_every = path, look_every
        self.looked, self.seen = -math.inf, False

    @classmethod
    def of(cls, store: RunStore) -> "StopFile":
        """Name a stop file in a store; it does not exist yet."""
        return cls(store.folder / ".locks" / f"stop-{uuid.uuid4().hex[:12]}")

    def create(self) -> None:
        """Ask the workers to stop."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self.seen = True

    def remove(self) -> None:
        """Delete the file, once no worker looks for it any more."""
        self.path.unlink(missing_ok=True)

    def __call__(self) -> bool:
        """Tell whether the file exists; it is looked for at most every `look_every` seconds."""
        if not self.seen and time.monotonic() - self.looked >= self.look_every:
            self.looked, self.seen = time.monotonic(), self.path.exists()
        return self.seen


class LinesTo(io.TextIOBase):
    """A text stream that passes each complete line to a function."""

    def __init__(self, take_line: Callable[[str], object]) -> None:
        self.take_line, self.rest = take_line, ""

    def write(self, text: str) -> int:
        """Take text; every complete line is passed on."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(None, lines):
            self.take_line(line)
        return len(text)


def asks_to_stop(progress: Progress | None) -> bool:
    """Tell whether the user has asked to stop."""
    return bool(getattr(progress, "stop_requested", False))


def stopped() -> Interrupted:
    """Make the error of a batch that was asked to stop; every run that had begun has its checkpoint."""
    return Interrupted("stopped; finished runs are in the run store, and the others resume when you run again")
