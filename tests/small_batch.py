"""A batch of small arms as a process of its own, to be killed, stopped and put beside another.

python small_batch.py STORE DIARY [--workers N] [--steps N] [--arms N] [--slow SECONDS]
"""

import argparse
import signal
import sys
import time
from pathlib import Path

import torch
from small_arm import small_arm, small_jobs

from retina_kit.errors import Interrupted
from retina_kit.runs.checkpoint import Checkpoint
from retina_kit.runs.plan import run_jobs
from retina_kit.runs.progress import TrainingProgress
from retina_kit.runs.store import RunStore


def arms(steps):
    """Return four small arms: a parent, its child and two alone."""
    made = [small_arm(name, recipe={"steps": steps, "learning_rate": rate}) for name, rate in
            (("parent", 0.01), ("alone", 0.02), ("last", 0.03))]  # fmt: skip
    child = small_arm("child", start={"parent": "parent", "parts": ["encoder"]}, recipe={"steps": steps})
    return [made[0], child, *made[1:]]


class Noting(TrainingProgress):
    """The real progress display, which also notes every step in a file and can slow them down."""

    def __init__(self, jobs, diary, slow):
        super().__init__(jobs)
        self.diary, self.slow = Path(diary).open("a", buffering=1), slow  # noqa: SIM115  open as long as the process

    def step(self, key, step, num_steps, loss, scores):
        """Note a step."""
        self.diary.write(f"{key} {step}\n")
        time.sleep(self.slow)
        return super().step(key, step, num_steps, loss, scores)


def main():
    """Run the batch; exit codes as the command line's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("diary")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--arms", type=int, default=4)
    parser.add_argument("--slow", type=float, default=0.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    Checkpoint.__init__.__kwdefaults__["every_seconds"] = 0.05
    jobs = small_jobs(arms(options.steps)[: options.arms])
    try:
        with Noting(jobs, options.diary, options.slow) as progress:
            outcomes = run_jobs(jobs, RunStore(options.store), data_root="nowhere", device="cpu",
                                workers=options.workers, progress=progress)  # fmt: skip
    except (Interrupted, KeyboardInterrupt) as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another Ctrl-C does not change how this ends
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(130)
    errors = [str(outcome) for outcome in outcomes.values() if isinstance(outcome, Exception)]
    sys.exit("\n".join(errors) or 0)


if __name__ == "__main__":
    main()
