"""Hand a trained network on to other programs: as ONNX, and as a program of torch.export."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from retina_kit.errors import KitError, SetupError
from retina_kit.files import atomic_path
from retina_kit.prediction.predictor import TrainedNetwork
from retina_kit.prediction.sides import multiple_of_sides
from retina_kit.schema import to_json
from retina_kit.training.arm import SEGMENTS
from retina_kit.training.losses import probabilities
from retina_kit.training.metadata import KEY, Metadata

TOLERANCE = 1e-4  # largest difference from torch that an export may have
CHECKED_SIDES = ((2, 3), (4, 4), (5, 7))  # of three images, in multiples that the network takes
FEWEST_MULTIPLES, MOST_MULTIPLES = 2, 512  # of a side; a network with four halvings is special at 16 pixels
NEEDED = ("onnx", "onnxruntime", "onnxscript")
INPUT, OUTPUT = "images", "prediction"


class ExportedNetwork(nn.Module):
    """What is exported: float32 gray values 0..255 (N, C, h, w) to a prediction; normalization is inside.

    C is the number of channels of the training images after preprocessing. A segmentation network gives
    probabilities (N, h, w), with several classes (N, K, h, w), a classifier (N,), and a localizer x and y as fractions
    (N, 2).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: TrainedNetwork) -> None:
        super().__init__()
        metadata = network.metadata
        self.model, self.task, self.in_channels = network.model, metadata.task, metadata.in_channels
        self.has_classes = metadata.has_classes
        self.register_buffer("mean", network.normalization.mean.clone())
        self.register_buffer("std", network.normalization.std.clone())

    def forward(self, images: Tensor) -> Tensor:
        """Predict."""
        inputs = ((images - self.mean) / self.std).expand(-1, self.in_channels, -1, -1)
        outputs = self.model(inputs)
        if self.task == "localize":
            return outputs
        return outputs[:, 0].sigmoid() if self.task == "classify" else probabilities(outputs, classes=self.has_classes)


def input_channels(metadata: Metadata) -> int:
    """Count the channels that reach the network after preprocessing."""
    return 1 if any(step.name == "gray" for step in metadata.preprocessing.steps) else metadata.image_channels


def is_of_any_size(metadata: Metadata) -> bool:
    """Tell whether an exported network takes images of any size, or that of training only."""
    return metadata.task in SEGMENTS


def example_input(metadata: Metadata, sides: tuple[int, int] = (3, 4), number: int = 2, seed: int = 0) -> Tensor:
    """Make random images that an exported network takes; `sides` are in multiples of `multiple_of_sides`."""
    size = metadata.working_size
    if is_of_any_size(metadata):
        multiple = multiple_of_sides(metadata)
        size = (sides[0] * multiple, sides[1] * multiple)
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(number, input_channels(metadata), *size, generator=generator) * 255


def dynamic_shapes(metadata: Metadata) -> tuple[dict[int, Any]]:
    """Name the sides that may differ between images: their number, and for segmentation height and width."""
    shapes: dict[int, Any] = {0: torch.export.Dim("number", min=1, max=1024)}
    if is_of_any_size(metadata):
        multiple = multiple_of_sides(metadata)
        for axis, name in ((2, "rows"), (3, "columns")):
            shapes[axis] = multiple * torch.export.Dim(name, min=FEWEST_MULTIPLES, max=MOST_MULTIPLES)
    return (shapes,)


def export_pt2(network: TrainedNetwork, path: str | Path) -> float:
    """Write a program of torch.export (`torch.export.load`) and return the largest difference from the network."""
    module, metadata = ExportedNetwork(network).eval(), network.metadata
    program = torch.export.export(module, (example_input(metadata),), dynamic_shapes=dynamic_shapes(metadata))
    with atomic_path(path) as temporary:
        torch.export.save(program, temporary, extra_files={KEY: to_text(metadata)})
        loaded = torch.export.load(temporary).module()
        return _checked(path, module, metadata, lambda images: loaded(images).numpy())


def export_onnx(network: TrainedNetwork, path: str | Path) -> float:
    """Write an ONNX file and return the largest difference between onnxruntime and the network.

    Raises SetupError without the `export` extra, KitError if the exported network predicts something else.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(f"exporting to ONNX needs {', '.join(missing)}: pip install 'retina-kit[export]'")
    import onnxruntime

    module, metadata = ExportedNetwork(network).eval(), network.metadata
    example, shapes = (example_input(metadata),), dynamic_shapes(metadata)
    with atomic_path(path) as temporary:
        program: Any = torch.onnx.export(
            module, example, input_names=[INPUT], output_names=[OUTPUT], dynamic_shapes=shapes, dynamo=True,
            verbose=False,
        )  # fmt: skip
        program.model.metadata_props[KEY] = to_text(metadata)
        program.save(temporary, external_data=False)
        session = onnxruntime.InferenceSession(temporary.read_bytes(), providers=["CPUExecutionProvider"])
        return _checked(path, module, metadata, lambda images: session.run([OUTPUT], {INPUT: images.numpy()})[0])


def to_text(metadata: Metadata) -> str:
    """Return the metadata as one JSON text; a program that reads it can repeat the preprocessing."""
    return json.dumps(to_json(metadata, defaults=True), sort_keys=True)


@torch.inference_mode()
def _checked(path: str | Path, module: nn.Module, metadata: Metadata, run: Any) -> float:
    """Compare an exported network with torch on three images of different sizes; KitError beyond TOLERANCE."""
    differences = []
    for number, sides in enumerate(CHECKED_SIDES, start=1):
        images = example_input(metadata, sides, number, seed=number)
        differences.append(float(np.abs(run(images) - module(images).numpy()).max()))
    if not max(differences) <= TOLERANCE:
        raise KitError(f"{path}: the exported network differs from torch by {max(differences):.2g}; it was not kept")
    return max(differences)


def checked_sizes(metadata: Metadata) -> Sequence[tuple[int, int]]:
    """List the sizes (height, width) at which an export is compared with torch."""
    if not is_of_any_size(metadata):
        return [metadata.working_size]
    multiple = multiple_of_sides(metadata)
    return [(rows * multiple, columns * multiple) for rows, columns in CHECKED_SIDES]
