"""The kit's other workloads, each in a process of its own: `python -m benchmarks.workloads NAME`."""

import argparse
import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.planning import plan_paper
from benchmarks.steps import seconds_of_steps, work_of_a_step
from benchmarks.workers import one_or_many
from retina_kit.data.augment import Augmentation
from retina_kit.data.synthetic.fundus import generate_fundus
from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.evaluation.scoring import score_masks
from retina_kit.evaluation.summary import summarize
from retina_kit.files import kit_root
from retina_kit.machine import peak_memory_mb
from retina_kit.models.build import build_model
from retina_kit.models.layout import to_device
from retina_kit.training.batches import Batches
from retina_kit.training.device import choose_device
from retina_kit.training.inference import predict_probability, window_starts
from retina_kit.training.recipe import Recipe

PAPERS = ("hu2018", "melinscak2020", "ortiz2022", "huang2023")


def vessel_net_crops(device, repeats):
    """huang2023: UNet-S5-D16 at full width on augmented crops of 256, auxiliary head included; batch 2 on a CPU."""
    batch, settings = 2 if device.type == "cpu" else 8, {"name": "unet_s5_d16", "head": "fcn"}
    image_set = generate_oct(2, 4, (496, 768), seed=0)
    recipe = Recipe(
        optimizer="sgd", learning_rate=0.01, batch_size=batch, steps=10**6, auxiliary_weight=0.4,
        augmentation=Augmentation(crop=256, ratio=(0.5, 2.0), flip=0.5),
    )  # fmt: skip
    batches = make_batches(image_set, recipe, device, in_channels=3)
    seconds = seconds_of_steps(build_model(settings), batches, recipe, device=device, num_steps=repeats)
    began = time.perf_counter()
    for step in range(10):
        batches.sample(step)
    drawing = (time.perf_counter() - began) / 10
    work = work_of_a_step(settings, (batch, 3, 256, 256), auxiliary=True)
    facts = {"batch": batch, "share spent on sampling the batch": round(drawing / statistics.median(seconds), 4)}
    return facts | timed(seconds, work)


def make_batches(image_set, recipe, device, in_channels=1):
    """Return scans as training batches."""
    targets = torch.from_numpy(image_set.masks["fluid"].view(np.uint8))
    return Batches(torch.from_numpy(image_set.images), targets, recipe, seed=0, device=device, in_channels=in_channels)


def timed(seconds, work=None):
    """Return the median and the spread of some durations, with the operations and bytes behind them."""
    median = statistics.median(seconds)
    facts = {"seconds": round(median, 4), "spread": round(max(seconds) - min(seconds), 4)}
    if work:
        facts |= {"gflop": round(work["flops"] / 1e9, 1), "gigabytes at least": round(work["bytes"] / 1e9, 2)}
        facts |= {"gflop_per_s": round(work["flops"] / median / 1e9, 1)}
    return facts


def sliding_windows(device, repeats):
    """huang2023: a whole test set, eight scans of 496x768 in 54 windows of 128 each, lesson width."""
    settings = {"name": "unet_s5_d16", "head": "fcn", "base_width": 16}
    image_set = generate_oct(2, 4, (496, 768), seed=0)
    batches = make_batches(image_set, Recipe(steps=1), device, in_channels=3)
    model = to_device(build_model(settings), device)
    seconds, images = [], torch.from_numpy(image_set.images)
    for _ in range(repeats + 1):
        began = time.perf_counter()
        predict_probability(model, batches, images, window=128, stride=85)
        seconds.append(time.perf_counter() - began)
    windows = len(images) * len(window_starts(496, 128, 85)) * len(window_starts(768, 128, 85))
    return {"windows": windows, "windows a second": round(windows / statistics.median(seconds[1:]))} | timed(
        seconds[1:]
    )


def drawing(device, repeats):
    """Images that the kit generates per second, OCT and fundus, 256x256 and (OCT) 1024x512."""
    speeds = {}
    for name, draw, size in (
        ("OCT 256x256", generate_oct, (256, 256)),
        ("fundus 256x256", generate_fundus, (256, 256)),
        ("OCT 1024x512", generate_oct, (1024, 512)),
    ):
        seconds = []
        for seed in range(repeats):
            began = time.perf_counter()
            draw(10, 4, size, seed=seed)
            seconds.append(time.perf_counter() - began)
        speeds[f"{name} a second"] = round(40 / statistics.median(seconds))
    return speeds


def imports(device, repeats):
    """Seconds until the package, its experiments and the command line are imported, each in a fresh interpreter."""
    codes = {
        "an empty interpreter": "pass",
        "retina_kit": "import retina_kit",
        "retina_kit.experiment": "import retina_kit.experiment",
        "retina-kit --help": "import sys; from retina_kit.cli import app; sys.argv[1:] = ['--help']; app()",
    }
    return {name: seconds_of_command([sys.executable, "-c", code], repeats) for name, code in codes.items()}


def seconds_of_command(command, repeats):
    """Return the median seconds that a command takes."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, cwd=kit_root(), capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds), 3)


def a_run(device, repeats):
    """`retina-kit run huang2023 --profile smoke`: start to the first trained replicate, all of it, and once more."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "retina_kit", "run", "huang2023", "--profile", "smoke"]
        command += ["--device", str(device), "--output-root", folder]
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=kit_root(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        first = next(time.perf_counter() - began for line in process.stderr if line.startswith("[1/"))
        process.communicate()
        whole = time.perf_counter() - began
        again = seconds_of_command(command, 1)
        cells = seconds_of_cells(Path(folder) / "huang2023" / "smoke-synthetic" / "notebook.ipynb")
    return {
        "to the first trained replicate (2 updates)": round(first, 1),
        "all of it, 20 replicates of 2 updates": round(whole, 1),
        "a finished run once more: notebook and pages only": again,
        "of which cells": round(sum(cells), 1),
        "of which the slowest three cells": [round(value, 1) for value in sorted(cells)[-3:]],
    }


def seconds_of_cells(notebook):
    """Return the seconds that papermill noted for each code cell."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell["metadata"]["papermill"]["duration"] for cell in cells if cell["cell_type"] == "code"]


def metrics_of_1000_images(device, repeats):
    """Score 1,000 images of 256x256 and take the interval over 100 patients."""
    generator = np.random.default_rng(0)
    probability = generator.random((1000, 256, 256), dtype=np.float32)
    truth = generator.random((1000, 256, 256), dtype=np.float32) > 0.9
    rows = pd.DataFrame({"id": np.arange(1000).astype(str), "patient": (np.arange(1000) // 10).astype(str)})
    scoring, interval = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        scores = score_masks(probability, truth, rows).assign(arm="a", seed=0)
        between = time.perf_counter()
        summarize(scores, ["dice"])
        scoring.append(between - began)
        interval.append(time.perf_counter() - between)
    return {"scoring": timed(scoring), "summary with 1 interval": timed(interval)}


WORKLOADS = {
    "huang2023_crops": vessel_net_crops,
    "sliding_windows": sliding_windows,
    "drawing": drawing,
    "imports": imports,
    "a_run": a_run,
    "metrics": metrics_of_1000_images,
    "workers": one_or_many,
    **{f"{paper}_lesson": functools.partial(plan_paper, paper, "lesson") for paper in PAPERS},
}
PLANS = {f"{paper}_paper": functools.partial(plan_paper, paper, "paper") for paper in PAPERS}  # for a GPU


def measure_workload(name, device, repeats, limit=None):
    """Run one workload in a process of its own and return its figures, or its error; `limit` is in seconds."""
    command = [sys.executable, "-m", "benchmarks.workloads", name, "--device", str(device), "--repeats", str(repeats)]
    try:
        done = subprocess.run(command, cwd=kit_root(), capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit:.0f} seconds"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Print the figures of one workload as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=[*WORKLOADS, *PLANS])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    figures = (WORKLOADS | PLANS)[options.name](choose_device(options.device), options.repeats)
    print(json.dumps(figures | {"peak_mb": peak_memory_mb()}))


if __name__ == "__main__":
    main()
