"""From a file of weights to a probability per pixel of any image, or one per pixel and class."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from retina_kit.data.field_of_view import field_box
from retina_kit.data.image_files import read_page, scaled_to_8_bit
from retina_kit.data.transforms import resize_images, to_gray
from retina_kit.errors import DataError, UsageError
from retina_kit.models.build import build_model, without_weights
from retina_kit.models.layout import to_device
from retina_kit.prediction.described import check_alike, check_description, check_network, check_outputs
from retina_kit.prediction.sides import multiple_of_sides, padded_to
from retina_kit.training.arm import SEGMENTS
from retina_kit.training.device import choose_device
from retina_kit.training.inference import MULTIPLE, predict_probability, resampled
from retina_kit.training.metadata import Metadata, read_metadata
from retina_kit.training.normalization import Normalization

WEIGHTS = "weights.safetensors"
ALIKE = 0.8  # a field of view of this part of the training images' size is cropped to that size
SHORTEST_SIDE = 16  # of an image at working size
Box = tuple[int, int, int, int]  # top, left, bottom, right


class Prepared(NamedTuple):
    """An image as the network sees it, uint8 (C, h, w), and the box of the original that it shows."""

    pixels: np.ndarray
    box: Box


class TrainedNetwork:
    """One network with trained weights, and the way from an image to its input and back."""

    def __init__(self, model: nn.Module, metadata: Metadata, device: torch.device, precision: str = "auto") -> None:
        self.model, self.metadata, self.precision = model, metadata, precision
        self.normalization = Normalization(metadata.mean, metadata.std, in_channels=metadata.in_channels, device=device)
        self.multiple = multiple_of_sides(metadata) if metadata.task in SEGMENTS else MULTIPLE

    @classmethod
    def load(cls, path: str | Path, device: str = "auto", precision: str = "auto") -> Self:
        """Load a file of weights, or the last weights in a run's folder; DataError if they do not describe themselves.

        Nothing else is read: no experiment, no data set.
        """
        path, on = weights_file(path), choose_device(device)
        metadata = read_metadata(path)
        check_description(metadata, path)
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise DataError(f"{path} contains no readable weights: {error}") from error
        check_network(metadata, tensors, path)
        model = build_model(without_weights(metadata.network))
        model.load_state_dict(tensors)
        return cls(to_device(model, on).eval(), metadata, on, precision)

    def prepare(self, image: np.ndarray) -> Prepared:
        """Bring an image, uint8 (H, W) or (H, W, 3), to what the network was trained on."""
        metadata = self.metadata
        pixels = with_channels(image, metadata.image_channels)
        box = (0, 0, *image.shape[:2])
        if metadata.cropped:
            box = box_of_field(pixels, metadata.image_size)
            pixels = pixels[:, box[0] : box[2], box[1] : box[3]]
        size = working_size(metadata, (box[2] - box[0], box[3] - box[1]))
        one = pixels[None]
        if metadata.resize_first:
            return Prepared(metadata.preprocessing.apply(resize_images(one, size))[0], box)
        return Prepared(resize_images(metadata.preprocessing.apply(one), size)[0], box)

    def probabilities(self, images: Sequence[np.ndarray], *, flip: bool = False) -> list[np.ndarray]:
        """Predict images of one size: float32 (H, W) each, or (K, H, W) if the network has several classes.

        With `flip` the mirrored image is predicted, too.
        """
        prepared = [self.prepare(image) for image in images]
        found: list[np.ndarray | None] = [None] * len(images)
        for some in same_shape([(item.pixels.shape, box_size(item.box)) for item in prepared]):
            stack = torch.from_numpy(np.stack([prepared[k].pixels for k in some]))
            size = box_size(prepared[some[0]].box)
            probability = self._predict(stack, size)
            if flip:
                probability = (probability + self._predict(stack.flip(-1), size).flip(-1)) / 2
            for k, one in zip(some, probability.numpy(), strict=True):
                found[k] = put_back(one, prepared[k].box, images[k].shape[:2])
        return [one for one in found if one is not None]

    def _predict(self, stack: Tensor, size: tuple[int, int]) -> Tensor:
        metadata = self.metadata
        images = padded_to(stack, self.multiple, metadata.window) if self.multiple > MULTIPLE else stack
        is_padded = images is not stack
        probability = predict_probability(
            self.model,
            self.normalization,
            images,
            size=None if is_padded else size,
            classes=metadata.has_classes,
            precision=self.precision,
            batch_size=metadata.batch_size,
            window=metadata.window,
            stride=metadata.stride,
        )
        check_outputs(probability, metadata)
        if not is_padded:
            return probability
        return resampled(probability[..., : stack.shape[-2], : stack.shape[-1]], size)


class Predictor:
    """Predicts, for images of any size, the probability that a pixel belongs to the structure.

    With several networks (seeds or folds of one arm) their probabilities are averaged; with `flip`, so are those of
    the image and of its mirror image.

        predict = rk.Predictor.load("outputs/runs/0123456789abcdef")
        probability = predict("eye.png")  # float32 (H, W), the size of the image

    A network with several classes gives (K, H, W), one probability for each of the `structures`; they may overlap.
    """

    def __init__(self, networks: Sequence[TrainedNetwork], *, flip: bool = False) -> None:
        self.networks, self.flip = list(networks), flip
        if not self.networks:
            raise UsageError("a predictor needs at least one network")
        for network in self.networks:
            if network.metadata.task not in SEGMENTS:
                what = f"arm {network.metadata.arm} was trained to {network.metadata.task}, not to segment"
                raise UsageError(f"{what}; use retina_kit.ImagePredictor, or the command retina-kit predict")
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

    @property
    def structures(self) -> tuple[str, ...]:
        """What is predicted: the names of the classes, in the order of the channels."""
        return self.metadata.structures

    def __call__(self, image: np.ndarray | str | Path) -> np.ndarray:
        """Predict one image, an array (H, W) or (H, W, 3) in RGB order, or a file: float32 (H, W) or (K, H, W)."""
        return self.predict([image])[0]

    def predict(self, images: Sequence[np.ndarray | str | Path]) -> list[np.ndarray]:
        """Predict several images; those of one size go through the network together."""
        pixels = [as_pixels(image) for image in images]
        channels = (len(self.structures),) if self.metadata.has_classes else ()
        total = [np.zeros((*channels, *one.shape[:2]), np.float32) for one in pixels]
        for network in self.networks:
            for sum_, one in zip(total, network.probabilities(pixels, flip=self.flip), strict=True):
                sum_ += one
        return [sum_ / np.float32(len(self.networks)) for sum_ in total] if len(self.networks) > 1 else total


def weights_file(path: str | Path) -> Path:
    """Find the file of weights: the file itself, or that of a run's folder."""
    path = Path(path)
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise DataError(f"{path} holds no {WEIGHTS}; give a run's folder, such as outputs/runs/<hash>")
        return path / WEIGHTS
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a file of weights, or a run's folder")
    return path


def as_pixels(image: np.ndarray | str | Path) -> np.ndarray:
    """Return an image as uint8 (H, W) or (H, W, 3); a file is read, more than 8 bits are scaled."""
    if isinstance(image, str | Path):
        return read_page(image).pixels
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or 0 in image.shape:
        raise UsageError(f"the image has shape {image.shape}; expected (H, W), or (H, W, 3) in RGB order")
    plain = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    return plain if plain.dtype == np.uint8 else scaled_to_8_bit(plain, "the image")[0]


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an image (H, W) or (H, W, 3) as (channels, H, W): luminance for one, repeated for three.

    >>> with_channels(np.full((2, 4), 7, np.uint8), 3).shape
    (3, 2, 4)
    """
    stack = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    if channels == 1:
        return to_gray(np.ascontiguousarray(stack)[None])[0]
    return np.ascontiguousarray(np.repeat(stack, 3, axis=0) if len(stack) == 1 else stack)


def box_of_field(pixels: np.ndarray, size: tuple[int, int]) -> Box:
    """Find the box to which a photograph (3, H, W) is cropped, as `data.field_of_view.crop_to_field` does in training.

    It has the `size` of the training images, centered on the field of view, if the field is about that large;
    otherwise it is the field's own box.
    """
    top, left, bottom, right = field_box(pixels)
    height, width = pixels.shape[1:]
    fits = bottom - top <= size[0] <= height and right - left <= size[1] <= width
    if not fits or max(bottom - top, right - left) < ALIKE * max(size):
        return top, left, bottom, right
    y = min(max((top + bottom - size[0]) // 2, 0), height - size[0])
    x = min(max((left + right - size[1]) // 2, 0), width - size[1])
    return y, x, y + size[0], x + size[1]


def working_size(metadata: Metadata, size: tuple[int, int]) -> tuple[int, int]:
    """Choose the size (h, w) at which the network sees an image of `size`.

    Images that were brought to one size in training are brought to it whatever their shape, and so are those of a
    network with one answer per image. Otherwise the shape is kept, and the longer side becomes that of training, so
    that the structure is about as large as the network knows.
    """
    if metadata.stretched or size == metadata.image_size or metadata.task not in SEGMENTS:
        return metadata.working_size
    factor = max(metadata.working_size) / max(size)
    height, width = (max(SHORTEST_SIDE, round(side * factor)) for side in size)
    return height, width


def box_size(box: Box) -> tuple[int, int]:
    """Height and width of a box."""
    return box[2] - box[0], box[3] - box[1]


def put_back(probability: np.ndarray, box: Box, size: tuple[int, ...]) -> np.ndarray:
    """Put the probability of a box, (h, w) or (K, h, w), into an image of `size` (H, W); 0 outside."""
    if probability.shape[-2:] == tuple(size):
        return probability
    whole = np.zeros((*probability.shape[:-2], *size), np.float32)
    whole[..., box[0] : box[2], box[1] : box[3]] = probability
    return whole


def same_shape(shapes: Sequence[object]) -> list[list[int]]:
    """Group the positions of equal shapes, in their order.

    >>> same_shape([(4, 6), (8, 8), (4, 6)])
    [[0, 2], [1]]
    """
    groups: dict[object, list[int]] = {}
    for position, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(position)
    return list(groups.values())


def uncertainty(probability: np.ndarray) -> float:
    """Average over all pixels the binary entropy, -p log2 p - (1 - p) log2 (1 - p), in bits: 0 sure, 1 undecided.

    >>> uncertainty(np.array([[0.5, 1.0]], np.float32))
    0.5
    """
    p = probability.astype(np.float64).clip(1e-12, 1 - 1e-12)
    return round(float((-p * np.log2(p) - (1 - p) * np.log2(1 - p)).mean()), 6)
