"""How long each widget takes to react to a control, without a browser: python -m benchmarks.widgets hu2018

The slowest of several reactions counts. Images have the size of the real scans (496 x 768); the gap explorer generates
its own. The time that its training takes is reported separately.
"""

import argparse
import contextlib
import io
import json
import time

import torch

from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.experiment import Experiment
from retina_kit.teaching.domain_gap import generate_gap, train_across_gap
from retina_kit.teaching.widgets.arm_picker import ArmPicker
from retina_kit.teaching.widgets.browser import ImageBrowser
from retina_kit.teaching.widgets.explorer import PredictionExplorer
from retina_kit.teaching.widgets.gap_explorer import GapExplorer
from retina_kit.teaching.widgets.live_curve import LiveCurve

LIMIT_MS = 200


def milliseconds(react):
    """Return how long a call takes."""
    began = time.perf_counter()
    react()
    return 1000 * (time.perf_counter() - began)


def turn(control, values):
    """Return the slowest reaction, in ms, to a control that takes several values."""
    return max(milliseconds(lambda value=value: setattr(control, "value", value)) for value in values)


def measure(paper, *, num_patients=4, scans_per_patient=6):
    """Return {"widget: control": ms of the slowest reaction} of every widget."""
    image_set = generate_oct(num_patients, scans_per_patient, (496, 768), annotators=True)
    probability = 0.4 * image_set.masks["annotator1"] + 0.4 * image_set.masks["annotator2"] + 0.1
    browser = ImageBrowser(image_set)
    explorer = PredictionExplorer(image_set.images, probability, image_set.masks["fluid"], image_set.rows["id"])
    gap = GapExplorer(generate_gap, train_across_gap)
    arms = ArmPicker(Experiment(paper, "lesson").arms)
    with contextlib.redirect_stdout(io.StringIO()):
        curve = LiveCurve(every=1, min_seconds=0)
    losses = list(torch.rand(400))
    return {
        "browser: patient": turn(browser.patient, browser.patient.options[1:]),
        "browser: image": turn(browser.number, range(1, 4)),
        "browser: opacity": turn(browser.opacity, (0.0, 0.5, 1.0)),
        "browser: a mask": turn(browser.switches.children[0], (False, True)),
        "explorer: threshold": turn(explorer.threshold, (0.05, 0.3, 0.7, 0.95)),
        "explorer: image": turn(explorer.order, range(len(image_set) - 1, 0, -5)),
        "explorer: worst first": milliseconds(explorer.again.click),
        "gap explorer: gap": turn(gap.gap, (0.0, 0.5)),
        "gap explorer: noise": turn(gap.noise, (0.5, 3.0)),
        "gap explorer: annotator": turn(gap.annotator, ("second", "first")),
        "arm picker: that arm": turn(arms.second, arms.second.options[2:6]),
        "live curve: a step that updates it": max(
            milliseconds(lambda k=k: curve(k, 500, losses[: k + 1], {})) for k in (9, 399)
        ),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paper", help="whose arms the arm picker compares")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--train", action="store_true", help="also train in the gap explorer")
    given = parser.parse_args()
    torch.set_num_threads(2)
    found = {name: round(value, 1) for name, value in measure(given.paper).items()}
    if given.train:
        began = time.perf_counter()
        found["gap explorer: training, seconds"] = {
            "dice": train_across_gap(generate_gap()).scores,
            "seconds": time.perf_counter() - began,
        }
    print(json.dumps(found, indent=1) if given.json else "\n".join(f"{name}: {value}" for name, value in found.items()))
    slow = [name for name, value in found.items() if isinstance(value, float) and value > LIMIT_MS]
    print(f"slower than {LIMIT_MS} ms: {', '.join(slow) or 'nothing'}")
