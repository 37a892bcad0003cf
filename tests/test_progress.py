"""Progress in a notebook: one output that changes, from before the first step to the last run."""

import io
from types import SimpleNamespace

import IPython.display
import pytest

from retina_kit.runs.progress import NotebookBar, TrainingProgress


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
    progress = TrainingProgress(2, file=io.StringIO())
    progress.cell = NotebookBar(2, min_seconds=0)
    first, second = (SimpleNamespace(key=name, title=name) for name in ("first", "second"))
    progress.start(first)
    progress.step("first", 1, 10, 0.5, {})
    progress.done(first, SimpleNamespace())
    progress.start(second)
    progress.done(second, SimpleNamespace())
    assert texts[0].startswith("0 of 2 runs. 2 runs to train; to stop, interrupt the kernel")
    assert texts[1] == "0 of 2 runs. first: step 1 of 10, loss 0.5000"
    assert texts[2].startswith("1 of 2 runs. [1/2] first: 0.0 s, less than a minute left")
    assert texts[3].startswith("2 of 2 runs. [2/2] second")


def test_a_failure_stays_on_a_line_of_its_own(texts):
    file = io.StringIO()
    progress = TrainingProgress(1, file=file)
    progress.cell = NotebookBar(1)
    job = SimpleNamespace(key="first", title="first")
    progress.start(job)
    progress.done(job, ValueError("the loss is NaN"))
    assert "first: failed: the loss is NaN" in file.getvalue()
    assert len(texts) == 1


def test_a_log_file_has_no_bar():
    assert TrainingProgress(3, file=io.StringIO()).cell is None


def test_time_left_counts_a_run_that_has_not_ended_as_half():
    file = io.StringIO()
    progress = TrainingProgress(5, file=file)
    progress.entered -= 60
    first, second = (SimpleNamespace(key=name, title=name) for name in ("first", "second"))
    progress.start(first)
    progress.start(second)
    progress.done(first, SimpleNamespace())
    assert "about 2 min left" in file.getvalue()  # 1.5 of 5 runs in 60 s, so 140 s for the other 3.5
