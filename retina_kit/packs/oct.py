"""Import B-scans with numbered classes from two releases that must be requested: RETOUCH (volumes), AROI (images).

Every B-scan becomes a gray PNG, every kind of fluid a mask of its own.
"""

import concurrent.futures
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retina_kit.data.card import Card
from retina_kit.data.pixels import decode, pixel_sha256, read_image
from retina_kit.errors import DataError
from retina_kit.packs.convert import encode_mask, encode_png
from retina_kit.packs.files import FileBar
from retina_kit.packs.volumes import Volume, open_volume, read_voxels

DEVICES = ("Cirrus", "Spectralis", "Topcon")
NUM_THREADS = 4  # each holds one volume and its classes, 128 MiB of Cirrus


@dataclass(frozen=True)
class Scan:
    """One B-scan of a release: `image` and `classes` are uint8 (H, W)."""

    id: str
    patient: str
    index: int  # of the B-scan in its volume
    image: np.ndarray
    classes: np.ndarray
    origin: str  # the file of its classes, for messages


def import_scans(card: Card, folder: Path, pack: Path, *, progress: bool = False) -> list[dict[str, Any]]:
    """Write a release's B-scans and masks into a folder; return the rows of the manifest, in the release's order.

    Raises DataError if the folder does not look like the release, or a file of it is damaged.
    """
    release = RELEASES[card.name]
    originals = release.find(folder)
    if not originals:
        raise DataError(f"{folder} holds no B-scan of {card.name} with its classes; {card.how_to_get}")

    def write(original: Any) -> list[dict[str, Any]]:
        return [write_scan(scan, release, pack) for scan in release.read(original)]

    pool = concurrent.futures.ThreadPoolExecutor(NUM_THREADS)
    with FileBar(f"import {card.name}", len(originals), shown=progress) as bar:
        jobs = [pool.submit(write, original) for original in originals]
        try:
            for job in concurrent.futures.as_completed(jobs):
                job.result()
                bar.advance(1)
        finally:
            pool.shutdown(cancel_futures=True)
    return [row for job in jobs for row in job.result()]


def write_scan(scan: Scan, release: "Release", pack: Path) -> dict[str, Any]:
    """Write one B-scan and its masks below a folder; return the row of the manifest."""
    check_classes(scan, release.highest)
    row = {"id": scan.id, "patient": scan.patient, "split": "", "bscan_index": scan.index}
    parts = {"image": (f"images/{scan.id}.png", scan.image, encode_png(scan.image))}
    for mask, number in release.classes.items():
        chosen = scan.classes == number
        parts[f"mask_{mask}"] = (f"masks/{mask}/{scan.id}.png", chosen.astype(np.uint8), encode_mask(chosen))
    for column, (name, pixels, content) in parts.items():
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        (pack / name).write_bytes(content)
        row |= {column: name, f"{column}_sha256": pixel_sha256(pixels)}
    return row


def check_classes(scan: Scan, highest: int) -> None:
    """Raise DataError for classes of another size than their B-scan, or a number that is not a class."""
    if scan.classes.shape != scan.image.shape:
        sizes = [" x ".join(map(str, pixels.shape)) for pixels in (scan.classes, scan.image)]
        raise DataError(f"{scan.origin} is {sizes[0]}, but its B-scan is {sizes[1]} (H x W)")
    values = np.flatnonzero(np.bincount(scan.classes.ravel(), minlength=256))
    if values[-1] > highest:
        raise DataError(f"{scan.origin} holds the values {values.tolist()}; classes are 0 to {highest}")


# ---- RETOUCH: RETOUCH-TrainingSet-Cirrus/TRAIN001/oct.mhd and reference.mhd, each with its .raw ---------------------
def retouch_volumes(folder: Path) -> list[tuple[str, Volume, Volume]]:
    """Find (name, B-scans, classes) of every training volume of the Cirrus, in the order of their numbers.

    Headers are read and compared here, before anything is written. Test volumes have no public classes, and the
    volumes of other devices differ in size: both are skipped.
    """
    volumes: dict[str, tuple[str, Volume, Volume]] = {}
    for path in sorted(folder.rglob("oct.mhd")):
        name = path.parent.name.upper()
        if not re.fullmatch(r"TRAIN\d+", name) or device_of(path) != "Cirrus":
            continue
        if name in volumes:
            raise DataError(f"{path.parent} and {volumes[name][1].path.parent} are both {name}; give one of them")
        scans, classes = open_volume(path), open_volume(path.with_name("reference.mhd"))
        if scans.shape != classes.shape:
            sizes = [" x ".join(map(str, volume.shape[::-1])) for volume in (classes, scans)]
            raise DataError(f"{classes.path} is {sizes[0]}, but {path.name} is {sizes[1]} (x y z)")
        volumes[name] = (name, scans, classes)
    return [volumes[name] for name in sorted(volumes, key=lambda name: int(name[5:]))]


def device_of(path: Path) -> str:
    """The device that the nearest folder above a volume names.

    Raises DataError if none does: the volume itself does not record which device took it.
    """
    for folder in path.absolute().parents:
        for device in DEVICES:
            if device.lower() in folder.name.lower():
                return device
    raise DataError(f"{path.parent} is not in a folder that names its device, such as RETOUCH-TrainingSet-Cirrus")


def retouch_scans(named_volumes: tuple[str, Volume, Volume]) -> Iterator[Scan]:
    """Yield the B-scans of one volume, in the order of the z axis; each volume counts as a patient."""
    name, *volumes = named_volumes
    images, classes = map(read_bytes, volumes)
    for index, (image, numbers) in enumerate(zip(images, classes, strict=True)):
        yield Scan(f"{name}_{index:03d}", name, index, image, numbers, f"{volumes[1].voxels}, B-scan {index},")


def read_bytes(volume: Volume) -> np.ndarray:
    """Read a volume as uint8; 16-bit voxels are accepted if no value needs more than 8."""
    voxels = read_voxels(volume)
    if voxels.max() > 255:
        raise DataError(f"{volume.voxels} holds values up to {voxels.max()}; those of a Cirrus are 0 to 255")
    return voxels.astype(np.uint8, copy=False)


# ---- AROI: patient1/raw/labeled/patient1_raw0001.png and patient1/mask/number/ with a file of the same name ---------
def aroi_images(folder: Path) -> list[tuple[str, int, Path, Path]]:
    """Find (patient, index, B-scan, classes) of every labeled B-scan, in the order of patients and B-scans.

    Raises DataError for a B-scan without classes, classes without a B-scan, a name that does not tell which B-scan it
    is, and two files of one name.
    """
    scans, classes = images_below(folder, "raw", "labeled"), images_below(folder, "mask", "number")
    for key in sorted(scans.keys() ^ classes.keys()):
        path, lacking = (scans[key], "mask/number") if key in scans else (classes[key], "raw/labeled")
        raise DataError(f"{path} has no partner of the same name in its patient's {lacking}; unpack the release again")
    found: dict[tuple[int, int], tuple[str, int, Path, Path]] = {}
    for key, path in scans.items():
        match = re.fullmatch(r"patient(\d+)_raw(\d+)\.png", path.name.lower())
        if not match:
            raise DataError(f"{path} is not named like patient1_raw0001.png, so its patient is unknown")
        number = (int(match[1]), int(match[2]))
        if number in found:
            raise DataError(f"{path} and {found[number][2]} are both patient {number[0]}, B-scan {number[1]}")
        found[number] = (f"patient{number[0]}", number[1], path, classes[key])
    return [found[number] for number in sorted(found)]


def images_below(folder: Path, *names: str) -> dict[tuple[Path, str], Path]:
    """Find the PNG files right below folders of these names: {(folder of the patient, file name): path}."""
    found = {}
    for path in folder.rglob("*"):
        parts = tuple(part.lower() for part in path.parts[-3:-1])
        if parts == names and path.suffix.lower() == ".png" and not path.name.startswith("."):
            found[path.parents[2], path.name.lower()] = path
    return found


def aroi_scans(image: tuple[str, int, Path, Path]) -> Iterator[Scan]:
    """Yield the one B-scan of an image file."""
    patient, index, path, classes = image
    yield Scan(f"{patient}_raw{index:04d}", patient, index, read_image(path, 1), read_classes(classes), str(classes))


def read_classes(path: Path) -> np.ndarray:
    """Read an image of class numbers as uint8 (H, W); it is gray, whatever its number of channels."""
    pixels = decode(path)
    if pixels.ndim == 3:
        if (pixels[..., :3] != pixels[..., :1]).any():
            raise DataError(f"{path} is a colored image; classes are gray numbers, as in mask/number")
        pixels = np.ascontiguousarray(pixels[..., 0])
    return pixels


@dataclass(frozen=True)
class Release:
    """How one release is read: `find` lists its originals, `read` yields the B-scans of one of them."""

    find: Callable[[Path], list[Any]]
    read: Callable[[Any], Iterator[Scan]]
    classes: dict[str, int]  # mask -> class number
    highest: int  # class number
    labels: tuple[str, ...] = ("bscan_index",)

    @property
    def masks(self) -> tuple[str, ...]:
        """The names of the masks that are made of the classes."""
        return tuple(self.classes)


RELEASES = {
    # class numbers: https://retouch.grand-challenge.org/Details/
    "retouch": Release(retouch_volumes, retouch_scans, {"irf": 1, "srf": 2, "ped": 3}, highest=3),
    # class numbers as public programs name them (see the card)
    "aroi": Release(aroi_images, aroi_scans, {"ped": 5, "srf": 6, "irf": 7}, highest=7),
}
