"""The domain-gap bench: draw a source and a target, and train a tiny network on one, then on a little of the other.

All images are drawn (synthetic), and the network is far smaller than any paper's: the bench shows what a gap
between two devices does to a network, not how large anybody's result is.
"""

from dataclasses import dataclass

import torch

from retina_kit.data.synthetic.oct import generate_oct
from retina_kit.evaluation.metrics import pooled_scores
from retina_kit.models.build import build_model
from retina_kit.training.batches import Batches
from retina_kit.training.inference import predict_probability
from retina_kit.training.loop import Stopwatch, fit
from retina_kit.training.recipe import Recipe

SIZE = (64, 96)
MODEL = {"name": "unet", "in_channels": 1, "widths": [8, 16, 32, 64], "norm": "batch"}
STEPS = {"source": 200, "fine_tuned": 50, "scratch": 50}
ANNOTATORS = {"exact": "fluid", "first": "annotator1", "second": "annotator2"}
NUM_TUNED = 12  # target scans of three eyes: a little data; the other eyes are tested


@dataclass(frozen=True)
class Bench:
    """A source and a target: the same kind of eyes, seen by two devices and marked by whom the dial says."""

    source: object  # Images
    target: object
    mask: str  # whose masks the target is trained on; the test is always against the exact ones


def draw_bench(device="cirrus", gap=1.0, noise=1.0, annotator="exact", *, num_patients=10, seed=0):
    """Return a Bench: `device` is the source's; the target lies `gap` (0 to 1) of the way to the other device.

    `noise` scales the target's noise; `annotator` (exact, first, second) marks the target's training scans.
    """
    common = {"scans_per_patient": 4, "size": SIZE, "device": device}
    source = generate_oct(num_patients, **common, seed=seed)
    target = generate_oct(num_patients, **common, gap=gap, noise=noise, annotators=True, seed=seed + 1)
    return Bench(source, target, ANNOTATORS[annotator])


def train_bench(bench, *, seed=0, seconds=18):
    """Return {"zero_shot", "fine_tuned", "scratch"}: Dice of the fluid on target eyes that nothing was tuned on.

    Pooled over all test pixels, against exact masks. Zero-shot: trained on the source only. Fine-tuned: the same
    network after a few updates on a little target data. Scratch: the same updates on the same data, random start.
    Each of the three trainings ends after its share of `seconds`, so that a lesson goes on even where a machine is
    slow or busy; on two free cores none comes near it.
    """
    source = (bench.source.images, bench.source.masks["fluid"])
    little = (bench.target.images[:NUM_TUNED], bench.target.masks[bench.mask][:NUM_TUNED])
    scores = {}
    model = _new_model(seed)
    batches = _train(model, *source, "source", seed, seconds)
    scores["zero_shot"] = _score(model, batches, bench)
    batches = _train(model, *little, "fine_tuned", seed, seconds)
    scores["fine_tuned"] = _score(model, batches, bench)
    model = _new_model(seed)
    batches = _train(model, *little, "scratch", seed, seconds)
    scores["scratch"] = _score(model, batches, bench)
    return scores


def _new_model(seed):
    """Return the tiny network before its first step."""
    torch.manual_seed(seed)
    return build_model(MODEL)


def _train(model, images, masks, phase, seed, seconds):
    """Train the network in place and return its batches."""
    steps = STEPS[phase]
    watch = Stopwatch(seconds * steps / sum(STEPS.values()))
    recipe = Recipe(loss="soft_dice", learning_rate=5e-3, schedule="poly", batch_size=8, steps=steps)
    targets = torch.from_numpy(masks.astype("uint8"))
    batches = Batches(torch.from_numpy(images), targets, recipe, seed=seed, device=torch.device("cpu"))
    fit(model, batches, recipe, device=torch.device("cpu"), seed=seed, watch=watch)
    return batches


def _score(model, batches, bench):
    """Return the pooled Dice on the target eyes that are tested, 0 to 1; an empty prediction earns 0."""
    probability = predict_probability(model, batches, torch.from_numpy(bench.target.images[NUM_TUNED:]))
    return pooled_scores(probability > 0.5, torch.from_numpy(bench.target.masks["fluid"][NUM_TUNED:]))["dice"]
