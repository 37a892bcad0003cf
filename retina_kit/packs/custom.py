"""Make a data pack of your own images and masks: pair them by name, verify everything, then write one folder.

The pack is <data_root>/<name>/ with images/, masks/, manifest.csv and card.toml. Nothing is written unless every
image has one mask of its size, and every mask one image.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.card import CARD_FILE, kit_cards, parse_card
from retina_kit.data.dataset import SYNTHETIC
from retina_kit.data.manifest import MANIFEST_FILE, parse_manifest
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.errors import DataError, UsageError
from retina_kit.files import atomic_path
from retina_kit.packs.convert import encode_png

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
CARD = """title = {title}
home = "own images"
license = "state here under which terms these images may be used"
access = "own"
redistribute = false
citation = "state here where they come from"
modality = {modality}
channels = {channels}
size = [{height}, {width}]
how_to_get = "made with retina-kit data new; it cannot be downloaded"

[masks]
{mask} = "foreground"
"""


@dataclass(frozen=True)
class Pair:
    """One image with its mask, read and verified."""

    id: str
    patient: str
    image: np.ndarray  # uint8 (H, W) or (H, W, 3)
    mask: np.ndarray  # bool (H, W)


def new_pack(
    name: str,
    images: str | Path,
    masks: str | Path,
    patient_regex: str,
    data_root: str | Path,
    *,
    mask_name: str = "target",
) -> pd.DataFrame:
    """Write the pack and return the rows of its manifest.

    `images` and `masks` are folders. A mask belongs to the image whose file name (without suffix) it has, or
    begins with, as in eye_7.jpg and eye_7_mask.png. `patient_regex` finds the patient in an image's name: its first
    group, or the whole match. Raises UsageError for a bad name or pattern, DataError for files that do not fit.
    """
    folder = Path(data_root) / name
    pattern = checked_pattern(name, patient_regex, mask_name, folder)
    pairs, channels = read_pairs(pair_files(Path(images), Path(masks)), pattern)
    height, width = pairs[0].mask.shape
    with atomic_path(folder) as unfinished:
        rows = write_files(pairs, unfinished, mask_name)
        rows.to_csv(unfinished / MANIFEST_FILE, index=False)
        card = CARD.format(
            title=json.dumps(f"{name}: your own images"),
            modality=json.dumps("fundus" if channels == 3 else "oct"),
            channels=channels,
            height=height,
            width=width,
            mask=mask_name,
        )
        (unfinished / CARD_FILE).write_text(card, encoding="utf-8")
        parse_manifest(unfinished / MANIFEST_FILE, parse_card(unfinished / CARD_FILE, name))
    return rows


def checked_pattern(name: str, patient_regex: str, mask_name: str, folder: Path) -> re.Pattern[str]:
    """Compile the pattern; raise UsageError for it and for names that cannot be used."""
    for what, given in (("name", name), ("mask's name", mask_name)):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", given):
            raise UsageError(f"the {what} {given!r} must consist of lowercase letters, digits and _, such as my_eyes")
    if name in (*SYNTHETIC, *kit_cards()):
        raise UsageError(f"{name} is a data set of the kit; choose another name")
    if folder.exists():
        raise UsageError(f"{folder} exists already; choose another name, or remove it first")
    try:
        return re.compile(patient_regex)
    except re.error as error:
        raise UsageError(f"--patient-regex {patient_regex!r} is not a regular expression: {error}") from error


def pair_files(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pair images and masks by name; raise a DataError that lists the files without a partner."""
    image_set, found = files_of(images), files_of(masks)
    partners = {path: [mask for mask in found if belongs(mask.stem, path.stem)] for path in image_set}
    for path, mine in partners.items():
        exact = [mask for mask in mine if mask.stem == path.stem]
        partners[path] = exact if len(exact) == 1 else mine
    used = {mask for mine in partners.values() for mask in mine}
    problems = [f"{p.name} has no mask" for p, mine in partners.items() if not mine]
    problems += [
        f"{p.name} has {len(mine)} masks: {mine[0].name}, {mine[1].name}"
        for p, mine in partners.items()
        if len(mine) > 1
    ]
    problems += [f"{mask.name} belongs to no image" for mask in found if mask not in used]
    if problems:
        raise DataError(f"{len(problems)} files cannot be paired by name: {'; '.join(problems[:5])}")
    return [(path, mine[0]) for path, mine in partners.items()]


def files_of(folder: Path) -> list[Path]:
    """List the image files of a folder, sorted by name."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the one that holds the files")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{folder} holds no image ({', '.join(sorted(SUFFIXES))})")
    stems = [path.stem for path in found]
    repeated = [stem for stem in stems if stems.count(stem) > 1]
    if repeated:
        raise DataError(f"{folder} holds {repeated[0]!r} with more than one suffix")
    return found


def belongs(mask: str, image: str) -> bool:
    """Tell whether a mask's name is an image's, or begins with it and continues with neither a letter nor a digit.

    >>> belongs("eye_1_mask", "eye_1"), belongs("eye_11", "eye_1")
    (True, False)
    """
    return mask == image or (mask.startswith(image) and not mask[len(image)].isalnum())


def read_pairs(paths: list[tuple[Path, Path]], pattern: re.Pattern[str]) -> tuple[list[Pair], int]:
    """Read every file, compare sizes and find patients: ([Pair, ...], number of channels)."""
    channels = 1 if all(is_gray(path) for path, _ in paths) else 3
    pairs = []
    for path, mask in paths:
        found = pattern.search(path.stem)
        patient = found and (found.group(1) if pattern.groups else found.group(0))
        if not patient:
            raise DataError(f"the pattern {pattern.pattern!r} finds no patient in the name {path.stem!r}")
        image = read_image(path, channels)
        pairs.append(Pair(path.stem, patient, image, read_mask(mask, image.shape[:2])))
    sizes = {pair.mask.shape: pair.id for pair in pairs}
    if len(sizes) > 1:
        examples = ", ".join(f"{name} is {size[1]}x{size[0]}" for size, name in list(sizes.items())[:3])
        raise DataError(f"the images differ in size ({examples}); resize them to one size first")
    if len({pair.patient for pair in pairs}) < 2:
        raise DataError(f"all images are of patient {pairs[0].patient!r}; a split by patient needs two or more")
    if not any(pair.mask.any() for pair in pairs):
        raise DataError("all masks are empty; there is nothing to learn")
    return pairs, channels


def is_gray(path: Path) -> bool:
    """Tell whether an image has one channel, or three equal ones."""
    try:
        read_image(path, 1)
    except DataError:
        read_image(path, 3)  # raises if it is not an image at all
        return False
    return True


def write_files(pairs: list[Pair], folder: Path, mask_name: str) -> pd.DataFrame:
    """Write images and masks as PNG, without the originals' metadata, and return the rows of the manifest."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rows = []
    for pair in pairs:
        pixels = pair.image if pair.image.ndim == 2 else cv2.cvtColor(pair.image, cv2.COLOR_RGB2BGR)
        for part, content in (("images", encode_png(pixels)), ("masks", encode_png(pair.mask.astype("uint8") * 255))):
            (folder / part / f"{pair.id}.png").write_bytes(content)
        row = {"id": pair.id, "patient": pair.patient, "split": "", "image": f"images/{pair.id}.png"}
        row |= {"image_sha256": pixel_sha256(pair.image), f"mask_{mask_name}": f"masks/{pair.id}.png"}
        rows.append(row | {f"mask_{mask_name}_sha256": pixel_sha256(pair.mask.astype("uint8"))})
    return pd.DataFrame(rows)
