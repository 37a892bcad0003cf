"""A sweep over a setting: one table and one figure with intervals; Ctrl-C and a second call resume it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pandas as pd
import pytest

import retina_kit as rk
from retina_kit.comparison.sweep_values import parse_sweep
from retina_kit.comparison.sweeps import plan_sweep
from retina_kit.errors import KitError, UsageError
from retina_kit.runs.store import RunStore
from tests.small_command import command_line
from tests.small_paper import MANY_EYES, make_paper


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """The folder of a small paper."""
    return make_paper(tmp_path_factory.mktemp("sweep"))


def options_for(tmp_path):
    """Return the options of a sweep at smoke size."""
    return {"profile": "smoke", "output_root": tmp_path / "outputs", "overrides": {"target_options": MANY_EYES}}


def test_three_values_and_three_seeds(paper, tmp_path):
    found = rk.sweep(paper, "steps", [1, "2", 3], seeds=[0, 1, 2], **options_for(tmp_path))
    assert found.values == [1, 2, 3]
    assert len(found.table) == 3 * 2 * 2
    assert found.table["ci_low"].notna().all()
    assert (found.table["ci_low"] < found.table["ci_high"]).all()
    assert set(found.table["n_seeds"]) == {3}
    bars = [line for line in found.figure("dice").containers if line.has_yerr]
    assert [bar.get_label() for bar in bars] == ["proposed", "baseline"]
    folder = found.save()
    assert folder.name.startswith("sweep-steps-1_2_3-smoke-synthetic-"), "other values have another folder"
    assert len(pd.read_csv(folder / "sweep.csv")) == 12
    assert cv2.imread(str(folder / "sweep.png")).std() > 3
    assert len(RunStore(tmp_path / "outputs" / "runs").runs()) == 3 * 3 * 2


def test_what_a_value_does_not_concern_is_trained_once(paper, tmp_path):
    found = rk.sweep(paper, "proposed_loss", ["soft_dice", "negative_log_dice"], seeds=[0], **options_for(tmp_path))
    assert len(RunStore(tmp_path / "outputs" / "runs").runs()) == 3
    same = found.table[found.table["arm"] == "baseline"].set_index(["value", "metric"])["same_as"]
    assert same["negative_log_dice", "dice"] == "soft_dice"
    assert same["soft_dice", "dice"] == ""


@pytest.mark.parametrize(
    ("setting", "values", "message"),
    [
        ("steps", [2], "at least two values"),
        ("steps", [2, "2"], "given twice"),
        ("steps", [2, "many"], "must be a whole number"),
        ("step", [2, 3], "did you mean 'steps'"),
        ("seeds", [[0], [1]], "--seeds for the seeds"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_training(paper, tmp_path, setting, values, message):
    with pytest.raises(UsageError, match=message):
        plan_sweep(paper, setting, values, **options_for(tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["steps=50"], "here: none"),
        (["steps=1,2", "rate=1,2"], "here: steps and rate"),
        (["steps"], "must be NAME=V1,V2,V3"),
        (["steps=1,2", "steps=3"], "given twice"),
    ],
)
def test_a_mistyped_sweep_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        parse_sweep(settings)


def sweep_of_steps(paper, root):
    """Return the arguments of a sweep over numbers of steps that take a moment."""
    eyes = "target_options={num_patients=12, images_per_patient=1, size=[32, 32]}"
    settings = ["--set", "steps=150,151,152", "--set", eyes, "--profile", "smoke", "--seeds", "0"]
    return ["sweep", str(paper), *settings, "--output-root", str(root), "--json"]


@pytest.mark.skipif(sys.platform == "win32", reason="a test cannot send Ctrl-C to one process there")
@pytest.mark.slow
def test_ctrl_c_and_a_second_call_resume(paper, tmp_path):
    store, arguments = RunStore(tmp_path / "runs"), sweep_of_steps(paper, tmp_path)
    process = subprocess.Popen([sys.executable, "-m", "retina_kit", *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not store.runs() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    finished = {run.folder.name for run in store.runs()}
    assert 1 <= len(finished) < 6
    again = command_line(*arguments, cwd=tmp_path)
    assert len(json.loads(again.stdout)["table"]) == 3 * 2 * 2
    assert {run.folder.name for run in store.runs()} > finished
    assert len(store.runs()) == 6
    assert "steps = 150: 2 of 2 runs to train" not in again.stderr


def test_a_value_that_cannot_be_trained_does_not_cost_the_others(paper, tmp_path):
    eyes = "target_options={num_patients=12, images_per_patient=1, size=[32, 32]}"
    settings = ["--set", "learning_rate=0.001,1e30,0.01", "--set", "steps=4", "--set", eyes]
    command = ["sweep", paper, *settings, "--profile", "smoke", "--seeds", "0", "--output-root", tmp_path / "out"]
    done = command_line(*command, "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 1, found
    assert {row["value"] for row in found["table"]} == {0.001, 0.01}
    assert list(found["failures"]) == ["1e+30"]
    assert "runs failed" in found["failures"]["1e+30"]
    assert (Path(found["folder"]) / "sweep.png").is_file()


def test_a_sweep_of_which_nothing_can_be_trained_ends_with_its_error(paper, tmp_path):
    options = options_for(tmp_path)
    options["overrides"] = {**options["overrides"], "steps": 4}
    with pytest.raises(KitError, match="runs failed"):
        rk.sweep(paper, "learning_rate", [1e30, 2e30], seeds=[0], **options)
