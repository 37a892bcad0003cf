"""The clock of one run of `time-to-dice`: it stops while the test images are scored, by the same code for everybody.

A framework's process reads its task with `main`, starts the clock where its training starts (before it builds
network, optimizer and caches) and calls it after every update, from its own training loop. The clock counts training
only, and ends the process as soon as the test Dice reaches the level or the time is over.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.pacer import Pacer
from retina_kit.evaluation.metrics import pooled_scores
from retina_kit.machine import peak_memory_mb

Predict = Callable[[np.ndarray], torch.Tensor]  # uint8 (n, C, h, w) -> probability (n, h, w)
Update = Callable[[Predict], None]
EVERY, SHARE = 0.5, 0.1  # the test images are scored every 0.5 s of training, or every 10 % of it if that is longer


@dataclass(frozen=True)
class DiceTask:
    """What one run is given: images uint8 (N, C, h, w), targets uint8 (N, h, w) of 0 and 1, seed and settings."""

    name: str
    images: np.ndarray
    targets: np.ndarray
    seed: int
    settings: str
    folder: str  # of files that a framework has prepared before the clock starts

    @property
    def channels(self) -> int:
        """Return the number of color channels."""
        return self.images.shape[1]


class DiceClock:
    """Measures training time and the pooled Dice of the test images, `masks` bool (n, H, W) at their own size."""

    def __init__(
        self,
        images: np.ndarray,
        masks: np.ndarray,
        level: float,
        cap: float,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.images, self.masks, self.level, self.cap, self.now = images, masks, level, cap, now
        self.began = self.cpu = self.due = 0.0
        self.updates, self.curve = 0, []

    def start(self) -> None:
        """Begin to count: what follows is training."""
        self.began, self.cpu = self.now(), time.process_time()

    def __call__(self, predict: Predict) -> bool:
        """Count one update and score the test images if it is time; tells whether the run is over."""
        paused, cpu = self.now(), time.process_time()
        self.updates += 1
        seconds = paused - self.began
        if seconds < self.due and seconds < self.cap:
            return False
        dice = pooled_dice(predict(self.images), self.masks)
        self.curve.append([round(seconds, 3), round(dice, 4), self.updates])
        self.due = seconds + max(EVERY, SHARE * seconds)
        over = dice >= self.level or seconds >= self.cap
        if over:
            Pacer.report(
                curve=self.curve,
                reached=bool(dice >= self.level),
                seconds=round(seconds, 3),
                cpu_seconds=round(cpu - self.cpu, 2),
                updates=self.updates,
                peak_mb=peak_memory_mb(),
            )
        self.began += self.now() - paused
        self.cpu += time.process_time() - cpu
        return over


def pooled_dice(probability: torch.Tensor, masks: np.ndarray) -> float:
    """Return the Dice of all images as one, at the size of the masks and a threshold of 0.5.

    >>> pooled_dice(torch.tensor([[[0.9, 0.8]], [[0.7, 0.2]]]), np.array([[[True, False]], [[True, False]]]))
    0.8
    """
    resized = F.interpolate(probability[:, None].float(), size=masks.shape[-2:], mode="bilinear")[:, 0]
    return float(pooled_scores((resized > 0.5).numpy(), masks)["dice"])


def stop_process() -> None:
    """End the process at once: in the middle of a framework's loop there is no other polite way out."""
    sys.stdout.flush()
    os._exit(0)


def main(train: Callable[[DiceTask, Update, DiceClock], None], versions: Sequence[str]) -> None:
    """Read a run from the command line and hand it to `train(task, update, clock)`.

    `train` calls `clock.start()` and after every update `update(predict)`, which ends the process once the run is over.
    """
    from importlib.metadata import version

    parser = argparse.ArgumentParser()
    for name in ("task", "arrays", "settings", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--level", type=float, required=True)
    parser.add_argument("--cap", type=float, required=True)
    parser.add_argument("--processor-time", action="store_true", help="count the process's seconds on all cores")
    asked = parser.parse_args()
    Pacer.report(versions={name: version(name) for name in versions})
    now = time.process_time if asked.processor_time else time.perf_counter
    with np.load(asked.arrays) as arrays:
        clock = DiceClock(arrays["test_images"], arrays["test_masks"], asked.level, asked.cap, now)
        task = DiceTask(asked.task, arrays["images"], arrays["targets"], asked.seed, asked.settings, asked.folder)
    torch.manual_seed(asked.seed)
    np.random.seed(asked.seed)  # noqa: NPY002  the seed that frameworks read

    def update(predict: Predict) -> None:
        if clock(predict):
            stop_process()

    train(task, update, clock)
