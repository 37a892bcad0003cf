"""Import releases that the kit has no manifest of: they must be requested, so each user indexes their own copy.

The images are copied as they are (TIFF becomes PNG), masks become PNG, and a manifest with the checksums of what was
found is written into the pack; from then on it is a pack like any other. Each layout yields the rows of a release:
{"id", "patient", "split", labels, "image": path, "mask_<name>": path or EMPTY}. Releases of B-scans with numbered
classes are in `oct`.
"""

import concurrent.futures
import csv
import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from retina_kit.data.card import Card, Conversion
from retina_kit.data.manifest import MANIFEST_FILE, forget_cards, parse_manifest
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.errors import DataError, did_you_mean
from retina_kit.files import atomic_path
from retina_kit.packs.convert import Original, convert_original, decode
from retina_kit.packs.oct import RELEASES, import_scans

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
EMPTY = Path("empty")  # instead of the file of a mask in which annotators found nothing

Row = dict[str, Any]


def import_release(card: Card, folder: Path, data_root: str | Path, *, progress: bool = False) -> int:
    """Write a release's images, masks and manifest as a pack; return how many files were written.

    Raises DataError if the folder is not the release, or a file of it is damaged; a pack that was there before is
    kept then.
    """
    check_layout(card)
    with atomic_path(Path(data_root) / card.name) as pack:
        if card.name in RELEASES:
            rows = import_scans(card, folder, pack, progress=progress)
        else:
            rows = _import_images(card, folder, pack)
        pd.DataFrame(rows).to_csv(pack / MANIFEST_FILE, index=False)
        parse_manifest(pack / MANIFEST_FILE, card)
    forget_cards()
    return sum(bool(row[column]) for row in rows for column in ("image", *(f"mask_{mask}" for mask in card.masks)))


def has_layout(name: str) -> bool:
    """Tell whether the kit knows how this release is laid out."""
    return name in LAYOUTS or name in RELEASES


def check_layout(card: Card) -> None:
    """Raise DataError unless a card has exactly the masks and labels that the import of its release makes."""
    layout = RELEASES.get(card.name) or LAYOUTS[card.name]
    for kind, named, made in (("mask", card.masks, layout.masks), ("label", card.labels, layout.labels)):
        for name in sorted(set(named) ^ set(made)):
            problem = "is not made by its import" if name in named else "is missing"
            raise DataError(f"card {card.name}.toml: {kind} {name!r} {problem}{did_you_mean(name, made)}")


def _import_images(card: Card, folder: Path, pack: Path) -> list[Row]:
    """Write all images of a release and their masks into a folder; return the rows of the manifest."""
    rows = LAYOUTS[card.name].rows(folder)
    if not rows:
        raise DataError(f"{folder} holds no image of {card.name} with its label; {card.how_to_get}")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(lambda row: _import_row(row, card, pack), rows))


def _import_row(row: Row, card: Card, pack: Path) -> Row:
    """Write one image and its masks; return the row of the manifest."""
    source = row["image"]
    how: Conversion = "png" if source.suffix.lower().startswith(".tif") else "keep"
    target = f"images/{row['id']}{'.png' if how == 'png' else source.suffix.lower()}"
    content = _write(pack / target, convert_original(how, Original(str(source), _read(source))))
    pixels = read_image(source, card.channels, content)
    made = {key: row[key] for key in ("id", "patient", "split", *card.labels) if key in row}
    made |= {"image": target, "image_sha256": pixel_sha256(pixels)}
    for mask in card.masks:
        original = row.get(f"mask_{mask}")
        made |= {f"mask_{mask}": "", f"mask_{mask}_sha256": ""}
        if original is None:
            continue
        size, target = pixels.shape[:2], f"masks/{mask}/{row['id']}.png"
        how, data = ("empty_mask", b"") if original == EMPTY else ("shrunk_mask", _read(original))
        if data and (found_size := decode(str(original), data).shape[:2]) != size:
            sizes = f"{found_size[0]}x{found_size[1]}, but its image is {size[0]}x{size[1]} (H x W)"
            raise DataError(f"{original} is {sizes}; they do not belong together")
        content = _write(pack / target, convert_original(how, Original(str(original), data, size=size)))
        found = read_mask(target, size, content).astype(np.uint8)
        made |= {f"mask_{mask}": target, f"mask_{mask}_sha256": pixel_sha256(found)}
    return made


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _write(path: Path, content: bytes) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def _images_below(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]


def _images_by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in _images_below(folder):
        if found.setdefault(path.stem, path) != path:
            raise DataError(f"{found[path.stem]} and {path} have one name; leave one of them out")
    return found


def _table_rows(folder: Path, *columns: str, name: str = "*.csv") -> Iterable[tuple[str, ...]]:
    """The rows of every CSV file below a folder that has such a name and these columns, as text."""
    found = []
    for path in sorted(folder.rglob(name)):
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=None, engine="python").fillna("")
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a table: {error}") from error
        table.columns = [name.strip() for name in table.columns]
        if set(columns) <= set(table.columns):
            found.append(table[list(columns)])
    if not found:
        raise DataError(f"{folder} holds no file {name} with the columns {', '.join(columns)}")
    return pd.concat(found, ignore_index=True).itertuples(index=False, name=None)


def _graded_row(name: str, grade: int, path: Path, patient: str) -> Row:
    return {"id": name, "patient": patient, "split": "", "grade": grade, "has_lesion": int(grade > 0), "image": path}


def eyepacs_rows(folder: Path) -> list[Row]:
    """The rows of EyePACS: trainLabels.csv (image, level) and images <patient>_left or _right.

    The competition's sampleSubmission.csv has the same columns, and a made-up level of 0 for each test image.
    """
    images, labels = _images_by_stem(folder), _table_rows(folder, "image", "level", name="trainLabels*.csv")
    rows = [(name, int(level)) for name, level in labels if name in images]
    return [_graded_row(name, level, images[name], name.rpartition("_")[0]) for name, level in rows]


def messidor_rows(folder: Path) -> list[Row]:
    """The rows of Messidor: its annotation sheets saved as CSV, its images; patients are not public."""
    images, rows = _images_by_stem(folder), []
    for name, grade in _table_rows(folder, "Image name", "Retinopathy grade"):
        stem = Path(name.strip()).stem
        if stem in images:
            rows.append(_graded_row(stem, int(float(grade)), images[stem], stem))
    return rows


def e_ophtha_rows(folder: Path) -> list[Row]:
    """The rows of e-ophtha: folders EX, MA and healthy, a folder per patient, masks in Annotation_EX and _MA.

    Images of the part EX have exudate masks only and those of MA microaneurysm masks only: the other mask was
    never annotated, so it has no file. Healthy images have an empty mask of their part's lesion.
    """
    rows, masks = [], {path.stem: path for path in _images_in(folder, "Annotation_EX", "Annotation_MA")}
    for path in _images_in(folder, "EX", "MA", "healthy"):
        lesion, healthy = _part_of(path, folder), "HEALTHY" in (part.upper() for part in path.parts)
        mask = EMPTY if healthy else masks.get(f"{path.stem}_{lesion.upper()}", masks.get(path.stem))
        if mask is not None:
            name = f"{lesion}_{path.stem}"
            row = {"id": name, "patient": path.parent.name, "split": "", "has_lesion": int(not healthy)}
            rows.append(row | {"image": path, f"mask_{lesion}": mask})
    return rows


def _part_of(path: Path, folder: Path) -> str:
    """Tell the part of e-ophtha, ex or ma, by the folders above an image, or by those next to its folder healthy."""
    above = [part.upper().split("_") for part in path.relative_to(folder).parts[:-1]]
    healthy = next((parent for parent in path.parents if parent.name.upper() == "HEALTHY"), path.parent)
    beside = [other.name.upper().split("_") for other in healthy.parent.iterdir() if other.is_dir()]
    for names in (above, beside):
        found = {part for name in names for part in name if part in ("EX", "MA")}
        if len(found) == 1:
            return found.pop().lower()
    raise DataError(f"{path} is of neither part of e-ophtha, EX or MA; import the folder that has both")


def _images_in(folder: Path, *names: str) -> list[Path]:
    """The images somewhere below a folder of one of these names."""
    wanted = {name.lower() for name in names}
    return [p for p in _images_below(folder) if wanted & {part.lower() for part in p.relative_to(folder).parts[:-1]}]


def idrid_rows(folder: Path) -> list[Row]:
    """The rows of IDRiD's part A at full size: IDRiD_NN.jpg and IDRiD_NN_EX.tif in the published folders.

    A lesion without a file was looked for and not found, so its mask is empty (Porwal 2018). DataError if no image of a
    split has a file of a lesion: then the ground truths were not unpacked.
    """
    lesions = ("MA", "HE", "EX", "SE")
    images = _images_by_stem(folder)
    rows: list[Row] = []
    for name, path in images.items():
        if re.fullmatch(r"IDRiD_\d{2}", name):
            split = "test" if any("testing" in part.lower() for part in path.parts) else "train"
            masks = {f"mask_{m.lower()}": images.get(f"{name}_{m}", EMPTY) for m in lesions}
            rows.append({"id": name, "patient": name, "split": split, "image": path} | masks)
    for split, m in itertools.product(sorted({row["split"] for row in rows}), lesions):
        if all(row[f"mask_{m.lower()}"] == EMPTY for row in rows if row["split"] == split):
            raise DataError(f"{folder} holds no ground truth IDRiD_NN_{m} of the {split} images; unpack all archives")
    return rows


@dataclass(frozen=True)
class Layout:
    """How one release is read: `rows` finds its images; the masks and labels that they have."""

    rows: Callable[[Path], list[Row]]
    masks: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


LAYOUTS = {
    "eyepacs": Layout(eyepacs_rows, labels=("grade", "has_lesion")),
    "messidor": Layout(messidor_rows, labels=("grade", "has_lesion")),
    "e_ophtha": Layout(e_ophtha_rows, masks=("ex", "ma"), labels=("has_lesion",)),
    "idrid": Layout(idrid_rows, masks=("ma", "he", "ex", "se")),
}
