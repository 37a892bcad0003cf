"""Faults that are really provoked: kills, stops, full disks, damaged files, a second user, broken losses."""

import contextlib
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from small_arm import small_arm, small_jobs, train
from small_batch import Noting, arms
from small_command import command_line
from test_cli import assert_refused
from test_kill import OFTEN, command, results_of, wait_for_checkpoint
from test_plan import assert_same_result

from retina_kit.errors import KitError, SetupError
from retina_kit.files import atomic_path, remove_remains
from retina_kit.reporting import notebook as nb
from retina_kit.runs.checkpoint import Checkpoint
from retina_kit.runs.dask_engine import Cluster
from retina_kit.runs.diagnostics import OutOfMemory, find_batch_size
from retina_kit.runs.store import RunStore
from retina_kit.training.loop import TrainingDiverged
from retina_kit.training.prepare import prepare_arm, start_model

HERE = Path(__file__).parent
CPU = torch.device("cpu")
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a small batch in a process group of its own; all are ended with the test."""
    processes = []

    def start_batch(store, diary, **options):
        flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        process = subprocess.Popen(
            [sys.executable, str(HERE / "small_batch.py"), str(store.folder), str(tmp_path / diary), *flags],
            env=ONE_THREAD, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start_batch
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def steps_in(path):
    """Return [(key, step)] of a diary."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return [(key, int(step)) for key, step in (line.split() for line in lines)]


def wait_for(condition, seconds=60):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def assert_as_unbroken(store, tmp_path, steps=20, num_arms=4):
    """Check that the store has what an unbroken batch gives, byte by byte."""
    train(arms(steps)[:num_arms], RunStore(tmp_path / "unbroken" / "runs"))
    expected = results_of(tmp_path / "unbroken")
    assert len(expected) == 3 * num_arms
    assert results_of(store.folder.parent) == expected


# ---- several batches on one store ----------------------------------------------------------------------------------
@pytest.mark.slow
def test_two_batches_share_the_work_and_one_that_is_killed_is_replaced(start, store, tmp_path):
    first, second = (start(store, name, slow=0.02) for name in ("first", "second"))
    wait_for(lambda: len(steps_in(tmp_path / "first")) > 3 and len(steps_in(tmp_path / "second")) > 3)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    mine = steps_in(tmp_path / "first")
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    theirs = steps_in(tmp_path / "second")
    finished_by_first = {key for key, step in mine if step == 20}
    assert not finished_by_first & {key for key, _ in theirs}, "what one batch finished, the other did not train"
    last, done = mine[-1]
    if 3 < done < 20:  # else the signal came between two runs, or before a checkpoint
        went_on = [step for key, step in theirs if key == last]
        assert went_on[0] > 1, "the run of the dead batch resumed from its checkpoint"
    assert_as_unbroken(store, tmp_path)


# ---- kills ---------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_workers_whose_front_end_is_killed_save_and_stop(start, store, tmp_path):
    batch = start(store, "diary", workers=2, steps=3000)
    wait_for(lambda: len(steps_in(tmp_path / "diary")) > 2)
    children = psutil.Process(batch.pid).children()
    assert len(children) == 2
    os.kill(batch.pid, signal.SIGKILL)
    wait_for(lambda: not any(child.is_running() for child in children))
    keys = [job.key for job in small_jobs(arms(3000))]
    assert any((store.unfinished(key) / "checkpoint.safetensors").is_file() for key in keys)
    assert not any(store.is_locked(key) for key in keys)


def alive(pid):
    """Say whether a process runs, zombies apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_said_and_nothing_is_lost(store, tmp_path):
    run = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--dashboard-address", ":0",
           "--scheduler-file", str(tmp_path / "scheduler.json")]  # fmt: skip
    work = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard", "--no-nanny",
            "--scheduler-file", str(tmp_path / "scheduler.json")]  # fmt: skip
    quiet = {"env": ONE_THREAD, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    with subprocess.Popen(run, **quiet) as scheduler, subprocess.Popen(work, **quiet) as worker:
        try:
            written = tmp_path / "scheduler.json"
            wait_for(lambda: written.is_file() and written.read_text())  # it exists before it is written
            address = json.loads(written.read_text())["address"]
            killer = Killer(scheduler.pid)
            with (
                Cluster(address, say=lambda text: None) as cluster,
                pytest.raises(SetupError, match=r"scheduler at tcp://.* is gone; .*run again"),
            ):
                train(arms(100), store, cluster=cluster, progress=killer)
        finally:
            scheduler.kill()
            worker.kill()
    assert killer.killed
    train(arms(100), store)
    assert_as_unbroken(store, tmp_path, steps=100)


class Killer:
    """A progress display that kills a process at the first step it hears of."""

    def __init__(self, pid):
        self.pid, self.killed = pid, False

    def start(self, job):
        """Note nothing."""

    def step(self, *step):
        """Kill."""
        if not self.killed:
            self.killed = True
            os.kill(self.pid, signal.SIGKILL)

    def done(self, job, outcome):
        """Note nothing."""


def test_papermill_that_is_killed_leaves_the_old_notebook_and_no_kernel(tmp_path):
    source = tmp_path / "small.py"
    lines = ['# %% tags=["parameters"]', "steps = 3", "", "# %%", "import os, pathlib, time",
             "pathlib.Path('pid').write_text(str(os.getpid()))", "time.sleep(100)"]  # fmt: skip
    source.write_text("\n".join(lines) + "\n")
    notebook = nb.build_notebook(source)
    (tmp_path / "out.ipynb").write_text("the good one of last time")
    code = f"from retina_kit.reporting.notebook import execute_notebook as e; e({str(notebook)!r}, 'out.ipynb', {{}})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
    process.kill()
    process.wait()
    kernel = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(kernel))
    assert (tmp_path / "out.ipynb").read_text() == "the good one of last time"
    assert list(tmp_path.glob(".out.*.part.ipynb")), "a kill leaves what was half written"
    remove_remains(tmp_path / "out.ipynb")  # the next run begins so
    assert not list(tmp_path.glob(".out.*"))


# ---- Ctrl-C --------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize(("workers", "steps", "num_arms", "slow"), [(1, 60, 4, 0.02), (2, 150, 2, 0)])
def test_one_interrupt_saves_and_the_next_run_goes_on(start, store, tmp_path, workers, steps, num_arms, slow):
    batch = start(store, "diary", workers=workers, steps=steps, arms=num_arms, slow=slow)
    wait_for(lambda: len(steps_in(tmp_path / "diary")) > 5)
    os.killpg(batch.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, said = batch.communicate(timeout=60)
    assert batch.returncode == 130, said
    assert "press Ctrl-C again to stop at once" in said
    assert "run again" in said
    assert "Traceback" not in said
    assert not list((store.folder / ".locks").glob("stop-*"))
    begun = {key: step for key, step in dict(steps_in(tmp_path / "diary")).items() if step < steps}
    assert begun, "something was under way"
    for key, last in begun.items():
        with safe_open(store.unfinished(key) / "checkpoint.safetensors", framework="np") as file:
            assert len(file.get_tensor("losses")) >= last
    chosen = arms(steps)[:num_arms]
    with Noting(small_jobs(chosen), tmp_path / "again", slow=0) as progress:
        train(chosen, store, progress=progress)
    first = dict(reversed(steps_in(tmp_path / "again")))
    assert all(first[key] > begun[key] for key in begun), "no step was done twice"
    assert_as_unbroken(store, tmp_path, steps, num_arms)


@pytest.mark.parametrize(("workers", "steps", "slow"), [(1, 100, 2), (2, 5000, 0)])
def test_two_interrupts_stop_at_once(start, store, tmp_path, workers, steps, slow):
    batch = start(store, "diary", workers=workers, steps=steps, slow=slow)
    wait_for(lambda: steps_in(tmp_path / "diary"))
    children = psutil.Process(batch.pid).children()
    for _ in range(2):
        os.killpg(batch.pid, signal.SIGINT)
        time.sleep(0.1)
    batch.communicate(timeout=30)
    assert batch.returncode == 130
    assert len(children) == (workers if workers > 1 else 0)
    assert not any(child.is_running() for child in children)
    assert not list(store.folder.glob(".*.part*"))


def test_the_command_line_ends_with_130_when_it_is_interrupted(tmp_path):
    batch = subprocess.Popen(command(tmp_path), env=ONE_THREAD, stderr=subprocess.PIPE, text=True)
    checkpoint = wait_for_checkpoint(batch, tmp_path)
    batch.send_signal(signal.SIGINT)
    _, said = batch.communicate(timeout=60)
    assert batch.returncode == 130, said
    assert "Traceback" not in said
    assert checkpoint.is_file()
    assert OFTEN in command(tmp_path)


# ---- full disk -----------------------------------------------------------------------------------------------------
def fill(folder):
    """Fill a small disk to its last block."""
    with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_stops_the_arm_and_keeps_the_last_checkpoint(small_disk, tmp_path, monkeypatch):
    monkeypatch.setitem(Checkpoint.__init__.__kwdefaults__, "every_seconds", 0.0)
    store = RunStore(small_disk / "runs")

    class Filler(Killer):
        def step(self, key, step, *rest):
            if step == 3:
                fill(small_disk)

    arm = small_arm("fluid", recipe={"steps": 6, "optimizer": "sgd"})
    outcome = train([arm], store, progress=Filler(0))["fluid", 0]
    assert isinstance(outcome, SetupError)
    assert "No space left" in str(outcome)
    assert "free some space" in str(outcome)
    (checkpoint,) = store.folder.glob(".unfinished/*/*")
    with safe_open(checkpoint, framework="np") as file:
        assert len(file.get_tensor("losses")) == 2
    (small_disk / "filler").unlink()
    resumed = train([arm], store)["fluid", 0]
    assert_same_result(resumed, train([arm], RunStore(tmp_path / "other"))["fluid", 0])


def test_a_full_disk_while_a_notebook_is_written_keeps_the_old_one(small_disk, tmp_path):
    source = tmp_path / "small.py"
    source.write_text('# %% tags=["parameters"]\nsteps = 3\n\n# %%\nprint("x" * 100_000)\n')
    out = small_disk / "out.ipynb"
    out.write_text("the good one of last time")
    fill(small_disk)
    with pytest.raises(KitError, match="No space left"):
        nb.execute_notebook(nb.build_notebook(source), out, {})
    assert out.read_text() == "the good one of last time"


def test_a_full_disk_while_a_page_is_written_keeps_the_old_one(small_disk):
    page = small_disk / "index.html"
    page.write_text("the good one of last time")
    fill(small_disk)
    with pytest.raises(SetupError, match="No space left"), atomic_path(page) as path:
        path.write_text("x" * 500_000)
    assert page.read_text() == "the good one of last time"
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "index.html"]


def test_a_full_disk_while_images_are_predicted_is_one_line_and_leaves_nothing_half(small_disk, tmp_path):
    """128 kB of free space: the first image of noise fits, the others do not."""
    weights = train([small_arm("fluid", recipe={"steps": 1})], RunStore(tmp_path / "runs"))["fluid", 0].folder
    (tmp_path / "eyes").mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (200, 300), np.uint8)
        Image.fromarray(noise).save(tmp_path / "eyes" / f"{number}.png")
    output = small_disk / "found"
    done = command_line("predict", weights, "--images", "eyes", "--output", output, "--probabilities", cwd=tmp_path)
    assert_refused(done, 5, f"cannot write {output}", "No space left on device", "free some space")
    left = [path for path in output.rglob("*") if path.is_file()]
    assert not [path for path in left if ".part" in path.name or path.name in ("predictions.csv", "index.html")]
    for path in left:
        with Image.open(path) as image:
            image.load()
    assert left, "what was finished before stays"


@pytest.mark.parametrize("when", ["a page", "a page that Sphinx only warns about"])
def test_a_full_disk_while_the_site_is_built_keeps_the_old_one(small_disk, tmp_path, monkeypatch, when):
    from retina_kit.reporting.website import build

    old = small_disk / "site"
    old.mkdir()
    for name in ("index.html", "objects.inv"):
        (old / name).write_text("the good one of last time")

    def sphinx(source, target, folder):
        target.mkdir()
        (target / "index.html").write_text("new")
        (target / "large.html").write_text("x" * 500_000)

    monkeypatch.setattr(build, "NEEDED", ())
    monkeypatch.setattr(build, "write_reference", lambda *arguments: 0)
    monkeypatch.setattr(build, "_run_sphinx", sphinx)
    if when != "a page":
        warned = f"WARNING: error writing file large.html: [Errno 28] {os.strerror(28)}"
        monkeypatch.setattr(build, "_run_sphinx", lambda *arguments: build.check_words(warned, tmp_path))
    with pytest.raises(SetupError, match=rf"cannot write {old}: No space left on device; free some space"):
        build.build_website(old, tmp_path / "outputs", {})
    assert {path.name: path.read_text() for path in old.iterdir()} == dict.fromkeys(
        ("index.html", "objects.inv"), "the good one of last time"
    )
    assert [path.name for path in small_disk.iterdir()] == ["site"]


# ---- damaged entries, clocks, users ----------------------------------------------------------------------------------
@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "settings gone"])
def test_a_damaged_entry_is_set_aside_said_and_trained_again(store, tmp_path, capsys, damage):
    arm = small_arm("fluid")
    run = train([arm], store)["fluid", 0]
    weights = run.folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    if damage == "truncated":
        weights.write_bytes(content[: len(content) // 2])
    elif damage == "bit flipped":
        content[len(content) // 2] ^= 4
        weights.write_bytes(content)
    else:
        (run.folder / "settings.json").write_text("")
    again = train([arm], store)["fluid", 0]
    assert "set aside as" in capsys.readouterr().err
    assert len(list(store.folder.glob(".set_aside/*"))) == 1
    assert_same_result(again, train([arm], RunStore(tmp_path / "other"))["fluid", 0])


def test_a_clock_that_goes_backwards_does_no_harm(tmp_path, monkeypatch, store):
    source = tmp_path / "small.py"
    source.write_text('# %% tags=["parameters"]\nsteps = 3\n\n# %%\nopen("made.txt", "w").write("now")\n')
    (tmp_path / "made.txt").write_text("last time")
    ahead = time.time() + 3600  # what the clock said before it was put back by an hour
    os.utime(tmp_path / "made.txt", (ahead, ahead))
    monkeypatch.setattr(time, "time", lambda: ahead)
    promised = [tmp_path / "made.txt"]
    nb.execute_notebook(nb.build_notebook(source), tmp_path / "out.ipynb", {}, promised=promised, cwd=tmp_path)
    source.write_text('# %% tags=["parameters"]\nsteps = 3\n\n# %%\n1 + 1\n')
    with pytest.raises(KitError, match="the file there is older"):
        nb.execute_notebook(nb.build_notebook(source), tmp_path / "out.ipynb", {}, promised=promised, cwd=tmp_path)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    run = train([small_arm("fluid")], store)["fluid", 0]
    assert run.problems() == []


def as_nobody(folder, answers):
    """Look at a store and try to train into it, as a user who may only read."""
    os.setgid(65534)
    os.setuid(65534)
    store = RunStore(folder)
    try:
        found = {run.folder.name: len(run.scores) for run in store.runs()}
        outcome = train([small_arm("fluid"), small_arm("new", recipe={"steps": 2})], store)
        errors = {name: str(result) for (name, _), result in outcome.items() if isinstance(result, Exception)}
        answers.put((found, errors))
    except Exception as error:
        answers.put((repr(error) + traceback.format_exc()[-600:], {}))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a second user")
def test_a_user_who_may_only_read_reads_and_is_told_why_nothing_is_trained(tmp_path):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o755)
        store = RunStore(Path(folder) / "runs")
        runs = train([small_arm("fluid"), small_arm("damaged", recipe={"learning_rate": 0.5})], store)
        assert len(runs["fluid", 0].scores) == 2  # and what reading needs is imported, wherever it may lie
        (runs["damaged", 0].folder / "scores.csv").write_text("id\n")
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        process = context.Process(target=as_nobody, args=(store.folder, answers))
        process.start()
        found, errors = answers.get()
        process.join()
        assert found == {runs["fluid", 0].folder.name: 2}, "what is whole is read; what is damaged is not used"
        assert list(errors) == ["new"]
        assert f"cannot write to the run store {store.folder}: Permission denied" in errors["new"]
        assert runs["damaged", 0].folder.is_dir()


# ---- training that goes wrong --------------------------------------------------------------------------------------
def test_a_broken_loss_stops_the_arm_and_says_what_was_fed(store, monkeypatch):
    monkeypatch.setitem(Checkpoint.__init__.__kwdefaults__, "every_seconds", 0.0)
    arms = [small_arm("wild", recipe={"steps": 50, "optimizer": "sgd", "learning_rate": 1e30}), small_arm("calm")]
    outcomes = train(arms, store)
    error = outcomes["wild", 0]
    assert isinstance(error, TrainingDiverged)
    found = str(error)
    assert found.startswith("arm wild: the loss is ")
    step = int(found.split("at step ")[1].split(";")[0])
    assert "The batch of that step: image p" in found
    assert "learning rate 1e+30" in found
    (checkpoint,) = store.folder.glob(".unfinished/*/*")
    with safe_open(checkpoint, framework="pt") as file:
        losses = file.get_tensor("losses")
    assert len(losses) == step - 1, "the last state before the broken loss is kept"
    assert losses.isfinite().all()
    assert len(outcomes["calm", 0].scores) == 2


def test_a_last_step_that_breaks_the_weights_fails_its_arm(store):
    """The loss of that step is still a number; the next one, which would show it, is never computed."""
    recipe = {"steps": 1, "optimizer": "sgd", "learning_rate": 1e38}
    outcome = train([small_arm("wild", recipe=recipe)], store)["wild", 0]
    assert isinstance(outcome, KitError) and "arm wild predicts values that are no numbers" in str(outcome)


def test_a_head_that_cannot_take_one_image_hides_no_batch_that_fits():
    """PSP pools an image to one pixel, of which BatchNorm has no variance in a batch of one."""
    model = {"name": "unet_s5_d16", "head": "psp", "base_width": 4, "in_channels": 3}
    arm = small_arm("psp", replace={"model": model}, recipe={"batch_size": 4})
    batches = prepare_arm(arm, 0, None, "nowhere").make_batches(0, CPU)
    found = find_batch_size(arm, batches, lambda: start_model(arm, 0), arm.recipe, CPU, "float32")
    assert "batch size 2 fits (one step was tried)" in str(found)


def train_in_little_memory(folder, answers):
    """Train a wide network on large images with 700 MiB more memory than this process has now."""
    size = {"data": {"size": [256, 384]}, "model": {"widths": [32, 32, 32, 32, 32]}, "recipe": {"batch_size": 32}}
    size["recipe"]["augmentation"] = {}
    small = train([small_arm("warm-up")], RunStore(folder / "warm"))
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 700 * 2**20, now + 700 * 2**20))
    outcomes = train([small_arm("large", **size), small_arm("after", recipe={"steps": 2})], RunStore(folder))
    answers.put((type(outcomes["large", 0]).__name__, str(outcomes["large", 0]), len(outcomes["after", 0].scores)))
    return small


def test_memory_that_runs_out_says_what_would_fit_and_the_others_go_on(tmp_path):
    context = multiprocessing.get_context("spawn")  # a run's own process, not one in which a thousand tests have been
    answers = context.SimpleQueue()
    process = context.Process(target=train_in_little_memory, args=(tmp_path, answers))
    process.start()
    process.join(100)
    kind, text, num_scores = answers.get()
    assert kind == OutOfMemory.__name__, text
    assert "memory ran out on cpu at batch size" in text
    assert "fits (one step was tried)" in text
    assert num_scores == 2


def test_what_nobody_foresaw_stays_with_its_arm(store, monkeypatch):
    def broken(*arguments, **settings):
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr("retina_kit.runs.scheduling.execute_run", broken)
    outcome = train([small_arm("fluid")], store)["fluid", 0]
    assert "fluid (seed 0): ZeroDivisionError: nobody thought of this (broken in test_faults.py" in str(outcome)
