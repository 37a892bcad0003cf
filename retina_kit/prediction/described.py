"""Whether a file of weights describes a network that can be built and used, before any of it is believed.

Weights are passed on, so their description is a stranger's: names in it become folders, sizes become memory.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from retina_kit.data.pixels import MAX_PIXELS
from retina_kit.data.transforms import STEP_NAMES
from retina_kit.errors import DataError, UsageError
from retina_kit.models.build import build_for_shapes, build_model, without_weights
from retina_kit.training.arm import SEGMENTS
from retina_kit.training.metadata import Metadata

ONE_ANSWER = {"classify": (1, 1), "localize": (1, 2)}  # the shape of a prediction of one image
FILE_NAME = re.compile(r"[^\W_](?:[\w .,;()+&%=@~#'-]{0,62}[\w)])?")  # on every system, and no path
MOST_IMAGES = 4096  # of a batch
MULTIPLE = 128  # of which every segmentation network takes images


def check_description(metadata: Metadata, path: str | Path) -> None:
    """Raise DataError for a description with which nothing could be predicted, or that would do harm."""
    problem = next(_problems(metadata), None)
    if problem:
        raise DataError(f"{path}: the description of the weights: {problem}; nothing was predicted")


def _problems(metadata: Metadata) -> Iterator[str]:
    """Yield what is wrong with the values of a description."""
    if metadata.task not in (*SEGMENTS, *ONE_ANSWER):
        yield f"no task is called {metadata.task!r}"
    for name in metadata.classes:
        if not FILE_NAME.fullmatch(name):
            yield f"the class {name[:80]!r} cannot name a folder"
    if len({name.casefold() for name in metadata.classes}) != len(metadata.classes) or len(metadata.classes) < 2:
        yield "classes are two or more different names, the background first"
    for size in (metadata.image_size, metadata.working_size):
        if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
            yield f"a size of {size} (height, width) is not that of an image"
    if metadata.image_channels not in (1, 3) or metadata.in_channels < 1:
        yield f"images have {metadata.image_channels} channels and the network {metadata.in_channels}"
    if not 1 <= metadata.batch_size <= MOST_IMAGES or metadata.window < 0 or metadata.stride < 0:
        yield f"batch_size {metadata.batch_size}, window {metadata.window} and stride {metadata.stride} are no sizes"
    if 0 < metadata.window < metadata.stride:
        yield f"windows of {metadata.window} pixels that are {metadata.stride} pixels apart leave gaps"
    if not 0 < metadata.threshold < 1:
        yield f"the threshold {metadata.threshold} is not between 0 and 1"
    if not metadata.sources:
        yield "it names no data that the network was trained on"
    yield from _problems_of_inputs(metadata)


def _problems_of_inputs(metadata: Metadata) -> Iterator[str]:
    """Yield what is wrong with the way from an image to the network."""
    for step in metadata.preprocessing.steps:
        fitted = (step.mean, step.std)
        if step.name not in STEP_NAMES or not all(value is None or math.isfinite(value) for value in fitted):
            yield f"no preprocessing step is {step.name!r} with {fitted}"
    channels = 1 if any(step.name == "gray" for step in metadata.preprocessing.steps) else metadata.image_channels
    if channels not in (1, metadata.in_channels):
        yield f"images of {channels} channels do not fit a network of {metadata.in_channels}"
    for values in (metadata.mean, metadata.std):
        if len(values) not in (1, channels) or not all(map(math.isfinite, values)):
            yield f"mean {metadata.mean} and std {metadata.std} do not fit {channels} channels"
    if 0 in metadata.std:
        yield "std is 0"


def check_network(metadata: Metadata, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise DataError unless the described network can be built, fits the tensors, and predicts what it describes.

    It is built without memory first, so that a description cannot ask for more of it than the file has.
    """
    begins = f"{path} does not hold the weights of the network it describes"
    network, size = without_weights(metadata.network), _size_to_try(metadata)
    try:
        with torch.device("meta"):
            expected = {name: tuple(tensor.shape) for name, tensor in build_model(network).state_dict().items()}
    except Exception as error:  # whatever a network's constructor makes of strange options
        raise DataError(f"{begins}: it cannot be built ({error})") from error
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | given.keys()):
        if expected.get(name) != given.get(name):
            raise DataError(f"{begins}: {name} has shape {given.get(name)} instead of {expected.get(name)}")
    try:
        model, image = build_for_shapes(network, (metadata.in_channels, *size))
        with torch.inference_mode():
            found = tuple(model(image).shape)
    except Exception as error:  # whatever a network makes of a strange size
        raise DataError(f"{begins}: it takes no image of {size} ({error})") from error
    if found not in _predictions(metadata, size):
        raise DataError(f"{begins}: it predicts {found} for one image of {size}, not what {metadata.task} needs")


def check_alike(described: Iterable[Metadata]) -> None:
    """Raise UsageError unless all networks do the same with the same structures, so that they may be averaged."""
    first, *others = described
    for other in others:
        if (other.task, other.structures) != (first.task, first.structures):
            names = [", ".join(one.structures) for one in (first, other)]
            task = "" if other.task == first.task else f"{other.task} "
            each = f"{first.task} {names[0]} and {task}{names[1]}"
            raise UsageError(f"these networks {each}; average networks of one arm only")


def check_outputs(outputs: Tensor, metadata: Metadata) -> Tensor:
    """Return what a network predicts; raise DataError if some of it is no number, which a mask would hide."""
    if not outputs.isfinite().all():
        problem = "predicts values that are no numbers: its weights are damaged, or its training diverged"
        raise DataError(f"the network of arm {metadata.arm}, run {metadata.run}, {problem}")
    return outputs


def _size_to_try(metadata: Metadata) -> tuple[int, int]:
    """Return the size of images in training, rounded up to what every segmentation network takes."""
    height, width = metadata.working_size
    if metadata.task not in SEGMENTS:
        return height, width
    return height + -height % MULTIPLE, width + -width % MULTIPLE


def _predictions(metadata: Metadata, size: tuple[int, int]) -> list[tuple[int, ...]]:
    """Return the shapes that the prediction of one image may have."""
    if metadata.task not in SEGMENTS:
        return [ONE_ANSWER[metadata.task]]
    channels = [len(metadata.structures)] if metadata.has_classes else [1, 2]
    return [(1, number, *size) for number in channels]
