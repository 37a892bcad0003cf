"""Makes a data pack of your own images and masks: pairs found by name, everything verified, then one folder.

The pack is <data_root>/<name>/ with images/, masks/, manifest.csv and card.toml. Nothing is written unless every
image has one mask of its size, and every mask one image.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import pandas as pd

from retina_kit.data.dataset import SYNTHETIC
from retina_kit.data.manifest import CARD_FILE, MANIFEST_FILE, kit_cards, parse_card, parse_manifest
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.errors import DataError, UsageError
from retina_kit.files import atomic_path

ENDINGS = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
CARD = """title = {title}
home = "own images"
license = "yours: say here under which terms these images may be used"
access = "own"
redistribute = false
citation = "say here where they come from"
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
    image: object  # uint8 (H, W) or (H, W, 3)
    mask: object  # bool (H, W)


def new_pack(name, images, masks, patient_regex, data_root, *, mask_name="target"):
    """Write the pack and return its manifest's rows.

    `images` and `masks` are folders. A mask belongs to the image whose file name (without ending) it has, or
    begins with, as in eye_7.jpg and eye_7_mask.png. `patient_regex` finds the patient in an image's name: its first
    group, or all that it matches. Raises UsageError for a bad name or pattern, DataError for what is wrong with files.
    """
    folder = Path(data_root) / name
    pattern = checked_pattern(name, patient_regex, mask_name, folder)
    pairs, channels = read_pairs(pair_files(Path(images), Path(masks)), pattern)
    height, width = pairs[0].mask.shape
    with atomic_path(folder) as unfinished:
        rows = write_files(pairs, unfinished, mask_name)
        rows.to_csv(unfinished / MANIFEST_FILE, index=False)
        modality = "fundus" if channels == 3 else "oct"
        card = CARD.format(title=json.dumps(f"{name}: your own images"), modality=json.dumps(modality),
                           channels=channels, height=height, width=width, mask=mask_name)  # fmt: skip
        (unfinished / CARD_FILE).write_text(card, encoding="utf-8")
        parse_manifest(unfinished / MANIFEST_FILE, parse_card(unfinished / CARD_FILE, name))
    return rows


def checked_pattern(name, patient_regex, mask_name, folder):
    """Return the compiled pattern; raise where a name cannot be taken."""
    for what, given in (("name", name), ("mask's name", mask_name)):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", given):
            raise UsageError(f"the {what} {given!r} must be small letters, digits and _, such as my_eyes")
    if name in (*SYNTHETIC, *kit_cards()):
        raise UsageError(f"{name} is a data set of the kit; choose another name")
    if folder.exists():
        raise UsageError(f"{folder} is there already; choose another name, or remove it first")
    try:
        return re.compile(patient_regex)
    except re.error as error:
        raise UsageError(f"--patient-regex {patient_regex!r} is no regular expression: {error}") from error


def pair_files(images, masks):
    """Return [(image, mask), ...] by name; raise a DataError that lists what has no partner."""
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


def files_of(folder):
    """Return the image files of a folder, sorted by name."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give the one that holds the files")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise DataError(f"{folder} holds no image ({', '.join(sorted(ENDINGS))})")
    stems = [path.stem for path in found]
    repeated = [stem for stem in stems if stems.count(stem) > 1]
    if repeated:
        raise DataError(f"{folder} holds {repeated[0]!r} with more than one ending")
    return found


def belongs(mask, path):
    """Say whether a mask's name is an image's, or begins with it and goes on with no letter or digit."""
    return mask == path or (mask.startswith(path) and not mask[len(path)].isalnum())


def read_pairs(paths, pattern):
    """Return ([Pair, ...], channels): every file read, sizes compared, patients found."""
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
        raise DataError(f"the images differ in size ({examples}); bring them to one size first")
    if len({pair.patient for pair in pairs}) < 2:
        raise DataError(f"all images are of patient {pairs[0].patient!r}; a split by patient needs two or more")
    if not any(pair.mask.any() for pair in pairs):
        raise DataError("all masks are empty; there is nothing to learn")
    return pairs, channels


def is_gray(path):
    """Say whether an image has one channel, or three alike."""
    try:
        read_image(path, 1)
    except DataError:
        read_image(path, 3)  # raises where it is no image at all
        return False
    return True


def write_files(pairs, folder, mask_name):
    """Write images and masks as PNG, without the originals' metadata, and return the manifest's rows."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rows = []
    for pair in pairs:
        path = pair.image if pair.image.ndim == 2 else cv2.cvtColor(pair.image, cv2.COLOR_RGB2BGR)
        for part, pixels in (("images", path), ("masks", pair.mask.astype("uint8") * 255)):
            (folder / part / f"{pair.id}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        row = {"id": pair.id, "patient": pair.patient, "split": "", "image": f"images/{pair.id}.png"}
        row |= {"image_sha256": pixel_sha256(pair.image), f"mask_{mask_name}": f"masks/{pair.id}.png"}
        rows.append(row | {f"mask_{mask_name}_sha256": pixel_sha256(pair.mask.astype("uint8"))})
    return pd.DataFrame(rows)
