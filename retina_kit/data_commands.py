"""The commands `retina-kit data list | show | fetch | import | new | verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retina_kit.cli_options import DataRoot, Json, finish
from retina_kit.errors import DataError, unknown_name

if TYPE_CHECKING:
    from retina_kit.packs.custom import NewPack

data_app = typer.Typer(no_args_is_help=True, help="Data sets: list, show, fetch, import, new, verify.")


@data_app.command("list")
def data_list(data_root: DataRoot = Path("data"), as_json: Json = False) -> None:
    """List the data sets: what they hold, their license, and whether they are here."""
    from retina_kit.data.card import list_cards
    from retina_kit.data.manifest import data_summary

    rows, broken = [], {}
    for name in list_cards(data_root):
        try:
            rows.append(data_summary(name, data_root))
        except DataError as error:
            broken[name] = str(error)
    here = {True: "here", False: "-"}
    lines = [
        f"{row['name']:22} {here[row['present']]:5} {row['num_images'] or '':>6} {row['access']:13} {row['title']}"
        for row in rows
    ]
    lines += [f"{name:22} broken: {reason}" for name, reason in broken.items()]
    finish({"text": lines, "packs": rows, "broken": broken, "exit_code": 3 if broken else 0}, as_json)


@data_app.command("show")
def data_show(name: str, data_root: DataRoot = Path("data"), as_json: Json = False) -> None:
    """Show the card of a data set."""
    from retina_kit.data.manifest import data_summary

    summary = data_summary(name, data_root)
    lines = [f"{key}: {value}" for key, value in summary.items() if value not in (None, "", [], {})]
    finish({"text": lines, **summary, "exit_code": 0}, as_json)


@data_app.command("fetch")
def data_fetch(
    name: str,
    data_root: DataRoot = Path("data"),
    accept_terms: Annotated[bool, typer.Option("--accept-terms", help="you have read and accept its terms")] = False,
    as_json: Json = False,
) -> None:
    """Download a data set from its pinned public source and verify every image."""
    from retina_kit.packs.fetch import fetch_pack

    fetch_pack(name, data_root, accept_terms=accept_terms, progress=not as_json)
    finish({"text": [f"{name}: complete and verified in {data_root}"], "name": name, "exit_code": 0}, as_json)


@data_app.command("import")
def data_import(
    name: str,
    source: Annotated[Path, typer.Option("--from", help="folder or archive that holds the original files")],
    data_root: DataRoot = Path("data"),
    as_json: Json = False,
) -> None:
    """Take a data set from files that you downloaded by hand, and verify every image."""
    from retina_kit.packs.importing import import_pack

    import_pack(name, source, data_root)
    finish({"text": [f"{name}: imported and verified in {data_root}"], "name": name, "exit_code": 0}, as_json)


@data_app.command("new")
def data_new(
    name: str,
    images: Annotated[Path | None, typer.Option(help="folder of your images; subfolders are searched")] = None,
    masks: Annotated[list[str] | None, typer.Option(help="folder of their masks; NAME=FOLDER for several")] = None,
    patient_regex: Annotated[str, typer.Option(help="finds the patient in an image's name, such as '^(\\d+)_'")] = "",
    table: Annotated[Path | None, typer.Option(help="CSV with the columns image, mask, patient instead")] = None,
    image_suffix: Annotated[str, typer.Option(help="ending of the images' names, such as _training")] = "",
    mask_suffix: Annotated[list[str] | None, typer.Option(help="ending of the masks' names, or NAME=ENDING")] = None,
    missing_mask: Annotated[str, typer.Option(help="refuse, or empty: an eye without a mask is healthy")] = "refuse",
    mask_threshold: Annotated[int | None, typer.Option(help="gray value (0-255) from which a pixel counts")] = None,
    mask_class: Annotated[list[str] | None, typer.Option(help="of a label map: disc=0,128 or cup=#ff0000")] = None,
    invert_masks: Annotated[bool, typer.Option("--invert-masks", help="black is the structure")] = False,
    resize_masks: Annotated[bool, typer.Option("--resize-masks", help="masks of another size, same shape")] = False,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT to scale images to; default: sizes are kept")] = None,
    data_root: DataRoot = Path("data"),
    as_json: Json = False,
) -> None:
    """Make a data set of your own images: paired, converted, verified; then run with --set target=NAME."""
    from retina_kit.packs.custom import ImportOptions, new_pack
    from retina_kit.packs.mask_files import MaskRules, parse_classes
    from retina_kit.packs.pairing import parse_named
    from retina_kit.packs.sizes import parse_size

    if missing_mask not in ("refuse", "empty"):
        raise unknown_name("treatment of missing masks", missing_mask, ("refuse", "empty"))
    options = ImportOptions(
        image_suffix,
        parse_named(mask_suffix or [], "target", "--mask-suffix"),
        missing_mask == "empty",
        parse_size(size) if size else None,
        MaskRules(mask_threshold, parse_classes(mask_class or []), invert_masks, resize_masks),
    )
    folders = parse_named(masks, "target", "--masks") if masks else None
    made = new_pack(name, images, folders, patient_regex, data_root, table=table, options=options)
    finish(describe_pack(name, made, data_root), as_json)


def describe_pack(name: str, made: "NewPack", data_root: Path) -> dict[str, Any]:
    """Report what was made of a person's files, and what to check."""
    rows, notes = made.rows, list(made.notes)
    num_patients = rows["patient"].nunique()
    masks = [column[5:] for column in rows if column.startswith("mask_") and not column.endswith("_sha256")]
    if num_patients == len(rows):
        notes.append("warning: every image was assigned its own patient; check --patient-regex")
    examples = [f"{row.id} -> {row.patient}" for row in rows.iloc[:: max(1, len(rows) // 3)].head(3).itertuples()]
    lines = [f"{name}: {len(rows)} images of {num_patients} patients, each with its mask, in {data_root / name}"]
    lines += [f"masks: {', '.join(masks)}"] if masks != ["target"] else []
    lines += [f"patients: {'; '.join(examples)}", *notes]
    lines += [f"look at {data_root / name / 'preview.jpg'}, then:"]
    chosen = f" --set target_mask={masks[0]}" if "target" not in masks else ""
    lines += [f"retina-kit run PAPER --set target={name}{chosen} --data-root {data_root}"]
    found = {"name": name, "images": len(rows), "patients": num_patients, "masks": masks, "notes": notes}
    return {"text": lines, **found, "exit_code": 0}


@data_app.command("verify")
def data_verify(
    name: Annotated[str | None, typer.Argument()] = None,
    data_root: DataRoot = Path("data"),
    as_json: Json = False,
) -> None:
    """Verify every image of one data set, or of all that are here, against the manifest."""
    from retina_kit.data.manifest import require_pack, verify_pack

    if name:
        require_pack(name, data_root)
    problems = {name: verify_pack(name, data_root)} if name else _problems_of_all(data_root)
    lines = [f"{pack}: {len(found)} problems" if found else f"{pack}: verified" for pack, found in problems.items()]
    lines += [f"  {line}" for found in problems.values() for line in found]
    lines += [] if problems else [f"no data set is in {data_root}; run: retina-kit data list"]
    bad = any(problems.values()) or not problems
    finish({"text": lines, "problems": problems, "exit_code": 3 if bad else 0}, as_json)


def _problems_of_all(data_root: Path) -> dict[str, list[str]]:
    """Verify every data set that has a folder here; one whose manifest cannot be read does not stop the others."""
    from retina_kit.data.card import list_cards
    from retina_kit.data.manifest import verify_pack

    problems = {}
    for pack in list_cards(data_root):
        try:
            if (data_root / pack).is_dir():
                problems[pack] = verify_pack(pack, data_root)
        except DataError as error:
            problems[pack] = [f"broken: {error}"]
    return problems
