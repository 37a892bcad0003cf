"""Which share of the float32 ceiling the most expensive arms of the lessons reach, and where the rest goes.

    python -m benchmarks.ceiling --save ceiling                       # synthetic data, one thread, float32
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 python -m benchmarks.ceiling

The second line leaves out all instructions that a processor with AVX2 only would not have.
"""

import argparse
import functools
import json
import os
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import convolution_speed, describe_machine, matrix_speed, write_json
from retina_kit.experiment import Experiment
from retina_kit.experiment_file import list_papers
from retina_kit.training.loop import fit
from retina_kit.training.prepare import prepare_arm, start_model

KINDS = {  # operators of torch's profiler; the first kind whose part occurs in a name counts
    "convolutions": ("convolution",),
    "BatchNorm": ("batch_norm",),
    "interpolation": ("upsample", "grid_sampler"),
    "pooling": ("pool",),
    "optimizer": ("foreach", "fused_adam", "addcdiv", "lerp"),
}
CPU = torch.device("cpu")


def most_expensive(experiment):
    """Return the trained arm with the most operations, steps x FLOP of a step, and the FLOP of its step."""
    found = {}
    for arm in experiment.arms:
        _, model, batches = started(arm)
        if len(batches):
            with FlopCounterMode(display=False) as counter:
                fit(model, batches, arm.recipe, device=CPU, precision="float32", watch=lambda *_: True)
            found[arm.name] = (
                counter.get_total_flops() * len(batches) * (arm.folds or 1),
                arm,
                counter.get_total_flops(),
            )
    return max(found.values(), key=lambda entry: entry[0])[1:]


def started(arm, device=CPU):
    """Return an arm's task, its network before the first step and its batches."""
    task = prepare_arm(arm, 0, 0 if arm.folds else None, "data")
    return task, start_model(arm, 0), task.make_batches(0, device)


def seconds_a_step(arm, steps):
    """Return the median seconds of a training step without validation."""
    _, model, batches = started(arm)
    marks = []

    def watch(step, *_):
        marks.append(time.perf_counter())
        return step == steps

    train = functools.partial(fit, model, batches, arm.recipe, device=CPU, precision="float32", watch=watch)
    train()
    return median(later - earlier for earlier, later in pairwise(marks)), train


def shares_of_time(train):
    """Profile some steps; return the share of each kind of operator in the time that operators take themselves."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        train()
    times = {entry.key: entry.self_cpu_time_total for entry in profiler.key_averages()}
    whole, shares = sum(times.values()), dict.fromkeys([*KINDS, "everything else"], 0.0)
    for name, own in times.items():
        kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "everything else")
        shares[kind] += own / whole
    return {kind: round(share, 3) for kind, share in shares.items()}


def main():
    """Measure one arm per paper."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--save", metavar="NAME")
    options = parser.parse_args()
    torch.set_num_threads(1)
    limits = {name: os.environ[name] for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY") if name in os.environ}
    measured = {"machine": describe_machine(CPU) | limits, "arms": {}}
    for paper in list_papers():
        arm, flop = most_expensive(Experiment(paper, profile="lesson"))
        seconds, train = seconds_a_step(arm, options.steps)
        best = max(matrix_speed(CPU, torch.float32, 5), convolution_speed(torch.float32, 5))
        measured["arms"][f"{paper}: {arm.name}"] = {
            "GFLOP/s": round(flop / seconds / 1e9, 1),
            "ceiling, GFLOP/s": round(best / 1e9, 1),
            "share of the ceiling": round(flop / seconds / best, 3),
            "shares of the time": shares_of_time(train),
        }
    print(json.dumps(measured, indent=1))
    if options.save:
        write_json(Path(__file__).parent / "results" / f"{options.save}.json", measured)


if __name__ == "__main__":
    main()
