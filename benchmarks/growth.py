"""How time and memory grow: with images, image size, width and arms. `python -m benchmarks.growth CURVE`.

Every point is a process of its own, so that its peak memory is its own; what the imports hold is taken off. A
slope is that of log(cost) against log(what grows) over the upper half of the curve: 1 is proportional, 2 quadratic.
"""

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from benchmarks.steps import seconds_of_steps
from benchmarks.workloads import make_batches
from retina_kit.data import large_arrays
from retina_kit.data.card import Card
from retina_kit.data.dataset import load_images
from retina_kit.data.manifest import MANIFEST_FILE, parse_manifest
from retina_kit.data.splits import Split, choose_split
from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.errors import KitError
from retina_kit.files import kit_root
from retina_kit.models.build import build_model, network
from retina_kit.packs.custom import new_pack
from retina_kit.runs.execute import identity_of
from retina_kit.runs.plan import plan_jobs
from retina_kit.runs.store import canonical_hash
from retina_kit.training.arm import Arm, Data
from retina_kit.training.recipe import Recipe


def manifest_rows(count):
    """Seconds to read, check and split a manifest of `count` rows."""
    card = Card(
        name="grown",
        title="a grown data set",
        home="own images",
        license="own",
        access="own",
        redistribute=False,
        citation="none",
        modality="oct",
        channels=1,
        how_to_get="generated",
        masks={"fluid": "fluid"},
    )
    rows = pd.DataFrame({"id": [f"p{k}" for k in range(count)], "patient": [f"s{k // 5}" for k in range(count)]})
    rows = rows.assign(split="", image="images/" + rows["id"] + ".png", image_sha256="0" * 64)
    rows = rows.assign(mask_fluid="masks/" + rows["id"] + ".png", mask_fluid_sha256="0" * 64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grown.csv"
        rows.to_csv(path, index=False)
        began = time.perf_counter()
        read = parse_manifest(path, card)
        choose_split(read, Split("patients", test_fraction=0.2, seed=0), fold=None, seed=0)
        return time.perf_counter() - began


def images_held(count):
    """Seconds to generate `count` scans of 128x128 and to sample ten batches of them, all in memory as uint8."""
    began = time.perf_counter()
    batches = make_batches(
        generate_oct(max(1, count // 10), 10, (128, 128), seed=0), Recipe(steps=10), torch.device("cpu")
    )
    for step in range(10):
        batches.sample(step)
    return time.perf_counter() - began


def images_read(count):
    """Seconds to decode, verify and hold `count` PNG files of 128x128 with a mask each, and to sample ten batches.

    A hundred files are written at most; a larger manifest names them again and again.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_pack(Path(folder), count)
        began = time.perf_counter()
        image_set = load_images("grown", folder, masks=["fluid"])
        batches = make_batches(image_set, Recipe(steps=10), torch.device("cpu"))
        for step in range(10):
            batches.sample(step)
        return time.perf_counter() - began


def write_pack(folder, count):
    """Write synthetic scans as a pack of one's own whose manifest has `count` rows."""
    drawn = generate_oct(10, min(count, 100) // 10, (128, 128), seed=0)
    for place in ("images", "masks"):
        (folder / place).mkdir()
    for name, image, mask in zip(drawn.rows["id"], drawn.images[:, 0], drawn.masks["fluid"], strict=True):
        cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask * np.uint8(255))
    rows = new_pack("grown", folder / "images", folder / "masks", ".*", folder, mask_name="fluid").rows
    many = pd.concat([rows] * (count // len(rows)), ignore_index=True)
    many["id"] = [f"{name}_{k}" for k, name in enumerate(many["id"])]
    many.to_csv(folder / "grown" / MANIFEST_FILE, index=False)


def images_mapped(count):
    """The same where no memory is free, so that the images are mapped from files."""
    large_arrays.free_memory = lambda: 0
    return images_read(count)


def image_size(side):
    """Seconds an update of the 7,759,521-weight U-Net, batch 4, at side x side."""
    return seconds_an_update({"name": "unet"}, side)


def width(channels):
    """Seconds an update at 128x128 of a U-Net whose first level has that many channels."""
    return seconds_an_update({"name": "unet", "widths": [channels * 2**level for level in range(5)]}, 128)


def seconds_an_update(settings, side, num_steps=3):
    """Return the median seconds of an update in the kit's loop, batch 4."""
    recipe, device = Recipe(loss="soft_dice", batch_size=4, steps=10**6), torch.device("cpu")
    batches = make_batches(generate_oct(1, 4, (side, side), seed=0), recipe, device)
    return statistics.median(
        seconds_of_steps(build_model(settings), batches, recipe, device=device, num_steps=num_steps)
    )


def arms(count):
    """Seconds to plan `count` arms: check each recipe and network, describe it, hash it."""
    many = [
        Arm(
            f"arm{k}",
            role="control",
            data=Data("synthetic_oct", mask="fluid"),
            split=Split("patients", test_fraction=0.2, seed=0),
            model=network("unet", widths=[4, 8]),
            recipe=Recipe(steps=1, learning_rate=1e-3 / (k + 1)),
        )
        for k in range(count)
    ]
    canonical_hash(identity_of(many[0], 0, None, ""))  # reads the code that decides once
    began = time.perf_counter()
    plan_jobs(many, [0], lambda _: "")
    return time.perf_counter() - began


class MemoryWatch(threading.Thread):
    """Looks a hundred times a second at what this process holds for itself: without what is mapped from files."""

    def __init__(self):
        super().__init__(daemon=True)
        self.first = self.most = self.now()
        self.start()

    def run(self):
        """Keep the most that was seen."""
        while True:
            self.most = max(self.most, self.now())
            time.sleep(0.01)

    def peak_mb(self):
        """Return the most so far above what was held at first, in MiB."""
        return (max(self.most, self.now()) - self.first) // 2**20

    @staticmethod
    def now():
        """Return the bytes of anonymous memory that are resident."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


CURVES = {
    "manifest_rows": (manifest_rows, (10, 100, 1_000, 10_000, 100_000), "rows of a manifest"),
    "images_read": (images_read, (10, 100, 1_000, 10_000, 100_000), "PNG files of 128x128, read and held"),
    "images_mapped": (images_mapped, (10, 100, 1_000, 10_000, 100_000), "the same, mapped from files"),
    "images_held": (images_held, (10, 100, 1_000, 4_000), "images of 128x128, generated and held"),
    "image_size": (image_size, (32, 64, 128, 256, 512), "side of the images, batch 4"),
    "width": (width, (4, 8, 16, 32, 64), "channels of the first level, 4x128x128"),
    "arms": (arms, (10, 100, 1_000), "arms that are planned"),
}


def measure_curve(name, at=None):
    """Return one curve as JSON-able data: where, seconds, peak memory, slopes."""
    _, points, what = CURVES[name]
    points = list(at or points)
    found = [measure_point(name, point) for point in points]
    values = {"seconds": [f["seconds"] for f in found], "MiB above the imports": [f["peak_mb"] for f in found]}
    slopes = {kind: slope(points, costs) for kind, costs in values.items()}
    return {"name": name, "what grows": what, "at": points, "values": values, "slopes": slopes}


def measure_point(name, point):
    """Measure one point of a curve in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.growth", name, "--at", str(point)]
    done = subprocess.run(command, cwd=kit_root(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise KitError(f"{name} at {point}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def slope(at, costs):
    """Return the slope of log(cost) against log(what grows) over the upper half of a curve."""
    half = len(at) // 2
    pairs = [(math.log(x), math.log(y)) for x, y in zip(at[half:], costs[half:], strict=True) if y > 0]
    with contextlib.suppress(np.linalg.LinAlgError, TypeError):
        return round(float(np.polyfit(*zip(*pairs, strict=True), 1)[0]), 2)
    return math.nan


def main():
    """Print one point of one curve as a line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("curve", choices=list(CURVES))
    parser.add_argument("--at", type=int, required=True)
    options = parser.parse_args()
    watch = MemoryWatch()
    seconds = CURVES[options.curve][0](options.at)
    print(json.dumps({"seconds": round(seconds, 5), "peak_mb": max(1, watch.peak_mb())}))


if __name__ == "__main__":
    main()
