"""Progress of a batch: a bar per run on a terminal, one line that changes in a notebook, plain lines elsewhere."""

import html
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from retina_kit.errors import Interrupted
from retina_kit.runs.scheduling import Outcome, Scores

if TYPE_CHECKING:
    from rich.progress import Progress

    from retina_kit.runs.plan import Job


class TrainingProgress:
    """Shows each run's steps, loss, Dice and time left; a context manager.

    On a terminal it shows a bar per run, in a notebook one bar for all of them; in a log file it prints a line at the
    end of each run and, meanwhile, at most one every `line_every` seconds. The first Ctrl-C asks what is running to
    finish its step and save; the second one stops at once.
    """

    def __init__(self, jobs: "Sequence[Job]", *, line_every: float = 30.0, file: TextIO | None = None) -> None:
        from rich.console import Console  # a quarter of a second, which only training needs

        self.console = Console(file=file or sys.stderr)
        self.num_jobs, self.num_done, self.line_every = len(jobs), 0, line_every
        self.work, self.work_done = {job.key: images_seen(job) for job in jobs}, 0.0
        self.bars = self._make_bars() if self.console.is_terminal else None
        self.cell = NotebookBar(len(jobs)) if self.console.is_jupyter and jobs else None
        self.titles: dict[str, str] = {}
        self.tasks: dict[str, Any] = {}
        self.began: dict[str, float] = {}
        self.entered = self.last_line = time.monotonic()
        self.stop_requested = False
        self._saying: threading.Thread | None = None

    def _make_bars(self) -> "Progress":
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        return Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"), TimeElapsedColumn(), TimeRemainingColumn(), console=self.console,
        )  # fmt: skip

    def __enter__(self) -> "TrainingProgress":
        """Start showing and listen for Ctrl-C."""
        if self.bars:
            self.bars.start()
        try:
            self._previous = signal.signal(signal.SIGINT, self._on_interrupt)
        except ValueError:  # not the main thread, which alone receives Ctrl-C
            self._previous = None
        return self

    def __exit__(self, *error: object) -> None:
        """Stop showing and restore the handler of Ctrl-C."""
        if self._saying:
            self._saying.join()
        if self.bars:
            self.bars.stop()
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stop_requested:
            raise KeyboardInterrupt
        self.stop_requested = True
        # In a thread, for the interrupted line of code may itself be printing, or be importing what prints.
        self._saying = threading.Thread(
            target=self.console.print, args=["stopping after this step; press Ctrl-C again to stop at once"]
        )
        self._saying.start()

    def start(self, job: "Job") -> None:
        """Show a run that begins, or begins again because its worker went away."""
        self.titles[job.key], self.began[job.key] = job.title, time.monotonic()
        if self.bars:
            if job.key in self.tasks:
                self.bars.remove_task(self.tasks[job.key])
            self.tasks[job.key] = self.bars.add_task(job.title, total=None, numbers="")

    def step(self, key: str, step: int, num_steps: int, loss: float, scores: Scores) -> bool:
        """Show a step; True if the user asked to stop."""
        numbers = f"loss {loss:.4f}" + (f"  Dice {scores['dice']:.3f}" if "dice" in scores else "")
        if self.bars:
            self.bars.update(self.tasks[key], completed=step, total=num_steps, numbers=numbers)
        elif self.cell:
            self.cell.show(self.num_done, f"{self.titles[key]}: step {step} of {num_steps}, {numbers}")
        elif time.monotonic() - self.last_line >= self.line_every:
            self._line(f"  {self.titles[key]}: step {step} of {num_steps}, {numbers}")
        return self.stop_requested

    def done(self, job: "Job", outcome: Outcome) -> None:
        """Show a run that has ended, with its time or its error; one that was stopped is not counted."""
        stopped = isinstance(outcome, Interrupted)
        self.num_done += not stopped
        seconds = time.monotonic() - self.began.pop(job.key)
        self.work_done += 0 if stopped else self.work.get(job.key, 0)
        text = f"[{self.num_done}/{self.num_jobs}] {job.title}: "
        if stopped:
            text += "stopped"
        else:
            text += f"failed: {outcome}" if isinstance(outcome, Exception) else f"{seconds:.1f} s"
        if self.num_done < self.num_jobs and not stopped:
            text += f", {time_left(self._seconds_left())}"
        if self.bars:
            self.bars.remove_task(self.tasks.pop(job.key))
        if self.cell and not isinstance(outcome, Exception):
            self.cell.show(self.num_done, text, now=True)
        else:
            self._line(text)

    def _seconds_left(self) -> float:
        """Estimate from the images seen so far; a run that has not ended counts as half."""
        seen = self.work_done + sum(self.work.get(key, 0) for key in self.began) / 2
        return (time.monotonic() - self.entered) * (sum(self.work.values()) / max(seen, 1) - 1)

    def say(self, text: str) -> None:
        """Show a line, such as one that a worker wrote."""
        self._line(f"  {text}")

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.last_line = time.monotonic()


class NotebookBar:
    """One output of a cell with a bar: how many runs are done, what is running, how long it will take."""

    def __init__(self, num_jobs: int, min_seconds: float = 0.5) -> None:
        """Show the bar at once, before the first run has begun."""
        from IPython.display import display  # only a notebook has it

        self.num_jobs, self.min_seconds, self.last = num_jobs, min_seconds, time.monotonic()
        text = f"{num_jobs} run{'s' * (num_jobs > 1)} to train; to stop, interrupt the kernel (what is done is kept)"
        self.handle = display(self._bundle(0, text), raw=True, display_id=True)

    def show(self, num_done: int, text: str, *, now: bool = False) -> None:
        """Change the bar and its text, at most every `min_seconds` unless it has to be `now`."""
        if self.handle is not None and (now or time.monotonic() - self.last >= self.min_seconds):
            self.last = time.monotonic()
            self.handle.update(self._bundle(num_done, text), raw=True)

    def _bundle(self, num_done: int, text: str) -> dict[str, str]:
        count = f"{num_done} of {self.num_jobs} runs"
        bar = f"<progress value='{num_done}' max='{self.num_jobs}' aria-label='{count}'></progress>"
        return {"text/html": f"{bar} {count}. {html.escape(text)}", "text/plain": f"{count}. {text}"}


def images_seen(job: "Job") -> int:
    """Count the images that a run is trained on, repetitions included, and 100 more for reading and scoring them."""
    recipe = job.arm.recipe
    return 100 + recipe.batch_size * recipe.num_steps(job.arm.split.num_train or 100)


def time_left(seconds: float) -> str:
    """State roughly how long a batch will still take.

    >>> time_left(12), time_left(95), time_left(7300)
    ('less than a minute left', 'about 2 min left', 'about 122 min left')
    """
    return "less than a minute left" if seconds < 60 else f"about {seconds / 60:.0f} min left"
