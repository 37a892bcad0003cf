"""Packs from releases that the kit has no manifest of: they must be asked for, so each user indexes their own copy.

The images are copied below the data root as they are (TIFF becomes PNG), masks become PNG, and a manifest with the
checksums of what was found is written beside the card; from then on the pack is one like any other. Releases of
B-scans with numbered classes are taken by `oct_releases`.
"""

import concurrent.futures
import re
from pathlib import Path

import numpy as np
import pandas as pd

from retina_kit.data import manifest
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.errors import DataError
from retina_kit.files import atomic_path
from retina_kit.packs.convert import convert
from retina_kit.packs.oct import RELEASES, import_scans

PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
EMPTY = "empty"  # a mask that was looked for and found empty, instead of a file


def import_release(card, folder, data_root, *, progress=False):
    """Copy a release's images and masks into a pack, write its manifest, and return how many files were written.

    Raises DataError where the folder does not look like the release.
    """
    if card.name in RELEASES:
        written = import_scans(card, Path(folder), data_root, progress=progress)
    else:
        written = _take_all(card, Path(folder), Path(data_root))
    with atomic_path(manifest.folder_of_cards() / f"{card.name}.csv") as path:
        pd.DataFrame(written).to_csv(path, index=False)
    manifest._read_manifest.cache_clear()
    manifest.read_manifest(card.name)  # proves that it follows the rules
    return len(written) * (1 + len(card.masks))


def has_layout(name):
    """Say whether the kit knows how this release is laid out."""
    return name in LAYOUTS or name in RELEASES


def _take_all(card, folder, data_root):
    """Write all images of a release and their masks; return the manifest's rows."""
    rows = LAYOUTS[card.name](folder)
    if not rows:
        raise DataError(f"{folder} holds no image of {card.name} with its label; {card.how_to_get}")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(lambda row: _take(row, card, data_root), rows))


def _take(row, card, data_root):
    """Write one image and its masks; return the manifest's row."""
    source = row.pop("image")
    kind = "png" if source.suffix.lower().startswith(".tif") else "keep"
    target = f"images/{row['id']}{'.png' if kind == 'png' else source.suffix.lower()}"
    content = _put(data_root / card.name / target, convert({"convert": kind}, source.read_bytes(), str(source), ()))
    pixels = read_image(source, card.channels, content)
    made = {key: row[key] for key in ("id", "patient", "split", *card.labels) if key in row}
    made |= {"image": target, "image_sha256": pixel_sha256(pixels)}
    for mask in card.masks:
        made |= {f"mask_{mask}": "", f"mask_{mask}_sha256": ""}
        original = row.get(f"mask_{mask}", "")
        if original == "":
            continue
        what, origin = ("empty_mask", b"") if original == EMPTY else ("shrunk_mask", original.read_bytes())
        target = f"masks/{mask}/{row['id']}.png"
        content = _put(
            data_root / card.name / target, convert({"convert": what}, origin, str(original), pixels.shape[:2])
        )
        found = read_mask(Path(target), pixels.shape[:2], content).astype(np.uint8)
        made |= {f"mask_{mask}": target, f"mask_{mask}_sha256": pixel_sha256(found)}
    return made


def _put(path, content):
    """Write a file whole or not at all; return its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return content


def _image_set(folder):
    """Return {stem: path} of all images below a folder."""
    return {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURES}


def _tables(folder, *columns):
    """Return the rows of every CSV file below a folder that has these columns, names stripped."""
    found = []
    for path in sorted(folder.rglob("*.csv")):
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=None, engine="python")
        table.columns = [name.strip() for name in table.columns]
        if set(columns) <= set(table.columns):
            found.append(table[list(columns)])
    if not found:
        raise DataError(f"{folder} holds no CSV file with the columns {', '.join(columns)}")
    return pd.concat(found, ignore_index=True).itertuples(index=False, name=None)


def _graded(name, grade, path, patient):
    return {"id": name, "patient": patient, "split": "", "grade": grade, "has_lesion": int(grade > 0), "image": path}


def eyepacs_rows(folder):
    """Return the rows of EyePACS: trainLabels.csv (image, level) and images <patient>_left or _right."""
    image_set = _image_set(folder)
    rows = [(name, int(level)) for name, level in _tables(folder, "image", "level") if name in image_set]
    return [_graded(name, level, image_set[name], name.rpartition("_")[0]) for name, level in rows]


def messidor_rows(folder):
    """Return the rows of Messidor: its annotation sheets saved as CSV, its images; patients are not public."""
    image_set, rows = _image_set(folder), []
    for name, grade in _tables(folder, "Image name", "Retinopathy grade"):
        stem = Path(name.strip()).stem
        if stem in image_set:
            rows.append(_graded(stem, int(float(grade)), image_set[stem], stem))
    return rows


def e_ophtha_rows(folder):
    """Return the rows of e-ophtha: folders EX, MA and healthy, a folder a patient, masks in Annotation_EX and _MA.

    Images of the part EX have exudate masks only and those of MA microaneurysm masks only: the other mask was
    never drawn, so it stays without a file. Healthy images have an empty mask of their part's lesion.
    """
    rows, masks = [], {path.stem: path for path in _below(folder, "Annotation_EX", "Annotation_MA")}
    for path in _below(folder, "EX", "MA", "healthy"):
        parts = [part.upper() for part in path.relative_to(folder).parts]
        lesion = "ex" if any("EX" in part.split("_") for part in parts[:-1]) else "ma"
        healthy = "HEALTHY" in parts
        mask = EMPTY if healthy else masks.get(f"{path.stem}_{lesion.upper()}", masks.get(path.stem, ""))
        if mask != "":
            name = f"{lesion}_{path.stem}"
            row = {"id": name, "patient": path.parent.name, "split": "", "has_lesion": int(not healthy)}
            rows.append(row | {"image": path, f"mask_{lesion}": mask})
    return rows


def _below(folder, *names):
    """Return the images that lie somewhere below a folder of one of these names."""
    names = {name.lower() for name in names}
    return [p for p in _every_image(folder) if names & {part.lower() for part in p.relative_to(folder).parts[:-1]}]


def _every_image(folder):
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURES]


def idrid_rows(folder):
    """Return the rows of IDRiD's part A at full size: IDRiD_NN.jpg and IDRiD_NN_EX.tif in the published folders.

    A lesion without a file was looked for and not found: its mask is empty (Porwal 2018).
    """
    image_set, rows = _image_set(folder), []
    for name, path in image_set.items():
        if re.fullmatch(r"IDRiD_\d{2}", name):
            split = "test" if any("testing" in part.lower() for part in path.parts) else "train"
            masks = {f"mask_{m.lower()}": image_set.get(f"{name}_{m}", EMPTY) for m in ("MA", "HE", "EX", "SE")}
            rows.append({"id": name, "patient": name, "split": split, "image": path} | masks)
    return rows


LAYOUTS = {"eyepacs": eyepacs_rows, "messidor": messidor_rows, "e_ophtha": e_ophtha_rows, "idrid": idrid_rows}
