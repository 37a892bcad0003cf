"""Cards: what a data set is, who may use it, and what its files are made from (data_manifests/<name>.toml)."""

import functools
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from retina_kit.errors import DataError, unknown_name
from retina_kit.files import kit_root
from retina_kit.schema import STRICT, Positive, parse

CARD_FILE = "card.toml"  # in the folder of a data set of your own

Conversion = Literal[
    "keep",
    "png",
    "jpeg",
    "mask",
    "red_mask",
    "shrunk_mask",
    "bright_field",
    "red_field",
    "empty_mask",
    "matlab_scan",
    "matlab_mask",
]
NEEDED_BY = {
    "jpeg": ("quality",),
    "matlab_scan": ("variable", "scan"),
    "matlab_mask": ("variable", "scan"),
}  # settings that only these conversions use
RESIZING = ("jpeg", "shrunk_mask", "empty_mask")  # they need the size of the pack's images


def _stays_inside(path: str) -> str:
    """Return a relative path with forward slashes; refuse one that could leave the folder it starts from."""
    if path.startswith("/") or ".." in path or "\\" in path or path[1:2] == ":":  # the last: a drive of Windows
        raise ValueError(f"{path!r} is not a relative path that stays in its folder")
    return path


Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
InnerPath = Annotated[Text, AfterValidator(_stays_inside)]
Pinned = Annotated[str, Field(pattern="^https://[^?#]*/[0-9a-f]{40}$")]  # a folder at one commit
Meanings = dict[Name, Text]


@dataclass(frozen=True, config=STRICT)
class Source:
    """What the files of one column of the manifest are made from.

    `file` and `scan` are templates that may name the row's columns, {row} (its position from 0) and {number} (the last
    digits of its id). Only rows with the values in `where` have this source.
    """

    of: Annotated[str, Field(pattern="^(image|mask_[a-z0-9_]+)$")]
    convert: Conversion
    file: InnerPath | None = None
    base: Pinned | None = None  # the public folder that holds `file`; without it, only a person can get the file
    also: tuple[InnerPath, ...] = ()  # other names that the original goes by
    where: dict[str, str] = Field(default_factory=dict)
    quality: Annotated[int, Field(ge=1, le=100)] | None = None  # of a JPEG
    variable: Text | None = None  # of a .mat file
    scan: Text | None = None  # number of the B-scan in that variable, from 0

    @model_validator(mode="after")
    def _has_what_its_conversion_needs(self) -> "Source":
        needed = NEEDED_BY.get(self.convert, ()) + (() if self.convert == "empty_mask" else ("file",))
        for name in needed:
            if getattr(self, name) is None:
                raise ValueError(f"convert = {self.convert!r} needs {name}")
        return self


@dataclass(frozen=True, config=STRICT)
class Card:
    """What a data set is, where it comes from, and what may be done with it."""

    name: Text
    title: Text
    home: Annotated[str, Field(pattern="^(https?://|own images$)")]
    license: Text
    access: Literal["open", "terms", "registration", "request", "own"]  # terms: research use, to be confirmed once
    redistribute: bool
    citation: Text
    modality: Literal["oct", "fundus"]
    channels: Literal[1, 3]
    how_to_get: Text
    doi: Annotated[str, Field(pattern=r"^10\.\d{4,}/\S+$")] | None = None
    size: tuple[Positive, Positive] | None = None  # height, width; None if the images differ
    masks: Meanings = Field(default_factory=dict)  # name -> meaning
    derived: dict[Name, Annotated[tuple[Text, ...], Field(min_length=2)]] = Field(
        default_factory=dict
    )  # name -> the masks whose union it is
    labels: Meanings = Field(default_factory=dict)  # further column of the manifest -> meaning
    changes: Text | None = None  # how the pack's files differ from the original ones
    pitfalls: tuple[Text, ...] = ()
    sources: tuple[Source, ...] = ()

    @model_validator(mode="after")
    def _names_only_what_exists(self) -> "Card":
        for name, parts in self.derived.items():
            for part in sorted(set(parts) - set(self.masks)):
                raise ValueError(f"derived mask {name} needs {part!r}, which is not a mask")
        columns = {"id", "patient", "split", *self.labels}
        for number, source in enumerate(self.sources):
            if source.of not in ("image", *(f"mask_{name}" for name in self.masks)):
                raise ValueError(f"sources[{number}].of is {source.of!r}, which is not a column of the manifest")
            for column in sorted(set(source.where) - columns):
                raise ValueError(f"sources[{number}].where uses {column!r}, which is not a column of the manifest")
            if source.convert in RESIZING and self.size is None:
                raise ValueError(f"sources[{number}].convert is {source.convert!r}, which needs the card's size")
        return self


def folder_of_cards() -> Path:
    """The folder that holds the kit's cards and manifests."""
    return kit_root() / "data_manifests"


def kit_cards() -> list[str]:
    """List the data sets whose card is part of the kit.

    >>> "chase_db1" in kit_cards()
    True
    """
    return sorted(path.stem for path in folder_of_cards().glob("*.toml"))


def own_cards(data_root: str | Path) -> list[str]:
    """List your own data sets below a data root, made with `retina-kit data new`."""
    found = {path.parent.name for path in Path(data_root).glob(f"*/{CARD_FILE}")}
    return sorted(name for name in found - set(kit_cards()) if not name.startswith("."))  # one is being made


def list_cards(data_root: str | Path | None = None) -> list[str]:
    """List all data sets that have a card; with a data root, also your own below it."""
    return [*kit_cards(), *(own_cards(data_root) if data_root else [])]


@functools.cache
def read_card(name: str, data_root: str | Path | None = None) -> Card:
    """Read the card of a data set; raise UsageError for an unknown name, DataError for a card that is wrong.

    >>> read_card("chase_db1").masks["vessels_2nd"]
    'vessels, second observer'
    """
    if name in kit_cards():
        return parse_card(folder_of_cards() / f"{name}.toml")
    if data_root is None or name not in own_cards(data_root):
        raise unknown_name("data set", name, list_cards(data_root))
    return parse_card(Path(data_root) / name / CARD_FILE, name)


def parse_card(path: Path, name: str | None = None) -> Card:
    """Parse a TOML file as the card of a data set, which has the name of the file unless another is given.

    Raises DataError with the file, the field and what was expected there.
    """
    where = f"card {path.name}"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text: {error}; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError; so is a number of 5000 digits
        raise DataError(f"{where} is not valid TOML: {error}") from error
    if "name" in content:
        raise DataError(f"{where} has a field 'name'; a data set is named by its file or folder")
    return parse(Card, content | {"name": name or path.stem}, where, DataError)


def can_fetch(card: Card) -> bool:
    """Tell whether every file of a pack has a public address that needs no login.

    >>> can_fetch(read_card("stare")), can_fetch(read_card("retouch"))
    (True, False)
    """
    needed = {"image", *(f"mask_{name}" for name in card.masks)}
    public = {source.of for source in card.sources if source.base}
    return card.access in ("open", "terms") and needed <= public
