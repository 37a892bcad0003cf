"""`python -m benchmarks`: what `retina-kit bench` runs. See --help."""

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.command import run
from benchmarks.compare import ROWS, WITHOUT_PEERS, compare, lines_of
from benchmarks.growth import CURVES, measure_curve
from benchmarks.machine import ceilings, describe_machine, share_of_ceiling, write_json
from benchmarks.time_to_dice import CAP, lines_of_dice, measure_time_to_dice
from benchmarks.workloads import WORKLOADS, measure_workload
from retina_kit.errors import UsageError
from retina_kit.training.device import choose_device

RESULTS = Path(__file__).parent / "results"
COMPARED = {"unet_256": (256, 256), "unet_1024x512": (1024, 512)}
TIME_TO_DICE = "time-to-dice"
NAMES = (*COMPARED, *WORKLOADS, *CURVES, TIME_TO_DICE)
GROUPS = {"all": NAMES[:-1], "others": tuple(WORKLOADS), "growth": tuple(CURVES)}
OTHERS = "all (what needs no data), others (no frameworks), growth (the curves)"


def parse(arguments=None):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="retina-kit bench", description="Measure this kit against its peers.")
    parser.add_argument("--peers", action="store_true", help="with MONAI, smp + Lightning and Keras ([bench] extra)")
    parser.add_argument("--workload", action="append", help=f"{', '.join(NAMES)}; repeatable; others: {OTHERS}")
    parser.add_argument("--repeats", type=int, default=3, help="turns that each framework takes, or its seeds")
    parser.add_argument("--steps", type=int, help="updates in a turn; by default one pass over the images")
    parser.add_argument(
        "--together", type=int, default=len(ROWS), help="frameworks alive at once; fewer need less memory"
    )
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data-root", default="data", help=f"folder of the real data sets, for {TIME_TO_DICE}")
    parser.add_argument("--cap", type=float, default=CAP, help=f"seconds of training in {TIME_TO_DICE}")
    parser.add_argument("--processor-time", action="store_true", help=f"{TIME_TO_DICE} on a machine that is busy")
    parser.add_argument("--save", metavar="NAME", help="write benchmarks/results/NAME.json and .png")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(arguments)


def measure(options):
    """Return all that was asked for, as JSON-able data."""
    device = choose_device(options.device)
    asked = [part for name in options.workload or ["unet_256"] for part in GROUPS.get(name, [name])]
    for name in asked:
        if name not in NAMES:
            raise UsageError(f"no workload is called {name!r}; there are {', '.join((*NAMES, *GROUPS))}")
    measured = {"machine": describe_machine(device), "command": " ".join(sys.argv[1:])}
    if set(asked) & set(WORKLOADS):
        measured["ceilings"] = ceilings(device)
    for name in asked:
        began = time.perf_counter()
        measured[name] = measure_one(name, options, device)
        print(f"{name}: measured in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        if options.save:  # after every part, so that a run that is cut short keeps what it has
            write_json(RESULTS / f"{options.save}.json", with_shares(measured))
    return with_shares(measured)


def measure_one(name, options, device):
    """Return one workload, one comparison or one curve."""
    if name in WORKLOADS:
        return measure_workload(name, device, options.repeats)
    if name in CURVES:
        return measure_curve(name)
    if name == TIME_TO_DICE:
        return measure_time_to_dice(
            options.data_root, seeds=options.repeats, cap=options.cap, processor_time=options.processor_time
        )
    rows = list(ROWS) if options.peers else list(WITHOUT_PEERS)
    return compare(COMPARED[name], batch=options.batch, device=device, rows=rows, repeats=options.repeats,
                   num_steps=options.steps, together=options.together)  # fmt: skip


def with_shares(measured):
    """Add to every workload that counts its operations which share of the matrix ceiling it reached."""
    for figures in measured.values():
        if isinstance(figures, dict) and "gflop_per_s" in figures:
            figures |= share_of_ceiling(figures["gflop_per_s"] * 1e9, measured["ceilings"])
    return measured


def lines_for_people(name, figures):
    """Return one entry as lines."""
    if not isinstance(figures, dict):
        return [f"{name}: {figures}"]
    if "levels" in figures:
        return lines_of_dice(figures)
    if "rows" in figures:
        return lines_of(figures)
    return [f"{name}:", *(f"  {key}: {value}" for key, value in figures.items() if key != "measured")]


def main():
    """Measure, save where asked for, and print."""
    options = parse()
    measured = measure(options)
    if options.save:
        from benchmarks.plots import plot

        plot(measured, RESULTS / f"{options.save}.png")
    if options.json:
        print(json.dumps(measured, indent=1, default=str))
        return
    print("\n".join(line for name, figures in measured.items() for line in lines_for_people(name, figures)))


if __name__ == "__main__":
    run(main)
