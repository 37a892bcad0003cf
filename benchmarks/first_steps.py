"""How long a newcomer needs from the clone to the first trained network: python -m benchmarks.first_steps --save NAME

The README's commands, in an empty folder: git clone, make setup, make lab. A browser then opens notebook 01 from
JupyterLab's list of files and steps through it with Shift+Enter, up to the training by hand. pip's cache is empty;
the clone is of the repository on this disk.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import nbformat

from benchmarks.lab import CHROMIUM, FLAGS, answers, image_of, wait_for
from benchmarks.machine import describe_machine, write_json
from retina_kit.errors import SetupError
from retina_kit.files import kit_root

RESULTS = Path(__file__).parent / "results"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/lab\?token=\w+")
HAND_TRAINING = "LiveCurve("


class Stopwatch:
    """Seconds between the steps: call it with a step's name when that step is done."""

    def __init__(self):
        self.began = self.last = time.perf_counter()
        self.seconds = {}

    def __call__(self, step):
        """Note the time since the step before, and since the start."""
        now = time.perf_counter()
        self.seconds.pop("total", None)
        self.seconds |= {step: round(now - self.last, 1), "total": round(now - self.began, 1)}
        self.last = now


def newcomer(folder):
    """Return the environment of somebody who has just arrived: no settings, no cache, no other kit on the path."""
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "OMP_NUM_THREADS")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    fresh = {name: str(folder / "settings" / name) for name in places}
    return inherited | fresh | {"PIP_NO_CACHE_DIR": "1", "BROWSER": "true"}  # true: the browser comes by itself


@contextlib.contextmanager
def make_lab(kit, environment):
    """JupyterLab as `make lab` starts it: yields the address with the token that it prints."""
    log = kit.parent / "lab.log"
    with log.open("w") as file:
        server = subprocess.Popen(["make", "lab"], cwd=kit, env=environment, stdout=file, stderr=subprocess.STDOUT,
                                  start_new_session=True)  # fmt: skip
    try:
        wait_for(lambda: server.poll() is not None or ADDRESS.search(log.read_text()), "the address", 120)
        found = ADDRESS.search(log.read_text())
        if not found:
            raise SetupError(f"make lab ended: {log.read_text()[-1000:]}")
        wait_for(lambda: answers(found.group()), "JupyterLab")
        yield found.group()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def open_notebook(page, address, name):
    """Open a notebook from the list of files, and wait for its kernel."""
    page.goto(address)
    page.locator(".jp-DirListing-item", has_text=name).dblclick(timeout=60_000)
    page.locator(".jp-Notebook").wait_for(timeout=60_000)
    page.get_by_text("| Idle").wait_for(timeout=60_000)


def step_to_training(page, notebook):
    """Press Shift+Enter up to the cell that trains by hand."""
    cells = nbformat.read(notebook, as_version=4).cells
    number = next(k for k, cell in enumerate(cells) if cell.cell_type == "code" and HAND_TRAINING in cell.source)
    page.locator(".jp-Notebook .jp-Cell").first.click()
    for _ in range(number + 1):
        page.keyboard.press("Shift+Enter")


def watch_training(page, watch, seconds=900):
    """Wait for the live curve's first image, for the training's end, and for the figure below it."""
    training = page.locator(".kit-training").first
    wait_for(lambda: training.count() and re.search(r"step \d+ of", training.inner_text()), "the training", seconds)
    wait_for(lambda: image_of(page, "curve"), "the curve", seconds)
    watch("first curve")
    wait_for(lambda: "done" in training.inner_text(), "the end of the training", seconds)
    cell = page.locator(".jp-CodeCell", has=page.locator(".kit-training")).first
    wait_for(lambda: cell.locator("img").count() > 1, "the figure of the training")
    training.scroll_into_view_if_needed()
    watch("first network trained, its curve plotted")


def first_steps(repository, folder, screenshot=None):
    """Return the seconds of every step from the clone to the first trained network."""
    import playwright.sync_api

    environment, kit, watch = newcomer(folder), folder / "retina-kit", Stopwatch()
    subprocess.run(["git", "clone", "--quiet", str(repository), str(kit)], env=environment, check=True)
    watch("clone")
    subprocess.run(["make", "setup"], cwd=kit, env=environment, check=True, stdout=subprocess.DEVNULL)
    watch("make setup")
    notebook = next((kit / "notebooks").glob("01_*.ipynb"))
    with make_lab(kit, environment) as address, playwright.sync_api.sync_playwright() as started:
        watch("make lab: the server answers")
        page = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_page(
            viewport={"width": 1300, "height": 1000}
        )
        open_notebook(page, address, notebook.name)
        watch("notebook 01 open, kernel ready")
        step_to_training(page, notebook)
        watch_training(page, watch)
        if screenshot:
            page.screenshot(path=screenshot)
    return watch.seconds


def main():
    """Measure and print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repository", default=kit_root(), help="what is cloned; default this one")
    parser.add_argument("--screenshot", metavar="FILE", help="keep the last image of the page")
    parser.add_argument("--save", metavar="NAME", help="write benchmarks/results/NAME.json")
    options = parser.parse_args()
    if not CHROMIUM:
        raise SetupError("no Chromium is installed (Debian: apt-get install chromium)")
    busy = round(os.getloadavg()[1], 1)
    with tempfile.TemporaryDirectory() as folder:
        seconds = first_steps(options.repository, Path(folder), options.screenshot)
    measured = {"machine": describe_machine(torch.device("cpu")), "load before": busy, "seconds": seconds}
    if options.save:
        write_json(RESULTS / f"{options.save}.json", measured)
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
