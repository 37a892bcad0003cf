"""`python -m benchmarks`: what `retina-kit bench` runs. See --help."""

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.compare import ROWS, WITHOUT_PEERS, compare, lines_of
from benchmarks.machine import describe_machine, write_json
from retina_kit.errors import KitError
from retina_kit.training.device import choose_device

RESULTS = Path(__file__).parent / "results"
COMPARED = {"unet_256": (256, 256), "unet_1024x512": (1024, 512)}


def parse(arguments=None):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="retina-kit bench", description="Measure this kit beside its peers.")
    parser.add_argument("--peers", action="store_true", help="with MONAI, smp + Lightning and Keras ([bench] extra)")
    parser.add_argument("--workload", action="append", help=f"{', '.join(COMPARED)}; repeatable")
    parser.add_argument("--repeats", type=int, default=3, help="turns that each rival takes")
    parser.add_argument("--steps", type=int, default=3, help="updates in a turn")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--save", metavar="NAME", help="write benchmarks/results/NAME.json and .png")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(arguments)


def measure(options):
    """Return all that was asked for, as JSON-able data."""
    device = choose_device(options.device)
    rows = list(ROWS) if options.peers else list(WITHOUT_PEERS)
    measured = {"machine": describe_machine(device), "command": " ".join(sys.argv[1:])}
    began = time.perf_counter()
    for name in options.workload or ["unet_256"]:
        if name not in COMPARED:
            raise KitError(f"no workload is called {name!r}; there are {', '.join(COMPARED)}")
        measured[name] = compare(COMPARED[name], batch=options.batch, device=device, rows=rows,
                                 repeats=options.repeats, num_steps=options.steps)  # fmt: skip
    return measured | {"seconds in all": round(time.perf_counter() - began)}


def main():
    """Measure, save where asked for, and print."""
    options = parse()
    measured = measure(options)
    if options.save:
        from benchmarks.plots import plot_comparisons

        write_json(RESULTS / f"{options.save}.json", measured)
        plot_comparisons(measured, RESULTS / f"{options.save}.png")
    if options.json:
        print(json.dumps(measured, indent=1, default=str))
        return
    for name, value in measured.items():
        lines = lines_of(value) if isinstance(value, dict) and "rows" in value else [f"{name}: {value}"]
        print("\n".join(lines))


if __name__ == "__main__":
    try:
        main()
    except KitError as error:
        print(f"retina-kit: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
