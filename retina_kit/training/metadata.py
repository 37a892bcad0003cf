"""The description inside a file of weights: all that is needed to predict with it, and what it was trained on.

It is one JSON text in the header of the safetensors file. The key carries a version, so an older kit that meets a
newer file can tell what to do.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open

from retina_kit import __version__
from retina_kit.data.card import read_card
from retina_kit.data.dataset import SYNTHETIC
from retina_kit.data.transforms import Preprocessing
from retina_kit.errors import DataError
from retina_kit.schema import STRICT, Floats, Names, Size, parse, to_json
from retina_kit.training.arm import SEGMENTS
from retina_kit.training.tasks.interface import Task

PREFIX, FORMAT = "retina_kit.v", 1
KEY = f"{PREFIX}{FORMAT}"
RETRAIN = "retrain it with --fresh (retina-kit train PAPER --fresh)"


@dataclass(frozen=True, config=STRICT)
class TrainedOn:
    """A data set that the weights were trained on, and under which terms."""

    name: str
    title: str
    license: str
    citation: str
    redistribute: bool
    fingerprint: str  # hash of the images, masks and patients that were used


@dataclass(frozen=True, config=STRICT)
class Metadata:
    """Everything about trained weights that the tensors do not tell. Sizes are height, width in pixels."""

    arm: str
    label: str
    task: str
    network: dict[str, Any]  # what models.build.build_model takes
    in_channels: int  # of the network
    image_channels: int  # of the images as they were loaded: 1 gray, 3 RGB
    image_size: Size  # of the training images as they were loaded
    working_size: Size  # what the network saw
    stretched: bool  # whether images were brought to `working_size` whatever their shape
    resize_first: bool  # resize, then preprocess; or the other way round
    cropped: bool  # whether images were cropped to their field of view
    preprocessing: Preprocessing
    mean: Floats  # a network sees (gray value - mean) / std
    std: Floats
    window: int  # side of the test windows; 0: whole images
    stride: int
    batch_size: int
    threshold: float
    classes: Names  # what each class is, the background first; with several structures each has a sigmoid of its own
    variant: str  # last or best checkpoint
    seed: int
    fold: int | None
    precision: str  # that the run computed in
    steps: int
    run: str  # its hash
    kit_version: str
    sources: tuple[TrainedOn, ...]  # its own data set first, then those of the networks it started from

    @property
    def structures(self) -> tuple[str, ...]:
        """What is segmented or detected: all classes but the background."""
        return self.classes[1:]

    @property
    def has_classes(self) -> bool:
        """Whether the network segments several structures, a channel each."""
        return self.task in SEGMENTS and len(self.structures) > 1


def describe_weights(
    task: Task,
    run: str,
    identity: Mapping[str, Any],
    *,
    precision: str,
    steps: int,
    data_root: str | Path,
    parent: Metadata | None = None,
) -> Metadata:
    """Describe the last weights of a run, from its prepared task.

    `run` is the run's hash and `identity` what was hashed (seed, fold, data_fingerprint and more); `parent` is the
    description of the weights it started from.
    """
    arm, (height, width, channels) = task.arm, task.taken
    own = source_of(arm.data.dataset, identity["data_fingerprint"], data_root)
    inherited = tuple(source for source in parent.sources if source.name != own.name) if parent else ()
    return Metadata(
        arm=arm.name,
        label=arm.label,
        task=arm.task,
        network=arm.model,
        in_channels=arm.model.get("in_channels") or task.images.shape[1],
        image_channels=channels,
        image_size=(height, width),
        working_size=(task.images.shape[-2], task.images.shape[-1]),
        stretched=arm.data.size is not None,
        resize_first=task.resizes_first,
        cropped=bool(arm.data.options.get("crop")),
        preprocessing=task.preprocessing,
        mean=arm.data.mean,
        std=arm.data.std,
        window=arm.evaluation.window,
        stride=arm.evaluation.stride,
        batch_size=task.batch_size,
        threshold=0.5,
        classes=classes_of(task),
        variant="last",
        seed=identity["seed"],
        fold=identity["fold"],
        precision=precision,
        steps=steps,
        run=run,
        kit_version=__version__,
        sources=(own, *inherited),
    )


def classes_of(task: Task) -> tuple[str, ...]:
    """Name what the network tells apart: the classes of pixels or images, or the coordinates of a point."""
    data = task.arm.data
    if task.arm.task == "localize":
        return ("x", "y")
    return ("background", *data.classes) if data.classes else (f"no {data.label}", data.label)


def source_of(name: str, fingerprint: str, data_root: str | Path) -> TrainedOn:
    """Describe a data set from its card; synthetic images are the kit's own."""
    if name in SYNTHETIC:
        note = "synthetic images, generated by retina-kit"
        return TrainedOn(name, note, "none needed: no image of a person is in it", "retina-kit", True, fingerprint)
    card = read_card(name, data_root)
    return TrainedOn(name, card.title, card.license, card.citation, card.redistribute, fingerprint)


def to_header(metadata: Metadata) -> dict[str, str]:
    """Return the metadata as the header of a safetensors file."""
    return {KEY: json.dumps(to_json(metadata, defaults=True), sort_keys=True)}


def from_header(header: Mapping[str, str] | None, path: str | Path) -> Metadata:
    """Parse the header of a safetensors file; DataError if it has no description, or a newer one."""
    header = header or {}
    if KEY in header:
        try:
            content = json.loads(header[KEY])
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: the description of the weights is damaged ({error}); {RETRAIN}") from error
        return parse(Metadata, content, f"{path}: the description of the weights", DataError)
    newer = [key for key in header if key.startswith(PREFIX)]
    if newer:
        raise DataError(f"{path} was written by a newer retina-kit ({newer[0]}; this one reads {KEY}); update the kit")
    raise DataError(f"{path} does not describe its network, because an older retina-kit wrote it; {RETRAIN}")


def read_metadata(path: str | Path) -> Metadata:
    """Read the description inside a file of weights, without loading a tensor."""
    try:
        with safe_open(path, framework="pt") as file:
            return from_header(file.metadata(), path)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give a run's folder or its weights.safetensors") from error
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is not a readable safetensors file: {error}") from error
