"""The live training curve, with a Stop that works while the kernel is busy."""

import contextlib
import signal
import time

import ipywidgets

from retina_kit.reporting import figures
from retina_kit.teaching.widgets.clicks import deliver_clicks
from retina_kit.teaching.widgets.static import png_of, present


class LiveCurve:
    """A `watch` for training: draws the loss while it falls; Stop ends the training and keeps the weights so far.

    A busy kernel reads no clicks, so each step lets those through that wait (`clicks.deliver_clicks`). The kernel's
    own interrupt button means Stop, too, while this training runs.
    """

    def __init__(self, every=10, min_seconds=0.5):
        self.every, self.min_seconds, self.last_drawn = every, min_seconds, 0.0
        self.losses, self.stopped, self._before = [], False, None
        self.image_view = ipywidgets.Image(format="png", width=540)
        self.button = ipywidgets.Button(description="Stop", tooltip="end this training, keep the weights so far")
        self.says = ipywidgets.HTML("training has not begun")
        self.button.add_class("kit-stop")
        self.says.add_class("kit-training")
        self.image_view.add_class("kit-curve")
        self.button.on_click(self.stop)
        row = ipywidgets.HBox([self.button, self.says])
        self.shown = present(ipywidgets.VBox([row, self.image_view]), text="the loss while training")

    def stop(self, _=None):
        """Ask the training to end after this step."""
        self.stopped = True

    def interrupt(self, number, frame):
        """Do the same for the kernel's interrupt; a second one ends the cell at once."""
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True

    def __call__(self, step, num_steps, losses, scores):
        """Draw now and then; True once Stop was pressed."""
        if self._before is None:
            self._listen()
        deliver_clicks()
        stop = self.stopped  # read once: a click may come at any moment
        last = step + 1 == num_steps or stop
        due = (step + 1) % self.every == 0 and time.monotonic() - self.last_drawn > self.min_seconds
        if last or due:
            self.losses = [loss.item() for loss in losses]
            self.last_drawn = time.monotonic()
            self._draw(num_steps, last)
        return stop

    def _listen(self):
        """Let the kernel's interrupt mean Stop while this training runs."""
        with contextlib.suppress(ValueError):  # not the main thread: the interrupt is somebody else's
            self._before = signal.signal(signal.SIGINT, self.interrupt)

    def _draw(self, num_steps, last):
        ax = figures.new_axes(6, 2.6)
        ax.plot(range(1, len(self.losses) + 1), self.losses)
        ax.set(xlabel="update", ylabel="loss", xlim=(0, num_steps))
        self.image_view.value = png_of(ax)
        state = "stopped after" if self.stopped else "done:" if last else "update"
        self.says.value = f"{state} {len(self.losses)} of {num_steps}, loss {self.losses[-1]:.4f}"
        if last:
            self._finish()

    def _finish(self):
        """Give the interrupt back, and leave the curve for readers without a kernel."""
        self.button.disabled = True
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
        self.shown.update(png=self.image_view.value)
