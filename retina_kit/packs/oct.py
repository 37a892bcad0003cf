"""B-scans with numbered classes, from two releases that must be asked for: RETOUCH (volumes) and AROI (images).

Every B-scan becomes a gray PNG, every kind of fluid a mask of its own. The whole release is written beside the old
pack and takes its place at the end: a damaged file leaves things as they were.
"""

import concurrent.futures
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retina_kit.data.pixels import decode, pixel_sha256, read_image
from retina_kit.errors import DataError
from retina_kit.files import atomic_path
from retina_kit.packs.convert import encode_mask, encode_png
from retina_kit.packs.files import FileBar
from retina_kit.packs.metaimage import read_header, read_voxels

CLASSES = {
    "retouch": {"irf": 1, "srf": 2, "ped": 3},  # of 0 to 3, https://retouch.grand-challenge.org/Details/
    "aroi": {"ped": 5, "srf": 6, "irf": 7},  # of 0 to 7, as public programs name them (see the card)
}
HIGHEST = {"retouch": 3, "aroi": 7}
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


def import_scans(card, folder, data_root, *, progress=False):
    """Write a release's B-scans and masks as a pack and return its manifest's rows, in the release's order.

    Raises DataError where the folder does not look like the release, or a file of it is damaged; the pack that was
    there before, if any, stays then.
    """
    find, read = RELEASES[card.name]
    originals = find(Path(folder))
    if not originals:
        raise DataError(f"{folder} holds no B-scan of {card.name} with its classes; {card.how_to_get}")
    pool = concurrent.futures.ThreadPoolExecutor(NUM_THREADS)
    with (
        atomic_path(Path(data_root) / card.name) as pack,
        FileBar(f"import {card.name}", len(originals), shown=progress) as bar,
    ):
        jobs = [pool.submit(lambda o: [write_scan(scan, card, pack) for scan in read(o)], o) for o in originals]
        try:
            for job in concurrent.futures.as_completed(jobs):
                job.result()
                bar.advance(1)
        finally:
            pool.shutdown(cancel_futures=True)
    return [row for job in jobs for row in job.result()]


def write_scan(scan, card, pack):
    """Write one B-scan and its masks below a folder; return the manifest's row."""
    check_classes(scan, HIGHEST[card.name])
    row = {"id": scan.id, "patient": scan.patient, "split": "", "bscan_index": scan.index}
    parts = {"image": (f"images/{scan.id}.png", scan.image, encode_png(scan.image))}
    for mask, number in CLASSES[card.name].items():
        chosen = scan.classes == number
        parts[f"mask_{mask}"] = (f"masks/{mask}/{scan.id}.png", chosen.astype(np.uint8), encode_mask(chosen))
    for column, (name, pixels, content) in parts.items():
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        (pack / name).write_bytes(content)
        row |= {column: name, f"{column}_sha256": pixel_sha256(pixels)}
    return row


def check_classes(scan, highest):
    """Raise where classes are of another size than their B-scan, or a number occurs that is no class."""
    if scan.classes.shape != scan.image.shape:
        sizes = [" x ".join(map(str, pixels.shape)) for pixels in (scan.classes, scan.image)]
        raise DataError(f"{scan.origin} is {sizes[0]}, but its B-scan is {sizes[1]} (H x W)")
    values = np.flatnonzero(np.bincount(scan.classes.ravel(), minlength=256))
    if values[-1] > highest:
        raise DataError(f"{scan.origin} holds the values {values.tolist()}; classes are 0 to {highest}")


# ---- RETOUCH: RETOUCH-TrainingSet-Cirrus/TRAIN001/oct.mhd and reference.mhd, each with its .raw ---------------------
def retouch_volumes(folder):
    """Return (name, header of the scans, header of the classes) of every training volume of the Cirrus, by name.

    Headers are read and compared here, before anything is written. Test volumes have no public classes, and other
    devices' volumes differ in size: both are passed over.
    """
    volumes = {}
    for path in sorted(folder.rglob("oct.mhd")):
        name = path.parent.name.upper()
        if not re.fullmatch(r"TRAIN\d+", name) or device_of(path) != "Cirrus":
            continue
        if name in volumes:
            raise DataError(f"{path.parent} and {volumes[name][1].path.parent} are both {name}; give one of them")
        scans, classes = read_header(path), read_header(path.with_name("reference.mhd"))
        if scans.shape != classes.shape:
            sizes = [" x ".join(map(str, header.shape[::-1])) for header in (classes, scans)]
            raise DataError(f"{classes.path} is {sizes[0]}, but {path.name} is {sizes[1]} (x y z)")
        volumes[name] = (name, scans, classes)
    return [volumes[name] for name in sorted(volumes, key=lambda name: int(name[5:]))]


def device_of(path):
    """Return the device that the nearest folder above a volume names.

    Raises DataError where none does: a volume by itself does not say which device took it.
    """
    for folder in path.absolute().parents:
        for device in DEVICES:
            if device.lower() in folder.name.lower():
                return device
    raise DataError(f"{path.parent} lies in no folder that names its device, such as RETOUCH-TrainingSet-Cirrus")


def retouch_scans(volume):
    """Yield the B-scans of one volume; they follow each other along z, and each volume counts as a patient."""
    name, *headers = volume
    images, classes = (as_bytes(read_voxels(header), header.voxels) for header in headers)
    for index, (image, numbers) in enumerate(zip(images, classes, strict=True)):
        yield Scan(f"{name}_{index:03d}", name, index, image, numbers, f"{headers[1].voxels}, B-scan {index},")


def as_bytes(volume, path):
    """Return a volume as uint8; 16-bit voxels are taken where no value needs more than 8."""
    if volume.max() > 255:
        raise DataError(f"{path} holds values up to {volume.max()}; those of a Cirrus are 0 to 255")
    return volume.astype(np.uint8, copy=False)


# ---- AROI: patient1/raw/labeled/patient1_raw0001.png and patient1/mask/number/ with a file of the same name ---------
def aroi_images(folder):
    """Return (patient, index, B-scan, classes) of every labeled B-scan, patient by patient in the order of numbers.

    Raises DataError for a B-scan without classes, classes without a B-scan, a name that does not say which B-scan it
    is, and two files of one name.
    """
    scans, classes = images_below(folder, "raw", "labeled"), images_below(folder, "mask", "number")
    for key in sorted(scans.keys() ^ classes.keys()):
        path, lacking = (scans[key], "mask/number") if key in scans else (classes[key], "raw/labeled")
        raise DataError(f"{path} has no partner of the same name in its patient's {lacking}; unpack the release again")
    found = {}
    for key, path in scans.items():
        match = re.fullmatch(r"patient(\d+)_raw(\d+)\.png", path.name.lower())
        if not match:
            raise DataError(f"{path} is not called like patient1_raw0001.png; its patient cannot be told")
        number = (int(match[1]), int(match[2]))
        if number in found:
            raise DataError(f"{path} and {found[number][2]} are both patient {number[0]}, B-scan {number[1]}")
        found[number] = (f"patient{number[0]}", number[1], path, classes[key])
    return [found[number] for number in sorted(found)]


def images_below(folder, *names):
    """Return {(patient's folder, file name): path} of the PNG files right below folders of these names."""
    found = {}
    for path in folder.rglob("*"):
        parts = tuple(part.lower() for part in path.parts[-3:-1])
        if parts == names and path.suffix.lower() == ".png" and not path.name.startswith("."):
            found[path.parents[2], path.name.lower()] = path
    return found


def aroi_scans(image_file):
    """Yield the one B-scan of an image file."""
    patient, index, path, classes = image_file
    yield Scan(f"{patient}_raw{index:04d}", patient, index, read_image(path, 1), read_classes(classes), str(classes))


def read_classes(path):
    """Return an image of class numbers as uint8 (H, W); gray only, whatever the number of channels."""
    pixels = decode(path)
    if pixels.ndim == 3:
        if (pixels[..., :3] != pixels[..., :1]).any():
            raise DataError(f"{path} is a colored image; classes are gray numbers, as in mask/number")
        pixels = np.ascontiguousarray(pixels[..., 0])
    return pixels


RELEASES = {"retouch": (retouch_volumes, retouch_scans), "aroi": (aroi_images, aroi_scans)}
