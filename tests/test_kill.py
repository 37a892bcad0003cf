"""A batch that was killed in the middle of an arm goes on and ends with the scores of an unbroken one."""

import os
import subprocess
import sys
import time

import pytest
from safetensors import safe_open

from tests.small_command import command_line

NUM_STEPS = 60
OFTEN = """
from retina_kit.cli import main
from retina_kit.runs.checkpoint import Checkpoint

Checkpoint.__init__.__kwdefaults__["every_seconds"] = 0.1  # so that a short arm has a checkpoint at all
main()
"""


def training(output_root):
    """Return the arguments that train a paper in profile smoke, its first arms made long enough to be killed."""
    settings = ["--profile", "smoke", "--seeds", "0", "--set", f"localizer_steps={NUM_STEPS}"]
    return ["train", "hu2018", *settings, "--output-root", str(output_root)]


def command(output_root):
    """Return the command of this training, with a checkpoint ten times a second."""
    return [sys.executable, "-c", OFTEN, *training(output_root)]


@pytest.fixture
def environment():
    """The environment of one thread, in which sums are always taken in one order."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def results_of(output_root):
    """Return {hash/file: bytes} of all that a batch has trained, but not what was measured on the way."""
    runs = output_root / "runs"
    paths = [path for path in runs.glob("[!.]*/*") if path.suffix in (".csv", ".safetensors")]
    return {str(path.relative_to(runs)): path.read_bytes() for path in paths}


def wait_for_checkpoint(process, output_root):
    """Return the first checkpoint that a training process writes."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        found = list((output_root / "runs" / ".unfinished").glob("*/checkpoint.safetensors"))
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint was written; the process ended with {process.poll()}")


@pytest.mark.slow
def test_a_killed_batch_goes_on_and_ends_as_an_unbroken_one(tmp_path, environment):
    broken = subprocess.Popen(command(tmp_path / "broken"), env=environment, stderr=subprocess.PIPE, text=True)
    checkpoint = wait_for_checkpoint(broken, tmp_path / "broken")
    broken.kill()
    broken.communicate()
    assert broken.returncode == -9

    with safe_open(checkpoint, framework="np") as file:
        num_done = len(file.get_tensor("losses"))
    assert 0 < num_done < NUM_STEPS
    key = checkpoint.parent.name
    assert not (tmp_path / "broken" / "runs" / key).exists()

    for name in ("broken", "unbroken"):
        done = command_line(*training(tmp_path / name), cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    expected = results_of(tmp_path / "unbroken")
    assert f"{key}/scores.csv" in expected
    assert len(expected) > 15
    assert results_of(tmp_path / "broken") == expected
    assert not list((tmp_path / "broken" / "runs").glob(".unfinished/*"))
    assert not list((tmp_path / "broken" / "runs").glob(".*.part*"))
