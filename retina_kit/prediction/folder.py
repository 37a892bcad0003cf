"""Predict many image files into a folder: masks, overlays, probabilities and one row per image."""

import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from retina_kit.data.image_files import Page, gray_values, list_image_files, read_pages
from retina_kit.errors import DataError, UsageError
from retina_kit.files import atomic_path
from retina_kit.prediction.predictor import Predictor, uncertainty

OUTLINES = (  # RGB, the first rare in fundus photographs and B-scans; the others for further classes
    *((255, 64, 160), (86, 180, 233), (240, 228, 66), (0, 158, 115), (255, 255, 255), (148, 103, 189)),
)
FILL = 0.25  # opacity of the predicted area
OVERLAY_QUALITY = 90  # of the overlays' JPEGs
MAX_PIXEL_SIZE = 10_000.0  # micrometers
PixelSize = tuple[float, float]  # height, width in mm


@dataclass(frozen=True)
class PageResult:
    """One predicted image and structure, a row of predictions.csv; areas are those of the structure."""

    file: str
    page: int
    structure: str
    width: int
    height: int
    area_px: int
    area_mm2: float | None  # None if the size of a pixel is not known
    share: float  # of the image
    mean_uncertainty: float  # mean binary entropy in bits, 0 to 1
    mask: str  # relative to the output folder
    overlay: str  # of all structures
    notes: str


@dataclass
class FolderResult:
    """All predicted images, and {file: reason} of those that could not be read."""

    pages: list[PageResult] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """List the images as plain data, most uncertain first, the structures of an image together."""
        doubts: dict[tuple[str, int], float] = {}
        for page in self.pages:
            image = (page.file, page.page)
            doubts[image] = max(doubts.get(image, 0.0), page.mean_uncertainty)
        return [asdict(page) for page in sorted(self.pages, key=lambda page: -doubts[page.file, page.page])]


def predict_files(
    predictor: Predictor,
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    threshold: float | None = None,
    probabilities: bool = False,
    pixel_size: PixelSize | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> FolderResult:
    """Predict files and folders of images and write the results below `output`.

    A pixel belongs to the structure if its probability is above `threshold` (None: the network's own). Masks are PNG
    with 0 and 255, probabilities float32 TIFF; a network with several classes gives one of each per class, in a folder
    named like it, because a pixel may belong to several. `pixel_size` (height, width in mm) overrides that of a DICOM
    file. `watch(done, total)` is called after each file. A file that cannot be read does not stop the others.
    """
    threshold = checked_threshold(predictor.metadata.threshold if threshold is None else threshold)
    output, result = Path(output), FolderResult()
    files = files_to_predict(inputs, output)
    names = output_names(files, inputs)
    taken = {name.casefold() for name in names.values()}
    for pages in in_batches(pages_of(files, result.failures, watch), predictor.metadata.batch_size):
        for page, probability in zip(pages, predictor.predict([page.pixels for page in pages]), strict=True):
            name = name_of(page, names, taken)
            channels = probability if probability.ndim == 3 else probability[None]
            planes = dict(zip(predictor.structures, channels, strict=True))
            result.pages += write_page(
                page, planes, output, name, threshold, probabilities, pixel_size or page.pixel_size
            )
    with atomic_path(output / "predictions.csv") as path:
        columns = [column.name for column in fields(PageResult)]
        pd.DataFrame(result.rows(), columns=columns).to_csv(path, index=False)
    return result


def checked_threshold(threshold: float) -> float:
    """Return a threshold; UsageError unless it is between 0 and 1."""
    if not 0 < threshold < 1:
        raise UsageError(f"--threshold {threshold:g} must be between 0 and 1, such as 0.5")
    return threshold


def files_to_predict(inputs: Sequence[str | Path], output: Path) -> list[Path]:
    """List the images in files and folders, without those of the results; DataError if none is left."""
    files = [path for path in list_image_files(inputs) if output.resolve() not in path.resolve().parents]
    if not files:
        raise DataError(f"all images are in {output} itself, the folder of the results; choose another --output")
    return files


def name_of(page: Page, names: Mapping[Path, str], taken: set[str]) -> str:
    """Name the results of a page after those of its file; a name of a further page becomes `taken`."""
    name = names[page.path] + page.name.removeprefix(page.path.stem)
    return name if name == names[page.path] else untaken([name], taken)


def pages_of(
    files: Sequence[Path], failures: dict[str, str], watch: Callable[[int, int], None] | None = None
) -> Iterator[Page]:
    """Read the pages of all files, those of more than 8 bits at one depth; `failures` is {unreadable file: reason}."""
    values = gray_values(files)
    for number, path in enumerate(files, start=1):
        try:
            yield from read_pages(path, values)
        except DataError as error:
            failures[str(path)] = str(error)
        if watch:
            watch(number, len(files))


def in_batches(pages: Iterable[Page], size: int) -> Iterator[list[Page]]:
    """Collect pages into lists of `size`, the last one shorter."""
    batch: list[Page] = []
    for page in pages:
        batch.append(page)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def output_names(files: Sequence[Path], inputs: Sequence[str | Path]) -> dict[Path, str]:
    """Name each file's results after it: its path below the folder that was given, without suffix, never twice.

    >>> names = output_names([Path("eyes/a/1.png"), Path("eyes/a/1.jpg")], ["eyes"])
    >>> list(names.values())
    ['a/1', 'a/1_jpg']
    """
    roots = [Path(given) for given in inputs]
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in files:
        root = next((root for root in roots if root in path.parents), path.parent)
        plain = path.relative_to(root).with_suffix("").as_posix()
        names[path] = untaken([plain, f"{plain}_{path.suffix[1:].lower()}"], taken)
    return names


def untaken(candidates: Sequence[str], taken: set[str]) -> str:
    """Return the first name that is not taken, or the first candidate with a number, and note it in `taken`.

    Names that differ in upper and lower case only are one file on many systems.

    >>> [untaken(["eye"], {"eye", "eye_2"}), untaken(["Eye", "Eye_png"], {"eye"})]
    ['eye_3', 'Eye_png']
    """
    numbered = (f"{candidates[0]}_{number}" for number in itertools.count(2))
    name = next(name for name in itertools.chain(candidates, numbered) if name.casefold() not in taken)
    taken.add(name.casefold())
    return name


def write_page(
    page: Page,
    planes: Mapping[str, np.ndarray],
    output: Path,
    name: str,
    threshold: float,
    probabilities: bool,
    pixel_size: PixelSize | None,
) -> list[PageResult]:
    """Write the files of one image and describe it, a row per structure; `planes` maps them to probabilities (H, W)."""
    masks = {structure: probability > threshold for structure, probability in planes.items()}
    shown = f"overlays/{name}.jpg"
    save_image(output / shown, overlay(page.pixels, np.stack([*masks.values()])))
    found = []
    for structure, mask in masks.items():
        own = f"{structure}/{name}" if len(masks) > 1 else name
        save_image(output / "masks" / f"{own}.png", mask.astype(np.uint8) * 255)
        if probabilities:
            save_image(output / "probabilities" / f"{own}.tif", planes[structure])
        area = int(np.count_nonzero(mask))
        row = PageResult(
            file=str(page.path),
            page=page.number,
            structure=structure,
            width=mask.shape[1],
            height=mask.shape[0],
            area_px=area,
            area_mm2=None if pixel_size is None else round(area * pixel_size[0] * pixel_size[1], 6),
            share=round(area / mask.size, 6),
            mean_uncertainty=uncertainty(planes[structure]),
            mask=f"masks/{own}.png",
            overlay=shown,
            notes="; ".join(page.notes),
        )
        found.append(row)
    return found


def color_of(number: int) -> tuple[int, int, int]:
    """Return the color (RGB) of a structure in overlays, by its number from 0.

    >>> color_of(0)
    (255, 64, 160)
    """
    return OUTLINES[number % len(OUTLINES)]


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write pixels as an image file, whole or not at all; the suffix decides the format.

    It is encoded in memory: Pillow does not notice if the last block of a JPEG or TIFF no longer fits on a full disk.
    """
    encoded = io.BytesIO()
    encoded.name = path.name  # from which Pillow takes the format
    Image.fromarray(pixels).save(encoded, quality=OVERLAY_QUALITY)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.getvalue())


def overlay(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Outline and tint predicted areas on an image, uint8 (H, W) or (H, W, 3): RGB (H, W, 3).

    `masks` is bool, (H, W) or (K, H, W); each class has a color of its own (see `color_of`).
    """
    canvas = in_color(image)
    for number, mask in enumerate(masks if masks.ndim == 3 else masks[None]):
        color = color_of(number)
        canvas[mask] = (canvas[mask] * (1 - FILL) + np.array(color) * FILL).astype(np.uint8)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        thickness = max(1, round(max(mask.shape) / 600))
        canvas = cv2.drawContours(np.ascontiguousarray(canvas), contours, -1, color, thickness)
    return canvas


def in_color(image: np.ndarray) -> np.ndarray:
    """Copy an image, uint8 (H, W) or (H, W, 3), as RGB (H, W, 3)."""
    return np.dstack([image] * 3) if image.ndim == 2 else image.copy()


def parse_pixel_size(text: str) -> PixelSize:
    """Parse the size of a pixel in micrometers, one number or WIDTHxHEIGHT, to (height, width) in mm.

    >>> parse_pixel_size("6"), parse_pixel_size("11.5x3.9")
    ((0.006, 0.006), (0.0039, 0.0115))
    """
    sides = text.lower().split("x")
    try:
        width, height = float(sides[0]), float(sides[-1])
    except ValueError:
        width = height = 0.0
    if len(sides) > 2 or not (0 < width < MAX_PIXEL_SIZE and 0 < height < MAX_PIXEL_SIZE):
        raise UsageError(f"--pixel-size {text!r} must be micrometers, such as 6 or 11.5x3.9 (width x height)")
    return height / 1000, width / 1000
