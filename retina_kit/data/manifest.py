"""Cards and manifests: what a data set is, who may use it, and which file holds which pixels.

A card is data_manifests/<name>.toml; a manifest is data_manifests/<name>.csv with a row an image. Below a
data root the files of a pack lie in <data_root>/<name>/, under the relative paths that the manifest gives.
"""

import concurrent.futures
import contextlib
import difflib
import functools
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from retina_kit.data.card_schema import check_card
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.errors import DataError, UsageError
from retina_kit.files import kit_root

LEAVES = r"^/|\\|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)|\x00"  # a path that is absolute, climbs, or is one of Windows
CARD_FILE, MANIFEST_FILE = "card.toml", "manifest.csv"  # in the folder of a data set of your own


@dataclass(frozen=True)
class Card:
    """What a data set is, where it comes from, and what may be done with it."""

    name: str
    title: str
    home: str
    license: str
    access: str  # open | terms (research use, confirm once) | registration | request | own
    redistribute: bool
    citation: str
    modality: str  # oct | fundus
    channels: int
    how_to_get: str
    doi: str = ""
    size: tuple[int, ...] = ()  # H, W; empty where images differ
    masks: dict = field(default_factory=dict)  # name -> meaning
    derived: dict = field(default_factory=dict)  # name -> masks whose union it is
    labels: dict = field(default_factory=dict)  # further column of the manifest -> meaning
    changes: str = ""  # how the pack's files differ from the original ones
    traps: tuple[str, ...] = ()
    sources: tuple[dict, ...] = ()  # what each file is made from, pinned where `fetch` can have it


def folder_of_cards():
    """Return the folder of cards and manifests."""
    return kit_root() / "data_manifests"


def kit_cards():
    """Return the names of the data sets whose card is part of the kit."""
    return sorted(path.stem for path in folder_of_cards().glob("*.toml"))


def own_cards(data_root):
    """Return the names of your own data sets below a data root, made with `data new`."""
    return sorted({path.parent.name for path in Path(data_root).glob(f"*/{CARD_FILE}")} - set(kit_cards()))


def list_cards(data_root=None):
    """Return the names of all data sets that have a card; with a data root, your own below it, too."""
    return [*kit_cards(), *(own_cards(data_root) if data_root else [])]


@functools.cache
def read_card(name, data_root=None):
    """Return the card of a data set; an unknown name, an unknown key or a missing key is an error."""
    if name in kit_cards():
        return parse_card(folder_of_cards() / f"{name}.toml")
    if name not in list_cards(data_root):
        raise unknown_data_set(name, list_cards(data_root))
    return parse_card(Path(data_root) / name / CARD_FILE, name)


def unknown_data_set(name, known):
    """Return a UsageError that says which data sets there are and which was perhaps meant."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return UsageError(f"no data set is called {name!r}{hint} There are: {', '.join(known)}")


def parse_card(path, name=None):
    """Return the card in a TOML file; its data set is called like the file where no name is given."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"card {path.name} is not UTF-8 text: {error}; save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataError(f"card {path.name} is not valid TOML: {error}") from error
    check_card(content, path.name)
    return Card(name=name or path.stem, **{k: tuple(v) if isinstance(v, list) else v for k, v in content.items()})


@functools.cache
def _read_manifest(name, data_root=None):
    card = read_card(name, data_root)
    path = folder_of_cards() / f"{name}.csv" if name in kit_cards() else Path(data_root) / name / MANIFEST_FILE
    return parse_manifest(path, card) if path.is_file() else None


def read_manifest(name, data_root=None):
    """Return the manifest of a data set, a row an image: id, patient, split, files, checksums, labels."""
    rows = _read_manifest(name, data_root)
    if rows is None:
        raise DataError(f"data set {name!r} has a card but no manifest yet; {read_card(name, data_root).how_to_get}")
    return rows.copy()


def parse_manifest(path, card):
    """Return the rows of a manifest file, checked: columns, unique ids, paths that stay inside the pack.

    Labels that are numbers in every row become numbers (NaN where a row has none).
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"manifest {path.name} is not a UTF-8 table: {error}") from error
    needed = ["id", "patient", "split", "image", "image_sha256"]
    needed += [f"mask_{m}{end}" for m in card.masks for end in ("", "_sha256")]
    missing = [column for column in [*needed, *card.labels] if column not in rows]
    if missing:
        raise DataError(f"manifest {path.name} lacks the columns {', '.join(missing)}")
    unknown = [column for column in rows if column not in {*needed, *card.labels}]
    if unknown:
        raise DataError(f"manifest {path.name}: column {unknown[0]!r} is neither a mask nor a label of its card")
    repeated = rows["id"][rows["id"].duplicated()].tolist()
    if repeated:
        raise DataError(f"manifest {path.name}: id {repeated[0]!r} stands in more than one row")
    strange = sorted(set(rows["split"]) - {"", "train", "test"})
    if strange:
        raise DataError(f"manifest {path.name}: split {strange[0]!r} is none of train, test and empty")
    for column in [c for c in rows if c == "image" or (c.startswith("mask_") and not c.endswith("_sha256"))]:
        leaving = rows[column][rows[column].str.contains(LEAVES, regex=True)]
        if len(leaving):
            raise DataError(f"manifest {path.name}: path {leaving.iloc[0]!r} leaves the data pack")
    for column in card.labels:
        with contextlib.suppress(ValueError):
            rows[column] = pd.to_numeric(rows[column].where(rows[column] != ""))
    return rows


def can_fetch(card):
    """Say whether every file of a pack has a public address, and no login stands before it."""
    needed = {"image", *(f"mask_{name}" for name in card.masks)}
    public = {source["of"] for source in card.sources if "base" in source}
    return card.access in ("open", "terms") and needed <= public


def has_pack(name, data_root):
    """Say whether a pack's folder holds its first and its last image."""
    rows = _read_manifest(name, data_root)
    folder = Path(data_root) / name
    if rows is None or rows.empty:
        return False
    return all((folder / rows["image"].iat[position]).is_file() for position in (0, -1))


def require_pack(name, data_root):
    """Raise a DataError that says how to get a pack which is not there."""
    card = read_card(name, data_root)
    if not has_pack(name, data_root):
        fetch = f"retina-kit data fetch {name} --data-root {data_root}"
        remedy = f"run: {fetch}" if can_fetch(card) else card.how_to_get
        raise DataError(f"data pack {name!r} is not in {data_root}; {remedy}")


def verify_pack(name, data_root):
    """Return what is wrong with a pack's files, their pixels compared with the manifest; [] means proven."""
    card, rows = read_card(name, data_root), read_manifest(name, data_root)
    if not (rows["image_sha256"] != "").all():
        return [f"{name}: the manifest has no checksums, so nothing can be proven"]
    folder = Path(data_root) / name
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = pool.map(lambda row: _problems_of(row, card, folder), rows.to_dict("records"))
    return [problem for problems in found for problem in problems]


def _problems_of(row, card, folder):
    """Return what is wrong with the files of one row."""
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


def data_summary(name, data_root):
    """Return what `data list` and `data show` say of a data set."""
    card, rows = read_card(name, data_root), _read_manifest(name, data_root)
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
        "traps": list(card.traps),
    }
