"""What all tests share: one thread a process, slow files first, one training of the papers, a disk that fills up."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a test process per core; threads of two would wait for each other
gc.disable()  # until all tests are imported: what an import makes stays
PACKAGE = Path(__file__).resolve().parents[1] / "retina_kit"


def pytest_collection_modifyitems(items):
    """Begin with the files that hold slow tests, so that no worker waits for another at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish():
    """Search for garbage again, but not in what was imported, which took a tenth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_sessionfinish():
    """Put it back, for what looks for leaks at the end."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _ctrl_c():
    """Let every test begin with Python's own Ctrl-C: a shell, a package or an earlier test may have exchanged it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a smoke training of all papers: outputs/runs, and lines.json with the lines that were executed.

    The workers of pytest-xdist share it, so a test that writes copies it first.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "trained"
    with FileLock(f"{folder}.lock"):
        if not (folder / "lines.json").is_file():
            folder.mkdir()
            coverage, data = [sys.executable, "-m", "coverage"], f"--data-file={folder / 'coverage'}"
            train = ["-m", "retina_kit", "train", "--profile", "smoke", "--workers", "1"]
            for command in (["run", data, f"--source={PACKAGE}", *train], ["json", data, "-o", "lines.json"]):
                done = subprocess.run([*coverage, *command], cwd=folder, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 256 KiB; skipped where nothing may be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "small_disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
