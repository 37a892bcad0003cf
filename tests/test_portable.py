"""The kit runs without what only POSIX systems have."""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data"
WITHOUT_POSIX = Path(__file__).parent / "portable"
ONLY_POSIX = re.compile(
    r"\b(fcntl|import resource|sysconf|mkfifo|getppid|sched_getaffinity|SIGKILL|SIGHUP|geteuid|os\.fork|os\.kill)\b"
)


def kit(*arguments, cwd, **settings):
    """Run the command line in a process in which the kit finds nothing that only POSIX systems have."""
    paths = [str(WITHOUT_POSIX), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "retina_kit", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, **settings)


def test_no_module_names_what_only_posix_systems_have():
    for path in sorted((ROOT / "retina_kit").rglob("*.py")):
        code = ast.unparse(ast.parse(path.read_text()))
        assert not ONLY_POSIX.findall(code), path.name


def test_the_simulation_takes_them_away(tmp_path):
    code = "import fcntl, os; os.getppid(); exec('import fcntl', {'__name__': 'retina_kit.x'})"
    environment = os.environ | {"PYTHONPATH": str(WITHOUT_POSIX)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "No module named 'fcntl'" in done.stderr


@pytest.mark.slow
def test_two_workers_train_and_a_run_leaves_everything_it_promised(tmp_path):
    done = kit("run", "huang2023", "--profile", "smoke", "--workers", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs/huang2023/smoke-synthetic/notebook.html").is_file()


@pytest.mark.slow
def test_the_doctor_and_verify_answer(tmp_path):
    assert kit("doctor", cwd=tmp_path).returncode == 0
    if (REAL / "stare").is_dir():
        assert "stare: verified" in kit("data", "verify", "stare", "--data-root", REAL, cwd=tmp_path).stdout


@pytest.mark.slow
def test_the_lab_opens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join([str(WITHOUT_POSIX), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": paths}
    command = [sys.executable, "-m", "retina_kit", "lab", "--port", str(port), "--no-browser"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as lab:
        try:
            assert answers(f"http://127.0.0.1:{port}/api", seconds=60)
        finally:
            os.killpg(lab.pid, signal.SIGTERM)  # with the server that it started


def answers(address, seconds):
    """Return whether a server answers within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.3)
    return False
