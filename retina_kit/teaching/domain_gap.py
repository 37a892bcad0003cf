"""The domain gap: generate a source and a target, train a tiny network on one, then on a little of the other.

All images are synthetic, and the network is far smaller than that of any paper: this shows what a gap between two
devices does to a network, not the size of a published effect.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import nn

from retina_kit.data.collection import ImageSet
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
FLUID = 2.5  # times the usual amount, so that so small a network learns it in seconds
NUM_TUNED = 12  # target scans of three eyes: a little data; the other eyes are tested
CPU = torch.device("cpu")

Device = Literal["spectralis", "cirrus"]


@dataclass(frozen=True)
class DomainGap:
    """A source and a target domain: the same kind of eyes, imaged by two devices.

    `mask` names the masks that the target is trained on; the test always uses the exact ones.
    """

    source: ImageSet
    target: ImageSet
    mask: str


@dataclass(frozen=True)
class GapResult:
    """What the three trainings gave: `scores` {"zero_shot", "fine_tuned", "scratch": Dice}.

    `stopped` maps each phase that ran out of time to the number of steps it took.
    """

    scores: dict[str, float]
    stopped: dict[str, int] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What to know about the scores, as text.

        >>> GapResult({}, {"source": 20}).note
        'out of time: source stopped after 20 of 200 steps, so the scores are too low'
        >>> GapResult({}).note
        'trained'
        """
        parts = [f"{phase} stopped after {steps} of {STEPS[phase]} steps" for phase, steps in self.stopped.items()]
        return f"out of time: {', '.join(parts)}, so the scores are too low" if parts else "trained"


def generate_gap(
    device: Device = "cirrus",
    gap: float = 1.0,
    noise: float = 1.0,
    annotator: str = "exact",
    *,
    num_patients: int = 10,
    seed: int = 0,
) -> DomainGap:
    """Generate the scans of two domains, 64 x 96 pixels, four per patient.

    `device` is the source's; the target is `gap` (0 to 1) of the way to the other device, and `noise` scales its noise.
    `annotator` (exact, first, second) marked the target's training scans.

    >>> domains = generate_gap(annotator="second", num_patients=2)
    >>> domains.target.images.shape, domains.mask
    ((8, 1, 64, 96), 'annotator2')
    """
    source = generate_oct(num_patients, 4, SIZE, device=device, fluid=FLUID, seed=seed)
    target = generate_oct(
        num_patients, 4, SIZE, device=device, gap=gap, noise=noise, fluid=FLUID, annotators=True, seed=seed + 1
    )
    return DomainGap(source, target, ANNOTATORS[annotator])


def train_across_gap(domains: DomainGap, *, seed: int = 0, seconds: float = 30) -> GapResult:
    """Train on the source, fine-tune on the target, and return the Dice of the fluid on target eyes not trained on.

    Dice is pooled over all test pixels, against exact masks. Zero-shot: trained on the source only. Fine-tuned: the
    same network after a few steps on a little target data. Scratch: the same steps on the same data, from a random
    start. Each of the three trainings ends after its share of `seconds`, so that a lesson continues even on a slow or
    busy machine; the result tells which one was stopped early.
    """
    source = (domains.source.images, domains.source.masks["fluid"])
    little = (domains.target.images[:NUM_TUNED], domains.target.masks[domains.mask][:NUM_TUNED])
    scores, stopped = {}, {}
    model = _new_model(seed)
    batches, stopped["source"] = _train(model, *source, "source", seed, seconds)
    scores["zero_shot"] = _score(model, batches, domains)
    batches, stopped["fine_tuned"] = _train(model, *little, "fine_tuned", seed, seconds)
    scores["fine_tuned"] = _score(model, batches, domains)
    model = _new_model(seed)
    batches, stopped["scratch"] = _train(model, *little, "scratch", seed, seconds)
    scores["scratch"] = _score(model, batches, domains)
    return GapResult(scores, {phase: steps for phase, steps in stopped.items() if steps < STEPS[phase]})


def _new_model(seed: int) -> nn.Module:
    """Build the tiny network before its first step."""
    torch.manual_seed(seed)
    return build_model(MODEL)


def _train(
    model: nn.Module, images: np.ndarray, masks: np.ndarray, phase: str, seed: int, seconds: float
) -> tuple[Batches, int]:
    """Train the network in place, and return its batches and the number of steps taken."""
    steps = STEPS[phase]
    watch = Stopwatch(seconds * steps / sum(STEPS.values()))
    recipe = Recipe(loss="soft_dice", learning_rate=5e-3, schedule="poly", batch_size=8, steps=steps)
    targets = torch.from_numpy(masks.astype("uint8"))
    batches = Batches(torch.from_numpy(images), targets, recipe, seed=seed, device=CPU)
    fit(model, batches, recipe, device=CPU, seed=seed, watch=watch)
    return batches, watch.num_steps


def _score(model: nn.Module, batches: Batches, domains: DomainGap) -> float:
    """Return the pooled Dice on the test eyes of the target, 0 to 1; an empty prediction scores 0."""
    probability = predict_probability(model, batches, torch.from_numpy(domains.target.images[NUM_TUNED:]))
    return pooled_scores((probability > 0.5).numpy(), domains.target.masks["fluid"][NUM_TUNED:])["dice"]
