"""Frameworks take turns: each runs in its own process and pauses inside its own training loop until it is called again.

The child calls its `Pacer` after every update, from whatever callback its framework has. So nothing is imported,
warmed up or compiled twice, a slow minute of the machine hits all of them, and one framework's threads and memory do
not disturb another's.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import peak_gpu_memory_mb
from retina_kit.machine import free_memory, peak_memory_mb

MARK = "@@bench "
LEAST_MEMORY_MB = 2000  # what a framework may need; without it the system would kill somebody


class Pacer:
    """Counts updates in a framework's process and reports the seconds that a block of them took."""

    def __init__(self, warm_up=1, read=None):
        self.began, self.left, self.num_steps = time.perf_counter(), warm_up, warm_up
        self.read = read or sys.stdin.readline

    def __call__(self, *_):
        """Count one finished update; at the end of a block report it and wait for the next turn."""
        self.left -= 1
        if self.left == 0:
            self.report(seconds=time.perf_counter() - self.began, steps=self.num_steps, peak_mb=peak_memory_mb(),
                        peak_gpu_mb=peak_gpu_memory_mb())  # fmt: skip
            self.num_steps = self.left = int(self.read() or 0)
            if self.left == 0:
                sys.stdout.flush()
                os._exit(0)  # in the middle of a framework's loop there is no other polite way out
            self.began = time.perf_counter()

    @staticmethod
    def report(**facts):
        """Send facts to the process that watches."""
        print(MARK + json.dumps(facts), flush=True)


def main(train, versions):
    """Read a framework's task from the command line and hand it to `train(images, targets, task, pacer)`.

    Images are (N, H, W) uint8, targets (N, H, W) uint8 of 0 and 1. `versions` names the packages to report.
    """
    from importlib.metadata import version

    import numpy as np

    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", choices=["tutorial", "best", "2020"], default="tutorial")
    parser.add_argument("--images", required=True)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    task = parser.parse_args()
    Pacer.report(versions={name: version(name) for name in versions})
    with np.load(task.images) as arrays:
        images, targets = arrays["images"], arrays["targets"]
    train(images, targets, task, Pacer())


class Rival:
    """A framework's process, seen from the one that measures; `error` states why it could not take part."""

    def __init__(self, module, settings, image_set, batch, device, root):
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  lives as long as the process
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", "--settings", settings, "--images",
                   str(image_set), "--batch", str(batch), "--device", device]  # fmt: skip
        self.peak_gpu_mb = None
        self.seconds, self.peak_mb, self.versions, self.first, self.error = [], 0, {}, None, ""
        if free_memory() < LEAST_MEMORY_MB * 2**20:
            command = [sys.executable, "-c", f"raise SystemExit('less than {LEAST_MEMORY_MB} MiB of memory are left')"]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env=os.environ | {"PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        facts = self._hear() if self._take(self._hear()) else None
        if self._take(facts):
            self.first = time.perf_counter() - began

    def turn(self, num_steps):
        """Let the framework do some updates; their seconds an update are kept."""
        self.ask(num_steps)
        self.answer()

    def ask(self, num_steps):
        """Let the framework begin some updates."""
        if not self.error:
            try:
                self.process.stdin.write(f"{num_steps}\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                self._take(None)

    def answer(self):
        """Wait until the updates are done; their seconds an update are kept."""
        if not self.error:
            facts = self._hear()
            if self._take(facts):
                self.seconds.append(facts["seconds"] / facts["steps"])

    def stop(self):
        """End the framework's process."""
        try:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()

    def _take(self, facts):
        if facts is None:
            self.process.wait()
            self.log.seek(0)
            lines = [line.strip() for line in self.log.read().splitlines() if line.strip()]
            self.error = self.error or (lines[-1] if lines else f"ended with {self.process.returncode}")
            return False
        self.versions |= facts.get("versions", {})
        self.peak_mb = max(self.peak_mb, facts.get("peak_mb", 0))
        self.peak_gpu_mb = facts.get("peak_gpu_mb", self.peak_gpu_mb)
        return True

    def _hear(self):
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line[len(MARK) :])
        return None


def save_images(images, targets, folder):
    """Write images and targets as the file that every framework reads, and return its path."""
    import numpy as np

    path = Path(folder) / "images.npz"
    np.savez(path, images=images, targets=targets)
    return path
