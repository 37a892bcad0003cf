"""Seconds of training until the test images first reach a Dice: this kit and three frameworks, in one run.

    retina-kit bench --workload time-to-dice --repeats 5 --data-root data   (packs in data; [bench] and [nnunet] extras)
    python -m benchmarks.time_to_dice choose --data-root data               (the settings, on training patients only)

Every run is a process of its own. For each seed all frameworks take their turn, then the next seed follows, so that a
slow minute of the machine affects all of them. The clock (`dice_clock.py`) starts where training starts and stands
still while test images are scored; imports and preprocessing are reported apart.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import write_json
from benchmarks.pacer import MARK
from retina_kit.data.collection import ImageSet
from retina_kit.data.dataset import load_images
from retina_kit.data.splits import published
from retina_kit.data.transforms import resize_images, resize_masks
from retina_kit.files import kit_root

THE_KIT, CAP = "this kit", 240.0  # seconds of training


@dataclass(frozen=True)
class Level:
    """A data set, the structure to segment, the size (h, w) at which everybody trains, and the Dice to reach."""

    pack: str
    mask: str
    size: tuple[int, int]
    dice: float
    validation: tuple[str, ...]  # training patients on which settings are chosen


@dataclass(frozen=True)
class Row:
    """A framework: its module in `peers`, the settings it takes, the ones to choose from, and what it is in words."""

    module: str
    settings: str
    candidates: tuple[str, ...]
    what: str
    prepares: bool = False  # it writes files before the clock starts
    seeds: int = 5  # at most; fewer where a run takes minutes


LEVELS = {
    "fluid": Level("oct_dme_chiu2015", "union", (160, 256), 0.60, ("04", "08")),
    "disc": Level("idrid_seg_1024", "disc", (128, 192), 0.90, tuple(f"IDRiD_{number}" for number in range(41, 55))),
}
ROWS = {
    THE_KIT: Row("dice_kit", "chosen", ("wide", "deep", "deep resized", "whole resized"), "training/loop.py, U-Net"),
    "MONAI": Row("dice_monai", "fast", ("fast", "tutorial"), "fast training tutorial in 2D, CacheDataset"),
    "smp + Lightning": Row(
        "dice_smp",
        "FPN timm-tf_efficientnet_lite0 imagenet 2e-4",
        ("FPN timm-tf_efficientnet_lite0 imagenet 2e-4", "Unet timm-tf_efficientnet_lite0 imagenet 2e-4"),
        "binary segmentation example: FPN, ImageNet encoder",
    ),
    "nnU-Net v2": Row(
        "dice_nnunet", "default", ("default",), "nnUNetv2_train 2d all -device cpu", prepares=True, seeds=1
    ),
}


def save_arrays(level: Level, image_set: ImageSet, path: Path, *, choose: bool = False) -> None:
    """Write what every framework reads: images and targets at working size, test images, test masks at their own size.

    With `choose` the test images are those of training patients who are then not trained on; the real ones stay unseen.
    """
    train, test = published(image_set.rows)
    if choose:
        held_out = image_set.rows["patient"].isin(level.validation).to_numpy()[train]
        train, test = train[~held_out], train[held_out]
    images, masks = resize_images(image_set.images, level.size), image_set.masks[level.mask]
    targets = resize_masks(masks, level.size).view(np.uint8)
    np.savez(path, images=images[train], targets=targets[train], test_images=images[test], test_masks=masks[test])


def run_once(
    row: Row, task: str, folder: Path, *, seed: int, cap: float, processor_time: bool = False
) -> dict[str, Any]:
    """Train one framework with one seed in a process of its own; return what its clock measured, or its error.

    The clock counts seconds of wall time, with `processor_time` those that the process spends on all cores.
    """
    command = [sys.executable, "-m", f"benchmarks.peers.{row.module}", "--task", task, "--settings", row.settings]
    command += ["--arrays", str(folder / f"{task}.npz"), "--folder", str(folder / task), "--seed", str(seed)]
    command += ["--level", str(LEVELS[task].dice), "--cap", str(cap)]
    command += ["--processor-time"] * processor_time
    began, facts = time.perf_counter(), {}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=kit_root(), stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(kit_root())},
        )  # fmt: skip
        for line in process.stdout:
            if line.startswith(MARK):
                facts |= json.loads(line[len(MARK) :])
            if "curve" in facts:
                break
        end_group(process)
        log.seek(0)
        error = last_line(log.read()) or f"ended with {process.returncode}"
    facts["wall"] = round(time.perf_counter() - began, 1)
    return facts if "curve" in facts else facts | {"error": error}


def end_group(process: subprocess.Popen) -> None:
    """End a framework's process together with the workers that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def measure_time_to_dice(
    data_root: str | Path,
    rows: Mapping[str, Row] = ROWS,
    *,
    seeds: int,
    cap: float,
    tasks: Sequence[str] = tuple(LEVELS),
    choose: bool = False,
    processor_time: bool = False,
    keep: Callable[[dict[str, Any]], object] = lambda measured: None,
) -> dict[str, Any]:
    """Return every run of every framework, seed by seed, and their summary.

    With `choose` the test images are those of training patients. With `processor_time` the seconds that a process
    computes are counted instead of wall time: on a machine that is busy with something else, wall time tells nothing.
    `keep` is called with what there is after every run.
    """
    image_sets = {task: load_images(LEVELS[task].pack, data_root, masks=[LEVELS[task].mask]) for task in tasks}
    runs: list[dict[str, Any]] = []
    measured = {
        "what": f"seconds of {'processor' if processor_time else 'wall'} time of training until the pooled Dice of the "
        "test images is reached, scoring excluded",
        "levels": {task: {"Dice": LEVELS[task].dice, "size": list(LEVELS[task].size)} for task in tasks},
        "cap": cap,
        "prepared": [],
    }
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        for task, image_set in image_sets.items():
            save_arrays(LEVELS[task], image_set, folder / f"{task}.npz", choose=choose)
            measured["prepared"] += [prepare(name, row, task, folder) for name, row in rows.items() if row.prepares]
        for seed, task, name in itertools.product(range(seeds), tasks, rows):
            if seed < rows[name].seeds:
                found = run_once(rows[name], task, folder, seed=seed, cap=cap, processor_time=processor_time)
                runs.append({"task": task, "row": name, "seed": seed} | found)
                print(line_of(runs[-1]), file=sys.stderr, flush=True)
                keep(measured | {"table": table_of(runs, rows, tasks), "runs": runs})
    return measured | {"table": table_of(runs, rows, tasks), "runs": runs}


def table_of(runs: Sequence[dict[str, Any]], rows: Mapping[str, Row], tasks: Sequence[str]) -> list[dict[str, Any]]:
    """Return the summary of every framework that has run, a task after the other."""
    done = {(run["task"], run["row"]) for run in runs}
    return [
        summary(task, name, runs) | {"what": row.what}
        for task in tasks
        for name, row in rows.items()
        if (task, name) in done
    ]


def prepare(name: str, row: Row, task: str, folder: Path) -> dict[str, Any]:
    """Let a framework prepare its files; its seconds are reported apart."""
    began = time.perf_counter()
    command = [sys.executable, "-m", f"benchmarks.peers.{row.module}", "prepare"]
    command += [str(folder / f"{task}.npz"), str(folder / task)]
    done = subprocess.run(command, cwd=kit_root(), capture_output=True, text=True, check=False)
    found = {"row": name, "task": task, "seconds": round(time.perf_counter() - began, 1)}
    return found if done.returncode == 0 else found | {"error": last_line(done.stderr)}


def summary(task: str, row: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return median and range over the seeds of a framework; a run that did not reach the level counts as longer.

    >>> runs = [{"task": "a", "row": "b", "reached": s < 9, "seconds": s} for s in (3.0, 9.0, 2.0)]
    >>> summary("a", "b", runs)
    {'task': 'a', 'row': 'b', 'reached': '2 of 3', 'median': 3.0, 'lowest': 2.0, 'highest': None}
    """
    own = [run for run in runs if (run["task"], run["row"]) == (task, row)]
    facts = {"task": task, "row": row}
    if errors := [run["error"] for run in own if "error" in run]:
        return facts | {"error": errors[0]}
    seconds = sorted(run["seconds"] if run["reached"] else math.inf for run in own)
    middle = statistics.median(seconds)
    found = {"median": middle, "lowest": seconds[0], "highest": seconds[-1]}
    reached = f"{sum(value < math.inf for value in seconds)} of {len(seconds)}"
    return facts | {"reached": reached} | {name: v if v < math.inf else None for name, v in found.items()}


def line_of(run: dict[str, Any]) -> str:
    """Return one run as a line."""
    what = f"{run['task']}, {run['row']}, seed {run['seed']}"
    if "error" in run:
        return f"{what}: {run['error']}"
    reached, best = "reached" if run["reached"] else "not reached", max(dice for _, dice, _ in run["curve"])
    return f"{what}: {reached} after {run['seconds']} s, {run['updates']} updates, best Dice {best}"


def lines_of_dice(measured: dict[str, Any]) -> list[str]:
    """Return the summary as lines for people: median, range, and the multiple of the kit's median."""
    lines = [measured["what"]]
    own = {row["task"]: row.get("median") for row in measured["table"] if row["row"] == THE_KIT}
    for row in measured["table"]:
        name = f"  {row['task']:6} {row['row']:28}"
        if "error" in row:
            lines.append(f"{name} could not take part: {row['error']}")
            continue
        low, middle, high = (number(row[key], measured["cap"]) for key in ("lowest", "median", "highest"))
        kit = own.get(row["task"])
        ratio = f", {row['median'] / kit:.1f} times the kit's" if row["median"] and kit else ""
        lines.append(f"{name} {middle} s ({low} to {high}), reached by {row['reached']}{ratio}")
    return lines


def number(seconds: float | None, cap: float) -> str:
    """Return seconds as text, "> cap" where the level was not reached.

    >>> number(3.21, 240), number(None, 240)
    ('3.2', '> 240')
    """
    return f"> {cap:.0f}" if seconds is None else f"{seconds:.1f}"


def main() -> None:
    """Compare the candidates of every framework on training patients and print them, or run the comparison itself."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["choose", "measure"])
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cap", type=float, default=CAP)
    parser.add_argument("--row", action="append", choices=ROWS, help="repeatable; all by default")
    parser.add_argument("--task", action="append", choices=LEVELS, help="repeatable; both by default")
    parser.add_argument("--processor-time", action="store_true", help="count processor time, for a busy machine")
    parser.add_argument("--save", type=Path, help="file for the figures, written after every run")
    asked = parser.parse_args()
    rows = {name: ROWS[name] for name in asked.row or ROWS}
    if asked.what == "choose":
        rows = {
            f"{name}, {settings}": replace(row, settings=settings)
            for name, row in rows.items()
            for settings in row.candidates
        }
    found = measure_time_to_dice(
        asked.data_root,
        rows,
        seeds=asked.seeds,
        cap=asked.cap,
        tasks=asked.task or tuple(LEVELS),
        choose=asked.what == "choose",
        processor_time=asked.processor_time,
        keep=lambda measured: write_json(asked.save, measured) if asked.save else None,
    )
    print("\n".join(lines_of_dice(found)))


if __name__ == "__main__":
    main()
