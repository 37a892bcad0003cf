"""Progress in a notebook: one output that changes, from before the first step to the last run."""

import io
import signal
from types import SimpleNamespace

import IPython.display
import pytest
from small_arm import small_arm, small_jobs

from retina_kit.runs.progress import NotebookBar, TrainingProgress


def job_of(name, steps=1):
    """Return what progress asks of a job: its names and how many images its arm is trained on."""
    return small_jobs([small_arm(name, recipe={"steps": steps})])[0]


@pytest.fixture
def texts(monkeypatch):
    """What a notebook's cell shows, one text after the other."""
    shown = []

    def note(bundle, **_):
        shown.append(bundle["text/plain"])
        assert "<progress" in bundle["text/html"]
        return SimpleNamespace(update=note)

    monkeypatch.setattr(IPython.display, "display", note)
    return shown


def test_a_notebook_shows_a_bar_before_the_first_step_and_how_many_are_done(texts):
    first, second = job_of("first"), job_of("second")
    progress = TrainingProgress([first, second], file=io.StringIO())
    progress.cell = NotebookBar(2, min_seconds=0)
    progress.start(first)
    progress.step(first.key, 1, 10, 0.5, {})
    progress.done(first, SimpleNamespace())
    progress.start(second)
    progress.done(second, SimpleNamespace())
    assert texts[0].startswith("0 of 2 runs. 2 runs to train; to stop, interrupt the kernel")
    assert texts[1] == "0 of 2 runs. first (seed 0): step 1 of 10, loss 0.5000"
    assert texts[2].startswith("1 of 2 runs. [1/2] first (seed 0): 0.0 s, less than a minute left")
    assert texts[3].startswith("2 of 2 runs. [2/2] second")


def test_a_failure_stays_on_a_line_of_its_own(texts):
    file = io.StringIO()
    job = job_of("first")
    progress = TrainingProgress([job], file=file)
    progress.cell = NotebookBar(1)
    progress.start(job)
    progress.done(job, ValueError("the loss is NaN"))
    assert "first (seed 0): failed: the loss is NaN" in file.getvalue()
    assert len(texts) == 1


def test_a_log_file_has_no_bar():
    assert TrainingProgress([job_of("first")], file=io.StringIO()).cell is None


def test_time_left_counts_images_and_half_of_what_is_running():
    file = io.StringIO()
    long, short, *others = (job_of(name, steps) for name, steps in (("long", 450), ("short", 50), ("a", 50), ("b", 50)))
    progress = TrainingProgress(
        [long, short, *others], file=file
    )  # two images a step: 1000, 200, 200, 200 with reading
    progress.entered -= 110
    progress.start(long)
    progress.start(short)
    progress.done(long, SimpleNamespace())
    assert "less than a minute left" in file.getvalue()  # 1100 of 1600 images in 110 s: 50 s for the other 500


class InterruptedStream(io.StringIO):
    """A stream in whose first write Ctrl-C is pressed, and which, as a real one, cannot be written to meanwhile."""

    def __init__(self):
        super().__init__()
        self.busy, self.pressed = False, False

    def write(self, text):
        """Press Ctrl-C once, then write."""
        if self.busy:
            raise RuntimeError("reentrant call inside a stream")
        self.busy = True
        if not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)
        number = super().write(text)
        self.busy = False
        return number


def test_ctrl_c_while_a_line_is_printed_is_answered_after_it():
    stream = InterruptedStream()
    with TrainingProgress([], file=stream) as progress:
        progress.say("the first line")
        assert progress.stop_requested
    lines = stream.getvalue().splitlines()
    assert lines == ["  the first line", "stopping after this step; press Ctrl-C again to stop at once"]
