"""One answer per image: the probability of a classifier, or the point of a localizer in the image's own pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from retina_kit.errors import UsageError
from retina_kit.prediction.described import check_alike, check_outputs
from retina_kit.prediction.predictor import TrainedNetwork, as_pixels, box_size
from retina_kit.training.device import autocast
from retina_kit.training.metadata import Metadata

TASKS = ("classify", "localize")


def structures_of(metadata: Metadata) -> tuple[str, ...]:
    """Name what a network predicts: its classes, or the center that a localizer finds."""
    return ("center",) if metadata.task == "localize" else metadata.structures


class Point(NamedTuple):
    """A point in an image: pixels from the left and from the top, as fractions of a pixel."""

    x: float
    y: float


class ImagePredictor:
    """Predicts one answer per image of any size, as the arm did in its own test.

    A classifier gives the probability that the image shows what it was trained to detect, a localizer a `Point`.
    Several networks (seeds or folds of one arm) are averaged; with `flip`, so is the answer for the mirror image.

        predict = rk.ImagePredictor.load("outputs/runs/0123456789abcdef")
        probability = predict("eye.png")
    """

    def __init__(self, networks: Sequence[TrainedNetwork], *, flip: bool = False) -> None:
        self.networks, self.flip = list(networks), flip
        tasks = {network.metadata.task for network in self.networks}
        if len(tasks) != 1 or not tasks <= set(TASKS):
            found = ", ".join(sorted(tasks)) or "none"
            raise UsageError(f"one classifier or localizer is needed, or several of one arm; these networks: {found}")
        check_alike(network.metadata for network in self.networks)

    @classmethod
    def load(cls, *paths: str | Path, flip: bool = False, device: str = "auto", precision: str = "auto") -> Self:
        """Load a predictor from one or several files of weights, or folders of runs.

        Raises DataError for a file that is missing, damaged or does not describe its network.
        """
        return cls([TrainedNetwork.load(path, device, precision) for path in paths], flip=flip)

    @property
    def metadata(self) -> Metadata:
        """The description inside the weights; of several networks, the first one's."""
        return self.networks[0].metadata

    def __call__(self, image: np.ndarray | str | Path) -> float | Point:
        """Predict one image, an array (H, W) or (H, W, 3) in RGB order, or a file."""
        return self.predict([image])[0]

    def predict(self, images: Sequence[np.ndarray | str | Path]) -> list[float | Point]:
        """Predict several images, together."""
        if not images:
            return []
        pixels = [as_pixels(image) for image in images]
        mean = np.mean([outputs_of(network, pixels, self.flip) for network in self.networks], axis=0)
        if self.metadata.task == "classify":
            return [float(probability) for probability in mean]
        return [Point(float(x), float(y)) for x, y in mean]


def outputs_of(network: TrainedNetwork, images: Sequence[np.ndarray], flip: bool = False) -> np.ndarray:
    """Return probabilities (N,) or points (N, 2) in pixels of uint8 images (H, W) or (H, W, 3), in float64."""
    prepared = [network.prepare(image) for image in images]
    stack = torch.from_numpy(np.stack([item.pixels for item in prepared]))
    outputs = _raw(network, stack)
    is_point = network.metadata.task == "localize"
    if flip:
        mirrored = _raw(network, stack.flip(-1))
        outputs = (outputs + ([1, 0] + mirrored * [-1, 1] if is_point else mirrored)) / 2
    if not is_point:
        return outputs
    sides = np.array([box_size(item.box)[::-1] for item in prepared], float)
    corners = np.array([item.box[1::-1] for item in prepared], float)
    return outputs * sides + corners


@torch.inference_mode()
def _raw(network: TrainedNetwork, stack: Tensor) -> np.ndarray:
    """Return probabilities (N,), or points (N, 2) as fractions of width and height, in float64.

    Localizers compute in float32 whatever the precision, as in training.
    """
    network.model.eval()
    parts = []
    for some in stack.split(network.metadata.batch_size):
        inputs = network.normalization.inputs(some)
        if network.metadata.task == "localize":
            parts.append(network.model(inputs).float().cpu())
            continue
        with autocast(inputs.device, network.precision):
            logits = network.model(inputs)
        parts.append(logits.float()[:, 0].sigmoid().cpu())
    return check_outputs(torch.cat(parts), network.metadata).numpy().astype(np.float64)
