"""The live training curve; interrupting the kernel stops the training and keeps what was trained."""

import contextlib
import signal
import time
from typing import Any, Protocol

import ipywidgets
import pandas as pd
from torch import Tensor

from retina_kit.reporting import figures
from retina_kit.reporting.figures.rendering import png_of
from retina_kit.teaching.widgets.static import present

HOW_TO_STOP = "Interrupt the kernel (the square button) to stop."


class StoredRun(Protocol):
    """What `replay` reads of a finished run."""

    @property
    def history(self) -> pd.DataFrame:
        """A row per step, with its loss."""

    settings: dict[str, Any]


class LiveCurve:
    """A `watch` for `training.loop.fit`: shows the loss during training, and stops it if the kernel is interrupted.

    A running cell keeps the kernel busy, so it cannot react to a button of its own; JupyterLab's interrupt button
    (the square in the toolbar, or I pressed twice) reaches it as SIGINT. While this training runs, the first interrupt
    ends it after the current step, with its weights and its history; a second one interrupts the cell as usual.
    """

    def __init__(self, every: int = 10, min_seconds: float = 0.5) -> None:
        """Show an empty curve; later at most one every `every` steps and `min_seconds`."""
        self.every, self.min_seconds, self.last_update = every, min_seconds, 0.0
        self.losses: list[float] = []
        self.stopped = False
        self._before: Any = None  # the handler of interrupts before this training
        self.image_view = ipywidgets.Image(value=png_of(figures.new_axes(6, 2.6)), format="png", width=540)
        self.state = ipywidgets.HTML(f"waiting for the first step. {HOW_TO_STOP}")
        self.state.add_class("kit-training")
        self.image_view.add_class("kit-curve")
        box = ipywidgets.VBox([self.state, self.image_view])
        self.shown = present(box, png=self.image_view.value, text="the loss during training: no step yet")

    def replay(self, run: StoredRun) -> pd.DataFrame:
        """Show the curve of a finished run instead of training again, and return its history.

        The text tells that it is from the run store, and how long its training took.
        """
        history = run.history
        self.losses = history["loss"].tolist()
        self.image_view.value = self._plot(len(self.losses))
        origin = f"from the run store, trained in {run.settings['seconds']:.0f} s"
        self.state.value = f"{len(self.losses)} steps, loss {self.losses[-1]:.4f} ({origin})"
        self._leave(f" ({origin})")
        return history

    def __call__(self, step: int, num_steps: int, losses: list[Tensor], scores: dict[str, float]) -> bool:
        """Update the curve if it is time; True if the training is to stop after this step."""
        if self._before is None:
            self._listen()
        stop = self.stopped  # read once: an interrupt may come at any moment
        last = step + 1 == num_steps or stop
        due = (step + 1) % self.every == 0 and time.monotonic() - self.last_update > self.min_seconds
        if step == 0 or last or due:
            self.losses = [loss.item() for loss in losses]
            self.last_update = time.monotonic()
            self._update(num_steps, last)
        return stop

    def _listen(self) -> None:
        """Let an interrupt of the kernel stop this training, and no earlier one."""
        self.stopped = False
        with contextlib.suppress(ValueError):  # not the main thread, which is the one that is interrupted
            self._before = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: Any) -> None:
        """Stop after the current step; a second interrupt is an ordinary one."""
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True

    def _update(self, num_steps: int, last: bool) -> None:
        """Plot the losses so far, and put the state into words."""
        self.image_view.value = self._plot(num_steps)
        state = "stopped after" if self.stopped and last else "done:" if last else "step"
        count = f"{len(self.losses)} of {num_steps}{' steps' if last else ''}"
        self.state.value = f"{state} {count}, loss {self.losses[-1]:.4f}. {'' if last else HOW_TO_STOP}".strip()
        if last:
            self._finish()

    def _plot(self, num_steps: int) -> bytes:
        """Plot the losses so far as a PNG."""
        ax = figures.new_axes(6, 2.6)
        ax.plot(range(1, len(self.losses) + 1), self.losses)
        ax.set(xlabel="step", ylabel="loss", xlim=(0, num_steps))
        return png_of(ax)

    def _finish(self) -> None:
        """Restore the kernel's own interrupt, and leave the curve for readers without a kernel."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
        self._leave()

    def _leave(self, origin: str = "") -> None:
        """Leave the curve and its numbers for readers without a kernel."""
        first, last = self.losses[0], self.losses[-1]
        text = f"the loss during training: {first:.3g} at the first of {len(self.losses)} steps, {last:.3g} at the last"
        text += origin
        data = pd.DataFrame({"step": range(1, len(self.losses) + 1), "loss": self.losses})
        self.shown.update(png=self.image_view.value, text=text, data=data)
