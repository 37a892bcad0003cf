"""Loads a data set by its name, real or drawn, as one collection of images."""

import ast
import concurrent.futures
import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from retina_kit.data.collection import ImageSet
from retina_kit.data.copies import add_copies
from retina_kit.data.field_of_view import crop_to_field
from retina_kit.data.large_arrays import new_array
from retina_kit.data.manifest import list_cards, read_card, read_manifest, require_pack, unknown_data_set
from retina_kit.data.pixels import pixel_sha256, read_image, read_mask
from retina_kit.data.transforms import resize_images, resize_masks
from retina_kit.errors import DataError, UsageError

SYNTHETIC = ("synthetic_oct", "synthetic_fundus")


def load_images(
    name, data_root, *, masks, size=None, split=None, without=None, marked=False, crop=False, copies=0, **options
):
    """Return the images of a data set with the named masks.

    `name` is a data pack below `data_root`, or "synthetic_oct" or "synthetic_fundus", whose `options` say how
    they are drawn. `size` (H, W) resizes images by area and masks to the nearest pixel; `split` keeps "train" or
    "test" rows only, `without` leaves rows out (see `kept_rows`), `marked` those that lack a file of a mask; `crop`
    cuts to the field of view, and `copies` adds so many augmented copies of each image. Raises DataError where a
    file is missing or its pixels are not those of the manifest.
    """
    if name not in (*SYNTHETIC, *list_cards(data_root)):
        raise unknown_data_set(name, [*SYNTHETIC, *list_cards(data_root)])
    if name in SYNTHETIC and (without or marked):
        raise UsageError(f"{name} is drawn: no rows of it are left out; draw fewer patients instead")
    if name in SYNTHETIC:
        image_set = _generate(name, size=size, **options)
    elif options:
        raise UsageError(f"data set {name!r} is read from files and takes no options: {', '.join(options)}")
    else:
        image_set = _read(name, data_root, masks, size, split, without, marked)
    unknown = set(masks) - set(image_set.masks)
    if unknown:
        raise UsageError(f"{name} has no mask {sorted(unknown)[0]!r}; it has {', '.join(image_set.masks)}")
    kept = ImageSet(image_set.images, {m: image_set.masks[m] for m in masks}, image_set.rows, name)
    kept = kept if split is None else kept.subset(np.flatnonzero(kept.rows["split"] == split))
    kept = crop_to_field(kept) if crop else kept
    return add_copies(kept, copies) if copies else kept


def fingerprint(name, *, masks, columns=(), data_root=None, **options):
    """Return a hash of what `load_images` would give, without reading or drawing an image.

    For a pack it is taken from the manifest's checksums and from the rows' `columns` (labels); for drawn images
    from the options and from the code that draws them, comments and docstrings apart. `data_root` is where packs of
    your own lie.
    """
    if name in SYNTHETIC:
        what = [_generator_code(), options]
    else:
        rows = read_manifest(name, data_root)
        missing = [column for column in columns if column not in rows]
        if missing:
            raise UsageError(f"{name} has no column {missing[0]!r}; it has {', '.join(rows)}")
        checksums = [column for column in rows if column.endswith("_sha256")]
        what = rows[["id", "patient", "split", *checksums, *columns]].to_csv(index=False)
    text = json.dumps([name, sorted(masks), what], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _generator_code():
    """Return a hash of the code that draws images; it is parsed once a process, not once an arm."""
    folder = Path(__file__).parent
    code = [ast.dump(ast.parse(path.read_text())) for path in sorted(folder.glob("synthetic_*.py"))]
    return hashlib.sha256("".join(code).encode()).hexdigest()


def _generate(name, size=None, **options):
    """Return drawn images."""
    if size is not None:
        options["size"] = tuple(size)
    elif "size" in options:
        options["size"] = tuple(options["size"])
    if name == "synthetic_oct":
        from retina_kit.data.synthetic.oct import generate_oct as draw
    else:
        from retina_kit.data.synthetic.fundus import generate_fundus as draw
    try:
        return draw(**options)
    except TypeError as error:
        raise UsageError(f"{name} cannot be drawn with {options}: {error}") from error


def _read(name, data_root, masks, size, split=None, without=None, marked=False):
    """Return the images of a pack, decoded in a pool of threads; of one split only where it is named."""
    require_pack(name, data_root)
    card, rows = read_card(name, data_root), read_manifest(name, data_root)
    if split is not None:
        rows = rows[rows["split"] == split].reset_index(drop=True)
        if rows.empty:
            raise UsageError(f"{name} has no split {split!r}; it has {_splits_of(name, data_root)}")
    if without:
        unknown = set(without) - {"ids", "also_in", "also_split"}
        if unknown:
            raise UsageError(f"without has no setting {sorted(unknown)[0]!r}; it has ids, also_in, also_split")
        rows = kept_rows(rows, **without)
    needed = [part for mask in masks for part in card.derived.get(mask, [mask])]
    unknown = set(needed) - set(card.masks)
    if unknown:
        raise UsageError(f"{name} has no mask {sorted(unknown)[0]!r}; it has {', '.join([*card.masks, *card.derived])}")
    rows = (
        rows[(rows[[f"mask_{mask}" for mask in needed]] != "").all(axis=1)].reset_index(drop=True) if marked else rows
    )
    unmarked = [mask for mask in needed if (rows[f"mask_{mask}"] == "").any()]
    if unmarked:
        hint = "load one split of it, or only the marked ones (marked=True)"
        raise UsageError(f"{name} has the mask {unmarked[0]!r} for some images only; {hint}")
    images, stacked = _decode(rows, lambda row: _read_row(row, card, Path(data_root) / name, needed, size), name)
    for mask in masks:
        if mask in card.derived:
            stacked[mask] = _union([stacked[part] for part in card.derived[mask]])
    return ImageSet(images, stacked, rows, name)


def _decode(rows, read_row, name):
    """Return the images (N, C, H, W) and masks {name: (N, H, W)} of all rows, each put in place once read."""
    records = rows.to_dict("records")
    first, its_masks = read_row(records[0])
    images = new_array((len(records), *first.shape), np.uint8)
    stacked = {mask: new_array((len(records), *first.shape[1:]), bool) for mask in its_masks}

    def place(position, row):
        image, masks = (first, its_masks) if position == 0 else read_row(row)
        if image.shape != first.shape:
            raise UsageError(f"the images of {name} differ in size; give a common size=(H, W)")
        images[position] = image
        for mask, stack in stacked.items():
            stack[position] = masks[mask]

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for _ in pool.map(place, range(len(records)), records):
            continue  # an error in a thread is raised here
    return images, stacked


def _union(stacks):
    """Return where at least one of some masks (N, H, W) is set."""
    union = new_array(stacks[0].shape, bool)
    for out, *parts in zip(union, *stacks, strict=True):
        out[...] = np.logical_or.reduce(parts)
    return union


def kept_rows(rows, *, ids=(), also_in="", also_split="test"):
    """Return a manifest's rows less those named in `ids` and those whose photograph another manifest tests on.

    `also_in` names that data set and `also_split` its split: cards give one photograph one patient name wherever it
    stands, so a network that is tuned there is never tested on what it was pretrained on.
    """
    unknown = set(ids) - set(rows["id"])
    if unknown:
        raise UsageError(f"there is no image {sorted(unknown)[0]!r} to leave out")
    out = rows["id"].isin(list(ids))
    if also_in:
        other = read_manifest(also_in)
        out |= rows["patient"].isin(other.loc[other["split"] == also_split, "patient"])
    return rows[~out].reset_index(drop=True)


def _splits_of(name, data_root):
    """Return the names of a pack's splits, for a message."""
    return ", ".join(sorted(set(read_manifest(name, data_root)["split"]) - {""})) or "none; split it by patients"


def _read_row(row, card, folder, masks, size):
    """Return one image (C, H, W) and its masks {name: (H, W)}, proven against the manifest."""
    path = folder / row["image"]
    image = read_image(path, card.channels)
    if row["image_sha256"] and pixel_sha256(image) != row["image_sha256"]:
        raise DataError(
            f"{path}: the pixels are not those of the manifest; fetch the pack again, or retina-kit data verify"
        )
    found = {}
    for mask in masks:
        path = folder / row[f"mask_{mask}"]
        found[mask] = read_mask(path, image.shape[:2])
        known = row[f"mask_{mask}_sha256"]
        if known and pixel_sha256(found[mask].astype(np.uint8)) != known:
            raise DataError(
                f"{path}: the mask is not that of the manifest; fetch the pack again, or retina-kit data verify"
            )
    image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    if size is not None:
        image = resize_images(image[None], tuple(size))[0]
        found = {name: resize_masks(mask[None], tuple(size))[0] for name, mask in found.items()}
    return image, found
