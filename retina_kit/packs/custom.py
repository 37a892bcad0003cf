"""Make a data set of your own images and masks: pair them, verify everything, then write one folder.

The pack is <data_root>/<name>/ with images/, masks/<mask>/, manifest.csv, card.toml and preview.jpg. Nothing is written
unless every image has its masks, all fit, and patients can be told apart. What was converted is reported in notes.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from retina_kit.data.card import CARD_FILE, kit_cards, parse_card
from retina_kit.data.dataset import SYNTHETIC
from retina_kit.data.image_files import GrayValues, gray_values
from retina_kit.data.manifest import MANIFEST_FILE, forget_cards, parse_manifest
from retina_kit.data.pixels import pixel_sha256
from retina_kit.errors import DataError, UsageError
from retina_kit.files import atomic_path
from retina_kit.packs.convert import encode_png
from retina_kit.packs.mask_files import MaskRules, fit_mask, read_any_mask, read_first_page
from retina_kit.packs.pairing import Entry, pair_folders, read_table
from retina_kit.packs.preview import write_preview
from retina_kit.packs.sizes import common_size, on_canvas, with_margin

MUCH = 0.6  # of all pixels: more foreground than any structure of the retina covers
FOLDERS = Mapping[str, str | Path]
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
{masks}
"""


@dataclass(frozen=True)
class ImportOptions:
    """How files are paired and understood; see `pairing` and `mask_files`."""

    image_suffix: str = ""
    mask_suffixes: dict[str, str] = field(default_factory=dict)
    missing_is_empty: bool = False
    size: tuple[int, int] | None = None  # height, width that images are scaled to fit; None: they keep their sizes
    masks: MaskRules = field(default_factory=MaskRules)


@dataclass(frozen=True)
class Pair:
    """One image with its masks, read and brought to the pack's size."""

    entry: Entry
    image: np.ndarray  # uint8 (H, W) or (H, W, 3)
    masks: dict[str, np.ndarray]  # bool (H, W)
    notes: tuple[str, ...]


@dataclass(frozen=True)
class NewPack:
    """The manifest of a new pack, what was converted, and how patients were found."""

    rows: pd.DataFrame
    notes: list[str]


def new_pack(
    name: str,
    images: str | Path | None,
    masks: str | Path | FOLDERS | None,
    patient_regex: str,
    data_root: str | Path,
    *,
    mask_name: str = "target",
    table: str | Path | None = None,
    options: ImportOptions | None = None,
) -> NewPack:
    """Write the pack and return its manifest, with notes on what was converted.

    `masks` is a folder, or {mask: folder} for several structures. `patient_regex` finds the patient in an image's
    name: its first group, or the whole match. A `table` (CSV: image, mask, patient) takes the place of all three.
    Raises UsageError for a bad name or pattern, DataError for files that do not fit.
    """
    folder, options = Path(data_root) / name, options or ImportOptions()
    patient_of = patient_finder(patient_regex) if table is None else None
    if table is not None:
        entries = read_table(Path(table), options.missing_is_empty)
    elif images is None or masks is None or patient_of is None or not patient_regex:
        raise UsageError("give --images, --masks and --patient-regex, or one --table")
    else:
        folders = {mask_name: masks} if isinstance(masks, str | Path) else masks
        entries = pair_folders(
            Path(images),
            mask_folders(folders, options),
            patient_of,
            image_suffix=options.image_suffix,
            mask_suffixes=options.mask_suffixes,
            missing_is_empty=options.missing_is_empty,
        )
    if not entries:
        raise DataError(f"no image found in {images if table is None else table}")
    entries = with_classes(entries, options.masks)
    check_names(name, list(entries[0].masks), folder)
    values = gray_values(entry.image for entry in entries)
    channels, size = survey(entries, options, values)
    with atomic_path(folder) as unfinished:
        rows, notes = write_files(read_pairs(entries, channels, size, options, values), unfinished)
        rows.to_csv(unfinished / MANIFEST_FILE, index=False)
        content = card_text(name, channels, size, list(entries[0].masks))
        (unfinished / CARD_FILE).write_text(content, encoding="utf-8")
        parse_manifest(unfinished / MANIFEST_FILE, parse_card(unfinished / CARD_FILE, name))
        write_preview(unfinished, rows, list(entries[0].masks))
    forget_cards()
    return NewPack(rows, notes)


def patient_finder(pattern: str) -> Callable[[str], str]:
    """Return a function that finds the patient in an image's name; UsageError for a bad pattern."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--patient-regex {pattern!r} is not a regular expression: {error}") from error

    def find(stem: str) -> str:
        found = compiled.search(stem)
        patient = found and (found.group(1) if compiled.groups else found.group(0))
        if not patient:
            raise DataError(f"the pattern {pattern!r} finds no patient in the name {stem!r}")
        return patient

    return find


def check_names(name: str, masks: list[str], folder: Path) -> None:
    """Raise UsageError for names that cannot be used."""
    for what, given in (("name", name), *(("mask's name", mask) for mask in masks)):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", given):
            raise UsageError(f"the {what} {given!r} must consist of lowercase letters, digits and _, such as my_eyes")
    if name in (*SYNTHETIC, *kit_cards()):
        raise UsageError(f"{name} is a data set of the kit; choose another name")
    if folder.exists():
        raise UsageError(f"{folder} exists already; choose another name, or remove it first")


def mask_folders(folders: FOLDERS, options: ImportOptions) -> dict[str, Path]:
    """Name a folder per mask: several suffixes in one folder are several masks."""
    found = {name: Path(path) for name, path in folders.items()}
    extra = [name for name in options.mask_suffixes if name not in found]
    if not extra:
        return found
    if len(found) > 1 or not set(found) <= {"target", *options.mask_suffixes}:
        raise UsageError(f"--mask-suffix names {extra[0]!r}, but --masks has only {', '.join(found)}")
    return dict.fromkeys(options.mask_suffixes, next(iter(found.values())))


def with_classes(entries: list[Entry], rules: MaskRules) -> list[Entry]:
    """Let every class of a label map be a mask that is read from the same file; UsageError if there are several."""
    if not rules.classes:
        return entries
    named = list(entries[0].masks) if entries else []
    if len(named) > 1:
        raise UsageError(f"--mask-class reads all classes from one file, but there are masks {', '.join(named)}")
    files = [next(iter(entry.masks.values())) for entry in entries]
    return [
        Entry(entry.id, entry.image, dict.fromkeys(rules.classes, file), entry.patient)
        for entry, file in zip(entries, files, strict=True)
    ]


def survey(entries: list[Entry], options: ImportOptions, values: GrayValues) -> tuple[int, tuple[int, int]]:
    """Read all images once: (number of channels, size) of the pack; DataError if they do not belong together."""
    sizes: list[tuple[int, int]] = []
    owners: dict[str, list[Entry]] = defaultdict(list)
    color = False
    for entry in entries:
        pixels = read_first_page(entry.image, values)[0].pixels
        sizes.append((pixels.shape[0], pixels.shape[1]))
        owners[pixel_sha256(pixels)].append(entry)
        color |= not is_gray(pixels)
    check_duplicates(owners)
    check_patients(entries)
    return (3 if color else 1), options.size or common_size(sizes)


def check_duplicates(owners: Mapping[str, list[Entry]]) -> None:
    """Raise DataError if two patients share an image: it could be trained on and tested on."""
    for entries in owners.values():
        other = next((entry for entry in entries if entry.patient != entries[0].patient), None)
        if other:
            first = entries[0]
            raise DataError(
                f"{first.image.name} (patient {first.patient}) and {other.image.name} (patient {other.patient}) are "
                "the same image, which would leak from training into testing; remove one, or give them one patient"
            )


def check_patients(entries: list[Entry]) -> None:
    """Raise DataError unless there are two patients to split."""
    if len({entry.patient for entry in entries}) < 2:
        raise DataError(
            f"all images are of patient {entries[0].patient!r}, and a split by patient needs two or more; "
            "check --patient-regex, or the table's patients"
        )


def is_gray(pixels: np.ndarray) -> bool:
    """Tell whether an image has one channel, or three equal ones."""
    return pixels.ndim == 2 or bool((pixels == pixels[..., :1]).all())


def read_pairs(
    entries: list[Entry], channels: int, size: tuple[int, int], options: ImportOptions, values: GrayValues
) -> Iterator[Pair]:
    """Read images and masks one by one, at the pack's number of channels and size."""
    for entry in entries:
        page, notes = read_first_page(entry.image, values)
        pixels = page.pixels
        turned = any("EXIF" in note for note in notes)
        masks = {}
        for name, path in entry.masks.items():
            if path is None:
                masks[name] = np.zeros(pixels.shape[:2], bool)
                continue
            mask, mask_notes = read_any_mask(path, options.masks, name)
            masks[name] = fit_mask(mask, (pixels.shape[0], pixels.shape[1]), path, options.masks, turned)
            notes += [f"mask: {note}" for note in mask_notes]
        if channels == 1:
            pixels = pixels if pixels.ndim == 2 else pixels[..., 0]
        elif pixels.ndim == 2:
            pixels = np.dstack([pixels] * 3)
            notes.append("gray image stored as color, as the others")
        if pixels.shape[:2] != size:
            place, how = (on_canvas, "scaled to fit") if options.size else (with_margin, "kept, with a black margin to")
            notes.append(f"{how} {size[1]}x{size[0]}")
            pixels, masks = place(pixels, size), {name: place(mask, size) for name, mask in masks.items()}
        yield Pair(entry, pixels, masks, tuple(dict.fromkeys(notes)))


def write_files(pairs: Iterator[Pair], folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Write images and masks as PNG, without the originals' metadata: (rows of the manifest, notes)."""
    rows, notes = [], Counter[str]()
    shares: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        pixels = pair.image if pair.image.ndim == 2 else cv2.cvtColor(pair.image, cv2.COLOR_RGB2BGR)
        row = {"id": pair.entry.id, "patient": pair.entry.patient, "split": ""}
        row |= {"image": put(folder, f"images/{pair.entry.id}.png", pixels), "image_sha256": pixel_sha256(pair.image)}
        for name, mask in pair.masks.items():
            drawn = mask.astype(np.uint8)
            place = f"masks/{pair.entry.id}.png" if len(pair.masks) == 1 else f"masks/{name}/{pair.entry.id}.png"
            row |= {f"mask_{name}": put(folder, place, drawn * 255), f"mask_{name}_sha256": pixel_sha256(drawn)}
            shares[name].append(float(mask.mean()))
        rows.append(row)
        notes.update(pair.notes)
    if not any(any(values) for values in shares.values()):
        raise DataError(
            "all masks are empty, so there is nothing to learn; check --masks, --mask-threshold and --mask-class"
        )
    found = [f"{note} ({number} of {len(rows)} images)" for note, number in notes.items()]
    for name, values in shares.items():
        if not any(values):
            found.append(
                f"warning: the mask {name!r} is empty in all images; check its folder, or its color in --mask-class"
            )
        if np.mean(values) > MUCH:
            found.append(
                f"warning: the masks {name!r} cover {100 * np.mean(values):.0f} % of the images; "
                "if their background is white, add --invert-masks"
            )
    return pd.DataFrame(rows), found


def put(folder: Path, place: str, pixels: np.ndarray) -> str:
    """Write pixels as a PNG below a folder and return its place."""
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(encode_png(pixels))
    return place


def card_text(name: str, channels: int, size: tuple[int, int], masks: list[str]) -> str:
    """Write the card of a pack."""
    return CARD.format(
        title=json.dumps(f"{name}: your own images", ensure_ascii=False),
        modality=json.dumps("fundus" if channels == 3 else "oct"),
        channels=channels,
        height=size[0],
        width=size[1],
        masks="\n".join(f'{mask} = "foreground"' for mask in masks),
    )
