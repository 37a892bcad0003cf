"""The domain gap: generate a source and a target, train a tiny network on one, then on a little of the other.

All images are synthetic, and the network is far smaller than that of any paper: this shows what a gap between two
devices does to a network, not the size of a published effect.
"""

from dataclasses import dataclass
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
    source = generate_oct(num_patients, 4, SIZE, device=device, seed=seed)
    target = generate_oct(num_patients, 4, SIZE, device=device, gap=gap, noise=noise, annotators=True, seed=seed + 1)
    return DomainGap(source, target, ANNOTATORS[annotator])


def train_across_gap(domains: DomainGap, *, seed: int = 0, seconds: float = 18) -> dict[str, float]:
    """Return {"zero_shot", "fine_tuned", "scratch"}: Dice of the fluid on target eyes that no training used.

    Dice is pooled over all test pixels, against exact masks. Zero-shot: trained on the source only. Fine-tuned: the
    same network after a few steps on a little target data. Scratch: the same steps on the same data, from a random
    start. Each of the three trainings ends after its share of `seconds`, so that a lesson continues even on a slow or
    busy machine; on two free cores none reaches it.
    """
    source = (domains.source.images, domains.source.masks["fluid"])
    little = (domains.target.images[:NUM_TUNED], domains.target.masks[domains.mask][:NUM_TUNED])
    scores = {}
    model = _new_model(seed)
    batches = _train(model, *source, "source", seed, seconds)
    scores["zero_shot"] = _score(model, batches, domains)
    batches = _train(model, *little, "fine_tuned", seed, seconds)
    scores["fine_tuned"] = _score(model, batches, domains)
    model = _new_model(seed)
    batches = _train(model, *little, "scratch", seed, seconds)
    scores["scratch"] = _score(model, batches, domains)
    return scores


def _new_model(seed: int) -> nn.Module:
    """Build the tiny network before its first step."""
    torch.manual_seed(seed)
    return build_model(MODEL)


def _train(model: nn.Module, images: np.ndarray, masks: np.ndarray, phase: str, seed: int, seconds: float) -> Batches:
    """Train the network in place and return its batches."""
    steps = STEPS[phase]
    watch = Stopwatch(seconds * steps / sum(STEPS.values()))
    recipe = Recipe(loss="soft_dice", learning_rate=5e-3, schedule="poly", batch_size=8, steps=steps)
    targets = torch.from_numpy(masks.astype("uint8"))
    batches = Batches(torch.from_numpy(images), targets, recipe, seed=seed, device=CPU)
    fit(model, batches, recipe, device=CPU, seed=seed, watch=watch)
    return batches


def _score(model: nn.Module, batches: Batches, domains: DomainGap) -> float:
    """Return the pooled Dice on the test eyes of the target, 0 to 1; an empty prediction scores 0."""
    probability = predict_probability(model, batches, torch.from_numpy(domains.target.images[NUM_TUNED:]))
    return pooled_scores((probability > 0.5).numpy(), domains.target.masks["fluid"][NUM_TUNED:])["dice"]
