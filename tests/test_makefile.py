"""Two makes at once in one clone: one installs, the other waits for it, whoever is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WAITS = "this one waits until it has finished"
PYTHON = f"""#!/bin/sh
case "$*" in
"-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; echo made >> log; cp pip .venv/bin/uv ;;
*) exec {sys.executable} "$@" ;;
esac
"""
PIP = """#!/bin/sh
touch .venv/pip-$$ && sleep 1 && test -e .venv/pip-$$ || { echo "the environment was taken away"; exit 1; }
"""

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def clone(tmp_path):
    """A folder with the Makefile and what it needs, a Python whose environments are empty and a slow pip."""
    (tmp_path / ".ci").mkdir()
    names = ("Makefile", "pyproject.toml", "requirements.lock", "requirements-cpu.lock", "requirements-dev.lock")
    for name in (*names, ".ci/one_at_a_time.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name, text in {"python": PYTHON, "pip": PIP}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def start(clone, *arguments):
    """Start make in a group of processes of its own; what it prints is in one pipe."""
    command = ["make", "PYTHON=./python", "PIP=./pip", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=clone, env=environment, start_new_session=True, **pipes)


def wait_until_it_installs(clone):
    """Wait until pip runs in the new environment."""
    until = time.monotonic() + 60
    while not list(clone.glob(".venv/pip-*")):
        assert time.monotonic() < until
        time.sleep(0.01)


def environments_made(clone):
    """Count how often an environment was made."""
    return (clone / "log").read_text().count("made")


@pytest.mark.parametrize("target", ["setup", ".venv/.developers"])
def test_of_two_makes_at_once_the_second_waits_and_finds_all_ready(clone, target):
    first = start(clone, target)
    wait_until_it_installs(clone)
    second = start(clone, target)
    texts = [make.communicate(timeout=60)[0] for make in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], texts
    assert WAITS in texts[1]
    assert WAITS not in texts[0] or target != "setup"  # the tools of developers are a second step: either may be first
    assert environments_made(clone) == 1
    third = start(clone, target)
    assert WAITS not in third.communicate(timeout=60)[0]
    assert environments_made(clone) == 1


def test_the_second_keeps_to_the_choice_that_the_first_makes(clone):
    first = start(clone, "setup", "TORCH=cpu")
    wait_until_it_installs(clone)
    second = start(clone, "setup")
    texts = [make.communicate(timeout=60)[0] for make in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], texts
    assert [path.name for path in clone.glob(".venv/.ready-*")] == [".ready-cpu"]
    assert environments_made(clone) == 1


def test_what_a_killed_make_started_is_waited_for(clone):
    first = start(clone, "setup")
    wait_until_it_installs(clone)
    second = start(clone, "setup")
    first.kill()  # make alone: the installation goes on without it
    text = second.communicate(timeout=60)[0]
    assert second.returncode == 0, text
    assert WAITS in text
    assert environments_made(clone) == 1


def test_a_make_killed_with_all_it_started_blocks_nobody(clone):
    first = start(clone, "setup")
    wait_until_it_installs(clone)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    second = start(clone, "setup")
    text = second.communicate(timeout=60)[0]
    assert second.returncode == 0, text
    assert environments_made(clone) == 2
    assert (clone / ".venv" / ".ready-default").is_file()
