"""The day there is a GPU: one command, under ten minutes, one small JSON file.

    python -m benchmarks.gpu                         -> benchmarks/results/gpu.json, and a figure next to it

The most important comes first, and after every part the file is written again, so that a run that is cut short keeps
what it has. What was measured and what was multiplied up is stated in each part.
"""

import argparse
import sys
import time

from benchmarks.command import run
from benchmarks.compare import ROWS, compare, side_by_side
from benchmarks.machine import ceilings, describe_machine, write_json
from benchmarks.plots import plot
from benchmarks.workloads import PLANS, measure_workload
from retina_kit.files import kit_root
from retina_kit.training.device import choose_device

RESULTS = kit_root() / "benchmarks" / "results"
HOW = "updates of all replicates counted, seconds an update measured, seconds of the whole paper multiplied up"


def parts_of(device, num_steps):
    """Return (name, work) of every part, the most important first; work takes the seconds that are left."""
    rows, size = list(ROWS), (1024, 512) if device.type == "cuda" else (64, 64)
    parts = [
        ("unet_1024x512", lambda _: compare(size, batch=4, device=device, rows=rows, repeats=5, num_steps=num_steps)),
        *((name, lambda left, n=name: plan(n, device, min(left, 90))) for name in PLANS),
        ("side by side", lambda _: [at_once(count, device, num_steps) for count in (1, 2, 4, 8)]),
        ("huang2023_crops", lambda left: measure_workload("huang2023_crops", device, num_steps, left)),
        ("sliding_windows", lambda left: measure_workload("sliding_windows", device, 3, left)),
    ]
    return parts


def plan(name, device, limit):
    """Return how long a paper takes in profile `paper`, and how that is known."""
    return {"how": HOW} | measure_workload(name, device, 10, limit)


def at_once(count, device, num_steps):
    """Return the updates a second of several replicates of the U-Net at 128x128 that share the device."""
    return side_by_side(count, (128, 128), batch=4, device=device, num_steps=num_steps)


def main():
    """Measure part after part until the time is over, and keep each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--steps", type=int, default=20, help="updates in a turn")
    parser.add_argument("--save", default="gpu")
    options = parser.parse_args()
    device, end = choose_device(options.device), time.monotonic() + 60 * options.minutes
    measured = {"machine": describe_machine(device), "ceilings": ceilings(device)}
    for name, work in parts_of(device, options.steps):
        left = end - time.monotonic()
        measured[name] = work(left) if left > 15 else {"left out": "the time was over"}
        write_json(RESULTS / f"{options.save}.json", measured)
        print(f"{name}: {end - time.monotonic():.0f} s left", file=sys.stderr, flush=True)
    plot(measured, RESULTS / f"{options.save}.png")


if __name__ == "__main__":
    run(main)
