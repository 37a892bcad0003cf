"""Manifests: which file of a data set holds which pixels, a row per image (data_manifests/<name>.csv).

Below a data root the files of a pack are in <data_root>/<name>/, under the relative paths that the manifest gives. If
the kit has no manifest of a data set, the one that was written when it was imported or made is in that folder.
"""

import concurrent.futures
import contextlib
import functools
import os
from pathlib import Path
from typing import Any

import pandas as pd

from retina_kit.data.card import Card, can_fetch, folder_of_cards, read_card
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.errors import DataError

MANIFEST_FILE = "manifest.csv"  # in the folder of a pack that the kit has no manifest of
ESCAPES_PACK = r"^/|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)|\x00"  # an absolute path, one of a Windows drive, or one with ".."


def read_manifest(name: str, data_root: str | Path | None = None) -> pd.DataFrame:
    """Read the manifest of a data set, a row per image: id, patient, split, files, checksums, labels.

    Raises DataError, with how to get the data set, if it has none.

    >>> rows = read_manifest("chase_db1")
    >>> len(rows), rows["patient"].nunique(), list(rows.columns[:4])
    (28, 14, ['id', 'patient', 'split', 'eye'])
    """
    rows = _cached_manifest(name, data_root)
    if rows is None:
        raise DataError(f"data set {name!r} has a card but no manifest yet; {read_card(name, data_root).how_to_get}")
    return rows.copy()


@functools.cache
def _cached_manifest(name: str, data_root: str | Path | None) -> pd.DataFrame | None:
    card, path = read_card(name, data_root), folder_of_cards() / f"{name}.csv"
    if not path.is_file() and data_root is not None:
        path = Path(data_root) / name / MANIFEST_FILE
    return parse_manifest(path, card) if path.is_file() else None


def forget_cards() -> None:
    """Clear the cache of cards and manifests, because their files changed."""
    read_card.cache_clear()
    _cached_manifest.cache_clear()


def parse_manifest(path: Path, card: Card) -> pd.DataFrame:
    """Parse a manifest file and check its columns, unique ids, and that no path leaves the pack.

    Patients and ids are text, always ("01", "NA"); paths come with forward slashes. Labels that are numbers in every
    row become numbers, NaN if a row has none. Raises DataError with the file and what is wrong in it.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"manifest {path.name} is not a UTF-8 table: {error}") from error
    files = ["image", *(f"mask_{mask}" for mask in card.masks)]
    _check_columns(
        path, rows, ["id", "patient", "split", *(f"{file}{end}" for file in files for end in ("", "_sha256"))], card
    )
    for file in files:
        rows[file] = rows[file].str.replace("\\", "/", regex=False)
        escaping = rows[file][rows[file].str.contains(ESCAPES_PACK, regex=True)]
        if len(escaping):
            raise DataError(f"manifest {path.name}: path {escaping.iloc[0]!r} leaves the folder of the data set")
    for column in card.labels:
        with contextlib.suppress(ValueError):
            rows[column] = pd.to_numeric(rows[column].where(rows[column] != ""))
    return rows


def _check_columns(path: Path, rows: pd.DataFrame, needed: list[str], card: Card) -> None:
    """Raise DataError for columns that are missing or unknown, an id that occurs twice, and an unknown split."""
    missing = [column for column in [*needed, *card.labels] if column not in rows]
    if missing:
        raise DataError(f"manifest {path.name} lacks the columns {', '.join(missing)}")
    unknown = [column for column in rows if column not in {*needed, *card.labels}]
    if unknown:
        raise DataError(f"manifest {path.name}: column {unknown[0]!r} is neither a mask nor a label of its card")
    repeated = rows["id"][rows["id"].duplicated()].tolist()
    if repeated:
        raise DataError(f"manifest {path.name}: id {repeated[0]!r} is in more than one row")
    strange = sorted(set(rows["split"]) - {"", "train", "test"})
    if strange:
        raise DataError(f"manifest {path.name}: split is {strange[0]!r}; expected train, test or empty")


def has_pack(name: str, data_root: str | Path) -> bool:
    """Tell whether a pack's folder has its first and its last image."""
    rows = _cached_manifest(name, data_root)
    folder = Path(data_root) / name
    if rows is None or rows.empty:
        return False
    ends = (folder / rows["image"].iat[position] for position in (0, -1))
    return all(os.path.isfile(path) for path in ends)  # noqa: PTH113  False, too, for too long a name


def require_pack(name: str, data_root: str | Path) -> None:
    """Raise a DataError that explains how to get a pack, unless it is there."""
    card = read_card(name, data_root)
    if not has_pack(name, data_root):
        fetch = f"retina-kit data fetch {name} --data-root {data_root}"
        remedy = f"run: {fetch}" if can_fetch(card) else card.how_to_get
        raise DataError(f"data set {name!r} is not in {data_root}; {remedy}")


def verify_pack(name: str, data_root: str | Path) -> list[str]:
    """Compare the pixels of a pack's files with the manifest; list the problems, [] if all files are verified."""
    card, rows = read_card(name, data_root), read_manifest(name, data_root)
    if not (rows["image_sha256"] != "").all():
        return [f"{name}: the manifest has no checksums, so nothing can be verified"]
    folder = Path(data_root) / name
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = pool.map(lambda row: _problems_of(row, card, folder), rows.to_dict("records"))
    return [problem for problems in found for problem in problems]


def _problems_of(row: dict[Any, Any], card: Card, folder: Path) -> list[str]:
    problems = []
    try:
        image = read_image(folder / row["image"], card.channels)
        if pixel_sha256(image) != row["image_sha256"]:
            problems.append(f"{folder / row['image']}: the pixels are not those of the manifest")
        for mask in card.masks:
            path, known = row[f"mask_{mask}"], row[f"mask_{mask}_sha256"]
            if path and pixel_sha256(read_mask(folder / path, image.shape[:2]).astype("uint8")) != known:
                problems.append(f"{folder / path}: the mask is not that of the manifest")
    except DataError as error:
        problems.append(str(error))
    return problems


def data_summary(name: str, data_root: str | Path) -> dict[str, Any]:
    """Summarize a data set for `data list` and `data show`."""
    card, rows = read_card(name, data_root), _cached_manifest(name, data_root)
    return {
        "name": name,
        "title": card.title,
        "present": has_pack(name, data_root),
        "num_images": 0 if rows is None else len(rows),
        "num_patients": 0 if rows is None else rows["patient"].nunique(),
        "masks": list(card.masks) + list(card.derived),
        "access": card.access,
        "license": card.license,
        "redistribute": card.redistribute,
        "home": card.home,
        "citation": card.citation,
        "how_to_get": card.how_to_get,
        "pitfalls": list(card.pitfalls),
    }
