"""Pair your images with their masks: by name, by suffixes that you give, or by a table."""

import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import pandas as pd

from retina_kit.data.image_files import list_image_files
from retina_kit.errors import DataError, UsageError

SEPARATOR = re.compile(r"[ _\-.(]")
TABLE_COLUMNS = ("image", "mask", "patient")
MAX_NAMED = 5  # problems in one message


@dataclass(frozen=True)
class Entry:
    """One image with its masks, before anything is read; a mask is None if it has no file."""

    id: str
    image: Path
    masks: dict[str, Path | None]
    patient: str


def pair_folders(
    images: Path,
    masks: Mapping[str, Path],
    patient_of: Callable[[str], str],
    *,
    image_suffix: str = "",
    mask_suffixes: Mapping[str, str] | None = None,
    missing_is_empty: bool = False,
) -> list[Entry]:
    """Pair the images of a folder with those of one folder of masks per mask name, subfolders included.

    Without a suffix for a mask, its files have the images' names, or these names with one ending that all share, such
    as _mask. In a folder that holds both, a file that ends like an image or a mask that was named is no other. Raises
    DataError that lists the files without a partner, and how to pair them.
    """
    image_files = files_by_stem(images)
    endings = tuple(filter(None, (mask_suffixes or {}).values()))
    for folder in masks.values():  # one for masks may be inside that of the images
        if images.resolve() in folder.resolve().parents:
            image_files = {s: p for s, p in image_files.items() if folder.resolve() not in p.resolve().parents}
    if any(folder.resolve() == images.resolve() for folder in masks.values()):
        image_files = {
            stem: path
            for stem, path in image_files.items()
            if stem.endswith(image_suffix) and not (endings and stem.endswith(endings))
        }
        if not endings:
            raise DataError(
                f"{images} holds images and masks; give the ending of the masks, such as --mask-suffix _mask"
            )
    if not image_files:
        raise DataError(f"no image found in {images}, only masks; name the folder that holds the images")
    found: dict[str, dict[str, Path]] = {}
    for name, folder in masks.items():
        suffix = (mask_suffixes or {}).get(name)
        found[name] = pair_by_name(image_files, files_by_stem(folder), image_suffix, suffix, missing_is_empty)
    return [
        Entry(
            id=_as_id(stem),
            image=path,
            masks={name: pairs.get(stem) for name, pairs in found.items()},
            patient=patient_of(PurePath(stem).name),
        )
        for stem, path in image_files.items()
    ]


def files_by_stem(folder: Path) -> dict[str, Path]:
    """List the images of a folder by their path below it without suffix; DataError if one occurs twice."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the one that holds the files")
    found: dict[str, Path] = {}
    for path in list_image_files([folder]):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(f"{folder} holds {stem!r} with more than one suffix; remove one of the two files")
        found[stem] = path
    return found


def pair_by_name(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    image_suffix: str = "",
    mask_suffix: str | None = None,
    missing_is_empty: bool = False,
) -> dict[str, Path]:
    """Pair stems of images with masks: {image's stem: mask}."""
    if mask_suffix is None:
        rules = guessed_rules(images, masks, image_suffix)
    else:  # other files in the folder, such as a second observer's, are not meant
        rules = [(image_suffix, mask_suffix)]
        masks = {stem: path for stem, path in masks.items() if stem.endswith(mask_suffix)}
    paired = [(rule, _pairs(images, masks, *rule)) for rule in rules]
    most = max((len(pairs) for _, pairs in paired), default=0)
    best = [(rule, pairs) for rule, pairs in paired if len(pairs) == most > 0]
    distinct = {tuple(sorted(pairs.items())): rule for rule, pairs in reversed(best)}  # the first rule, of equal ones
    if len(distinct) > 1:
        endings = " or ".join(f"--mask-suffix {ending}" for _, ending in reversed(distinct.values()))
        raise DataError(f"each image has {len(distinct)} masks; choose {endings}, or name both: NAME=ENDING")
    pairs = best[0][1] if best else {}
    _complain_about_left(images, masks, pairs, missing_is_empty)
    return pairs


def guessed_rules(images: Mapping[str, Path], masks: Mapping[str, Path], image_suffix: str) -> list[tuple[str, str]]:
    """List pairs (ending of images, ending of masks) that may belong together.

    An ending of digits only is never guessed: 1_2 is rather another image of patient 1 than the mask of image 1.
    """
    drawn = [PurePath(stem).name for stem in masks]
    names = [PurePath(stem).name for stem in images]
    if not image_suffix and set(names) & set(drawn):
        return [("", "")]
    rules: list[tuple[str, str]] = []
    for own in [image_suffix] if image_suffix else ["", _common_ending(names)]:
        bases = [name.removesuffix(own) for name in names]
        endings = Counter(mask[len(base) :] for base in bases for mask in drawn if mask.startswith(base))
        rules += [(own, ending) for ending, _ in endings.most_common() if _is_an_ending(ending, with_own=bool(own))]
    return rules


def _is_an_ending(text: str, with_own: bool) -> bool:
    """Tell whether what follows an image's name may be an ending such as _mask; empty only if the image has one."""
    if not text:
        return with_own
    return bool(SEPARATOR.match(text)) and any(letter.isalpha() for letter in text)


def _common_ending(names: Sequence[str]) -> str:
    """Find the ending, from a separator on, that all names share; empty if they share none.

    >>> _common_ending(["21_training", "22_training"])
    '_training'
    """
    starts = [match.start() for match in SEPARATOR.finditer(names[0])]
    return next((names[0][start:] for start in starts if all(name.endswith(names[0][start:]) for name in names)), "")


def _pairs(images: Mapping[str, Path], masks: Mapping[str, Path], own: str, ending: str) -> dict[str, Path]:
    """Pair by one rule; masks that are sorted into other subfolders than their images count if their name is unique."""
    flat = Counter(PurePath(stem).name for stem in masks)
    by_name = {PurePath(stem).name: path for stem, path in masks.items() if flat[PurePath(stem).name] == 1}
    pairs = {}
    for stem in images:
        if not stem.endswith(own):
            continue
        wanted = stem[: len(stem) - len(own)] + ending
        mask = masks.get(wanted) or by_name.get(PurePath(wanted).name)
        if mask is not None:
            pairs[stem] = mask
    return pairs


def _complain_about_left(
    images: Mapping[str, Path], masks: Mapping[str, Path], pairs: Mapping[str, Path], missing_is_empty: bool
) -> None:
    """Raise DataError for images without a mask, masks without an image, and masks of two images."""
    shared = [path for path, number in Counter(pairs.values()).items() if number > 1]
    without = [path.name for stem, path in images.items() if stem not in pairs]
    stray = [path.name for path in masks.values() if path not in set(pairs.values())]
    problems = [f"{path.name} is the mask of {Counter(pairs.values())[path]} images" for path in shared]
    problems += [] if missing_is_empty and pairs else [f"{name} has no mask" for name in without]
    problems += [f"{name} belongs to no image" for name in stray]
    if not problems:
        return
    remedies = ["if all masks end alike, add --mask-suffix (and --image-suffix)", "or give a table with --table"]
    if without and not stray:
        remedies.insert(0, "if these eyes are healthy, add --missing-mask empty")
    listed = "; ".join(problems[:MAX_NAMED]) + ("; ..." if len(problems) > MAX_NAMED else "")
    files = "1 file" if len(problems) == 1 else f"{len(problems)} files"
    raise DataError(f"{files} cannot be paired by name: {listed}. {', '.join(remedies).capitalize()}")


def read_table(path: Path, missing_is_empty: bool = False) -> list[Entry]:
    """Read a CSV with the columns image, mask (or mask_NAME) and patient; paths start at the table's folder.

    An empty mask means that there is none. Raises DataError for a missing column, a missing file or an empty patient.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", sep=None, engine="python")
        rows = rows.fillna("")  # of a line that is too short
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table: {error}") from error
    names = {column: column.removeprefix("mask_") for column in rows if column.startswith("mask_")}
    names |= {"mask": "target"} if "mask" in rows else {}
    missing = [column for column in ("image", "patient") if column not in rows] + ([] if names else ["mask"])
    if missing:
        raise DataError(f"{path} lacks the column {missing[0]!r}; it needs {', '.join(TABLE_COLUMNS)}")
    entries = []
    for line, row in enumerate(rows.to_dict("records"), start=2):
        files = {name: path.parent / row[column] if row[column] else None for column, name in names.items()}
        image = path.parent / row["image"]
        for file in (image, *files.values()):
            if file is not None and not os.path.isfile(file):  # noqa: PTH113  False, too, for a name that is too long
                raise DataError(f"{path}, line {line}: {file} does not exist")
        if not row["patient"].strip():
            raise DataError(f"{path}, line {line}: the patient is empty; images are split by patient")
        if None in files.values() and not missing_is_empty:
            raise DataError(f"{path}, line {line}: the mask is empty; if the eye is healthy, add --missing-mask empty")
        entries.append(
            Entry(_as_id(Path(row["image"]).with_suffix("").as_posix()), image, files, row["patient"].strip())
        )
    return entries


def _as_id(stem: str) -> str:
    """Turn a path without suffix into a name for files of the pack."""
    path = PurePath(stem)
    return "__".join(part for part in path.parts if part not in ("..", path.anchor))


def parse_named(given: Sequence[str], default: str, option: str) -> dict[str, str]:
    """Parse VALUE or NAME=VALUE, repeatable; a value without a name is that of `default`.

    >>> parse_named(["first=_1stHO", "second=_2ndHO"], "target", "--mask-suffix")
    {'first': '_1stHO', 'second': '_2ndHO'}
    """
    named = {}
    for text in given:
        head, equals, tail = text.partition("=")
        name, value = (head, tail) if equals and re.fullmatch(r"[a-z][a-z0-9_]*", head) else (default, text)
        if name in named:
            raise UsageError(f"{option} {text!r}: {name!r} was given already; name each, such as {option} other=...")
        named[name] = value
    return named
