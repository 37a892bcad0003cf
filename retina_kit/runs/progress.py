"""What a person sees while a batch trains: a bar an arm on a terminal, plain lines elsewhere."""

import signal
import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TrainingProgress:
    """Shows each replicate's steps, loss, Dice and time left; a context manager.

    On a terminal it draws a bar a replicate; in a log file it prints one line at its end and, while it runs, at
    most one every `line_every` seconds. The first Ctrl-C asks the running replicate to finish its step and save; the
    second one stops at once.
    """

    def __init__(self, num_jobs, *, line_every=30.0, file=None):
        self.console = Console(file=file or sys.stderr)
        self.num_jobs, self.num_done, self.line_every = num_jobs, 0, line_every
        self.bars = self._make_bars() if self.console.is_terminal else None
        self.titles, self.tasks, self.began = {}, {}, {}
        self.last_line = time.monotonic()
        self.stop_requested = False

    def _make_bars(self):
        return Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"), TimeElapsedColumn(), TimeRemainingColumn(), console=self.console,
        )  # fmt: skip

    def __enter__(self):
        """Start drawing and listen for Ctrl-C."""
        if self.bars:
            self.bars.start()
        try:
            self._previous = signal.signal(signal.SIGINT, self._on_interrupt)
        except ValueError:  # not the main thread: Ctrl-C is somebody else's
            self._previous = None
        return self

    def __exit__(self, *error):
        """Stop drawing and give Ctrl-C back."""
        if self.bars:
            self.bars.stop()
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _on_interrupt(self, number, frame):
        if self.stop_requested:
            raise KeyboardInterrupt
        self.stop_requested = True
        self.console.print("stopping after this step; press Ctrl-C again to stop at once")

    def start(self, job):
        """Show a replicate that begins."""
        self.titles[job.key], self.began[job.key] = job.title, time.monotonic()
        if self.bars:
            self.tasks[job.key] = self.bars.add_task(job.title, total=None, numbers="")

    def step(self, key, step, num_steps, loss, scores):
        """Show a step; return True where the person asked to stop."""
        numbers = f"loss {loss:.4f}" + (f"  Dice {scores['dice']:.3f}" if "dice" in scores else "")
        if self.bars:
            self.bars.update(self.tasks[key], completed=step, total=num_steps, numbers=numbers)
        elif time.monotonic() - self.last_line >= self.line_every:
            self._line(f"  {self.titles[key]}: step {step} of {num_steps}, {numbers}")
        return self.stop_requested

    def done(self, job, outcome):
        """Show a replicate that has ended, with its time or its error."""
        self.num_done += 1
        seconds = time.monotonic() - self.began[job.key]
        text = f"[{self.num_done}/{self.num_jobs}] {job.title}: "
        text += f"failed: {outcome}" if isinstance(outcome, Exception) else f"{seconds:.1f} s"
        if self.bars:
            self.bars.remove_task(self.tasks.pop(job.key))
        self._line(text)

    def say(self, text):
        """Show a line, such as one that a worker wrote."""
        self._line(f"  {text}")

    def _line(self, text):
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.last_line = time.monotonic()
