"""Loads a data set by its name, real or synthetic, as one collection of images."""

import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic.dataclasses import dataclass

from retina_kit.data.card import list_cards, read_card
from retina_kit.data.collection import ImageSet
from retina_kit.data.copies import add_copies, rows_with_copies
from retina_kit.data.decoding import decode_rows, needed_masks
from retina_kit.data.field_of_view import crop_to_field
from retina_kit.data.manifest import read_manifest, require_pack
from retina_kit.errors import UsageError, did_you_mean, unknown_name
from retina_kit.schema import STRICT, Count, Names, Size, parse, to_json

SYNTHETIC = ("synthetic_oct", "synthetic_fundus")


@dataclass(frozen=True, config=STRICT)
class Exclude:
    """Which images of a data set are left out.

    `ids` names images; `also_in` names another data set: photographs in its split `also_split` are left out. Cards
    give one photograph the same patient name in every data set, so a network is never tested on what it was
    pretrained on.
    """

    ids: Names = ()
    also_in: str = ""
    also_split: str = "test"


@dataclass(frozen=True, config=STRICT | {"title": "a data set read from files"})
class PackOptions:
    """The options of `load_images` for a data set."""

    size: Size | None = None
    split: str | None = None
    exclude: Exclude | None = None
    annotated_only: bool = False
    crop: bool = False
    copies: Count = 0


def load_images(
    name: str,
    data_root: str | Path,
    *,
    masks: Sequence[str],
    size: Size | None = None,
    split: str | None = None,
    exclude: Exclude | Mapping[str, Any] | None = None,
    annotated_only: bool = False,
    crop: bool = False,
    copies: int = 0,
    **options: Any,
) -> ImageSet:
    """Load the images of a data set with the named masks.

    `name` is a data set below `data_root`, or "synthetic_oct" or "synthetic_fundus", whose `options` are those of
    `generate_oct` and `generate_fundus`. `size` (H, W) resizes images by area and masks to the nearest pixel; `split`
    keeps "train" or "test" rows only, `exclude` (an `Exclude`, or its fields as a dict) leaves rows out, and
    `annotated_only` those that lack the file of a mask; `crop` cuts to the field of view, and `copies` adds this many
    augmented copies of each image. Raises DataError if a file is missing or its pixels are not those of the manifest,
    UsageError for an option that the data set does not have.

    >>> scans = load_images("synthetic_oct", "data", masks=["fluid"], size=(64, 96), num_patients=2)
    >>> scans.images.shape, scans.masks["fluid"].dtype
    ((16, 1, 64, 96), dtype('bool'))
    """
    named = {"size": size, "split": split, "exclude": exclude, "annotated_only": annotated_only, "crop": crop}
    given = {key: value for key, value in named.items() if value not in (None, False)} | {"copies": copies} | options
    settings = check_options(name, given, data_root)
    if name in SYNTHETIC:
        from retina_kit.data.synthetic.kept import generate_once

        known = inspect.signature(_generator(name)).parameters
        image_set = generate_once(_generator(name), {key: getattr(settings, key) for key in known})
    else:
        image_set = _read(name, data_root, masks, settings)
    for mask in masks:
        if mask not in image_set.masks:
            raise UsageError(f"{name} has no mask {mask!r}{did_you_mean(mask, image_set.masks)}")
    image_set = ImageSet(image_set.images, {mask: image_set.masks[mask] for mask in masks}, image_set.rows, name)
    if crop:
        image_set = crop_to_field(image_set)  # the uncropped images are not needed any more
    return add_copies(image_set, copies) if copies else image_set


def check_options(name: str, options: Mapping[str, Any], data_root: str | Path | None) -> Any:
    """Check the options of `load_images` for a data set without loading an image; gives them as typed settings.

    Raises the UsageError that `load_images` would: for an unknown data set, an unknown option, a value of the wrong
    type, and for a split or an image to exclude that does not exist.

    >>> check_options("synthetic_oct", {"num_patients": 4, "devise": "cirrus"}, "data")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    retina_kit.errors.UsageError: data options: synthetic_oct has no setting 'devise'; did you mean 'device'? Known: ...
    """
    if name not in (*SYNTHETIC, *list_cards(data_root)):
        raise unknown_name("data set", name, [*SYNTHETIC, *list_cards(data_root)])
    rows_options = [key for key in ("split", "exclude", "annotated_only") if options.get(key)]
    if name in SYNTHETIC and rows_options:
        raise UsageError(
            f"{name} is synthetic, so {rows_options[0]!r} cannot leave rows out; reduce num_patients instead"
        )
    plain = {key: to_json(value) if isinstance(value, Exclude) else value for key, value in options.items()}
    settings: Any = parse(_options_of(name), plain, "data options")
    if name not in SYNTHETIC and (settings.split or settings.exclude):
        _selected_rows(name, data_root, settings)
    return settings


@functools.cache
def _options_of(name: str) -> type:
    """Give the settings class of a data set's options; a synthetic one has the parameters of its generator."""
    if name not in SYNTHETIC:
        return PackOptions
    fields: list[Any] = [
        (parameter.name, parameter.annotation)
        if parameter.default is parameter.empty
        else (parameter.name, parameter.annotation, parameter.default)
        for parameter in inspect.signature(_generator(name)).parameters.values()
    ]
    fields += [("crop", bool, False), ("copies", Count, 0)]
    return dataclass(frozen=True, config=STRICT)(dataclasses.make_dataclass(name, fields, frozen=True))


def _generator(name: str) -> Callable[..., ImageSet]:
    """Give the function that generates a synthetic data set."""
    if name == "synthetic_oct":
        from retina_kit.data.synthetic.oct import generate_oct

        return generate_oct
    from retina_kit.data.synthetic.fundus import generate_fundus

    return generate_fundus


def _read(name: str, data_root: str | Path, masks: Sequence[str], settings: PackOptions) -> ImageSet:
    """Read the selected rows of a pack."""
    require_pack(name, data_root)
    card, rows = read_card(name, data_root), _annotated_rows(name, data_root, masks, settings)
    return ImageSet(*decode_rows(rows, card, Path(data_root) / name, masks, settings.size), rows, name)


def list_rows(name: str, data_root: str | Path, *, masks: Sequence[str], **options: Any) -> pd.DataFrame:
    """List the rows of the images that `load_images` would load with the same arguments, without an image.

    Those of synthetic images have id, patient and split only; the images have an entry in each further column.

    >>> len(list_rows("synthetic_oct", "data", masks=["fluid"], num_patients=3, scans_per_patient=4, copies=1))
    24
    """
    settings = check_options(name, options, data_root)
    if name == "synthetic_oct":
        from retina_kit.data.synthetic.oct import list_scans

        rows = list_scans(settings.num_patients, settings.scans_per_patient)
    elif name == "synthetic_fundus":
        from retina_kit.data.synthetic.fundus import list_photographs

        rows = list_photographs(settings.num_patients, settings.images_per_patient)
    else:
        rows = _annotated_rows(name, data_root, masks, settings)
    return rows_with_copies(rows, settings.copies)


def _annotated_rows(name: str, data_root: str | Path, masks: Sequence[str], settings: PackOptions) -> pd.DataFrame:
    """Give the rows of a pack's manifest that its options select; UsageError if one of them lacks a mask."""
    card, rows = read_card(name, data_root), _selected_rows(name, data_root, settings)
    needed = needed_masks(card, masks)
    for mask in needed:
        if mask not in card.masks:
            raise UsageError(f"{name} has no mask {mask!r}{did_you_mean(mask, [*card.masks, *card.derived])}")
    if settings.annotated_only:
        rows = rows[(rows[[f"mask_{mask}" for mask in needed]] != "").all(axis=1)].reset_index(drop=True)
    if rows.empty:
        raise UsageError(f"no image of {name} is left to load; exclude fewer, or load them without annotated_only")
    incomplete = [mask for mask in needed if (rows[f"mask_{mask}"] == "").any()]
    if incomplete:
        hint = "load one split of it, or only the annotated ones (annotated_only=True)"
        raise UsageError(f"{name} has the mask {incomplete[0]!r} for some images only; {hint}")
    return rows


def _selected_rows(name: str, data_root: str | Path | None, settings: PackOptions) -> pd.DataFrame:
    """Give the rows of a pack's manifest that its options select, whatever masks they have."""
    rows = read_manifest(name, data_root)
    if settings.split is not None:
        splits = sorted(set(rows["split"]) - {""})
        rows = rows[rows["split"] == settings.split].reset_index(drop=True)
        if rows.empty:
            there_is = ", ".join(splits) or "none; split it by patients"
            raise UsageError(f"{name} has no split {settings.split!r}; it has {there_is}")
    return kept_rows(rows, settings.exclude, data_root) if settings.exclude else rows


def kept_rows(rows: pd.DataFrame, exclude: Exclude, data_root: str | Path | None = None) -> pd.DataFrame:
    """Leave out the rows of a manifest that `exclude` describes; an id that does not exist is a UsageError.

    >>> graded = read_manifest("idrid_grading_loc")
    >>> len(graded), len(kept_rows(graded, Exclude(also_in="idrid_seg_1024")))
    (516, 499)
    """
    known = set(rows["id"])
    for name in exclude.ids:
        if name not in known:
            raise UsageError(f"there is no image {name!r} to leave out")
    out = rows["id"].isin(exclude.ids)
    if exclude.also_in:
        other = read_manifest(exclude.also_in, data_root)
        out |= rows["patient"].isin(other.loc[other["split"] == exclude.also_split, "patient"])
    return rows[~out].reset_index(drop=True)


def fingerprint(
    name: str,
    *,
    masks: Sequence[str],
    columns: Sequence[str] = (),
    data_root: str | Path | None = None,
    **options: Any,
) -> str:
    """Hash what `load_images` would give, without reading or generating an image (16 hexadecimal digits).

    For a pack the hash covers the checksums and the `columns` (labels) of the rows that its options select, and which
    masks a derived one is made of, for synthetic images the options; the code that generates them is part of a run's
    code version. `data_root` is where your own packs are.
    """
    what: Any = options
    if name not in SYNTHETIC:
        settings = check_options(name, options, data_root)
        rows, derived = _selected_rows(name, data_root, settings), read_card(name, data_root).derived
        for column in columns:
            if column not in rows:
                raise UsageError(f"{name} has no column {column!r}{did_you_mean(column, rows)}")
        checksums = [column for column in rows if column.endswith("_sha256")]
        what = {mask: list(derived[mask]) for mask in masks if mask in derived}
        what["rows"] = rows[["id", "patient", "split", *checksums, *columns]].to_csv(index=False)
    text = json.dumps([name, sorted(masks), what], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
