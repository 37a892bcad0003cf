"""One try at one replicate, whatever happens in it, and the order in which replicates are tried: for every engine."""

import collections
import errno
import io
import math
import time
import traceback
import uuid

from retina_kit.errors import Interrupted, KitError, SetupError
from retina_kit.runs.execute import run_replicate
from retina_kit.training.loop import stop_if_diverged


class ReplicateFailed(KitError):
    """Something in a replicate went wrong that nobody foresaw; the others go on."""


def attempt(job, store, settings, watch):
    """Return the finished run of a job, or the KitError that stopped it; never raises for what happens inside."""
    try:
        parent = store.find(job.parent) if job.parent else None
        if job.parent and parent is None:
            raise KitError(f"{job.title}: its parent {job.parent} is no longer in the run store; run again")
        return run_replicate(
            store, job.arm, job.seed, job.fold, job.description, parent=parent, watch=watch, precision=job.precision,
            **settings,
        )  # fmt: skip
    except KitError as error:
        return error
    except Exception as error:
        return unforeseen(job, error)


def unforeseen(job, error):
    """Return the KitError for an exception that is none: a full disk, or something that says where it happened."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        return SetupError(f"{job.title}: {error}; free some space or choose another --output-root")
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.name} in {place.filename.rsplit('/', 1)[-1]}, line {place.lineno}"
    text = str(error).strip().split("\n")[0]
    return ReplicateFailed(f"{job.title}: {type(error).__name__}: {text} ({where})")


class Frontier:
    """The jobs that are still to be done; each is given out once its parent is finished, parents first.

    `outcomes` {key: run or error} is filled by `finish`; the children of a job that failed carry its error.
    """

    def __init__(self, jobs, outcomes):
        self.outcomes, self.jobs = outcomes, []
        self.ready, self.children = collections.deque(), collections.defaultdict(list)
        known = set(outcomes)
        for job in jobs:
            if job.key in known:  # two arms with one description are one replicate
                continue
            known.add(job.key)
            self.jobs.append(job)
            if job.parent is None or job.parent in outcomes:
                self.ready.append(job)
            else:
                self.children[job.parent].append(job)
        self.num_left = len(self.jobs)

    def take(self):
        """Return the next job whose parent is finished, None where there is none just now."""
        return self.ready.popleft() if self.ready else None

    def later(self, job):
        """Put a job back, behind the others."""
        self.ready.append(job)

    def finish(self, job, outcome):
        """Note a job's run or error, and let its children go; of two outcomes of one job the first counts."""
        if job.key in self.outcomes:
            return
        self.outcomes[job.key] = outcome
        self.num_left -= 1
        for child in self.children.pop(job.key, []):
            if isinstance(outcome, Exception):
                self.finish(child, outcome)
            else:
                self.ready.append(child)

    def take_free(self, store):
        """Return the next job that no other batch is training just now, None where there is none."""
        for _ in range(len(self.ready)):
            job = self.take()
            if not store.is_locked(job.key):
                return job
            self.later(job)
        return None


class StepReporter:
    """A `watch` that passes a step's loss on, at most so many times, since reading a loss waits for the device.

    With `pause` there are at least so many seconds between two reports, scores and the last step apart.
    `report(key, step, num_steps, loss, scores)` and `should_stop()` may both ask to stop by returning True; the
    latter is asked at every step. A loss that is not finite stops the arm where it is read.
    """

    def __init__(self, key, report, times=100, pause=0.0, should_stop=None):
        self.key, self.report, self.times, self.should_stop = key, report, times, should_stop
        self.pause, self.reported = pause, -math.inf

    def __call__(self, step, num_steps, losses, scores):
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


class StopSign:
    """A file whose being there asks the workers of one batch, on whatever machine, to save and stop."""

    def __init__(self, path, look_every=0.2):
        self.path, self.look_every = path, look_every
        self.looked, self.seen = -math.inf, False

    @classmethod
    def of(cls, store):
        """Return a new sign in a store that is not up yet."""
        return cls(store.folder / ".locks" / f"stop-{uuid.uuid4().hex[:12]}")

    def put_up(self):
        """Ask the workers to stop."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self.seen = True

    def take_down(self):
        """Remove the sign, once nobody looks any more."""
        self.path.unlink(missing_ok=True)

    def __call__(self):
        """Say whether the sign is up; the file is looked for at most every `look_every` seconds."""
        if not self.seen and time.monotonic() - self.looked >= self.look_every:
            self.looked, self.seen = time.monotonic(), self.path.exists()
        return self.seen


class LinesTo(io.TextIOBase):
    """A text stream that hands each finished line to a function."""

    def __init__(self, take_line):
        self.take_line, self.rest = take_line, ""

    def write(self, text):
        """Take text; every line that is whole is passed on."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(None, lines):
            self.take_line(line)
        return len(text)


def asks_to_stop(progress):
    """Say whether the person who watches has asked to stop."""
    return bool(getattr(progress, "stop_requested", False))


def stopped():
    """Return the error of a batch that was asked to stop; what was begun has its checkpoint."""
    return Interrupted("stopped; what is finished is in the run store, what was begun goes on when you run again")
