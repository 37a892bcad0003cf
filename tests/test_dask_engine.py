"""Training on a real Dask cluster of two worker processes: the same runs as in this process, and faults survived."""

import logging
import os
import signal
import subprocess
import sys

import distributed
import pytest
import torch
from small_arm import TRANSFER, small_arm, small_jobs, train
from test_plan import Diary, assert_same_result

from retina_kit.errors import Interrupted, SetupError, UsageError
from retina_kit.runs.dask_engine import Cluster
from retina_kit.runs.scheduling import LinesTo, StopFile
from retina_kit.runs.store import RunStore


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture(scope="module")
def local():
    """A scheduler and two worker processes of one thread each."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def cluster(local):
    """A connection to the two workers, and the lines that it says."""
    lines = []
    with Cluster(local.scheduler_address, say=lines.append) as connected:
        connected.lines = lines
        yield connected


def test_a_cluster_gives_the_same_results_and_shows_every_step(cluster, store, tmp_path):
    arms = [
        small_arm("parent", recipe={"validate_every": 1}),
        small_arm("child", start=TRANSFER),
        small_arm("wrong", data={"mask": "magic"}),
        small_arm("child of wrong", start={"parent": "wrong"}),
    ]
    diary = Diary()
    there = train(arms, store, cluster=cluster, progress=diary)
    here = train(arms, RunStore(tmp_path / "other"))
    for name in ("parent", "child"):
        assert_same_result(there[name, 0], here[name, 0])
    for name in ("wrong", "child of wrong"):
        assert str(there[name, 0]) == str(here[name, 0])
        assert type(there[name, 0]) is UsageError
    assert diary.lines.index("done parent (seed 0)") < diary.lines.index("start child (seed 0)")
    assert "failed wrong (seed 0)" in diary.lines
    assert set(diary.steps) == {(1, 3), (2, 3), (3, 3)}
    assert "dashboard http" in cluster.lines[0]
    assert train(arms[:2], store, cluster=cluster, progress=Diary())["child", 0].scores.equals(here["child", 0].scores)
    assert not list((store.folder / ".locks").glob("stop-*"))


def test_dask_logs_no_traceback_of_a_connection_that_closes(cluster):
    assert not logging.getLogger("distributed.batched").isEnabledFor(logging.INFO)


def test_a_worker_that_is_killed_is_replaced_and_its_run_resumes(cluster, store, tmp_path):
    class Killer(Diary):
        def step(self, key, step, num_steps, loss, scores):
            super().step(key, step, num_steps, loss, scores)
            if not self.killed:
                self.killed = next(iter(cluster.client.run(os.getpid).values()))
                os.kill(self.killed, signal.SIGKILL)

        killed = None

    arms = [small_arm("parent", recipe={"steps": 200}), small_arm("child", start=TRANSFER)]
    killer = Killer()
    there = train(arms, store, cluster=cluster, progress=killer)
    assert killer.killed
    here = train(arms, RunStore(tmp_path / "other"))
    for arm in here:
        assert_same_result(there[arm], here[arm])


@pytest.mark.slow
def test_a_stop_saves_on_the_worker_and_the_next_run_goes_on(cluster, store, tmp_path):
    class Stopper(Diary):
        stop_requested = False

        def step(self, key, step, num_steps, loss, scores):
            super().step(key, step, num_steps, loss, scores)
            self.stop_requested = True

    arms = [small_arm("long", recipe={"steps": 400}), small_arm("child", start={"parent": "long"})]
    with pytest.raises(Interrupted, match="resume when you run again"):
        train(arms, store, cluster=cluster, progress=Stopper())
    checkpoint = store.unfinished(small_jobs(arms)[0].key) / "checkpoint.safetensors"
    assert checkpoint.is_file()
    diary = Diary()
    resumed = train(arms, store, cluster=cluster, progress=diary)
    assert diary.steps[0][0] > 1
    here = train(arms, RunStore(tmp_path / "other"))
    assert_same_result(resumed["long", 0], here["long", 0])


def test_a_worker_that_does_not_see_the_store_is_named(cluster, tmp_path, monkeypatch):
    """The front end's folder goes by a name that the worker's file system does not have."""
    store = RunStore(tmp_path / "runs")
    monkeypatch.setattr(
        cluster.client, "run", lambda f, folder, name, run=cluster.client.run: run(f, f"{folder}-far", name)
    )
    with pytest.raises(SetupError, match=r"worker tcp://.* cannot use the run store .*that all machines share"):
        train([small_arm("a")], store, cluster=cluster)
    assert store.runs() == []


def test_a_gpu_is_asked_for_where_workers_declare_one(cluster):
    assert cluster.resources_of({"a": {"resources": {"GPU": 1}}, "b": {"resources": {}}}, "auto") == {"GPU": 1}
    assert cluster.resources_of({"a": {"resources": {"GPU": 1}}}, "cpu") is None
    assert cluster.resources_of({"a": {"resources": {}}}, "auto") is None
    with pytest.raises(SetupError, match="--resources GPU=1"):
        cluster.resources_of({"a": {"resources": {}}}, "cuda")


def test_an_address_without_a_scheduler_is_said():
    with pytest.raises(SetupError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        Cluster("tcp://127.0.0.1:9", patience=1)


def test_a_stop_file_is_seen_and_removed(tmp_path):
    stop_file = StopFile(tmp_path / "locks" / "stop", look_every=0)
    assert not stop_file()
    stop_file.create()
    assert stop_file()
    stop_file.remove()
    assert not (tmp_path / "locks" / "stop").exists()


def test_lines_are_passed_on_whole():
    seen = []
    stream = LinesTo(seen.append)
    for text in ("one\ntw", "o", "\n\nthree"):
        stream.write(text)
    assert seen == ["one", "two"]


@pytest.mark.slow
def test_a_cluster_that_loses_all_its_workers_is_said_and_waited_for(store, tmp_path, monkeypatch):
    monkeypatch.setattr("retina_kit.runs.dask_engine.LOST_AFTER", 0.5)
    work = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    quiet = {"env": os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}, "cwd": tmp_path,
             "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # fmt: skip
    lines, workers = [], []

    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        address = empty.scheduler_address

        def start_worker():
            workers.append(subprocess.Popen([*work, address], **quiet))

        def say(text):
            lines.append(text)
            if "has had no worker" in text:
                start_worker()

        class Killer(Diary):
            def step(self, key, step, *rest):
                if len(workers) == 1:
                    workers[0].kill()
                return super().step(key, step, *rest)

        start_worker()
        try:
            with Cluster(address, say=say) as cluster:
                cluster.patience = 1.0
                found = train([small_arm("alone", recipe={"steps": 300})], store, cluster=cluster, progress=Killer())
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    assert len(workers) == 2
    assert sum("has had no worker for 1 s; waiting for one: start some" in line for line in lines) == 1
    expected = train([small_arm("alone", recipe={"steps": 300})], RunStore(tmp_path / "other"))
    for key, run in expected.items():
        assert_same_result(found[key], run)
