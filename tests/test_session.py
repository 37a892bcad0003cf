"""Sessions: how many workers, which options, what is explained, planned and reported, and the exit code."""

import dataclasses
import inspect
import signal
import threading
import time
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
import torch

from retina_kit.data.synthetic.kept import FOLDER
from retina_kit.errors import DataError, KitError, SetupError, UsageError
from retina_kit.experiment import Experiment
from retina_kit.files import check_writable
from retina_kit.reporting.notebook import execute_notebook
from retina_kit.runs.workers import LocalWorkers
from retina_kit.session import RunOptions, Session, in_background, open_workers


def smoke(tmp_path, **options):
    """Return the options of a smoke run below a temporary folder."""
    return RunOptions(profile="smoke", output_root=tmp_path / "outputs", **options)


def test_an_experiment_takes_what_the_options_give(tmp_path):
    names = set(inspect.signature(Experiment).parameters)
    assert set(smoke(tmp_path, precision="float32").parameters()) <= names
    assert "precision" not in smoke(tmp_path).parameters(), "a notebook without that parameter still runs"


def test_precision_and_seeds_reach_every_run(tmp_path):
    (experiment,) = Session(["huang2023"], smoke(tmp_path, precision="float32", seeds=[3, 4])).experiments
    assert {job.precision for job in experiment.jobs} == {"float32"}
    assert {job.seed for job in experiment.jobs} == {3, 4}, (
        "the vessel networks too: each child has a parent of its own"
    )
    (other,) = Session(["huang2023"], smoke(tmp_path, seeds=[3, 4])).experiments
    assert not {job.key for job in experiment.jobs} & {job.key for job in other.jobs}


def test_the_small_networks_of_the_short_profiles_get_one_thread(tmp_path):
    torch.set_num_threads(2)
    Experiment("huang2023", "paper", output_root=tmp_path)
    assert torch.get_num_threads() == 2
    Experiment("huang2023", "smoke", output_root=tmp_path)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2, "scheduler": "tcp://somewhere:8786"}, "use --workers .* or --scheduler .*, not both"),
        ({"precision": "float16"}, "no precision is called 'float16'"),
        ({"overrides": {"step": "3"}}, "'step'"),
        ({"seeds": [0, 1, 0]}, r"seeds=\[0, 1, 0\] has a seed twice; give each once, such as \[0, 1, 2\]"),
        ({"device": "cdua"}, "device 'cdua' is not one of auto, cpu"),
        ({"device": "cdua", "workers": 2}, "device 'cdua' is not one of auto, cpu"),
    ],
)
def test_a_wrong_option_stops_a_session_before_it_starts(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        Session(["huang2023"], smoke(tmp_path, **options))
    assert not (tmp_path / "outputs").exists()


def test_the_device_of_a_cluster_is_not_looked_for_on_this_machine():
    assert RunOptions(scheduler="tcp://127.0.0.1:1", device="cuda").num_workers() == 1


def test_a_folder_that_cannot_be_made_is_named_with_the_one_that_refuses_it():
    if not Path("/proc/self").is_dir():
        pytest.skip("needs /proc")
    with pytest.raises(SetupError, match=r"cannot make the folder /proc/x in /proc: .*; choose another --output-root"):
        check_writable("/proc/x")


def test_a_session_shares_its_workers_among_papers_and_needs_none_for_one(tmp_path):
    with open_workers(None, 1) as workers:
        assert workers is None
    with open_workers(None, 3) as workers:
        assert isinstance(workers, LocalWorkers)
        assert (workers.number, workers.processes) == (3, [])


def test_fresh_is_explained_and_planned_for_every_run(tmp_path):
    session = Session(["huang2023"], smoke(tmp_path, fresh=True))
    rows = session.explain()["papers"]["huang2023"]
    assert {row["state"] for row in rows if not row["state"].startswith("the same run")} == {"to be trained (--fresh)"}


def test_the_front_page_exists_before_the_first_paper_is_trained(tmp_path, monkeypatch):
    session, existed = Session(["huang2023"], smoke(tmp_path)), []

    def stand_in(self, experiment):
        existed.append((tmp_path / "outputs" / "index.html").is_file())
        return {}

    monkeypatch.setattr(Session, "_train", stand_in)
    monkeypatch.setattr(Session, "_report", lambda *_: {})
    assert session.run()["exit_code"] == 0
    assert existed == [True]


def test_a_notebook_is_executed_while_the_next_paper_trains(tmp_path, monkeypatch):
    trains, log = threading.Event(), []

    def train(self, experiment):
        if experiment.paper == "ortiz2022":
            trains.set()
            assert executed.wait(20)
        return {"trained": 1}

    def execute(self, experiment):
        if experiment.paper == "hu2018":
            assert trains.wait(20), "the second paper trains while the first one's notebook is executed"
            executed.set()
        log.append(experiment.paper)
        return {"notebook_seconds": 1}

    executed = threading.Event()
    monkeypatch.setattr(Session, "_train", train)
    monkeypatch.setattr(Session, "_report", execute)
    papers = ["hu2018", "ortiz2022", "huang2023"]
    result = Session(papers, smoke(tmp_path)).run()
    assert (log, [row["paper"] for row in result["papers"]], result["exit_code"]) == (papers, papers, 0)
    assert all(row["state"] == "done" and row["trained"] == 1 and "code" not in row for row in result["papers"])


def test_why_a_notebook_is_executed_again_is_told_before_it_is(tmp_path, monkeypatch, capsys):
    told = []
    monkeypatch.setattr(Session, "_train", lambda *_: {})
    monkeypatch.setattr(Session, "_execute", lambda *_: told.append(capsys.readouterr().err))
    monkeypatch.setattr("retina_kit.reporting.up_to_date.what_changed", lambda *_: "the options")
    (row,) = Session(["huang2023"], smoke(tmp_path)).run()["papers"]
    assert row["notebook"] == "executed"
    assert "huang2023: its notebook is executed again; what changed: the options" in told[0]


def test_a_paper_whose_training_fails_has_no_notebook_and_the_next_one_follows(tmp_path, monkeypatch):
    executed = []

    def train(self, experiment):
        if experiment.paper == "hu2018":
            raise DataError("no images")
        return {}

    monkeypatch.setattr(Session, "_train", train)
    monkeypatch.setattr(Session, "_report", lambda self, experiment: executed.append(experiment.paper) or {})
    result = Session(["hu2018", "huang2023"], smoke(tmp_path)).run()
    assert executed == ["huang2023"]
    assert [row["state"] for row in result["papers"]] == ["failed", "done"]
    assert result["papers"][0]["error"] == "no images"
    assert result["exit_code"] == 1


def test_an_interruption_stops_the_kernel_in_the_background(tmp_path):
    cells = [
        nbformat.v4.new_code_cell(code) for code in ("", "open('began', 'w').close()", "import time; time.sleep(600)")
    ]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "long.ipynb")
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), in_background() as submit:
        job = submit(partial(execute_notebook, tmp_path / "long.ipynb", tmp_path / "out.ipynb", {}, cwd=tmp_path))
        waiting = submit(print, "never")
        while not (tmp_path / "began").exists():
            assert not job.done(), job.exception()
            time.sleep(0.05)
        raise KeyboardInterrupt
    assert time.monotonic() - began < 60
    assert waiting.cancelled()
    assert isinstance(job.exception(), KitError)
    assert not [child for child in psutil.Process().children() if "ipykernel" in " ".join(child.cmdline())]


@pytest.mark.parametrize(("profile", "live"), [("smoke", True), ("lesson", False)])
def test_a_batch_trains_live_only_where_that_takes_seconds(profile, live, tmp_path, monkeypatch):
    given = {}
    execute = "retina_kit.reporting.notebook.execute_notebook"
    monkeypatch.setattr(execute, lambda notebook, target, parameters, **_: given.update(parameters))
    monkeypatch.setattr("retina_kit.reporting.export.export_html", lambda *_: None)
    session = Session(["huang2023"], dataclasses.replace(smoke(tmp_path), profile=profile))
    session._execute(session.experiments[0])
    assert given["train_live"] is live


def test_a_notebook_generates_its_images_once(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, "")
    monkeypatch.delenv(FOLDER)
    monkeypatch.setattr("retina_kit.experiment.executed_cells", lambda: ["profile = 'smoke'"])
    experiment = Experiment("hu2018", "smoke", output_root=tmp_path)
    mask = experiment.arm("pretrained_frozen_100").data.mask
    first = experiment.images("pretrained_frozen_100", masks=[mask]).images
    (file,) = (tmp_path / "runs" / ".synthetic").glob("*.npz")
    np.testing.assert_array_equal(np.load(file)["images"], first)


def test_ctrl_c_stops_a_training_that_shows_nothing(tmp_path, monkeypatch):
    experiment = Experiment("hu2018", "smoke", output_root=tmp_path)
    monkeypatch.setattr("retina_kit.experiment.run_jobs", lambda *args, **kwargs: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        experiment.train(progress=False)
